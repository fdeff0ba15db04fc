"""Exact counts in pixels, against listing every solution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.forms import cost
from edgett.forms.site import MOST_WEIGHTS, CostModel, Layer
from edgett.search.corners import GridSide
from edgett.search.density import Density, Quadrants, all_solutions, efficient_solutions
from edgett.search.tiles import layer_space
from tests.search.enumeration import Ints, costs, pairs

SIZES = st.sampled_from([4, 6, 8, 9, 12, 16, 18, 24, 30, 36, 48, 60, 64, 96])
LAYERS = st.builds(Layer, st.just("fc"), SIZES, SIZES, st.booleans())
MODELS = st.sampled_from(CostModel)
MAX_RANKS = st.sets(st.integers(1, 20), min_size=1, max_size=4).map(sorted)


def listed(layer: Layer, max_ranks: list[int], model: CostModel) -> Ints:
    """Parameters and FLOPs of every solution, bias included, (n, 2)."""
    columns = [costs(np.array(xs), np.array(ys), rank, model) for xs, ys in pairs(layer) for rank in max_ranks]
    bias = layer.outputs if layer.bias else 0
    return np.concatenate([np.stack([p.ravel(), f.ravel()], axis=1) for p, f in columns]) + bias


def histogram(rows: Ints, density: Density) -> Ints:
    """The rows in the pixels of a density. NumPy's last pixels are closed: what lies on the last edges goes first."""
    rows = rows[(rows[:, 0] < density.params[-1]) & (rows[:, 1] < density.flops[-1])]
    return np.histogram2d(rows[:, 0], rows[:, 1], bins=(density.params, density.flops))[0].astype(np.int64)


@given(LAYERS, MAX_RANKS, MODELS, st.tuples(st.integers(1, 50), st.integers(1, 50)))
def test_all_solutions(layer: Layer, max_ranks: list[int], model: CostModel, pixels: tuple[int, int]) -> None:
    rows, dense = listed(layer, max_ranks, model), cost.dense(layer)
    density = all_solutions(layer, max_ranks, model, pixels)

    assert density is not None
    np.testing.assert_array_equal(density.counts, histogram(rows, density))
    assert density.total == len(rows) == density.counts.sum()
    fewer = rows[:, 0] < dense.params, rows[:, 1] < dense.flops
    expected = Quadrants(*(int((a & b).sum()) for a in (fewer[0], ~fewer[0]) for b in (fewer[1], ~fewer[1])))
    assert density.quadrants(dense.params, dense.flops) == expected
    assert expected.total == len(rows)


@given(LAYERS, MAX_RANKS, MODELS, st.integers(1, 40), st.integers(0, 3))
def test_efficient_solutions(layer: Layer, max_ranks: list[int], model: CostModel, size: int, eighths: int) -> None:
    space = layer_space(layer, max_ranks, model, 4)
    bounds = space.bounds
    if bounds is None:
        return
    ends = (bounds.min_params, bounds.max_params), (bounds.min_flops, bounds.max_flops)
    inner = [(low + (high - low) * eighths // 8, high - (high - low) * eighths // 8) for low, high in ends]
    params, flops = (GridSide(*pair, size) for pair in inner)
    density = efficient_solutions(layer, max_ranks, model, (params, flops))
    rows, dense = listed(layer, max_ranks, model), cost.dense(layer)
    rows = rows[(rows[:, 0] < dense.params) & (rows[:, 1] < dense.flops)]

    np.testing.assert_array_equal(density.counts, histogram(rows, density))
    assert space.efficient == len(rows)
    assert density.total == space.efficient or eighths


@settings(deadline=None, max_examples=60)
@given(LAYERS, MAX_RANKS, MODELS, st.integers(2, 60))
def test_pixels_enclose_every_solution_and_meet_at_the_dense_layer(
    layer: Layer, max_ranks: list[int], model: CostModel, pixels: int
) -> None:
    rows, dense = listed(layer, max_ranks, model), cost.dense(layer)
    density = all_solutions(layer, max_ranks, model, (pixels, pixels))

    assert density is not None
    for column, edges, point in ((0, density.params, dense.params), (1, density.flops, dense.flops)):
        assert (np.diff(edges) > 0).all() and len(edges) <= pixels + 2
        assert edges[0] == min(rows[:, column].min(), point)
        assert edges[-1] == max(rows[:, column].max(), point) + 1
        assert point in edges


def test_pixels_are_in_equal_ratios() -> None:
    density = all_solutions(Layer("fc", 784, 300), range(2, 13), CostModel.EXACT)

    assert density is not None
    assert density.counts.shape == pytest.approx((120, 90), abs=1)
    steps = np.log(density.flops[1:] / density.flops[:-1])[:-1]
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.05)  # whole numbers, and the dense layer's among them


@pytest.mark.parametrize(
    ("size", "model", "efficient"),
    [
        ((784, 300), CostModel.EXACT, 53_703),
        ((784, 300), CostModel.PAPER, 52_939),
        ((4096, 1000), CostModel.EXACT, 399_578),
        ((4096, 1000), CostModel.PAPER, 342_050),
    ],
)
def test_published_counts(size: tuple[int, int], model: CostModel, efficient: int) -> None:
    layer = Layer("fc", *size)
    dense, heard = cost.dense(layer), []
    density = all_solutions(layer, range(2, 13), model, advance=heard.append)

    assert density is not None
    assert density.total == layer_space(layer, range(2, 13), model, 8).solutions
    assert density.quadrants(dense.params, dense.flops).fewer_both == efficient
    assert sum(heard) == 11


@pytest.mark.parametrize("layer", [Layer("fc", 7, 100), Layer("fc", 1, 4), Layer("fc", MOST_WEIGHTS, 4)])
def test_nothing_to_count(layer: Layer) -> None:
    assert all_solutions(layer, [2], CostModel.EXACT) is None


def test_quadrants_around_what_is_no_edge() -> None:
    density = Density(np.array([1, 5, 9]), np.array([1, 5]), np.array([[2], [3]]))

    assert density.quadrants(5, 5) == Quadrants(2, 0, 3, 0)
    for params, flops in itertools.product((5, 4), (1, 4)):
        if (params, flops) != (5, 1):
            with pytest.raises(ValueError, match="no corner of a pixel"):
                density.quadrants(params, flops)
