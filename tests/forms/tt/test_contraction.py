"""The contraction plan, executed in NumPy and held against the product with the dense weight."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.forms.operators import Moves, Operator, Product, Reshape, Transpose
from edgett.forms.site import Layer
from edgett.forms.tt import contraction
from edgett.forms.tt.cost import exact_flops, tt
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape

Floats = NDArray[np.float64]


@st.composite
def shapes(draw: st.DrawFn, longest: int = 5) -> TTShape:
    """Factors of 1 and ranks of 1 as well: a plan must leave out what they make idle."""
    length = draw(st.integers(2, longest))
    largest = 4 if length < 4 else 3
    inputs, outputs = (tuple(draw(st.integers(1, largest)) for _ in range(length)) for _ in range(2))
    inner = tuple(draw(st.integers(1, 5)) for _ in range(length - 1))
    return TTShape(inputs, outputs, (1, *inner, 1), draw(st.sampled_from(Order)))


def random_cores(shape: TTShape) -> list[Floats]:
    """Small whole numbers, so that float64 sums are exact and results can be compared for equality."""
    random = np.random.default_rng(math.prod(shape.inputs + shape.ranks))
    return [random.integers(-3, 4, core).astype(np.float64) for core in shape.cores]


def dense(shape: TTShape, cores: list[Floats]) -> Floats:
    """The weight by the definition: entry (x, y) is the product of the matrices G_1[x_1, y_1] ... G_L[x_L, y_L]."""
    weight = np.empty(shape.matrix)
    for row, xs in enumerate(itertools.product(*map(range, shape.inputs))):
        for column, ys in enumerate(itertools.product(*map(range, shape.outputs))):
            entry = np.ones((1, 1))
            for core, x, y in zip(cores, xs, ys, strict=True):
                entry = entry @ core[:, x, y, :]
            weight[row, column] = entry[0, 0]
    return weight


@dataclass
class Seen:
    """What an execution did."""

    multiplications: int = 0
    moved: int = 0
    peak: int = 0


def execute(
    operators: tuple[Operator, ...], shape: TTShape, cores: list[Floats], x: Floats, moves: Moves = Moves.NUMBERS
) -> tuple[Floats, Seen]:
    seen, tensor = Seen(), x
    for operator in operators:
        before: Any = tensor
        if isinstance(operator, Product):
            matrix = cores[operator.factor].transpose(operator.axes).reshape(operator.inner, operator.columns)
            assert operator.rows in (-1, len(tensor))
            seen.multiplications += sum(len(row) * matrix.shape[1] for row in tensor)
            tensor = tensor @ matrix
        elif isinstance(operator, Reshape):
            assert operator.dims.count(-1) <= 1
            tensor = tensor.reshape(operator.dims)
        else:
            assert all(size in (-1, real) for size, real in zip(operator.dims, tensor.shape, strict=True))
            tensor = np.ascontiguousarray(tensor.transpose(operator.axes))
            assert all(size in (-1, real) for size, real in zip(operator.made, tensor.shape, strict=True))
            seen.moved += tensor.size
        seen.peak = max(seen.peak, before.size + tensor.size)
    return tensor, seen


@settings(max_examples=60)
@given(shapes(), st.sampled_from([1, 2, 5]), st.sampled_from(Moves))
def test_the_plan_is_the_product_with_the_weight(shape: TTShape, batch: int, moves: Moves) -> None:
    cores = random_cores(shape)
    x = np.random.default_rng(batch).integers(-3, 4, (batch, shape.matrix[0])).astype(np.float64)
    wanted = x @ dense(shape, cores)
    for size in (batch, None):
        np.testing.assert_array_equal(execute(shape.plan(size, moves), shape, cores, x, moves)[0], wanted)


@settings(max_examples=60)
@given(shapes(), st.sampled_from([1, 2, 5]))
def test_costs_are_what_an_execution_sees(shape: TTShape, batch: int) -> None:
    x = np.zeros((batch, shape.matrix[0]))
    operators = shape.plan(batch)
    _, seen = execute(operators, shape, random_cores(shape), x)
    assert 2 * seen.multiplications == batch * exact_flops(shape)
    assert sum(o.flops for o in operators if isinstance(o, Product)) == batch * exact_flops(shape)
    assert seen.peak == max(o.reads + o.writes for o in operators)
    if batch == 1:
        cost = tt(Layer("fc", *shape.matrix, bias=False), shape)
        assert (cost.moved_elements, cost.peak_elements, cost.macs) == (seen.moved, seen.peak, seen.multiplications)


@settings(max_examples=200)
@given(shapes(), st.sampled_from([1, 2, 5]), st.sampled_from(Moves))
def test_no_operator_is_idle(shape: TTShape, batch: int, moves: Moves) -> None:
    dims: tuple[int, ...] = (batch, shape.matrix[0])
    last: Operator | None = None
    for operator in shape.plan(batch, moves):
        if isinstance(operator, Reshape):
            assert operator.dims != dims and not isinstance(last, Reshape)
            dims = operator.dims
        elif isinstance(operator, Transpose):
            assert operator.dims == dims and 1 not in dims
            assert not isinstance(last, Transpose)
            dims = operator.made
        else:
            assert dims == (operator.rows, operator.inner)
            dims = (operator.rows, operator.columns)
        last = operator
    assert dims == (batch, shape.matrix[1])


@settings(max_examples=200)
@given(shapes(), st.sampled_from([1, 2, 5]))
def test_what_moves_together_costs_no_more(shape: TTShape, batch: int) -> None:
    one, other = (shape.plan(batch, moves) for moves in Moves)
    products = [
        [(each.factor, each.rows, each.inner, each.columns) for each in operators if isinstance(each, Product)]
        for operators in (one, other)
    ]
    assert products[0] == products[1]
    moved = [sum(each.writes for each in operators if isinstance(each, Transpose)) for operators in (one, other)]
    assert moved[1] <= moved[0]


@pytest.mark.parametrize(
    ("order", "rank", "runs"),
    [(Order.LAST_FIRST, 4, {1}), (Order.LAST_FIRST, 5, {1, 5}), (Order.FIRST_LAST, 8, {1}),
     (Order.FIRST_LAST, 9, {1, 9})],
)  # fmt: skip
def test_a_rank_moves_together_where_it_is_longer_than_the_axis(order: Order, rank: int, runs: set[int]) -> None:
    operators = TTShape((4, 4, 4), (4, 4, 4), (1, rank, rank, 1), order).plan(1, Moves.RUNS)
    assert {each.run for each in operators if isinstance(each, Transpose)} == runs


@pytest.mark.parametrize("order", Order)
def test_each_core_is_met_once_in_its_order(order: Order) -> None:
    shape = TTShape((2, 3, 4), (4, 3, 2), (1, 2, 2, 1), order)
    met = [operator.factor for operator in shape.plan() if isinstance(operator, Product)]
    assert met == ([2, 1, 0] if order is Order.LAST_FIRST else [0, 1, 2])


@pytest.mark.parametrize("order", Order)
def test_a_sample_takes_one_transpose_between_two_products(order: Order) -> None:
    operators = TTShape((2, 3, 4), (4, 3, 2), (1, 2, 3, 1), order).plan()
    assert sum(isinstance(operator, Transpose) for operator in operators) == 3


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("wrong", [(1, 2, 3, 0), (2, 3, 1, 0), (1, 3, 2, 0), (1, 0, 3, 2)])
def test_a_wrong_permutation_of_the_cores_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, order: Order, wrong: tuple[int, ...]
) -> None:
    shape = TTShape((2, 3, 2), (3, 4, 2), (1, 2, 2, 1), order)
    cores, x = random_cores(shape), np.arange(12.0)[None]
    wanted = x @ dense(shape, cores)
    np.testing.assert_array_equal(execute(shape.plan(), shape, cores, x)[0], wanted)
    monkeypatch.setattr(contraction, "_axes", lambda *_: wrong)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(execute(shape.plan(), shape, cores, x)[0], wanted)


@pytest.mark.parametrize("order", Order)
def test_a_missing_transpose_would_be_noticed(order: Order) -> None:
    shape = TTShape((2, 3), (3, 4), (1, 2, 1), order)
    cores, x = random_cores(shape), np.arange(12.0).reshape(2, 6)
    operators = shape.plan(2)
    wanted = x @ dense(shape, cores)
    np.testing.assert_array_equal(execute(operators, shape, cores, x)[0], wanted)
    for index, operator in enumerate(operators):
        if isinstance(operator, Transpose):
            # The shape of the result hides that its numbers stand in another order.
            without = (*operators[:index], Reshape(operator.dims[::-1]), *operators[index + 1 :])
            with pytest.raises(AssertionError):
                np.testing.assert_array_equal(execute(without, shape, cores, x)[0], wanted)
