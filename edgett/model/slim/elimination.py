"""In which order channels may go: always the one that costs least of what the next layers put out, for what it saves.

A layer with weight W reads x with second moment C. Without some of the numbers of x, the weight that comes nearest to
x W is another one, and what is lost then is the trace of W_j^T (C^-1_jj)^-1 W_j, j the rows that go, W the weight that
was the best so far; it becomes W - C^-1_:j (C^-1_jj)^-1 W_j, and C^-1 loses what j explained of it (the same formula
with C^-1 for W). That is the optimal brain surgeon (Hassibi & Stork 1993) for the outputs of a layer, a channel at a
time; channels that are tied or flattened go together, from all that read them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgett.forms.moments import Moments

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

STAYS, GONE = -1, -2
"""In the place of a strand: it may not go, or has gone; what is left of its rows is zeros, until there are many."""

TINY = 1e-12
"""The share of the costs that a strand saves at least, as it is counted."""

WORST = 1 - 1e-6
"""Share of the outputs' energy from which on a loss is as bad as any."""


@dataclass(frozen=True, eq=False)
class Node:
    """A layer whose cost falls with the channels that it reads or writes.

    Attributes:
        reads: (X,) the strand of each row of its weight.
        writes: (Y,) that of each column.
        positions: how often a sample meets the weight.
        bias: whether each column has one.
        taps: weights of each column where every channel is convolved by itself; then `reads` are empty.
        moments: of what it reads; None: nothing of that may go.
    """

    reads: Ints
    writes: Ints
    positions: int
    bias: bool = True
    taps: int = 0
    moments: Moments | None = None


@dataclass(frozen=True)
class Left:
    """What is left after a strand went.

    Attributes:
        gone: the strand.
        params: the share of the parameters that is left, of all nodes.
        flops: the share of the FLOPs.
        lost: what all have cost so far, over the layers: -log(1 - the share of the energy of its outputs that is lost).
    """

    gone: int
    params: float
    flops: float
    lost: float


class _Reader:
    """A weight on its way, and what it takes to do without each strand; strands go by their places among all."""

    def __init__(self, node: Node, strands: Ints) -> None:
        assert node.moments is not None and node.moments.moment is not None
        self._count, self.lost = len(strands), 0.0
        self._rows, self._columns = _places(node.reads, strands), _places(node.writes, strands)
        self._weight = node.moments.weight.astype(np.float64)
        self._inverse = np.linalg.inv(node.moments.moment.astype(np.float64))
        self._energy = node.moments.energy
        self._scores: Floats | None = None

    @property
    def scores(self) -> Floats:
        """The share of the outputs' energy that each strand takes with it, (strands,)."""
        if self._scores is None:
            self._scores = np.zeros(self._count)
            for places, lost in self._scored() if self._energy > 0 else ():
                self._scores[places] = np.maximum(lost / self._energy, 0.0)
        return self._scores

    def _scored(self) -> Iterator[tuple[Ints, Floats]]:
        order = np.argsort(self._rows, kind="stable")
        places, first, counts = np.unique(self._rows[order], return_index=True, return_counts=True)
        for size in np.unique(counts[places >= 0]):
            some = np.flatnonzero((counts == size) & (places >= 0))
            rows = order[first[some][:, None] + np.arange(size)]  # (strands, size)
            if size == 1:
                energies = np.einsum("xy,xy->x", self._weight, self._weight)
                yield places[some], energies[rows[:, 0]] / np.diagonal(self._inverse)[rows[:, 0]]
                continue
            blocks, weights = self._inverse[rows[:, :, None], rows[:, None, :]], self._weight[rows]
            yield places[some], np.einsum("sij,sij->s", weights, np.linalg.solve(blocks, weights))

    def remove(self, place: int) -> None:
        """Do without a strand, in what is read and what is written."""
        rows, columns = np.flatnonzero(self._rows == place), np.flatnonzero(self._columns == place)
        if not len(rows) and not len(columns):
            return
        if len(rows):
            self.lost += float(self.scores[place])
            share = np.linalg.solve(self._inverse[np.ix_(rows, rows)], self._inverse[rows])
            self._weight -= share.T @ self._weight[rows]
            self._inverse -= share.T @ self._inverse[rows]
            self._rows[rows] = GONE
        self._weight[:, columns] = 0.0
        if np.count_nonzero(self._rows == GONE) > len(self._rows) / 4:
            left = np.flatnonzero(self._rows != GONE)
            self._rows, self._weight = self._rows[left], self._weight[left]
            self._inverse = self._inverse[np.ix_(left, left)]
        self._scores = None


