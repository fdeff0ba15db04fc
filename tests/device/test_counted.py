"""Rates of kernels from counts: planted ones come back, noise does little, and nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest

from edgett.device.calibrate import ProductProbe
from edgett.device.counted import fitted
from edgett.errors import ToolError
from edgett.graph.dtype import DType
from edgett.graph.graph import Graph
from edgett.graph.instructions import Instructions, Rates
from edgett.workflow import probing
from tests.graph.test_c_work import foretold

PLANTED = Instructions(
    40.0,
    {
        "row_float": Rates(macs=1.25, tails=2.0, outputs=12.0, rows=41.0),
        "column_float": Rates(macs=6.0, outputs=44.0),
    },
)


def product(rows: int, inner: int, columns: int) -> tuple[Graph, int]:
    model, batch = probing.model_of(ProductProbe(rows, inner, columns))
    return foretold(model, DType.FLOAT32, batch), 4


@pytest.fixture(scope="module")
def graphs() -> list[tuple[Graph, int]]:
    return [product(rows, inner, columns) for rows in (1, 5, 20) for inner in (6, 16, 51) for columns in (3, 8, 18, 50)]


def counts(graphs: list[tuple[Graph, int]]) -> list[float]:
    found = [PLANTED.total(graph, size) for graph, size in graphs]
    return [number for number in found if number is not None]


def test_planted_rates_come_back(graphs: list[tuple[Graph, int]]) -> None:
    found = fitted(graphs, counts(graphs))
    assert found.largest < 1e-6 and found.instructions.start == pytest.approx(40, rel=1e-3)
    for name, rates in PLANTED.kernels.items():
        assert found.instructions.kernels[name].macs == pytest.approx(rates.macs, rel=1e-3)
    held_out = product(7, 33, 27)
    assert found.instructions.total(*held_out) == pytest.approx(PLANTED.total(*held_out), rel=1e-3)


def test_noise_moves_predictions_by_as_much(graphs: list[tuple[Graph, int]]) -> None:
    random = np.random.default_rng(1)
    noisy = [count * random.normal(1, 0.01) for count in counts(graphs)]
    found = fitted(graphs, noisy)
    assert 0.001 < found.median < 0.02
    assert found.instructions.total(*product(7, 33, 27)) == pytest.approx(PLANTED.total(*product(7, 33, 27)), rel=0.03)


def test_more_work_that_takes_less_is_no_measure(graphs: list[tuple[Graph, int]]) -> None:
    with pytest.raises(ToolError, match="make no sense"):
        fitted(graphs, [1e9 / count for count in counts(graphs)])
