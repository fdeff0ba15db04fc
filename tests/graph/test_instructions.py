"""Instructions of an inference in C: sums of rates, by hand."""

from __future__ import annotations

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.forms.front import Search
from edgett.forms.tt.shape import TTShape
from edgett.graph.c_work import THINGS
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.instructions import Cycles, Instructions, Rates
from edgett.meter import Silent
from edgett.model import probes
from edgett.model.worth import Wish, replaceable
from edgett.search.explore import Costing, dense_solution, not_slower, solutions
from edgett.search.prices import prices
from edgett.search.solution import Candidate, InferenceCost
from edgett.workflow import survey
from tests.graph.test_c_work import Effort, foretold

L = keras.layers
SOME = Instructions(5.0, {"row_float": Rates(macs=2.0, outputs=10.0, calls=7.0), "column_float": Rates(macs=6.0)})


@given(st.lists(st.integers(0, 1000), min_size=6, max_size=6), st.lists(st.integers(0, 50), min_size=6, max_size=6))
def test_a_kernel_takes_so_much_for_each_thing(counts: list[int], rates: list[int]) -> None:
    work = Effort("x", **dict(zip(THINGS, counts, strict=True)))
    found = Rates(**dict(zip(THINGS, map(float, rates), strict=True))).of(work)
    assert found == sum(count * rate for count, rate in zip(counts, rates, strict=True))


def test_a_product_by_hand() -> None:
    graph = foretold(probes.product(8, 10), DType.FLOAT32)
    assert SOME.total(graph) == 5 + (2 * 8 * 8 + 10 * 8 + 7) + 6 * 8 * 2
    assert SOME.layers(graph) == {"p": SOME.total(graph) - 5}


def test_of_what_nobody_has_counted_nothing_is_told() -> None:
    x = keras.Input((8,), name="x")
    graph = foretold(keras.Model(x, L.Dense(8, "gelu", use_bias=False, name="p")(x)), DType.FLOAT32)
    assert SOME.total(graph) is None
    assert SOME.layers(graph)["p"] == 2 * 64 + 80 + 7
    unruled = foretold(keras.Model(x, L.LSTM(3)(L.Reshape((2, 4))(x))), DType.FLOAT32)
    assert unruled.unruled and SOME.total(unruled) is None


def test_cycles_are_at_least_what_either_takes() -> None:
    cycles = Cycles(instructions=2.0, macs=0.5, hertz=1e6)
    assert cycles.us(100, 10) == 50
    assert cycles.us(100, 40) == 80


SPEC = TTShape((8, 8), (8, 8), (1, 2, 1))
CANDIDATES = (Candidate({"fc": SPEC}),)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    x = keras.Input((64,), name="x")
    return keras.Model(x, L.Dense(64, name="fc")(x))


def rates(**macs: float) -> Instructions:
    """A kernel is as fast as its multiply-accumulates."""
    return Instructions(0.0, {name: Rates(macs=number) for name, number in macs.items()} | {"add_float": Rates()})


FEW = rates(
    row_float=1, column_float=1, turned_row_float=0, turned_column_float=0, transpose_float=0, fused_float=0
)  # fmt: skip


class TestTheSearch:
    """A tensor train of 8x8 by 8x8 and rank 2 takes 2,048 multiply-accumulates, the dense layer 4,096."""

    @pytest.mark.parametrize("form", Format)
    def test_solutions_know_their_instructions(self, model: keras.Model, form: Format) -> None:
        """Those of C, whatever the format of the file; .tflite has other operators."""
        costing = Costing(form=form, instructions=FEW, estimate=Cycles(1.0, 0.5, 1e6))
        graph = survey.graphs(model, costing)
        (found,) = solutions(CANDIDATES, graph, costing)
        dense = dense_solution(graph(frozenset()), costing)
        assert dense.inference.instructions == 64 * 64
        assert found.inference.instructions == found.cost.macs == found.work == 2048
        assert found.inference.us is None and found.inference.estimate_us == 4096

    @pytest.mark.parametrize(("turned", "kept"), [(0.0, CANDIDATES), (60.0, ())])
    def test_a_layer_that_takes_more_stays_dense(
        self, model: keras.Model, turned: float, kept: tuple[Candidate, ...]
    ) -> None:
        """Where what a transpose would do takes 60 instructions a number, its 128 numbers cost 7,680."""
        found = Instructions(0.0, {**FEW.kernels, "turned_row_float": Rates(outputs=turned)})
        costing = Costing(instructions=found)
        graph = survey.graphs(model, costing)
        left, slower = not_slower(CANDIDATES, graph, costing)
        assert left == kept and slower == ({} if kept else {"fc": 1})

    def test_they_are_a_price(self, model: keras.Model) -> None:
        costing = Costing(instructions=FEW)
        graph, found = survey.graphs(model, costing), replaceable(model, Wish(0.01))
        (front,) = survey.whole_of(model, found, Search(8, 8), Silent()).taken
        (price,) = prices((front,), graph, costing)
        assert price.pace is not None
        assert price.pace.tolist() == [1000 * 4096, *(1000 * cost.macs for cost in front.costs)]

    def test_where_nobody_has_counted_flops_are_the_work(self, model: keras.Model) -> None:
        graph, blind = survey.graphs(model), Costing()
        (found,) = solutions(CANDIDATES, graph, blind)
        assert found.inference == InferenceCost() and found.work == found.cost.flops
