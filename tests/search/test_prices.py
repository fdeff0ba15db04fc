"""What layers take on a target in each solution, against whole models that have one layer in that form."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgett.forms.front import Front, Search
from edgett.graph.latency import Speeds, layers_us
from edgett.meter import Silent
from edgett.model.worth import Wish, replaceable
from edgett.search import prices as module
from edgett.search.explore import Costing
from edgett.search.prices import prices
from edgett.search.replaced import with_edits
from edgett.search.together import NO_PRICE, Price
from edgett.workflow import survey
from tests.graph.test_latency import SPEEDS

L = keras.layers


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((48,)), L.Dense(36, "relu", name="one"), L.Dense(32, name="two")])


@pytest.fixture(scope="module")
def fronts(model: keras.Model) -> tuple[Front, ...]:
    found = replaceable(model, Wish(0.01))
    return survey.whole_of(model, found, Search(4, 8), Silent()).taken


def test_each_solution_takes_what_its_own_model_does(model: keras.Model, fronts: tuple[Front, ...]) -> None:
    costing = Costing(width=1, speeds=SPEEDS)
    graph = survey.graphs(model, costing)
    dense = graph(frozenset())

    priced = prices(fronts, graph, costing)

    for front, price in zip(fronts, priced, strict=True):
        assert price.file_bytes is not None and price.pace is not None
        assert len(price.file_bytes) == len(price.pace) == 1 + len(front)
        assert 36 * 32 < price.file_bytes[0] < costing.file_bytes(dense)
        name = front.layer.name
        assert price.pace[0] == round(1000 * layers_us(dense, SPEEDS, 1)[name])
        for row, spec in enumerate(front.specs, 1):
            own = with_edits(graph(frozenset([name])), {name: spec.alternatives()[0]})
            np.testing.assert_equal(
                price.file_bytes[row] - price.file_bytes[0], costing.file_bytes(own) - costing.file_bytes(dense)
            )
            assert price.pace[row] == round(1000 * layers_us(own, SPEEDS, 1)[name])


@pytest.mark.parametrize(("speeds", "known"), [(None, False), (SPEEDS, True)])
def test_float32_is_told_by_its_parameters(
    speeds: Speeds | None, known: bool, model: keras.Model, fronts: tuple[Front, ...]
) -> None:
    costing = Costing(speeds=speeds)
    for price in prices(fronts, survey.graphs(model, costing), costing):
        assert price.file_bytes is None
        assert (price.pace is not None) is known


def test_more_solutions_than_can_be_looked_at_are_told_by_parameters(
    model: keras.Model, fronts: tuple[Front, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    costing = Costing(width=1)
    monkeypatch.setattr(module, "MOST_PRICED", sum(map(len, fronts)) - 1)
    found: tuple[Price, ...] = prices(fronts, survey.graphs(model, costing), costing)
    assert found == (NO_PRICE, NO_PRICE)
