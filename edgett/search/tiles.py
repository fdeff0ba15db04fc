"""Step 5: a grid over the efficient solutions of a layer, four corner points a tile, and the layers joined."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from edgett.errors import UsageError
from edgett.forms.site import CostModel, Layer
from edgett.forms.tt.shape import TTShape
from edgett.forms.tt.shapes import check_max_ranks, count_solutions, unsearchable
from edgett.search.choices import EmptyTiles
from edgett.search.corners import Corner, Tile, corners
from edgett.search.paths import lattice
from edgett.search.prune import Bounds, efficient

MOST_TILES = 256
"""Tiles a side of the grid: each may hold four candidates, and all of them are joined."""


@dataclass(frozen=True)
class LayerSpace:
    """Steps 2 to 5 for one layer: exact counts, and the four corner points of each occupied tile (row-major).

    Tiles are (parameters, FLOPs) indices. Without an efficient solution `bounds` is None and `reason` says why.
    """

    layer: Layer
    solutions: int
    efficient: int = 0
    bounds: Bounds | None = None
    corners: Mapping[Tile, tuple[Corner, ...]] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class Joint:
    """The layers joined: tiles used, points as the paper counts them, and the distinct candidates, a shape a layer."""

    tiles: int
    points: int
    candidates: tuple[tuple[TTShape, ...], ...]


def layer_space(
    layer: Layer,
    max_ranks: Sequence[int],
    model: CostModel,
    grid: int,
    advance: Callable[[int], None] = lambda units: None,
) -> LayerSpace:
    """Steps 2 to 5 for one layer. `advance` is told of `work_units(max_ranks)` units. Raises UsageError."""
    check_max_ranks(max_ranks)
    check_grid(grid)
    size, solutions = f"{layer.inputs}x{layer.outputs}", count_solutions(layer, max_ranks)
    if reason := unsearchable(layer):
        return LayerSpace(layer, solutions, reason=reason)
    space = lattice(layer, model)
    count, bounds = efficient(space, max_ranks, advance)
    if bounds is None:
        reason = f"{size}: none of its {solutions} solutions is smaller and cheaper than dense"
        return LayerSpace(layer, solutions, reason=reason)
    points = corners(space, max_ranks, bounds, grid, advance)
    return LayerSpace(layer, solutions, count, bounds.plus(layer.outputs * layer.bias), points)


def work_units(max_ranks: Sequence[int]) -> int:
    """How many units of work `layer_space` reports."""
    return 2 * len(max_ranks)


def check_grid(grid: int) -> None:
    """Raise a UsageError unless a grid can have this many tiles a side."""
    if grid < 1:
        raise UsageError(f"A grid of {grid} x {grid} tiles: at least 1 is needed.", cure="The paper's grid is 8.")
    if grid > MOST_TILES:
        raise UsageError(
            f"A grid of {grid} x {grid} tiles: at most {MOST_TILES} a side can be explored.",
            cure="The paper's grid is 8.",
        )


def joint(spaces: Sequence[LayerSpace], grid: int, empty: EmptyTiles) -> Joint:
    """Tile (i, j) of one layer with tile (i, j) of every other, point k with point k; tiles row-major, equal ones once.

    A tile that is empty in some layer is skipped, or stands for that layer's nearest occupied tile: all grid x grid
    tiles are used then. Raises ValueError for a layer without an efficient solution.
    """
    for space in spaces:
        if not space.corners:
            raise ValueError(f"layer {space.layer.name!r} has no efficient solution to join")
    tiles = [(i, j) for i in range(grid) for j in range(grid)] if spaces else []
    if empty is EmptyTiles.SKIP:
        tiles = [tile for tile in tiles if all(tile in space.corners for space in spaces)]
    candidates = dict.fromkeys(
        tuple(corner.shape for corner in point)
        for tile in tiles
        for point in zip(*(space.corners[nearest(tile, space.corners)] for space in spaces), strict=True)
    )
    return Joint(len(tiles), 4 * len(tiles), tuple(candidates))


def nearest(tile: Tile, occupied: Collection[Tile]) -> Tile:
    """The occupied tile at the smallest Euclidean distance, the lowest (i, j) of several."""
    return min(occupied, key=lambda other: ((tile[0] - other[0]) ** 2 + (tile[1] - other[1]) ** 2, other))
