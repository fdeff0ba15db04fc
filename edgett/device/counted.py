"""What kernels of C take on a processor, from the instructions that small models execute there.

All arithmetic: who builds the models and counts is above.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgett.device.calibrate import (
    ConvolutionProbe,
    FormProbe,
    Probe,
    ProductChain,
    ProductProbe,
    Sum,
    least_squares,
)
from edgett.errors import ToolError
from edgett.forms.tt.shape import TTShape
from edgett.graph.c_work import THINGS, efforts
from edgett.graph.graph import Graph
from edgett.graph.instructions import Instructions, Rates

LEAST = 0.02
"""Instructions below which a rate is none."""
USELESS = 0.1
"""An error in the middle with which nothing is predicted."""

_PAIRS = ((3, 8), (16, 18), (32, 10))
_SIDES = ((12, 12), (7, 6, 5), (4, 4, 4, 4), (16, 10), (2, 90), (3, 5, 20))
_IMAGES = ((8, 8, 4), (12, 12, 10), (6, 6, 33))
_VECTORS = ((10,), (64,), (777,))
_BENT = "leaky_relu elu gelu silu sigmoid hard_sigmoid tanh softmax".split()
_MAPS = (
    "MaxPooling2D AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D ZeroPadding2D UpSampling2D Concatenate"
    " Maximum Minimum"
).split()


@dataclass(frozen=True)
class LayerProbe:
    """A layer of Keras by its class, or an activation by its name, on a tensor of that shape, or on two of them.

    `summed`: behind a sum. What reads an input of the model itself may be left in float32 in an int8 file.
    """

    name: str
    shape: tuple[int, ...]
    summed: bool = False


@dataclass(frozen=True)
class StackProbe:
    """So many windows (rows, columns), one behind the other, each with one for every channel.

    What brings the channels of an image to the front, and to the back, is done once: kernels can be told from it.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    channels: int
    stride: int = 1
    layers: int = 4


Small = Probe | LayerProbe | StackProbe

COUNTED: tuple[Small, ...] = (
    *(ProductChain(length) for length in (1, 4)),
    *(ProductProbe(rows, inner, columns) for rows in (1, 6, 33) for inner in (6, 16, 50, 203)
      for columns in (3, 10, 32, 100)),
    *(ProductProbe(rows, inner, columns) for rows in (1, 6) for inner in (6, 50, 203) for columns in (1, 5, 33)),
    *(FormProbe(TTShape(sides, sides[::-1], (1, *[rank] * (len(sides) - 1), 1)), bias)
      for sides in _SIDES for rank in (2, 5, 8) for bias in (False, True)),
    *(Sum(count) for count in (64, 1000)),
    *(ConvolutionProbe(side, kernel, inputs, outputs) for side in (7, 12)
      for kernel in ((1, 1), (3, 3), (5, 5), (1, 5), (3, 1)) for inputs, outputs in _PAIRS),
    *(ConvolutionProbe(side, kernel, inputs, outputs, roomy=True) for side in (7, 12)
      for kernel in ((1, 1), (3, 3), (5, 1)) for inputs, outputs in (*_PAIRS, (8, 64), (64, 24), (50, 30))),
    *(ConvolutionProbe(side, (1, 1), inputs, outputs, roomy=True, across=across) for side, across in ((25, 5), (9, 32))
      for inputs, outputs in ((16, 24), (40, 16), (64, 64))),
    *(ConvolutionProbe(side, (10, 4), inputs, 16, stride)
      for side, inputs, stride in ((12, 1, 2), (20, 1, 2), (12, 8, 1))),
    *(ConvolutionProbe(side, kernel, 16, 18, stride=2) for side in (7, 12) for kernel in ((1, 1), (3, 3), (5, 5))),
    *(StackProbe((side, side), kernel, channels) for side in (7, 12) for channels in (6, 20)
      for kernel in ((3, 3), (5, 5), (7, 7), (3, 1), (1, 3))),
    *(StackProbe(size, (3, 3), channels, layers=layers) for layers in (1, 4) for channels in (6, 20)
      for size in ((4, 4), (5, 5), (13, 5), (5, 24), (9, 40), (16, 16), (20, 20), (32, 8))),
    *(StackProbe(size, (3, 1), channels) for size in ((25, 5), (9, 40)) for channels in (6, 20)),
    *(StackProbe((side, side), (3, 3), channels, stride=2, layers=layers) for layers in (1, 2)
      for side in (7, 12, 21) for channels in (6, 20)),
    *(LayerProbe(name, shape) for name in _BENT for shape in _VECTORS),
    *(LayerProbe(name, shape) for name in ("Multiply", "Subtract") for shape in _VECTORS),
)  # fmt: skip
"""What is counted: every kernel, at odd sizes too."""

IN_FLOAT32: tuple[Small, ...] = (
    *(LayerProbe(name, shape) for name in ("relu", "relu6") for shape in _VECTORS),
    *(LayerProbe(name, shape) for name in _MAPS for shape in _IMAGES),
)
"""What is counted besides in float32. In int8 ReLU is a part of the operator before it."""
IN_INT8: tuple[Small, ...] = tuple(LayerProbe(name, shape, summed=True) for name in _MAPS for shape in _IMAGES)
"""What is counted besides in int8."""


@dataclass(frozen=True)
class CountFit:
    """Rates, and the median and the largest of the relative errors by which they miss the counts of probes."""

    instructions: Instructions
    median: float
    largest: float


def fitted(graphs: Sequence[tuple[Graph, int]], counts: Sequence[float]) -> CountFit:
    """The rates that predict counts best: least squares of the relative errors.

    `graphs`: what each probe executes, and the bytes of its numbers. Raises ToolError when nothing predicts the counts.
    """
    done = [_done(graph, size) for graph, size in graphs]
    keys = sorted({key for one in done for key in one})
    wanted = np.array(counts, np.float64)
    table = np.array([[one[key] for key in keys] for one in done], np.float64)
    found = least_squares(table / wanted[:, None])
    found = np.where(found < LEAST, 0.0, found)
    kernels: dict[str, Rates] = {}
    for (kernel, thing), rate in zip(keys, found.tolist(), strict=True):
        if kernel:
            kernels[kernel] = replace(kernels.get(kernel, Rates()), **{thing: rate})
    errors = np.abs(table @ found / wanted - 1)
    start = dict(zip(keys, found.tolist(), strict=True))["", ""]
    if np.median(errors) > USELESS:
        raise ToolError(
            "the instructions that were counted make no sense: more work took no more of them.",
            "Report it: the kernels of C and what predicts them have drifted apart.",
        )
    return CountFit(Instructions(start, kernels), float(np.median(errors)), float(errors.max()))


def _done(graph: Graph, size: int) -> Counter[tuple[str, str]]:
    """How often a probe does each thing, by kernel and thing."""
    found = Counter({("", ""): 1})
    for _, work in efforts(graph, size):
        found.update({(work.kernel, thing): count for thing in THINGS if (count := getattr(work, thing))})
    return found
