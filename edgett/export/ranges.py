"""The range of a tensor that int8 serves best: narrower than from its smallest to its largest number.

255 steps are spread over a range. The wider it is, the coarser they are for all numbers, and a few large ones make it
wide; the narrower, the more numbers end at its limits. Chosen is the range in which the mean squared error of the
calibration samples is least (Sung et al. 2015, Choukroun et al. 2019), by their histogram.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

BINS = 2048
"""Bars of a histogram."""

STEPS = 255
"""Steps of int8 between the ends of its range."""

ENOUGH = 1 << 15
"""Numbers that tell how rare large ones are; by fewer no range is narrowed."""

SHARES = np.linspace(0.1, 1.0, 91)
"""Of a limit, those that are tried in its place."""

NUMBERS = 1 << 13
"""Of a tensor, from each batch, that its range is told by."""

Floats = NDArray[np.float64]


def some(tensor: NDArray[np.floating]) -> NDArray[np.floating]:
    """Take numbers that tell the range of a tensor.

    Args:
        tensor: of any shape.

    Returns:
        `NUMBERS` of its numbers, drawn, the same each time for a size; all where it has fewer.
    """
    numbers, size = tensor.reshape(-1), tensor.size
    return numbers if size <= NUMBERS else numbers[np.random.default_rng(size).integers(0, size, NUMBERS)]


class Ends:
    """The smallest and the largest number of each of some tensors.

    Attributes:
        found: both by the tensor's number; 0 is between the two.
    """

    def __init__(self) -> None:
        self.found: dict[int, tuple[float, float]] = {}

    def add(self, tensors: Mapping[int, NDArray[np.floating]]) -> None:
        """Look at tensors by their numbers."""
        for index, tensor in tensors.items():
            low, high = self.found.get(index, (0.0, 0.0))
            self.found[index] = min(low, float(tensor.min())), max(high, float(tensor.max()))


class Histogram:
    """How often a tensor has which numbers.

    Attributes:
        low: the smallest of them, or 0.
        high: the largest of them, or 0.
    """

    def __init__(self, low: float, high: float) -> None:
        """Begin with no number, to get some that are between these two."""
        self.low = min(low, 0.0)
        self.high = max(high, 0.0)
        self._counts = np.zeros(BINS, np.int64)

    def add(self, numbers: NDArray[np.floating]) -> None:
        """Count numbers."""
        if self.low < self.high < math.inf and self.low > -math.inf:
            self._counts += np.histogram(numbers, BINS, (self.low, self.high))[0]

    def narrowed(self) -> tuple[float, float]:
        """The range that holds 0 in which the mean squared error of int8 is least.

        Returns:
            Its lower and its upper limit; the whole one where few numbers were counted.
        """
        if self._counts.sum() < ENOUGH:
            return self.low, self.high
        edges = np.linspace(self.low, self.high, BINS + 1)
        middle = (edges[:-1] + edges[1:]) / 2
        lows, highs = self.low * SHARES, self.high * SHARES
        below, above = _beyond(-middle, -lows, self._counts), _beyond(middle, highs, self._counts)
        errors = above[:, None] + below[None, :] + _inside(middle, np.subtract.outer(highs, lows) / STEPS, self._counts)
        row, column = np.unravel_index(np.argmin(errors), errors.shape)
        return float(lows[column]), float(highs[row])


def _inside(middle: Floats, steps: Floats, counts: NDArray[np.int64]) -> Floats:
    """The squared error of rounding to multiples of each step: a twelfth of its square, near 0 the number's own."""
    order = np.argsort(np.abs(middle))
    sizes, some = np.abs(middle)[order], counts[order]
    near = np.searchsorted(sizes, steps / 2)
    squares, met = (np.concatenate([[0.0], np.cumsum(each)]) for each in (some * sizes**2, some))
    found: Floats = squares[near] + (met[-1] - met[near]) * steps**2 / 12
    return found


def _beyond(middle: Floats, limits: Floats, counts: NDArray[np.int64]) -> Floats:
    """The squared error of the numbers above each limit, which end there."""
    found: Floats = counts @ np.maximum(np.subtract.outer(middle, limits), 0.0) ** 2
    return found
