"""Every form as a product of matrices is the weight that it rebuilds, entry by entry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgett.forms.spec import Spec
from edgett.forms.stages import Stage, addresses, cycles, entries, multiplied, period
from tests.forms.test_conformance import CHAINS, SEQUENCES, SPECS
from tests.forms.toy import DiagonalPlus

PRODUCTS = tuple(spec for spec in (*SPECS, *CHAINS, *SEQUENCES) if not isinstance(spec, DiagonalPlus))


@pytest.mark.parametrize("spec", PRODUCTS, ids=lambda spec: f"{spec.form} {spec}")
def test_its_entries_are_those_of_the_dense_weight(spec: Spec) -> None:
    random = np.random.default_rng(0)
    factors = [random.normal(size=shape) for shape in spec.factors]
    first, *others = stages = spec.stages(factors)
    rows = first.matrices.reshape(first.values, -1)
    for stage in others:
        rows = multiplied(rows, stage)
    found = np.empty(entries(stages))
    found[addresses(stages)] = rows.ravel()
    np.testing.assert_allclose(found.reshape(spec.matrix), spec.dense(factors), atol=1e-12)
    assert sum(stage.matrices.size for stage in stages) == spec.params


def test_a_form_that_is_a_sum_is_none() -> None:
    assert DiagonalPlus(5).stages([np.ones(5), np.ones((5, 1)), np.ones((1, 5))]) == ()


@pytest.mark.parametrize("spec", PRODUCTS, ids=lambda spec: f"{spec.form} {spec}")
def test_an_entry_comes_a_cycle(spec: Spec) -> None:
    stages = spec.stages([np.ones(shape) for shape in spec.factors])
    assert cycles(stages) + 1 == entries(stages) == math.prod(spec.matrix)


def test_a_rank_above_what_is_behind_it_takes_longer() -> None:
    """Two rows, for two vectors of seven numbers each, each of them for three entries: a vector takes seven cycles."""
    stages = (
        Stage(((0, 2),), np.ones((2, 1, 9))),
        Stage(((1, 2),), np.ones((2, 9, 7))),
        Stage(((2, 3),), np.ones((3, 7, 1))),
    )
    assert [period(stages, place) for place in range(3)] == [14, 7, 1]
    assert cycles(stages) == 14 + 7 + 2
