"""The corner points of step 5: the solution of each tile that lies furthest in each of four diagonal directions.

Both sides of the rectangle of efficient solutions count as much: a solution scores
±(params - min) / (max - min) ± (flops - min) / (max - min), compared in whole numbers. Equal scores go by fewer
parameters, FLOPs and cores, lower max rank, then the smaller factors of the inputs and of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgett.forms.site import Layer
from edgett.forms.tt.shape import TTShape, tt_shape
from edgett.forms.tt.shapes import nth_solution
from edgett.search.paths import Ints, Lattice, Mask, Partial, Paths, abreast, paths_abreast
from edgett.search.prune import Bounds

Tile = tuple[int, int]
Floats = NDArray[np.float32]

DIRECTIONS = ((-1, -1), (1, -1), (-1, 1), (1, 1))
"""In (parameters, FLOPs): min/min, min FLOPs & max memory, max FLOPs & min memory, max/max."""

NO_SCORE = -(1 << 62)


@dataclass(frozen=True)
class Corner:
    """A corner point of a tile: the solution, and what it costs under the cost model that was asked for."""

    shape: TTShape
    max_rank: int
    params: int
    flops: int


@dataclass(frozen=True)
class GridSide:
    """A side of the grid: value v lies in tile (v - low) * size // (high - low), size - 1 at most."""

    low: int
    high: int
    size: int

    @property
    def extent(self) -> int:
        """The length of the side; 1 where all values are equal, which puts them in tile 0 and tells none apart."""
        return max(1, self.high - self.low)

    @cached_property
    def edges(self) -> Ints:
        """The least whole number of each tile, then one more than the highest."""
        inner = [self.low - (self.low - self.high) * i // self.size for i in range(1, self.size)]
        return np.array([self.low, *(inner if self.high > self.low else [self.high + 1] * len(inner)), self.high + 1])

    def tile(self, value: Ints) -> Ints:
        """The tile of each value, for values beyond the side the nearest one."""
        return np.clip((value - self.low) * self.size // self.extent, 0, self.size - 1)

    def cut(self, low: Ints, high: Ints, tile: Ints) -> tuple[Ints, Ints]:
        """The parts of the intervals [low, high] that lie in the tiles."""
        return np.maximum(low, self.edges[tile]), np.minimum(high, self.edges[tile + 1] - 1)


def corners(
    space: Lattice, max_ranks: Sequence[int], bounds: Bounds, size: int, advance: Callable[[int], None]
) -> dict[Tile, tuple[Corner, ...]]:
    """The four corner points of each occupied tile of a size x size grid, row-major. `advance` hears of max ranks.

    `bounds` are those of the efficient solutions, which are exactly the solutions inside.
    """
    params, flops = (
        GridSide(bounds.min_params, bounds.max_params, size),
        GridSide(bounds.min_flops, bounds.max_flops, size),
    )
    search = _Search(space.layer, params, flops)
    for group in abreast(space, max_ranks):
        search.run(paths_abreast(space, group, params.high + 1, flops.high + 1))
        advance(len(group))
    return search.result()


class _Order(NamedTuple):
    """What decides between two solutions of a tile in one direction: the smaller one wins."""

    minus_score: int
    params: int
    flops: int
    cores: int
    max_rank: int
    place: int


@dataclass(frozen=True)
class _Outlook:
    """Of each partial solution, what its completions span: parameters, FLOPs, and the best score in each direction."""

    low: tuple[Ints, Ints]
    high: tuple[Ints, Ints]
    scores: tuple[Ints, ...]

    def take(self, rows: Ints) -> _Outlook:
        """Some of the rows."""
        (low_params, low_flops), (high_params, high_flops) = self.low, self.high
        return _Outlook(
            (low_params[rows], low_flops[rows]),
            (high_params[rows], high_flops[rows]),
            tuple(score[rows] for score in self.scores),
        )


class _Screen:
    """A first look at partial solutions before they are made, in single precision and in units of tiles.

    Leaves out most of those that cannot hold a best score, and only those: a margin allows for the rounding.
    """

    def __init__(self, steps: _Outlook, search: _Search) -> None:
        axes = search.params, search.flops
        self.search, self.units = search, [axis.size / axis.extent for axis in axes]
        self.score_unit = axes[0].size / axes[0].extent / axes[1].extent
        # Where a row lies in one tile, fewer than 16 roundings to 24 bits, of numbers up to the sum of both highest.
        margin = 2.0**-20 * sum(axis.high * unit for axis, unit in zip(axes, self.units, strict=True))

        def tiles(ends: tuple[Ints, Ints], grant: float) -> list[Floats]:
            sides = zip(ends, axes, self.units, strict=True)
            return [((end - axis.low) * unit + grant).astype(np.float32) for end, axis, unit in sides]

        self.low, self.high = tiles(steps.low, -margin), tiles(steps.high, margin)
        self.scores = [(score * self.score_unit + margin).astype(np.float32) for score in steps.scores]

    def __call__(self, parent: Partial, row: Ints, step: Ints) -> Ints:
        """Which pairs of a row and the step it takes to look into."""
        size = self.search.params.size
        costs = zip((parent.params, parent.flops), self.units, strict=True)
        params, flops = ((cost * unit).astype(np.float32).take(row) for cost, unit in costs)
        low_params, low_flops = params + self.low[0].take(step), flops + self.low[1].take(step)
        i, j = np.floor(low_params), np.floor(low_flops)
        hope = (params + self.high[0].take(step) >= i + 1) | (flops + self.high[1].take(step) >= j + 1)
        tile = i.astype(np.intp) * size + j.astype(np.intp)
        both, apart = params + flops, params - flops
        best = (self.search.best * self.score_unit).astype(np.float32)
        for so_far, ahead, least in zip((-both, apart, -apart, both), self.scores, best, strict=True):
            hope |= so_far + ahead.take(step) >= least.take(tile, mode="clip")
        return np.flatnonzero(hope & (low_params < size) & (low_flops < size))


class _Search:
    """The best scores so far. A partial solution is completed only while it may still reach one of them."""

    def __init__(self, layer: Layer, params: GridSide, flops: GridSide) -> None:
        self.layer, self.params, self.flops = layer, params, flops
        self.weights = [(a * flops.extent, b * params.extent) for a, b in DIRECTIONS]
        self.best = np.full((len(DIRECTIONS), params.size * flops.size), NO_SCORE)
        self.found: dict[tuple[int, int], _Order] = {}

    def run(self, routes: Paths) -> None:
        """Takes in every solution that the paths lead to."""
        reach = [routes.longest(a * routes.params + b * routes.flops) for a, b in self.weights]

        def outlook(partial: Partial) -> _Outlook:
            return _Outlook(routes.least(partial), routes.most(partial), self._scores(partial, reach))

        def settle(partial: Partial) -> Partial:
            partial = partial.take(self._promising(outlook(partial)))
            ends = routes.lattice.finals[partial.state]
            whole = partial.take(np.flatnonzero(ends))
            self._record(whole, routes.max_rank[whole.state])
            return partial.take(np.flatnonzero(~ends))

        routes.walk(settle, merge=True, screen=_Screen(outlook(routes.steps), self))

    def result(self) -> dict[Tile, tuple[Corner, ...]]:
        """The corner points by tile, row-major."""
        tiles = sorted({tile for tile, _ in self.found})
        directions = range(len(DIRECTIONS))
        return {
            divmod(tile, self.flops.size): tuple(self._corner(self.found[tile, k]) for k in directions)
            for tile in tiles
        }

    def _scores(self, partial: Partial, reach: list[Ints]) -> tuple[Ints, ...]:
        """The best score of a completion in each direction."""
        wide, high = partial.params * self.flops.extent, partial.flops * self.params.extent
        both, apart, at = wide + high, wide - high, partial.state
        return reach[0].take(at) - both, reach[1].take(at) + apart, reach[2].take(at) - apart, reach[3].take(at) + both

    def _promising(self, outlook: _Outlook) -> Ints:
        """The rows with a completion that may be the best of its tile. Raises the best scores where one surely is."""
        (low_params, low_flops), (high_params, high_flops) = outlook.low, outlook.high
        i, j = self.params.tile(low_params), self.flops.tile(low_flops)
        tile = i * self.flops.size + j
        inside = (low_params >= self.params.low) & (high_params < self.params.edges[i + 1])
        inside &= (low_flops >= self.flops.low) & (high_flops < self.flops.edges[j + 1])
        hope = ~inside
        for best, score in zip(self.best, outlook.scores, strict=True):
            reached = np.flatnonzero((score >= best.take(tile)) & inside)
            np.maximum.at(best, tile[reached], score[reached])
            hope[reached] = True

        # A row that spans several tiles hopes in any of them; one inside may have been passed by another meanwhile.
        rows = np.flatnonzero(hope)
        outlook, i, j = outlook.take(rows), i[rows], j[rows]
        di_most = self.params.tile(outlook.high[0]) - i
        dj_most = self.flops.tile(outlook.high[1]) - j
        hopeful = np.zeros(len(rows), bool)
        for di, dj in np.ndindex(di_most.max(initial=0) + 1, dj_most.max(initial=0) + 1):
            left = np.flatnonzero((di <= di_most) & (dj <= dj_most) & ~hopeful)
            hopeful[left] = self._reaches(outlook.take(left), i[left] + di, j[left] + dj)
        return rows[hopeful]

    def _reaches(self, outlook: _Outlook, i: Ints, j: Ints) -> Mask:
        """Whether a row may reach a best score of tile (i, j): its score and the corner of its box there bound it."""
        params = self.params.cut(outlook.low[0], outlook.high[0], i)
        flops = self.flops.cut(outlook.low[1], outlook.high[1], j)
        tile = i * self.flops.size + j
        reaches = np.zeros(len(tile), bool)
        for (a, b), score, best in zip(self.weights, outlook.scores, self.best, strict=True):
            furthest = a * params[a > 0] + b * flops[b > 0]
            reaches |= np.minimum(furthest, score) >= best[tile]
        return reaches & (params[0] <= params[1]) & (flops[0] <= flops[1])

    def _record(self, whole: Partial, max_ranks: Ints) -> None:
        """Notes each whole solution where it is the best so far."""
        tiles = self.params.tile(whole.params) * self.flops.size + self.flops.tile(whole.flops)
        columns = tiles, whole.params, whole.flops, max_ranks, whole.place
        for tile, params, flops, max_rank, place in zip(*(column.tolist() for column in columns), strict=True):
            for k, (a, b) in enumerate(self.weights):
                score = a * params + b * flops
                order = _Order(-score, params, flops, whole.cores, max_rank, place)
                if score == self.best[k, tile]:
                    self.found[tile, k] = min(order, self.found.get((tile, k), order))

    def _corner(self, order: _Order) -> Corner:
        bias = self.layer.outputs * self.layer.bias
        inputs, outputs = nth_solution(self.layer, order.place)
        shape = tt_shape(inputs, outputs, order.max_rank)
        return Corner(shape, order.max_rank, order.params + bias, order.flops + bias)
