"""Pareto dominance among many points: which ones nothing beats, and how to stand for them with fewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

CHUNK = 128
"""Points compared pair by pair at once; later chunks double, since what came before settles most of them."""

LARGEST = 64 * CHUNK
"""The last chunks do not: of a long front little is settled before, and all that is left is looked at 128 by 128."""

EARLIER = np.tri(CHUNK, k=-1, dtype=bool)


def undominated(columns: Sequence[Ints], most: int | None = None) -> Ints:
    """The rows that no other row is as good as in every column; of equal rows one. None of the numbers is negative.

    `columns` are the objectives, each to be made small. The rows come ascending in the first column, then the next.
    Where they are more than `most`, some of them, more than that many: to find the others may take far longer.
    """
    # By the first two columns: one key sorts far faster than several, and few rows are left to be sorted properly.
    key = _key(columns)
    rows = _sweep(columns, np.argsort(key), key, most)
    if np.diff(key[rows]).all() or (most is not None and _different(key[rows]) > most):
        return rows
    some = [column[rows] for column in columns]
    return rows[_sweep(some, np.lexsort(some[::-1]), key[rows])]


def _key(columns: Sequence[Ints]) -> Ints:
    """Ascending in the first column and, where 64 bits allow, in the second."""
    first, second = columns[:2]
    width = int(second.max(initial=0)) + 1
    return first * width + second if int(first.max(initial=0)) < 2**63 // width - 1 else first


def _different(keys: Ints) -> int:
    """How many numbers there are in an ascending array."""
    return int(np.count_nonzero(np.diff(keys))) + bool(len(keys))


def _sweep(columns: Sequence[Ints], order: Ints, key: Ints, most: int | None = None) -> Ints:
    """In an order that ascends in the first column, the rows to which no earlier one is as good in the others.

    Of rows that are alike in `key` a later one may beat an earlier one, and no other does: of more than `most` keys
    more than so many rows are left in the end, and no more are looked for.
    """
    rest = np.stack([column[order] for column in columns[1:]], axis=1)
    archive = _Staircase() if rest.shape[1] == 2 else _Archive(rest.shape[1])
    kept, begin, size = [order[:0]], 0, CHUNK
    while begin < len(rest) and (most is None or _different(key[np.concatenate(kept)]) <= most):
        left = begin + archive.open(rest[begin : begin + size])
        begin, size = begin + size, min(2 * size, LARGEST)
        while len(left):
            part = left[:CHUNK]
            part = part[~_beaten_before(rest[part])]
            kept.append(order[part])
            known = archive.add(rest[part])
            left = left[CHUNK:][archive.open(rest[left[CHUNK:]], known)]
    return np.concatenate(kept)


def thinned(columns: Sequence[Ints] | Sequence[Numbers], epsilon: float, most: int | None = None) -> Ints:
    """Rows that epsilon-dominate all: for each row, one of them is at most (1 + epsilon) times as large in each column.

    `columns` hold no negative number. A row stays of every box of a logarithmic grid above which no other box is. Where
    they are more than `most`, some of them, more than that many.
    """
    return np.sort(undominated([_boxes(column, epsilon) for column in columns], most))


def _boxes(column: Ints | Numbers, epsilon: float) -> Ints:
    """Which box of the grid each number is in, from 1 on; 0 has its own, the lowest."""
    some = column > 0
    boxes = np.zeros(len(column), np.int64)
    boxes[some] = np.floor(np.log(column[some]) / np.log1p(epsilon)).astype(np.int64)
    boxes[some] += 1 - boxes[some].min(initial=0)
    return boxes


def thinned_to(columns: Sequence[Ints] | Sequence[Numbers], size: int) -> tuple[Ints, float]:
    """At most `size` rows that epsilon-dominate all, and that epsilon: 0 if all stay.

    No epsilon reaches from a number to 0, so that k columns may need 2^k rows: `size` must allow for them.
    """
    if size < 2 ** len(columns):
        raise ValueError(f"{size} rows cannot stand for all in {len(columns)} columns; {2 ** len(columns)} can")
    rows, epsilon = np.arange(len(columns[0])), 0.0
    low, high = 0.0, 1e-3
    while len(rows) > size:
        epsilon, rows = high, thinned(columns, high, size)
        low, high = (high, 2 * high) if len(rows) > size else (low, high)
    while epsilon - low > 0.01 * epsilon > 1e-8:
        middle = (low + epsilon) / 2
        fewer = thinned(columns, middle, size)
        if len(fewer) > size:
            low = middle
        else:
            epsilon, rows = middle, fewer
    return rows, epsilon


def _beaten_before(points: Ints) -> Mask:
    """Whether an earlier row, of at most CHUNK, is as good in every column."""
    as_good: Mask = EARLIER[: len(points), : len(points)].copy()
    for column in points.T:
        np.logical_and(as_good, column <= column[:, None], out=as_good)
    return np.logical_or.reduce(as_good, axis=1)


class _Staircase:
    """The two-dimensional front so far: the first column ascends, the second falls."""

    def __init__(self) -> None:
        self.first = self.second = np.zeros(0, np.int64)

    def open(self, points: Ints, known: int = 0) -> Ints:
        """The rows that no point of the front is as good as; all points are looked at, which is no trouble."""
        if not len(self.first):
            return np.arange(len(points))
        step = np.searchsorted(self.first, points[:, 0], "right") - 1
        return np.flatnonzero((step < 0) | (self.second[step] > points[:, 1]))

    def add(self, points: Ints) -> int:
        """Take points in. Returns how many there were."""
        known = len(self.first)
        first = np.concatenate([self.first, points[:, 0]])
        second = np.concatenate([self.second, points[:, 1]])
        order = np.lexsort((second, first))
        first, second = first[order], second[order]
        best = np.minimum.accumulate(second)
        lower = np.ones(len(first), bool)
        lower[1:] = best[1:] < best[:-1]
        self.first, self.second = first[lower], second[lower]
        return known


class _Archive:
    """The front so far in any number of dimensions, compared point by point."""

    def __init__(self, width: int) -> None:
        self.points = np.zeros((0, width), np.int64)

    def open(self, points: Ints, known: int = 0) -> Ints:
        """The rows that no point of the front is as good as, but for the first `known` ones."""
        beaten = np.zeros(len(points), bool)
        for begin in range(known, len(self.points), CHUNK):
            some = self.points[begin : begin + CHUNK]
            left = np.flatnonzero(~beaten)
            as_good = np.ones((len(some), len(left)), bool)
            for own, column in zip(some.T, points[left].T, strict=True):
                np.logical_and(as_good, own[:, None] <= column, out=as_good)
            beaten[left] = np.logical_or.reduce(as_good, axis=0)
        return np.flatnonzero(~beaten)

    def add(self, points: Ints) -> int:
        """Take points in. Returns how many there were."""
        known = len(self.points)
        self.points = np.concatenate([self.points, points])
        return known
