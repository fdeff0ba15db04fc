"""Step 4 and the paths beneath it, against listing every solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.forms.cost import dense
from edgett.forms.site import CostModel, Layer
from edgett.forms.tt import cost
from edgett.forms.tt.shape import tt_shape
from edgett.forms.tt.shapes import nth_solution
from edgett.search.paths import Partial, lattice, paths
from edgett.search.prune import Bounds, efficient, flops_limit, params_limit
from tests.search.enumeration import costs, pairs

SIZES = st.sampled_from([4, 6, 8, 9, 12, 16, 18, 24, 30, 36, 48, 60, 64])
LAYERS = st.builds(Layer, st.just("fc"), SIZES, SIZES, st.booleans())
MODELS = st.sampled_from(CostModel)


def listed(layer: Layer, max_rank: int, model: CostModel) -> list[tuple[int, int]]:
    columns = [costs(np.array(xs), np.array(ys), max_rank, model) for xs, ys in pairs(layer)]
    return [
        cost for params, flops in columns for cost in zip(params.ravel().tolist(), flops.ravel().tolist(), strict=True)
    ]


@given(LAYERS, MODELS, st.integers(1, 20))
def test_what_is_efficient(layer: Layer, model: CostModel, max_rank: int) -> None:
    whole = dense(layer)
    bias = layer.outputs if layer.bias else 0
    kept = [(p, f) for p, f in listed(layer, max_rank, model) if p + bias < whole.params and f + bias < whole.flops]
    count, bounds = efficient(lattice(layer, model), [max_rank], lambda units: None)
    assert count == len(kept)
    if kept:
        params, flops = zip(*kept, strict=True)
        assert bounds == Bounds(min(params), max(params), min(flops), max(flops))
    else:
        assert bounds is None


@settings(deadline=None, max_examples=50)
@given(LAYERS, MODELS, st.integers(1, 20))
def test_a_path_costs_what_its_shape_costs(layer: Layer, model: CostModel, max_rank: int) -> None:
    whole: list[tuple[int, int, int, int]] = []
    space = lattice(layer, model)

    def collect(partial: Partial) -> Partial:
        ends = partial.take(np.flatnonzero(space.finals[partial.state]))
        columns = (ends.place.tolist(), ends.params.tolist(), ends.flops.tolist())
        whole.extend((*row, partial.cores) for row in zip(*columns, strict=True))
        return partial

    routes = paths(space, max_rank, params_limit(layer), flops_limit(layer))
    routes.walk(collect, merge=False)
    for place, params, flops, cores in whole:
        shape = tt_shape(*nth_solution(layer, place), max_rank)
        bare = cost.tt(Layer("fc", layer.inputs, layer.outputs, bias=False), shape, model)
        assert (params, flops, cores) == (bare.params, bare.flops, shape.length)
    assert len(whole) == routes.completions()[space.starts].sum() == len({place for place, *_ in whole})


@given(LAYERS, MODELS, st.integers(1, 20))
def test_the_bounds_of_the_start_are_those_of_the_listed(layer: Layer, model: CostModel, max_rank: int) -> None:
    space = lattice(layer, model)
    routes = paths(space, max_rank, 1 << 40, 1 << 40)
    everything = listed(layer, max_rank, model)
    for column, step in enumerate((routes.params, routes.flops)):
        assert routes.longest(step)[space.starts].max() == max(row[column] for row in everything)
        assert (-routes.longest(-step)[space.starts]).min() == min(row[column] for row in everything)
    assert routes.completions()[space.starts].sum() == len(everything)


def test_merging_keeps_the_smallest_factors_of_equal_rows() -> None:
    columns = ([3, 1, 3, 3, 3], [7, 7, 7, 8, 7], [9, 9, 9, 9, 8], [5, 6, 4, 1, 2])
    merged = Partial(2, *(np.array(column) for column in columns)).merged()
    rows = sorted(zip(*(c.tolist() for c in (merged.state, merged.params, merged.flops, merged.place)), strict=True))
    assert rows == [(1, 7, 9, 6), (3, 7, 8, 2), (3, 7, 9, 4), (3, 8, 9, 1)]
    assert len(merged.take(slice(0, 0)).merged()) == 0


@pytest.mark.parametrize("model", CostModel)
def test_a_solution_no_better_than_dense_is_not_efficient(model: CostModel) -> None:
    # [2,2] -> [2,2] against 16 parameters and 32 FLOPs: at rank 2 it holds 16, at rank 1 only 8 but takes 32 FLOPs.
    space = lattice(Layer("fc", 4, 4), model)
    assert listed(space.layer, 2, model)[0][0] == 16
    assert listed(space.layer, 1, model) == [(8, 32)]
    assert efficient(space, [1, 2], lambda units: None) == (0, None)
    assert paths(space, 1, 9, 33).completions()[space.starts].sum() == 1


def test_bounds_join() -> None:
    assert Bounds(1, 5, 10, 50) | Bounds(2, 7, 5, 40) == Bounds(1, 7, 5, 50)
    assert Bounds(1, 5, 10, 50).plus(3) == Bounds(4, 8, 13, 53)
