"""An exploration as a picture: the design space of each layer, and the grid with its corner points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edgett.escape import one_line
from edgett.forms import cost
from edgett.forms.site import Cost, CostModel
from edgett.forms.spec import Spec
from edgett.report.picture import Axis, Heat, Hue, Mark, Note, Panel, Picture, Points, Rules, Scale, listed
from edgett.report.words import PICKS
from edgett.search import corners
from edgett.search.density import Density, all_solutions, efficient_solutions
from edgett.search.explore import Exploration, Grid
from edgett.search.paths import Ints
from edgett.search.tiles import LayerSpace

PARAMS = "parameters"
FLOPS = {CostModel.EXACT: "FLOPs", CostModel.PAPER: "FLOPs (equation 4 of the paper)"}
SOLUTIONS = "solutions in a pixel"

CORNERS = (
    ("fewest parameters and FLOPs", Mark.LOWER_LEFT, Hue.ORANGE),
    ("most parameters, fewest FLOPs", Mark.LOWER_RIGHT, Hue.VERMILION),
    ("fewest parameters, most FLOPs", Mark.UPPER_LEFT, Hue.PURPLE),
    ("most parameters and FLOPs", Mark.UPPER_RIGHT, Hue.BLACK),
)
"""The corner points of a tile, as `corners.DIRECTIONS` orders them."""

PIXELS = 96
"""About how many pixels a side of the grid has: a whole number in each tile, so that none crosses a tile line."""

FEW = 10_000
"""Up to so many solutions are drawn on larger pixels, which are easier to see."""

ROOM = 0.24
"""The least share of a panel that lies on each side of the dense layer."""


MARKS = (
    ("recommended", Mark.STAR, Hue.GREEN),
    ("highest_accuracy", Mark.DIAMOND, Hue.BLUE),
    ("lowest_memory", Mark.SQUARE, Hue.BLUE),
    ("lowest_flops", Mark.DOT, Hue.BLUE),
)

Chosen = Mapping[str, Mapping[str, Spec]]
"""The specs of the layers, by the name of the pick and that of the layer."""


@dataclass(frozen=True)
class _Kind:
    """Layers of one size, which have one space, and what was chosen for them.

    All costs are those of one position; `several`: whether a sample has more for some of the layers.
    """

    names: tuple[str, ...]
    space: LayerSpace
    dense: Cost
    several: bool = False
    chosen: Chosen = field(default_factory=dict)

    @property
    def size(self) -> str:
        return self.space.layer.size

    @property
    def title(self) -> str:
        names = [one_line(name, 28) for name in self.names if name != self.size]
        size = f"{self.size}, each position" if self.several else self.size
        return f"{listed(names)} ({size})" if names else size


def space_picture(
    exploration: Exploration, advance: Callable[[int], None] = lambda units: None, chosen: Chosen | None = None
) -> Picture:
    """Two panels for each size of layer: all solutions around the dense layer, and the grid over the efficient ones.

    Layers of one size share them. `advance` hears of `units(exploration)` units of work. What was `chosen` is marked.
    """
    grid = exploration.grid
    kinds = [replace(kind, chosen=chosen or {}) for kind in _kinds(exploration)]
    panels = [panel for kind in kinds for panel in _panels(kind, grid, advance)]
    left_alone = [
        f"left alone: {one_line(found.layer.name, 60)} ({found.layer.size}): {one_line(why)}"
        for found, _ in exploration.layers
        if (why := found.excluded) is not None
    ]
    title = f"TT design space: {grid.model.value} cost model, {_ranks(grid.max_ranks)}, {grid.size} x {grid.size} tiles"
    return Picture(title, tuple(panels), columns=2, remarks=tuple(left_alone or ([] if panels else ["no layer"])))


def units(exploration: Exploration) -> int:
    """The units of work that `space_picture` reports."""
    return sum(1 + (kind.space.bounds is not None) for kind in _kinds(exploration)) * len(exploration.grid.max_ranks)


def _ranks(ranks: tuple[int, ...]) -> str:
    if len(ranks) == 1:
        return f"max rank {ranks[0]}"
    if ranks == tuple(range(ranks[0], ranks[-1] + 1)):
        return f"max ranks {ranks[0]} to {ranks[-1]}"
    return f"{len(ranks)} max ranks from {ranks[0]} to {ranks[-1]}"


def _kinds(exploration: Exploration) -> list[_Kind]:
    """The explored layers by their size, those without any solution left out."""
    kinds: dict[tuple[int, int, bool], _Kind] = {}
    for found, space in exploration.layers:
        if space is not None and space.solutions:
            layer = found.layer
            key = layer.inputs, layer.outputs, layer.bias
            names, several = (kinds[key].names, kinds[key].several) if key in kinds else ((), False)
            kinds[key] = _Kind((*names, layer.name), space, cost.dense(space.layer), several or layer.positions > 1)
    return list(kinds.values())


def _panels(kind: _Kind, grid: Grid, advance: Callable[[int], None]) -> Iterator[Panel]:
    pixels = (120, 90) if kind.space.solutions > FEW else (60, 45)
    density = all_solutions(kind.space.layer, grid.max_ranks, grid.model, pixels, advance)
    if density is not None:
        yield _whole(kind, density, grid)
        yield _grid(kind, grid, advance)


def _whole(kind: _Kind, density: Density, grid: Grid) -> Panel:
    """The design space: every solution, the dense layer, and the share in each quadrant around it."""
    dense = kind.dense
    parts = density.quadrants(dense.params, dense.flops)
    notes = [
        _quadrant(words, count, density.total, x, y)
        for words, count, x, y in (
            ("smaller, cheaper", parts.fewer_both, 0.015, 0.02),
            ("smaller, costlier", parts.fewer_params, 0.015, 0.98),
            ("larger, cheaper", parts.fewer_flops, 0.985, 0.02),
            ("larger, costlier", parts.more_both, 0.985, 0.98),
        )
    ]
    label = f"the dense layer\n{dense.params:,} parameters\n{dense.flops:,} FLOPs"
    return Panel(
        f"{kind.title}: {density.total:,} solutions",
        _log_axis(PARAMS, density.params, dense.params, 0.02),
        _log_axis(FLOPS[grid.model], density.flops, dense.flops, 0.22),
        (
            Heat(density.params, density.flops, density.counts, SOLUTIONS),
            Rules("", (dense.params,), (dense.flops,), Hue.GREY, dashed=True),
            *notes,
            Points("dense layer", (dense.params,), (dense.flops,), Mark.STAR, Hue.VERMILION, (label,), size=11),
            *_picks(kind),
        ),
    )


def _picks(kind: _Kind) -> Iterator[Points]:
    """The specs that each pick gives to the layers of that size."""
    for name, mark, hue in reversed(MARKS):  # the recommended one on top
        specs = kind.chosen.get(name, {})
        found = [
            (layer, specs[layer], cost.held(kind.space.layer, specs[layer])) for layer in kind.names if layer in specs
        ]
        if found:
            words = PICKS[name]
            yield Points(
                f"pick: {words}",
                tuple(each.params for *_, each in found),
                tuple(each.flops for *_, each in found),
                mark,
                hue,
                tuple(
                    f"{words}: {one_line(layer, 28)}\n{spec}\n{each.params:,} parameters, {each.flops:,} FLOPs"
                    for layer, spec, each in found
                ),
                size=9,
            )


def _quadrant(words: str, count: int, total: int, x: float, y: float) -> Note:
    share = 100 * count / total
    if count in (0, total):
        shown = f"{share:.0f}"
    else:
        shown = "< 0.01" if share < 0.01 else "> 99.99" if share > 99.99 else f"{share:.2f}"
    return Note(f"{words}\n{shown} %\n{count:,}", x, y)


def _log_axis(title: str, edges: Ints, dense: int, margin: float) -> Axis:
    """Room for `margin` of the side beyond the outermost edges, and for ROOM on each side of the dense layer."""
    low, middle, high = np.log10([max(1, edges[0]), dense, edges[-1]]).tolist()
    wide = max(high - low, 0.3)
    low, high = low - wide * margin, high + wide * margin
    low = min(low, middle - (high - middle) * ROOM / (1 - ROOM))
    high = max(high, middle + (middle - low) * ROOM / (1 - ROOM))
    return Axis(title, 10**low, 10**high, Scale.LOG)


def _grid(kind: _Kind, grid: Grid, advance: Callable[[int], None]) -> Panel:
    """The grid of step 5: the efficient solutions, the tile lines and the corner points."""
    space, bounds = kind.space, kind.space.bounds
    if bounds is None:
        sides = (Axis(PARAMS, 0, kind.dense.params), Axis(FLOPS[grid.model], 0, kind.dense.flops))
        return Panel(f"{kind.title}: no efficient solution", *sides, (Note(_sentence(space.reason), 0.03, 0.97),))
    fine = grid.size * max(1, PIXELS // grid.size)
    ends = (bounds.min_params, bounds.max_params), (bounds.min_flops, bounds.max_flops)
    params, flops = (corners.GridSide(low, high, fine) for low, high in ends)
    density = efficient_solutions(space.layer, grid.max_ranks, grid.model, (params, flops), advance)
    upright, level = (tuple(np.linspace(low, max(high, low + 1), grid.size + 1).tolist()) for low, high in ends)
    return Panel(
        f"{kind.title}: {space.efficient:,} efficient, {len(space.corners)} of {grid.size**2} tiles",
        _linear_axis(PARAMS, *ends[0]),
        _linear_axis(FLOPS[grid.model], *ends[1]),
        (
            Heat(density.params, density.flops, density.counts, SOLUTIONS),
            Rules("tile lines", upright, level, Hue.PALE),
            *_corner_points(space),
            *_picks(kind),
        ),
    )


def _linear_axis(title: str, low: int, high: int) -> Axis:
    margin = max(1, high - low) * 0.025
    return Axis(title, low - margin, max(high, low + 1) + margin)


def _corner_points(space: LayerSpace) -> Iterator[Points]:
    for number, (name, mark, hue) in enumerate(CORNERS):
        chosen = [(tile, four[number]) for tile, four in space.corners.items()]
        yield Points(
            f"corner: {name}",
            tuple(corner.params for _, corner in chosen),
            tuple(corner.flops for _, corner in chosen),
            mark,
            hue,
            tuple(
                f"tile ({i}, {j}): {name}\n{corner.shape}\nmax rank {corner.max_rank}\n"
                f"{corner.params:,} parameters, {corner.flops:,} FLOPs"
                for (i, j), corner in chosen
            ),
            size=10,
        )


def _sentence(reason: str | None) -> str:
    """Why there is nothing, without the size that the title has already."""
    return (reason or "").partition(": ")[2] or (reason or "")
