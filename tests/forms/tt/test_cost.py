"""What a layer costs, against counts made by hand and by running."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.forms import cost as costs
from edgett.forms.operators import Transpose
from edgett.forms.site import Cost, CostModel, Layer
from edgett.forms.tt import cost
from edgett.forms.tt.contraction import plan
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from tests.forms.tt.test_contraction import dense as dense_weight
from tests.forms.tt.test_contraction import random_cores, shapes

EXAMPLE = TTShape((4, 5), (3, 2), (1, 6, 1))


def mirrored(shape: TTShape) -> TTShape:
    """The transposed layer, read from the other end."""
    other = {Order.LAST_FIRST: Order.FIRST_LAST, Order.FIRST_LAST: Order.LAST_FIRST}[shape.order]
    return TTShape(shape.inputs[::-1], shape.outputs[::-1], shape.ranks[::-1], other)


def test_equation_4_by_hand() -> None:
    # inr = 4. Core 1: cl = 1*3, cr = inl = 4*6, 3*24*4 + 72 + 24*4 = 456. Core 2: cl = 6*2, cr = inl = 5*1,
    # 12*5*4 + 60 + 5*4 = 320. And Y = 6 for the bias.
    assert cost.paper_flops(EXAMPLE) == 456 + 320
    assert cost.tt(Layer("fc", 20, 6), EXAMPLE, CostModel.PAPER).flops == 456 + 320 + 6


def test_exact_by_hand() -> None:
    # Last core first: (4, 5) by (5, 12), then (2, 24) by (24, 3).
    assert cost.exact_flops(EXAMPLE) == 2 * (4 * 5 * 12 + 2 * 24 * 3)
    # First core first: (5, 4) by (4, 18), then (3, 30) by (30, 2).
    first_last = TTShape(EXAMPLE.inputs, EXAMPLE.outputs, EXAMPLE.ranks, Order.FIRST_LAST)
    assert cost.exact_flops(first_last) == 2 * (5 * 4 * 18 + 3 * 30 * 2)


@given(shapes())
def test_params_are_the_numbers_in_the_cores(shape: TTShape) -> None:
    assert shape.params == sum(core.size for core in random_cores(shape))


@given(shapes())
def test_first_core_first_is_the_mirror_image_of_last_core_first(shape: TTShape) -> None:
    assert cost.exact_flops(mirrored(shape)) == cost.exact_flops(shape)
    assert mirrored(shape).params == shape.params


@given(shapes())
def test_the_lighter_order_costs_no_more_and_is_the_best_of_both(shape: TTShape) -> None:
    def figures(one: TTShape) -> tuple[int, int]:
        return cost.exact_flops(one), max(operator.reads + operator.writes for operator in plan(one))

    orders = [replace(shape, order=order) for order in Order]
    lighter = cost.lighter(shape)
    assert lighter in orders
    flops, peak = figures(lighter)
    assert flops <= figures(shape)[0]
    assert peak == min(figures(one)[1] for one in orders if figures(one)[0] <= figures(shape)[0])


def test_the_lighter_order_by_hand() -> None:
    """56x14 -> 15x20: the last core first makes 56 x 20 x 8 numbers of 784, the first core first 14 x 15 x 8."""
    shape = TTShape((56, 14), (15, 20), (1, 8, 1))
    assert cost.lighter(shape) == replace(shape, order=Order.FIRST_LAST)
    assert cost.lighter(TTShape((14, 56), (15, 20), (1, 8, 1))).order is Order.LAST_FIRST


@given(shapes(longest=4), st.booleans())
def test_merged_cores_cost_no_more_and_stand_for_the_same_weights(shape: TTShape, growing: bool) -> None:
    merged = cost.merged(shape, growing)
    assert merged.matrix == shape.matrix and merged.order is shape.order and merged.length >= 2
    assert cost.exact_flops(merged) <= cost.exact_flops(shape)
    layer = Layer("fc", *shape.matrix, bias=False)
    if not growing:
        assert merged.params <= shape.params
        assert cost.tt(layer, merged).peak_elements <= costs.held(layer, shape).peak_elements
    assert cost.merged(merged, growing) == merged
    # Core by core: those of the given shape between the same bonds, multiplied together.
    rest, together = random_cores(shape), []
    for index, wanted in enumerate(merged.cores):
        core, *rest = rest
        while core.shape != wanted or (rest and index == merged.length - 1):
            other, *rest = rest
            sizes = [a * b for a, b in zip(core.shape[1:3], other.shape[1:3], strict=True)]
            product = np.einsum("axyb,bpqc->axpyqc", core, other)
            core = product.reshape(core.shape[0], *sizes, other.shape[3])
        together.append(core)
    np.testing.assert_array_equal(dense_weight(merged, together), dense_weight(shape, random_cores(shape)))


def test_merged_cores_by_hand() -> None:
    """The middle of [4]^6 stays: 16x16 by rank 8 costs more than two cores of 4x4, at the ends less."""
    shape = TTShape((4,) * 6, (4,) * 6, (1, 8, 8, 8, 8, 8, 1))
    merged = TTShape((16, 4, 4, 16), (16, 4, 4, 16), (1, 8, 8, 8, 1))
    assert cost.merged(shape, growing=True) == merged
    assert (cost.exact_flops(shape), shape.params) == (2 * 4456448, 4352)
    assert (cost.exact_flops(merged), merged.params) == (2 * 3145728, 6144)
    # The cores at the ends would take more parameters, until their bond is as wide as it can be.
    assert cost.merged(shape) == shape
    full = TTShape((4,) * 3, (4,) * 3, (1, 16, 8, 1))
    assert cost.merged(full) == TTShape((16, 4), (16, 4), (1, 8, 1))


@given(shapes(), st.booleans(), st.sampled_from(CostModel))
def test_a_bias_is_a_number_and_a_flop_an_output(shape: TTShape, bias: bool, model: CostModel) -> None:
    bare = cost.tt(Layer("fc", *shape.matrix, bias=False), shape, model)
    full = cost.tt(Layer("fc", *shape.matrix, bias=bias), shape, model)
    added = bias * shape.matrix[1]
    assert (full.params - bare.params, full.flops - bare.flops) == (added, added)
    assert full.macs == bare.macs == cost.exact_flops(shape) // 2
    assert full.peak_elements >= bare.peak_elements


@settings(max_examples=60)
@given(shapes())
def test_rebuilding_costs_what_multiplying_the_cores_out_takes(shape: TTShape) -> None:
    cores = random_cores(shape)
    weight, multiplications, moved = cores[-1][..., 0], 0, 0
    for core in reversed(cores[:-1]):
        before, x, y, after = core.shape
        _, rows, columns = weight.shape
        product = core.reshape(-1, after) @ weight.reshape(after, -1)
        multiplications += before * x * y * after * rows * columns
        moved += product.size
        weight = product.reshape(before, x, y, rows, columns).transpose(0, 1, 3, 2, 4)
        weight = weight.reshape(before, x * rows, y * columns)
    np.testing.assert_array_equal(weight[0], dense_weight(shape, cores))
    assert (cost.rebuild_flops(shape), cost.rebuild_moved(shape)) == (2 * multiplications, moved)


@given(shapes())
def test_rebuilding_pays_from_the_batch_at_which_the_sums_cross(shape: TTShape) -> None:
    def contract(batch: int) -> int:
        moved = sum(operator.writes for operator in plan(shape) if isinstance(operator, Transpose))
        return batch * (cost.exact_flops(shape) + cost.FLOPS_PER_MOVED_ELEMENT * moved)

    def rebuild(batch: int) -> int:
        moved = cost.FLOPS_PER_MOVED_ELEMENT * cost.rebuild_moved(shape)
        return cost.rebuild_flops(shape) + moved + batch * 2 * math.prod(shape.matrix)

    threshold = cost.rebuild_from(shape)
    if math.isinf(threshold):
        assert all(contract(batch) < rebuild(batch) for batch in (1, 10, 10**6))
    else:
        over = math.ceil(threshold)
        assert rebuild(over) <= contract(over)
        if over > 1:
            assert contract(over - 1) <= rebuild(over - 1)


def test_dense() -> None:
    assert costs.dense(Layer("fc", 7, 3)) == Cost(24, 45, 10, 0, 21)
    assert costs.dense(Layer("fc", 7, 3, bias=False)) == Cost(21, 42, 10, 0, 21)


def test_a_shape_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="20x6, layer 'fc' is not"):
        cost.tt(Layer("fc", 20, 7), EXAMPLE)


def test_costs_in_a_row_add_up_but_their_peak() -> None:
    assert Cost(1, 2, 30, 4, 5) + Cost(10, 20, 3, 40, 50) == Cost(11, 22, 30, 44, 55)
