"""Step 5, and steps 2 to 5 together: identical to listing every solution, in every field."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.errors import UsageError
from edgett.forms.site import MOST_WEIGHTS, CostModel, Layer
from edgett.search.choices import EmptyTiles
from edgett.search.corners import GridSide
from edgett.search.tiles import MOST_TILES, Joint, LayerSpace, joint, layer_space, nearest, work_units
from tests.search.enumeration import plain_joint, plain_space

SIZES = st.one_of(st.integers(1, 40), st.sampled_from([48, 60, 64, 72, 84, 96, 100, 120, 128, 144]))
LAYERS = st.builds(Layer, st.just("fc"), SIZES, SIZES, st.booleans())
RANKS = st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True).map(sorted).map(tuple)
GRIDS = st.integers(1, 12)
MODELS = st.sampled_from(CostModel)


def without_reason(space: LayerSpace) -> LayerSpace:
    return dataclasses.replace(space, reason=None)


@settings(max_examples=150)
@given(LAYERS, RANKS, MODELS, GRIDS)
def test_identical_to_listing_every_solution(
    layer: Layer, max_ranks: tuple[int, ...], model: CostModel, grid: int
) -> None:
    found, listed = layer_space(layer, max_ranks, model, grid), plain_space(layer, max_ranks, model, grid)
    assert without_reason(found) == listed
    assert list(found.corners) == list(listed.corners), "row-major"
    assert (found.reason is None) == (found.efficient > 0)


@pytest.mark.parametrize("model", CostModel)
@pytest.mark.parametrize(("inputs", "outputs"), [(400, 120), (300, 100), (210, 144)])
def test_identical_at_the_size_of_a_small_network(inputs: int, outputs: int, model: CostModel) -> None:
    layer = Layer("fc", inputs, outputs)
    assert layer_space(layer, range(2, 13), model, 8) == plain_space(layer, range(2, 13), model, 8)


@pytest.mark.slow
@pytest.mark.parametrize("model", CostModel)
def test_identical_at_eight_million_solutions(model: CostModel) -> None:
    layer = Layer("fc", 4096, 4096)
    assert layer_space(layer, range(2, 13), model, 8) == plain_space(layer, range(2, 13), model, 8)


@pytest.mark.parametrize("model", CostModel)
def test_pieces_of_any_size_give_the_same(model: CostModel, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer("fc", 144, 96)
    whole = layer_space(layer, (2, 5, 9), model, 6)
    monkeypatch.setattr("edgett.search.paths.SLICE", 7)
    monkeypatch.setattr("edgett.search.paths.BLOCK", 50)
    assert layer_space(layer, (2, 5, 9), model, 6) == whole


@settings(max_examples=60)
@given(st.lists(LAYERS, min_size=1, max_size=3), RANKS, MODELS, GRIDS, st.sampled_from(EmptyTiles))
def test_joint_is_tile_by_tile(
    layers: list[Layer], max_ranks: tuple[int, ...], model: CostModel, grid: int, empty: EmptyTiles
) -> None:
    spaces = [space for layer in layers if (space := layer_space(layer, max_ranks, model, grid)).efficient]
    tiles, candidates = plain_joint(spaces, grid, empty) if spaces else (0, [])
    assert joint(spaces, grid, empty) == Joint(tiles, 4 * tiles, tuple(candidates))


def test_nearest_uses_every_tile_and_skip_only_the_shared() -> None:
    spaces = [layer_space(Layer("a", 400, 120), range(2, 13), CostModel.EXACT, 8) for _ in range(2)]
    shared = joint(spaces, 8, EmptyTiles.SKIP)
    assert shared.tiles == len(spaces[0].corners) < 64
    assert joint(spaces, 8, EmptyTiles.NEAREST).tiles == 64
    assert set(shared.candidates) == set(joint(spaces, 8, EmptyTiles.NEAREST).candidates)


def test_nearest_breaks_ties_by_the_lowest_tile() -> None:
    assert nearest((1, 1), [(2, 1), (1, 2), (1, 0), (0, 1)]) == (0, 1)
    assert nearest((5, 5), [(0, 0), (7, 7)]) == (7, 7)


def test_joint_refuses_a_layer_without_an_efficient_solution() -> None:
    with pytest.raises(ValueError, match="'fc' has no efficient solution"):
        joint([layer_space(Layer("fc", 7, 12), (2,), CostModel.EXACT, 8)], 8, EmptyTiles.SKIP)


@given(st.integers(0, 50), st.integers(0, 50), GRIDS)
def test_edges_are_where_the_tile_changes(low: int, extent: int, size: int) -> None:
    axis = GridSide(low, low + extent, size)
    values = np.arange(low, low + extent + 1)
    tiles = axis.tile(values)
    assert [np.count_nonzero(tiles == t) for t in range(size)] == np.diff(axis.edges).tolist()
    for value, tile in itertools.islice(zip(values, tiles, strict=True), 8):
        assert axis.edges[tile] <= value < axis.edges[tile + 1]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((4096, 7), "4096x7: no two factorisations of the same length: 7 is prime"),
        ((3, 5), "3x5: no two factorisations of the same length: 3 and 5 are prime"),
        ((1, 8), "1x8: no two factorisations of the same length: 1 has no factors"),
        ((4, 4), "4x4: none of its 2 solutions is smaller and cheaper than dense"),
        ((1 << 15, 1 << 14), f"32768x16384: 536870912 weights, more than the {MOST_WEIGHTS} that can be explored"),
    ],
)
def test_a_layer_that_cannot_be_replaced_says_why(sizes: tuple[int, int], reason: str) -> None:
    space = layer_space(Layer("fc", *sizes), (3, 4), CostModel.EXACT, 8)
    assert (space.efficient, space.bounds, space.corners, space.reason) == (0, None, {}, reason)


def test_the_bias_moves_costs_but_not_choices() -> None:
    with_bias, without = (layer_space(Layer("fc", 96, 60, bias), (2, 4), CostModel.EXACT, 5) for bias in (True, False))
    assert with_bias.efficient == without.efficient
    for tile, corners in with_bias.corners.items():
        for corner, bare in zip(corners, without.corners[tile], strict=True):
            assert corner.shape == bare.shape
            assert (corner.params, corner.flops) == (bare.params + 60, bare.flops + 60)


def test_progress_adds_up() -> None:
    done: list[int] = []
    layer_space(Layer("fc", 64, 64), (2, 3, 4), CostModel.PAPER, 8, done.append)
    assert sum(done) == work_units((2, 3, 4))


@pytest.mark.parametrize(
    ("grid", "told"), [(0, "grid of 0 x 0 tiles: at least 1"), (257, "grid of 257 x 257 tiles: at most 256 a side")]
)
def test_a_grid_has_a_tile_and_not_too_many(grid: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        layer_space(Layer("fc", 64, 64), (2,), CostModel.EXACT, grid)


@pytest.mark.slow
@pytest.mark.parametrize("model", CostModel)
def test_the_finest_grid_is_identical_too(model: CostModel) -> None:
    layer = Layer("fc", 96, 60)
    assert layer_space(layer, (2, 5, 9), model, MOST_TILES) == plain_space(layer, (2, 5, 9), model, MOST_TILES)


@pytest.mark.parametrize("model", CostModel)
def test_max_ranks_together_or_apart_give_the_same(model: CostModel, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, done = Layer("fc", 144, 96), list[int]()
    together = layer_space(layer, range(2, 9), model, 6, done.append)
    monkeypatch.setattr("edgett.search.paths.STEPS", 1)
    apart = layer_space(layer, range(2, 9), model, 6, done.append)
    assert together == apart
    assert done == [7, 7, *[1] * 14], "as the max ranks are done"
