"""A grid over objectives: each of its cells keeps one row, which stands for the others and for the cells above it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

NOBODY = np.iinfo(np.int64).max
"""What an empty cell has in the last objective."""


class _Table:
    """Whose row has the least in the last objective, cell by cell."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.least = np.full(math.prod(shape), NOBODY)
        self.holder = np.full(math.prod(shape), -1)

    def settle(self, cells: Ints, last: Ints, names: Ints) -> None:
        """Let rows take the cells in which they have less in the last objective than who is there."""
        better = np.flatnonzero(last < self.least[cells])
        cells, last, names = cells[better], last[better], names[better]
        order = np.lexsort((last, cells))
        first = order[np.flatnonzero(np.diff(cells[order], prepend=-1))]
        self.least[cells[first]], self.holder[cells[first]] = last[first], names[first]

    def minimal(self) -> Ints:
        """The cells with less in the last objective than every cell that is nowhere above them."""
        least = self.least.reshape(self.shape)
        lowest, below = least.copy(), np.full(self.shape, NOBODY)
        for axis in range(least.ndim):
            np.minimum.accumulate(lowest, axis=axis, out=lowest)
        for axis in range(least.ndim):
            beyond = np.moveaxis(below, axis, 0)[1:]
            np.minimum(beyond, np.moveaxis(lowest, axis, 0)[:-1], out=beyond)
        return np.flatnonzero((least < below).ravel())


class Thinning:
    """A logarithmic grid over all objectives but the last, in which few rows come to stand for all.

    Whoever stands for a row is at most (1 + epsilon) times as large in each of these objectives, and no larger in the
    last one, which is never rounded.
    """

    def __init__(self, low: Ints, high: Ints, size: int) -> None:
        """At most `size` cells for numbers from `low` to `high`, (axes,) each; a 0 has cells of its own."""
        self.zeros = (low < 1).astype(np.int64)
        self.low = np.maximum(low, 1)
        ranges = np.log(np.maximum(high, self.low) / self.low)
        self.width = max(float(np.prod(ranges)) / size, 1e-27) ** (1 / len(low))
        while np.prod(np.floor(ranges / self.width) + 1 + self.zeros) > size:
            self.width *= 1.05
        self.cells = np.floor(ranges / self.width).astype(np.int64) + 1 + self.zeros
        self.table = _Table(tuple(self.cells.tolist()))

    def add(self, places: Ints, last: Ints, names: Ints) -> None:
        """Let rows take their cells: `places` (axes, n), the last objective (n,), and what to call the rows (n,)."""
        index = np.zeros(places.shape[1], np.int64)
        for place, low, zero, cells in zip(places, self.low, self.zeros, self.cells, strict=True):
            cell = np.floor(np.log(np.maximum(place, 0.5) / low) / self.width)
            index = index * cells + np.clip(cell, -zero, cells - 1 - zero).astype(np.int64) + zero
        self.table.settle(index, last, names)

    def standing(self, most: int) -> tuple[Ints, float]:
        """At most `most` names that stand for all, and their epsilon: cells are joined where there are too many.

        No epsilon reaches from a number to 0, so that 2 to the power of the axes may be needed.
        """
        cells = self.table.minimal()
        names, many, few = self.table.holder[cells], 1, 1
        while len(names) > most:
            many, few = few, 2 * few
            names = self._joined(cells, few)
        while few - many > 1:
            times = (many + few) // 2
            fewer = self._joined(cells, times)
            if len(fewer) > most:
                many = times
            else:
                few, names = times, fewer
        # A little more, for what rounding could make of a logarithm.
        return names, math.expm1(few * self.width * (1 + 1e-9))

    def _joined(self, cells: Ints, times: int) -> Ints:
        """Who is left of some cells on a grid that is so many times as wide."""
        zeros, axes = self.zeros[:, None], np.stack(np.unravel_index(cells, self.table.shape))
        coarse = (axes - zeros) // times + zeros
        table = _Table(tuple((coarse.max(axis=1, initial=0) + 1).tolist()))
        index = np.ravel_multi_index(tuple(coarse), table.shape)
        table.settle(index, self.table.least[cells], self.table.holder[cells])
        return table.holder[table.minimal()]
