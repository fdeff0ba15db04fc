"""The design space of one layer as paths, so that it need not be listed.

With one max rank for all bonds, the clamped rank of a bond depends only on the products to its left, P = x_1 ... x_k
and Q = y_1 ... y_k. So a solution is a path over pairs of divisors, (1, 1) -> ... -> (X, Y), a core is a step of it,
and parameters and FLOPs are sums over the steps. What every completion of a partial path costs at least and at most is
then a shortest and a longest path: most partial paths are settled whole, without ever being completed.

The bias costs a solution as much as the dense layer; it is left out here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgett.forms.factors import divisors
from edgett.forms.site import CostModel, Layer
from edgett.forms.tt.shapes import count_orders, places

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

SLICE = 1 << 15
"""Partial solutions handled by one NumPy call: small enough for the cache."""

STEPS = 1 << 16
"""Steps that are walked together: a layer with few takes many max ranks at once, and NumPy few calls."""

BLOCK = 1 << 20
"""Partial solutions held together, where equal ones can meet: bounds the memory."""

UNREACHABLE = 1 << 61
HASH = -7046029254386353131  # the golden ratio in 64 bits


@dataclass(frozen=True)
class Lattice:
    """The pairs (P, Q) and the steps between them, sorted by P; under `paper` one copy for each number of rows.

    A step costs c = rank_before * x * y * rank_after parameters and c * `rows` + rank_after * `extra` FLOPs.
    """

    layer: Layer
    inputs: Ints  # of a state: P
    outputs: Ints  # of a state: Q
    source: Ints  # of a step, ascending
    target: Ints
    rows: Ints
    extra: Ints
    place: Ints  # what the step adds to the place of (inputs, outputs) in lexicographic order

    def copies(self, number: int) -> Lattice:
        """As many lattices side by side: state s becomes the states s * number + 0, 1, 2 ... of the copies."""
        if number == 1:
            return self
        inputs, outputs = np.repeat(self.inputs, number), np.repeat(self.outputs, number)
        copy = np.tile(np.arange(number), len(self.source))
        source, target, *columns = (
            np.repeat(column, number) for column in (self.source, self.target, self.rows, self.extra, self.place)
        )
        source, target = source * number + copy, target * number + copy
        order = np.argsort(source, kind="stable")
        return Lattice(self.layer, inputs, outputs, *(column[order] for column in (source, target, *columns)))

    @cached_property
    def starts(self) -> Mask:
        """The states before the first core."""
        starts: Mask = self.inputs * self.outputs == 1
        return starts

    @cached_property
    def finals(self) -> Mask:
        """The states after the last core."""
        finals: Mask = self.inputs * self.outputs == self.layer.inputs * self.layer.outputs
        return finals

    @cached_property
    def cells(self) -> Ints:
        """x * y of each step."""
        products = self.inputs * self.outputs
        return products[self.target] // products[self.source]

    @cached_property
    def capacity(self) -> Ints:
        """The largest rank that the bond at each state can have."""
        left = self.inputs * self.outputs
        capacity: Ints = np.minimum(left, self.layer.inputs * self.layer.outputs // left)
        return capacity


def lattice(layer: Layer, model: CostModel) -> Lattice:
    """Every step that a factorisation of `layer` can take. The cost formulas are those of `edgett.forms.tt.cost`."""
    p, q = np.array(divisors(layer.inputs)), np.array(divisors(layer.outputs))
    # `paper` multiplies every core by the inputs before the last core: one copy of the lattice for each number of rows.
    last = p[1:-1] if model is CostModel.PAPER else np.zeros(1, np.int64)
    copy, a, b = np.indices((len(last), len(p), len(p))).reshape(3, -1)
    fits = (p[a] < p[b]) & (p[b] % p[a] == 0)
    if model is CostModel.PAPER:
        fits &= np.where(p[b] < layer.inputs, last[copy] % p[b] == 0, p[a] == last[copy])
    copy, a, b = copy[fits], a[fits], b[fits]
    c, d = np.nonzero((q[:, None] < q) & (q % q[:, None] == 0))

    i, j = np.indices((len(a), len(c))).reshape(2, -1)
    opens, ends = p[a[i]] == 1, p[b[i]] == layer.inputs
    fits = (opens == (q[c[j]] == 1)) & (ends == (q[d[j]] == layer.outputs)) & ~(opens & ends)
    i, j = i[fits], j[fits]
    source = (a[i] * len(last) + copy[i]) * len(q) + c[j]
    order = np.argsort(source, kind="stable")
    i, j, source = i[order], j[order], source[order]
    target = (b[i] * len(last) + copy[i]) * len(q) + d[j]
    if model is CostModel.PAPER:
        rows, extra = last[copy[i]] + 1, last[copy[i]] * (p[b] // p[a])[i]
    else:
        rows, extra = 2 * p[a[i]] * (layer.outputs // q[d[j]]), np.zeros_like(source)
    ahead_p, ahead_q = _places(p), _places(q)
    place = ahead_p[a[i], b[i]] * count_orders(layer.outputs) + ahead_q[c[j], d[j]]
    states = np.repeat(p, len(last) * len(q)), np.tile(q, len(p) * len(last))
    return Lattice(layer, *states, source, target, rows, extra, place)


def _places(products: Ints) -> Ints:
    """What the step from one divisor (row) to another (column) adds to the place of a factorisation."""
    number = int(products[-1])
    steps = places(number)
    return np.array([[steps.get((p, following), 0) for following in products.tolist()] for p in products.tolist()])


@dataclass(frozen=True)
class Partial:
    """Partial solutions of one max rank and as many cores, a row each: the state reached, what the cores cost.

    `place` numbers the factors: of two that reach the same state the lower has the lexicographically smaller
    (inputs, outputs), and that of a whole solution is its place among all.
    """

    cores: int
    state: Ints
    params: Ints
    flops: Ints
    place: Ints

    def __len__(self) -> int:
        return len(self.state)

    def take(self, rows: Ints | slice) -> Partial:
        """Some of the rows."""
        return Partial(self.cores, self.state[rows], self.params[rows], self.flops[rows], self.place[rows])

    def slices(self, size: int) -> list[Partial]:
        """All rows in slices of that many, at least one slice."""
        return [self.take(slice(begin, begin + size)) for begin in range(0, max(1, len(self)), size)]

    @staticmethod
    def join(parts: Sequence[Partial]) -> Partial:
        """All rows of parts with as many cores."""
        columns = zip(*((part.state, part.params, part.flops, part.place) for part in parts), strict=True)
        return Partial(parts[0].cores, *(np.concatenate(column) for column in columns))

    def merged(self) -> Partial:
        """Of the rows that reach the same state at the same cost, the one with the smallest factors."""
        if not len(self):
            return self
        # One sort by a hash that wraps at 64 bits: rows of equal hash but different cost at worst stay unmerged.
        rows = self.take(np.argsort((self.state * HASH + self.params) * HASH + self.flops))
        new = np.ones(len(rows), bool)
        new[1:] = (np.diff(rows.state) != 0) | (np.diff(rows.params) != 0) | (np.diff(rows.flops) != 0)
        first = np.flatnonzero(new)
        return replace(rows.take(first), place=np.minimum.reduceat(rows.place, first))


Screen = Callable[[Partial, Ints, Ints], Ints]
"""Which of the pairs (row of a Partial, step it takes) to keep, as indices."""


@dataclass(frozen=True)
class Paths:
    """The paths of one max rank, or of several side by side: steps sorted by source, with what each costs."""

    lattice: Lattice
    max_rank: Ints  # of a state
    source: Ints
    target: Ints
    params: Ints
    flops: Ints
    place: Ints

    @property
    def steps(self) -> Partial:
        """Each step as if a solution began with it."""
        return Partial(1, self.target, self.params, self.flops, self.place)

    def within(self, params_limit: int, flops_limit: int) -> Paths:
        """Without the steps that no path below both limits can take."""
        keep = np.ones(len(self.source), bool)
        for cost, limit in ((self.params, params_limit), (self.flops, flops_limit)):
            before = np.where(self.lattice.starts, 0, UNREACHABLE)
            for steps, _, _ in self._levels:
                np.minimum.at(before, self.target[steps], before[self.source[steps]] + cost[steps])
            keep &= before[self.source] + cost - self.longest(-cost)[self.target] < limit
        columns = (self.source, self.target, self.params, self.flops, self.place)
        return Paths(self.lattice, self.max_rank, *(column[keep] for column in columns))

    def longest(self, gain: Ints) -> Ints:
        """The largest sum of `gain` (one a step) from each state to the end; exact, and some path has it."""
        return self._fold(np.maximum, gain, end=0, nowhere=-UNREACHABLE)

    def completions(self) -> Ints:
        """How many paths lead from each state to the end."""
        return self._fold(np.add, np.zeros_like(self.source), end=1, nowhere=0)

    def least(self, partial: Partial) -> tuple[Ints, Ints]:
        """The fewest parameters and the fewest FLOPs among the completions of each row, seldom of the same one."""
        return partial.params + self._least[0].take(partial.state), partial.flops + self._least[1].take(partial.state)

    def most(self, partial: Partial) -> tuple[Ints, Ints]:
        """The most parameters and the most FLOPs among the completions of each row."""
        return partial.params + self._most[0].take(partial.state), partial.flops + self._most[1].take(partial.state)

    def walk(self, settle: Callable[[Partial], Partial], *, merge: bool, screen: Screen | None = None) -> None:
        """Hands every partial solution to `settle`, a slice at a time; what it returns goes on by a core.

        `screen` picks rows before they are made. With `merge` only the best of equal rows is handed over.
        """
        start = np.flatnonzero(self.lattice.starts)
        nothing = np.zeros_like(start)
        stack = [Partial(0, start, nothing, nothing, nothing)]
        while stack:
            grown: Iterable[Partial] = (self._grow(piece, screen) for piece in self._pieces(stack.pop(), SLICE))
            if merge:
                grown = Partial.join(list(grown)).merged().slices(SLICE)
            stack.extend(self._pieces(Partial.join([settle(rows) for rows in grown]), BLOCK))

    @cached_property
    def _least(self) -> tuple[Ints, Ints]:
        return -self.longest(-self.params), -self.longest(-self.flops)

    @cached_property
    def _most(self) -> tuple[Ints, Ints]:
        return self.longest(self.params), self.longest(self.flops)

    @cached_property
    def _first(self) -> Ints:
        """Where the steps of each state begin; one more entry closes the last."""
        return np.searchsorted(self.source, np.arange(len(self.lattice.inputs) + 1))

    @cached_property
    def _levels(self) -> list[tuple[slice, Ints, Ints]]:
        """The steps by the P they start from, ascending: which, their sources, where the steps of each source begin."""
        product = self.lattice.inputs[self.source]
        cuts = [0, *(np.flatnonzero(np.diff(product)) + 1).tolist(), len(product)]
        slices = [slice(a, b) for a, b in itertools.pairwise(cuts) if a < b]
        return [(steps, *np.unique(self.source[steps], return_index=True)) for steps in slices]

    def _fold(self, merge: np.ufunc, gain: Ints, *, end: int, nowhere: int) -> Ints:
        value = np.where(self.lattice.finals, end, nowhere)
        for steps, sources, begin in reversed(self._levels):
            value[sources] = merge.reduceat(gain[steps] + value[self.target[steps]], begin)
        return value

    def _grow(self, parent: Partial, screen: Screen | None) -> Partial:
        begin = self._first[parent.state]
        count = self._first[parent.state + 1] - begin
        row = np.repeat(np.arange(len(parent)), count)
        step = np.arange(len(row)) + np.repeat(begin - (np.cumsum(count) - count), count)
        if screen:
            kept = screen(parent, row, step)
            row, step = row[kept], step[kept]
        return Partial(
            parent.cores + 1,
            self.target[step],
            parent.params[row] + self.params[step],
            parent.flops[row] + self.flops[step],
            parent.place[row] + self.place[step],
        )

    def _pieces(self, block: Partial, size: int) -> Iterator[Partial]:
        """The rows in pieces that grow to about `size` each."""
        grown = np.cumsum(self._first[block.state + 1] - self._first[block.state])
        cuts = np.flatnonzero(np.diff(grown // size)) + 1
        for a, b in itertools.pairwise([0, *cuts.tolist(), len(block)]):
            if a < b:
                yield block.take(slice(a, b))


def paths(space: Lattice, max_rank: int, params_limit: int, flops_limit: int) -> Paths:
    """The paths of one max rank whose parameters and FLOPs may both stay below the limits."""
    return paths_abreast(space, [max_rank], params_limit, flops_limit)


def paths_abreast(space: Lattice, max_ranks: Sequence[int], params_limit: int, flops_limit: int) -> Paths:
    """The paths of several max ranks in copies of the lattice; see `paths`."""
    copies = space.copies(len(max_ranks))
    max_rank = np.tile(np.array(max_ranks, np.int64), len(space.inputs))
    rank = np.minimum(max_rank, copies.capacity)
    before, after = rank[copies.source], rank[copies.target]
    # Clipped at the limit, where a step falls out anyway, so that 64 bits hold every sum.
    params = np.minimum(before * copies.cells * after, params_limit)
    flops = np.minimum(params * copies.rows + after * copies.extra, flops_limit)
    every = Paths(copies, max_rank, copies.source, copies.target, params, flops, copies.place)
    return every.within(params_limit, flops_limit)


def abreast(space: Lattice, max_ranks: Sequence[int]) -> list[Sequence[int]]:
    """The max ranks in groups to walk together, of about `STEPS` steps each."""
    groups = min(len(max_ranks), -(-len(max_ranks) * len(space.source) // STEPS))
    cuts = [len(max_ranks) * group // groups for group in range(groups + 1)]
    return [max_ranks[a:b] for a, b in itertools.pairwise(cuts)]
