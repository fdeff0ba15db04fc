"""How a convolution moves over an image; over a sequence, as over an image of one row."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

Pair = tuple[int, int]


class Padding(enum.Enum):
    """What stands around the image: zeros on all sides, or nothing."""

    SAME = "same"
    VALID = "valid"


@dataclass(frozen=True)
class Window:
    """The sizes of a convolution, rows before columns.

    Attributes:
        kernel: how many pixels it sees at once.
        size: those of the image that it reads.
        strides: how far it moves at a time.
        dilation: the distance of two pixels that it sees.
        padding: what stands around the image.

    Raises:
        ValueError: for a size below 1, and for an image that a window without padding does not fit into.
    """

    kernel: Pair
    size: Pair
    strides: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Padding = Padding.SAME

    def __post_init__(self) -> None:
        if min(*self.kernel, *self.size, *self.strides, *self.dilation) < 1:
            raise ValueError(f"{self}: all sizes must be at least 1")
        if min(self.made) < 1:
            raise ValueError(f"{self}: the image is smaller than the window")

    @property
    def made(self) -> Pair:
        """The size of the image that it writes."""
        rows, columns = (
            (size - (self.padding is Padding.VALID) * (kernel - 1) * dilation + stride - 1) // stride
            for size, kernel, stride, dilation in zip(self.size, self.kernel, self.strides, self.dilation, strict=True)
        )
        return rows, columns

    @property
    def seen(self) -> Pair:
        """The size of what it sees of the image, padding among it."""
        rows, columns = map(seen, self.made, self.kernel, self.strides, self.dilation)
        return rows, columns

    @property
    def top(self) -> int:
        """The rows of padding above the image."""
        return max(0, self.seen[0] - self.size[0]) // 2

    @cached_property
    def inside(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """How many of its rows and of its columns lie on the image, at each place along the two axes."""
        axes = zip(self.made, self.size, self.seen, self.kernel, self.strides, self.dilation, strict=True)
        rows, columns = (
            tuple(
                sum(0 <= place * stride + tap * apart - max(0, seen - size) // 2 < size for tap in range(kernel))
                for place in range(made)
            )
            for made, size, seen, kernel, stride, apart in axes
        )
        return rows, columns

    @property
    def taps(self) -> int:
        """The pixels that it sees at once."""
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        """The places at which it stands, one for each pixel that it writes."""
        return math.prod(self.made)

    @property
    def pixels(self) -> int:
        """The pixels of the image that it reads."""
        return math.prod(self.size)


def pair(sizes: Sequence[int]) -> Pair:
    """Sizes of rows and columns; a sequence has one row.

    Args:
        sizes: one or two.

    Returns:
        Two.
    """
    values = [int(size) for size in sizes]
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def seen(made: int, kernel: int, stride: int, dilation: int) -> int:
    """Count what a window sees along an axis, padding among it.

    Args:
        made: the pixels that it writes along the axis.
        kernel: how many it sees at once.
        stride: how far it moves from one to the next.
        dilation: the distance of two that it sees.

    Returns:
        Pixels.
    """
    return (made - 1) * stride + (kernel - 1) * dilation + 1
