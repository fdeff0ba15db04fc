"""Weights rebuilt in whole numbers: against the same in plain Python, number by number, and against real ones."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.errors import ModelError
from edgett.forms.integers import Rebuilding, Rounding, quantised
from edgett.forms.stages import Stage, addresses
from edgett.forms.svd import SVDShape
from edgett.forms.tt.shape import TTShape, tt_shape

FACTOR = st.integers(1, 4)


@st.composite
def trains(draw: st.DrawFn) -> tuple[TTShape, list[Any]]:
    length = draw(st.integers(2, 4))
    inputs, outputs = (draw(st.lists(FACTOR, min_size=length, max_size=length)) for _ in range(2))
    spec = tt_shape(inputs, outputs, draw(st.integers(1, 6)))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    spread = draw(st.sampled_from([1e-3, 1.0, 50.0]))
    return spec, [spread * random.normal(size=shape) for shape in spec.factors]


def plainly(made: Rebuilding) -> list[int]:
    """The weight's codes, the last digit fastest, by Python's integers and loops."""
    found = []
    for digits in itertools.product(*(range(stage.values) for stage in made.stages)):
        row = made.stages[0].matrices[digits[0]].ravel().tolist()
        place = addresses(made.stages)[len(found)]
        roundings = *made.roundings, made.columns[place % len(made.columns)]
        for stage, rounding, digit in zip(made.stages[1:], roundings, digits[1:], strict=True):
            matrix = stage.matrices[digit].astype(int)
            matrix = np.diag(matrix) if stage.diagonal else matrix
            sums = [sum(a * b for a, b in zip(row, column, strict=True)) for column in matrix.T.tolist()]
            row = [(each * rounding.multiplier + (1 << rounding.shift) // 2) // (1 << rounding.shift) for each in sums]
            row = [max(-rounding.most, min(rounding.most, each)) for each in row]
        found += row
    return found


@given(trains())
@settings(max_examples=25, deadline=None)
def test_it_is_integer_arithmetic_and_nothing_else(train: tuple[TTShape, list[Any]]) -> None:
    spec, factors = train
    for columns in (1, spec.matrix[1]):
        made = quantised(spec.stages(factors), columns)
        assert made.stream().tolist() == plainly(made) and len(made.columns) == columns
    assert made.stored == spec.params and made.multipliers == sum(spec.ranks[1:-1])


@given(trains())
@settings(max_examples=40, deadline=None)
def test_the_weight_uses_its_eight_bits_and_sums_fit_theirs(train: tuple[TTShape, list[Any]]) -> None:
    spec, factors = train
    made = quantised(spec.stages(factors))
    assert np.abs(made.codes()).max() == 127
    by_column = quantised(spec.stages(factors), spec.matrix[1]).codes().reshape(spec.matrix)
    assert {*np.abs(by_column).max(axis=0).tolist()} <= {0, 127}
    assert all(each.shift >= 0 and 0 < each.multiplier < 2**15 for each in (*made.roundings, *made.columns))
    assert all(each.multiplier == 1 and each.most == 32767 for each in made.roundings)


@pytest.mark.parametrize(
    "spec", [SVDShape(60, 50, 8), tt_shape((6, 10), (5, 10), 12), tt_shape((4, 4, 4), (3, 4, 4), 9)], ids=str
)
def test_it_is_near_the_real_weight(spec: Any) -> None:
    """Half a step of 127 in each factor is some 0.5 % of a Gaussian one, and in the weight 1 % of its spread, each."""
    random = np.random.default_rng(1)
    factors = [random.normal(size=shape) for shape in spec.factors]
    dense, errors = spec.dense(factors), []
    for columns in (1, spec.matrix[1]):
        made = quantised(spec.stages(factors), columns)
        found = made.steps * made.codes().reshape(spec.matrix)
        errors.append(np.linalg.norm(found - dense) / np.linalg.norm(dense))
    assert 0.001 < errors[1] < errors[0] < 0.03


def test_a_diagonal_stage_multiplies_number_by_number() -> None:
    random = np.random.default_rng(2)
    stages = (
        Stage(((0, 3),), random.normal(size=(3, 1, 4))),
        Stage(((1, 2),), random.normal(size=(2, 4))),
        Stage(((2, 5),), random.normal(size=(5, 4, 1))),
    )
    made = quantised(stages)
    assert made.stream().tolist() == plainly(made) and made.multipliers == 1 + 4


def test_halves_go_up_and_ends_are_clipped() -> None:
    sums = np.array([-12.0, -7, -6, -5, -2, 2, 6, 1000, -1000])
    assert Rounding(1, 2, 5).of(sums).tolist() == [-3, -2, -1, -1, 0, 1, 2, 5, -5]


def test_zeros_are_zeros() -> None:
    spec = SVDShape(4, 3, 2)
    assert not quantised(spec.stages([np.zeros(shape) for shape in spec.factors])).codes().any()


@pytest.mark.parametrize(("value", "rank", "told"), [(np.nan, 2, "not finite"), (1.0, 513, "more than 512")])
def test_what_no_unit_holds_is_refused(value: float, rank: int, told: str) -> None:
    stages = (
        Stage(((0, 2),), np.full((2, 1, rank), value)), Stage(((1, 600),), np.ones((600, rank, 1)))
    )  # fmt: skip
    with pytest.raises(ModelError, match=told) as raised:
        quantised(stages)
    assert raised.value.cure
