"""What a form is for: a layer with a weight, what it costs, and how far from it an approximation is."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgett.errors import UsageError
from edgett.forms.window import Window

MOST_WEIGHTS = 1 << 28
"""Costs are summed along paths, and multiplied by one another: beyond this many weights they would leave 64 bits."""

MOST_PIXELS = 1 << 24
"""Of an image, for the same reason: one of 4096 by 4096."""


class CostModel(enum.Enum):
    """How FLOPs are counted: `exact` is what a graph executes and what decides; `paper` is equation 4 as printed."""

    EXACT = "exact"
    PAPER = "paper"


class Estimate(enum.Enum):
    """What stands for the error of a TT shape before it is fine-tuned: -log(1 - cut) at each bond, with the energy cut.

    `kept-energy` adds up over the bonds, so that 1 - exp(-loss) estimates the squared relative error of TT-SVD;
    `largest-cut` takes the worst bond, below which no TT of the shape can be, fine-tuned or not. Layers add up.
    """

    KEPT_ENERGY = "kept-energy"
    LARGEST_CUT = "largest-cut"


@dataclass(frozen=True)
class Cost:
    """What a layer or a model costs for one input sample.

    Costs of layers that run one after the other add up; the peak is the larger one.

    Attributes:
        params: numbers stored, biases included.
        flops: a multiplication counts as one, an addition as one.
        peak_elements: the most elements of tensors that are alive at once.
        moved_elements: elements that transposes copy.
        macs: multiplications that an addition follows.
    """

    params: int
    flops: int
    peak_elements: int = 0
    moved_elements: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.flops + other.flops,
            max(self.peak_elements, other.peak_elements),
            self.moved_elements + other.moved_elements,
            self.macs + other.macs,
        )


@dataclass(frozen=True)
class Layer:
    """A layer, without Keras: a weight (X, Y) that may be replaced.

    That of a convolution has a row for each number that its window sees, k_h k_w C of them.

    Attributes:
        name: its path in the model, such as "encoder/fc1".
        inputs: X.
        outputs: Y.
        bias: whether it adds Y numbers.
        positions: how often a sample meets the weight each time that the layer runs, a row of X numbers at a time.
        window: how a convolution moves over its image; None: the layer is fully connected.

    Raises:
        ValueError: for a size, or a number of positions, below 1.
    """

    name: str
    inputs: int
    outputs: int
    bias: bool = True
    positions: int = 1
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.outputs < 1:
            raise ValueError(f"layer {self.name!r} is {self.inputs}x{self.outputs}: both sizes must be at least 1")
        if self.positions < 1:
            raise ValueError(f"layer {self.name!r} has {self.positions} positions: at least 1 is needed")
        if self.window is not None and (self.inputs % self.window.taps or self.positions != self.window.positions):
            raise ValueError(f"layer {self.name!r} is {self.inputs}x{self.outputs}, which is no {self.window}")

    @property
    def channels(self) -> int:
        """The numbers of a position that it reads: X, or the channels of an image."""
        return self.inputs if self.window is None else self.inputs // self.window.taps

    @property
    def reads(self) -> int:
        """The elements of a sample that it reads."""
        return self.channels * (self.positions if self.window is None else self.window.pixels)

    @property
    def writes(self) -> int:
        """The elements of a sample that it writes."""
        return self.positions * self.outputs

    @property
    def size(self) -> str:
        """Such as "784x300", or "3x3x64x64@8x8" for a window, its channels and the image that it writes."""
        if self.window is None:
            return f"{self.inputs}x{self.outputs}"
        kernel, made = ("x".join(map(str, pair)) for pair in (self.window.kernel, self.window.made))
        return f"{kernel}x{self.channels}x{self.outputs}@{made}"


_SIZE = "([0-9]+)"
_DENSE, _WINDOW = (re.compile("x".join([_SIZE] * count)) for count in (2, 4))
_IMAGE = re.compile(f"{_WINDOW.pattern}@{_SIZE}x{_SIZE}")
_HOW = (
    "Write inputs x outputs, for example 4096x1000, or for a convolution its window, the channels that it reads and"
    " writes, and its image: 3x3x64x64@8x8, or 1x9x64x64@1x49 over a sequence."
)


def parse_layer(text: str) -> Layer:
    """Read a layer as `Layer.size` writes it; it has a bias.

    Args:
        text: inputs x outputs, such as "4096x1000", or a convolution of stride 1 that writes an image as large as it
            reads, such as "3x3x64x64@8x8"; over a sequence the image has one row. That is its name too.

    Returns:
        The layer.

    Raises:
        UsageError: for any other text, for a size of 0 or beyond what can be explored, and for a window that sees
            nothing but padding in some of its rows or columns.
    """
    told = repr(text if len(text) <= 80 else f"{text[:77]}...")
    if _WINDOW.fullmatch(text):
        raise UsageError(f"Layer {told} is a convolution without its image.", f"Add the image: {text[:80]}@8x8.")
    found = _DENSE.fullmatch(text) or _IMAGE.fullmatch(text)
    if not found:
        raise UsageError(f"Layer {told} is not two whole numbers joined by an x, and no convolution.", cure=_HOW)
    if long := [size for size in found.groups() if len(size.lstrip("0")) > len(str(MOST_WEIGHTS))]:
        raise UsageError(
            f"Layer {told} has a size of {len(long[0])} digits, and {MOST_WEIGHTS} weights can be explored.", cure=_HOW
        )
    sizes = [*map(int, found.groups())]
    if min(sizes) < 1:
        raise UsageError(f"Layer {told} has a size of {min(sizes)}, below 1.", cure=_HOW)
    return Layer(text, sizes[0], sizes[1]) if len(sizes) == 2 else _convolution(text, sizes)


def _convolution(text: str, sizes: Sequence[int]) -> Layer:
    """The one of these sizes: window, channels read, channels written, image. Raises UsageError as `parse_layer`."""
    rows, columns, inputs, outputs, *image = sizes
    kernel, size = (rows, columns), (image[0], image[1])
    if (pixels := math.prod(size)) > MOST_PIXELS:
        raise UsageError(
            f"Layer {text!r} has an image of {pixels} pixels, more than the {MOST_PIXELS} that can be explored.",
            "Give the image that it has in the model.",
        )
    for name, seen, there in zip(("rows", "columns"), kernel, size, strict=True):
        if seen > 2 * there - 1:
            raise UsageError(
                f"Layer {text!r} has a window of {seen} {name} over an image of {there}: beyond {2 * there - 1} they"
                " see nothing but padding.",
                f"Give a window of at most {2 * there - 1} {name}, or a larger image.",
            )
    window = Window(kernel, size)
    return Layer(text, window.taps * inputs, outputs, positions=window.positions, window=window)


def not_flat(layer: Layer) -> str | None:
    """Why a form for fully connected layers does not fit: the layer is a convolution; None where it is not."""
    return None if layer.window is None else f"{layer.size}: it is a convolution"


def too_large(layer: Layer) -> str | None:
    """Why a layer has too many weights for its space to be explored.

    Args:
        layer: the layer.

    Returns:
        The reason in the user's words; None where it has not.
    """
    if (weights := layer.inputs * layer.outputs) <= MOST_WEIGHTS:
        return None
    return f"{layer.size}: {weights} weights, more than the {MOST_WEIGHTS} that can be explored"


@dataclass(frozen=True)
class Found:
    """A layer of a model, and in `excluded` why it is left alone (None: it is not)."""

    layer: Layer
    excluded: str | None = None
