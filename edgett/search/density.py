"""How the solutions of a layer spread over parameters and FLOPs: exact counts, pixel by pixel, for drawing.

A partial solution is counted with all its completions once the box of what they cost lies inside one pixel, so a space
of 10^8 solutions is never held. Costs and edges include the bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgett.forms import cost
from edgett.forms.site import CostModel, Layer
from edgett.forms.tt.shapes import check_max_ranks, unsearchable
from edgett.search.corners import GridSide
from edgett.search.paths import Ints, Lattice, Partial, Paths, lattice, paths
from edgett.search.prune import Bounds

ANY_COST = 1 << 60
"""More than any solution of a layer that can be explored costs."""


@dataclass(frozen=True)
class Quadrants:
    """How many solutions lie on each side of the dense layer; a cost equal to the dense one counts as more."""

    fewer_both: int
    fewer_params: int
    fewer_flops: int
    more_both: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.fewer_both + self.fewer_params + self.fewer_flops + self.more_both


@dataclass(frozen=True)
class Density:
    """`counts[i, j]` solutions with params[i] <= parameters < params[i + 1] and flops[j] <= FLOPs < flops[j + 1]."""

    params: Ints
    flops: Ints
    counts: Ints

    @property
    def total(self) -> int:
        """How many solutions were counted."""
        return int(self.counts.sum())

    def quadrants(self, params: int, flops: int) -> Quadrants:
        """The counts around a point whose parameters and FLOPs are edges. Raises ValueError where they are not."""
        if params not in self.params or flops not in self.flops:
            raise ValueError(f"({params}, {flops}) is no corner of a pixel")
        i, j = np.searchsorted(self.params, params), np.searchsorted(self.flops, flops)
        parts = self.counts[:i, :j], self.counts[:i, j:], self.counts[i:, :j], self.counts[i:, j:]
        return Quadrants(*(int(part.sum()) for part in parts))


def all_solutions(
    layer: Layer,
    max_ranks: Sequence[int],
    model: CostModel,
    pixels: tuple[int, int] = (120, 90),
    advance: Callable[[int], None] = lambda units: None,
) -> Density | None:
    """Every solution, efficient or not, on log-spaced pixels with the dense layer's costs among the edges.

    None where there is no solution, or the layer has more weights than can be explored. `advance(1)` a max rank.
    """
    check_max_ranks(max_ranks)
    if unsearchable(layer):
        return None
    space, bias, dense = lattice(layer, model), layer.outputs * layer.bias, cost.dense(layer)
    span = _span(space, max_ranks).plus(bias)
    params = _log_edges(span.min_params, dense.params, span.max_params, pixels[0])
    flops = _log_edges(span.min_flops, dense.flops, span.max_flops, pixels[1])
    return Density(params, flops, _count(space, max_ranks, (params - bias, flops - bias), advance))


def efficient_solutions(
    layer: Layer,
    max_ranks: Sequence[int],
    model: CostModel,
    axes: tuple[GridSide, GridSide],
    advance: Callable[[int], None] = lambda units: None,
) -> Density:
    """The efficient solutions on linear pixels: those of `axes`, parameters then FLOPs. `advance(1)` a max rank.

    The axes span the bounds of `LayerSpace`, or a part of them. Pixels that no whole number lies in are left out.
    """
    bias = layer.outputs * layer.bias
    params, flops = (np.unique(axis.edges) for axis in axes)
    return Density(params, flops, _count(lattice(layer, model), max_ranks, (params - bias, flops - bias), advance))


def _span(space: Lattice, max_ranks: Sequence[int]) -> Bounds:
    """What the solutions cost at least and at most, without bias."""
    span = None
    for max_rank in max_ranks:
        routes = paths(space, max_rank, ANY_COST, ANY_COST)
        states = np.flatnonzero(routes.lattice.starts)
        start = Partial(0, states, *[np.zeros_like(states)] * 3)
        (low_params, low_flops), (high_params, high_flops) = routes.least(start), routes.most(start)
        bounds = (low_params.min(), high_params.max(), low_flops.min(), high_flops.max())
        here = Bounds(*map(int, bounds))
        span = span | here if span else here
    assert span is not None
    return span


def _log_edges(low: int, dense: int, high: int, pixels: int) -> Ints:
    """Whole numbers in equal ratios, about `pixels` + 1 of them, that enclose `low` to `high`; `dense` is one."""
    ends = min(low, dense), max(high, dense) + 1
    below = round(pixels * np.log(dense / ends[0]) / np.log(ends[1] / ends[0]))
    below = min(max(below, int(ends[0] < dense)), pixels)
    parts = np.geomspace(ends[0], dense, below + 1), np.geomspace(dense, ends[1], max(1, pixels - below) + 1)
    edges = np.rint(np.concatenate(parts)).astype(np.int64)
    return np.unique(np.append(edges, (ends[0], dense, ends[1])))


def _count(space: Lattice, max_ranks: Sequence[int], edges: tuple[Ints, Ints], advance: Callable[[int], None]) -> Ints:
    """The solutions in each pixel, those beyond the edges left out; (parameters, FLOPs), without bias."""
    counts = np.zeros((len(edges[0]) - 1, len(edges[1]) - 1), np.int64)
    for max_rank in max_ranks:
        routes = paths(space, max_rank, int(edges[0][-1]), int(edges[1][-1]))
        _add(counts, routes, edges)
        advance(1)
    return counts


def _add(counts: Ints, routes: Paths, edges: tuple[Ints, Ints]) -> None:
    """Counts the solutions of one max rank."""
    completions = routes.completions()
    wide, high = counts.shape
    right, top = edges[0][1:], edges[1][1:]

    def undecided(partial: Partial) -> Partial:
        least, most = routes.least(partial), routes.most(partial)
        i = np.searchsorted(edges[0], least[0], side="right") - 1
        j = np.searchsorted(edges[1], least[1], side="right") - 1
        hopeful = (i < wide) & (j < high)
        whole = (i >= 0) & (j >= 0) & hopeful
        whole &= (most[0] < right.take(i, mode="clip")) & (most[1] < top.take(j, mode="clip"))
        rows = np.flatnonzero(whole)
        np.add.at(counts.reshape(-1), i[rows] * high + j[rows], completions.take(partial.state[rows]))
        return partial.take(np.flatnonzero(hopeful & ~whole))

    routes.walk(undecided, merge=False)