class _Sizes:
    """The parameters and FLOPs of nodes, as strands go."""

    def __init__(self, nodes: Sequence[Node], strands: Ints) -> None:
        self._nodes = nodes
        self._rows = [_counted(node.reads, strands) for node in nodes]
        self._columns = [_counted(node.writes, strands) for node in nodes]
        self._read, self._written = [len(node.reads) for node in nodes], [len(node.writes) for node in nodes]
        self.whole = self.costs.copy()

    @property
    def costs(self) -> Floats:
        """The parameters and the FLOPs that there are now, (2,)."""
        every = (self._cost(index, np.zeros(1), np.zeros(1))[:, 0] for index in range(len(self._nodes)))
        return np.sum([*every], axis=0)

    def _cost(self, index: int, rows: Floats | Ints, columns: Floats | Ints) -> Floats:
        """What a node costs without so many rows and columns, (2, n)."""
        node, written = self._nodes[index], self._written[index] - columns
        weights = (node.taps or self._read[index] - rows) * written
        biases = node.bias * written
        return np.stack([weights + biases, node.positions * (2 * weights + biases)])

    @property
    def saved(self) -> Floats:
        """The shares of all parameters and of all FLOPs that are saved without each strand, added up, (strands,)."""
        saved = np.zeros(len(self._rows[0]))
        for index, (rows, columns) in enumerate(zip(self._rows, self._columns, strict=True)):
            now, then = self._cost(index, np.zeros(1), np.zeros(1)), self._cost(index, rows, columns)
            saved += ((now - then) / self.whole[:, None]).sum(axis=0)
        return saved

    def remove(self, place: int) -> None:
        """Do without a strand."""
        for index, (rows, columns) in enumerate(zip(self._rows, self._columns, strict=True)):
            self._read[index] -= int(rows[place])
            self._written[index] -= int(columns[place])


def _places(channels: Ints, strands: Ints) -> Ints:
    """The place of each channel's strand among these, or `STAYS`."""
    places = np.minimum(np.searchsorted(strands, channels), len(strands) - 1)
    return np.where(strands[places] == channels, places, STAYS)


def _counted(channels: Ints, strands: Ints) -> Ints:
    """How many channels are of each of these strands."""
    places = _places(channels, strands)
    return np.bincount(places[places >= 0], minlength=len(strands))


def eliminated(nodes: Sequence[Node], able: Sequence[int], tensors: Sequence[Ints]) -> Iterator[Left]:
    """Let one strand go after the other.

    Args:
        nodes: the layers with weights.
        able: the strands that may go.
        tensors: the strands of tensors, of each of which one stays.

    Yields:
        What is left after each.
    """
    if not able:
        return
    strands = np.unique(able)
    sizes, open_ = _Sizes(nodes, strands), np.ones(len(strands), np.bool_)
    readers = [_Reader(node, strands) for node in nodes if node.moments is not None]
    left = [np.unique(channels) for channels in tensors]
    while True:
        for channels in left:
            if len(channels) == 1:
                open_ &= strands != channels[0]
        if not open_.any():
            return
        cost = sum((reader.scores for reader in readers), np.zeros(len(strands)))
        worth = cost / np.maximum(sizes.saved, TINY)
        best = int(np.argmin(np.where(open_, worth, np.inf)))
        for reader in readers:
            reader.remove(best)
        sizes.remove(best)
        open_[best] = False
        left = [channels[channels != strands[best]] for channels in left]
        lost = sum(-math.log1p(-min(reader.lost, WORST)) for reader in readers)
        params, flops = sizes.costs / sizes.whole
        yield Left(int(strands[best]), float(params), float(flops), lost)
