"""The predicted time: a sum that can be written down by hand, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.device import calibrate
from edgett.device.calibrate import ConvolutionProbe
from edgett.forms.convolution.cp import CP
from edgett.forms.cost import dense, held
from edgett.forms.site import Layer, parse_layer
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.latency import Speeds, latency_us, layers_us, steps_us
from edgett.search.explore import Costing, not_slower, solutions
from edgett.search.replaced import with_edits
from edgett.search.solution import Candidate
from tests.graph.test_graph import dense_step

SPEEDS = Speeds(
    start=100.0, operator=10.0, transpose=20.0, mac=1.0, columns=8, read=0.5, write=0.25, move=2.0, touch=3.0,
    streams=((1000, 0.125), (100_000, 0.5)), windows=((9, 4.0), (25, 3.0)),
)  # fmt: skip


def product(rows: int, inner: int, columns: int) -> Graph:
    weights = (Constant("kernel", inner * columns),)
    step = Step("l", "Dense", ("x",), ("y",), weights, None, rows * inner * columns)
    return Graph((step,), {"x": rows * inner, "y": rows * columns}, ("x",), ("y",))


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "filled", "stream"),
    [(1, 10, 16, 16, 0.125), (3, 10, 16, 16, 0.125), (3, 10, 9, 16, 0.125), (2, 5, 1, 8, 0.125), (1, 30, 40, 40, 0.5),
     (1, 300, 400, 400, 0.5)],
)  # fmt: skip
def test_a_product_by_hand(rows: int, inner: int, columns: int, filled: int, stream: float) -> None:
    """Weights of up to 1000 bytes come at 0.125 a byte, all larger ones at 0.5; columns in eights."""
    arithmetic = rows * inner * filled * 1.0
    ways = 4 * inner * columns * stream + 0.5 * rows * inner + 0.25 * rows * filled
    np.testing.assert_allclose(latency_us(product(rows, inner, columns), SPEEDS), 100 + 10 + arithmetic + ways)


@pytest.mark.parametrize(("side", "kernel", "inputs", "outputs"), [(5, (3, 3), 4, 12), (6, (1, 1), 10, 8)])
def test_a_convolution_is_a_product_of_what_its_window_sees(
    side: int, kernel: tuple[int, int], inputs: int, outputs: int
) -> None:
    found = latency_us(calibrate.graph(ConvolutionProbe(side, kernel, inputs, outputs)), SPEEDS)
    wide = product(side**2, math.prod(kernel) * inputs, outputs)
    np.testing.assert_allclose(found, latency_us(wide, SPEEDS))


@pytest.mark.parametrize(("kernel", "cost"), [((2, 2), 4), ((3, 3), 4), ((4, 3), 3), ((7, 7), 3)])
def test_a_window_for_each_channel_by_hand(kernel: tuple[int, int], cost: float) -> None:
    """5 channels take a register of 8; windows of up to 9 taps cost 4 a multiply-accumulate, all larger ones 3."""
    taps = math.prod(kernel)
    found = latency_us(calibrate.graph(ConvolutionProbe(5, kernel, 5)), SPEEDS)
    np.testing.assert_allclose(found, 100 + 10 + 0.125 * 4 * taps * 5 + 25 * 8 * (0.25 + cost * taps))


def test_numbers_of_a_byte_come_four_times_as_fast() -> None:
    small, large = (latency_us(product(1, 100, 80), SPEEDS, size) for size in (1, 4))
    assert large - small == 3 * 100 * 80 * 0.5


def test_what_else_there_is() -> None:
    steps = (
        Step("t", "Reshape", ("x",), ("a",)),
        Step("t", "Transpose", ("a",), ("b",)),
        Step("t", "Add", ("b", "c"), ("y",)),
    )
    graph = Graph(steps, dict.fromkeys("xabcy", 6), ("x", "c"), ("y",))
    assert steps_us(graph, SPEEDS) == [0.0, 20 + 2 * 6, 10 + 3 * 18]
    assert latency_us(graph, SPEEDS) == 100 + 32 + 64
    assert latency_us(Graph((), {}, (), ()), SPEEDS) == 100


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.sampled_from(["mac", "read", "write", "operator"]))
def test_layers_add_up_and_what_costs_more_takes_longer(rows: int, inner: int, columns: int, name: str) -> None:
    graph = product(rows, inner, columns)
    np.testing.assert_allclose(sum(layers_us(graph, SPEEDS).values()) + 100, latency_us(graph, SPEEDS))
    slower = replace(SPEEDS, **{name: 2 * getattr(SPEEDS, name)})
    assert latency_us(graph, slower) > latency_us(graph, SPEEDS)


LAYER = Layer("fc", 64, 64)
SHAPE = TTShape((8, 8), (8, 8), (1, 2, 1))
DENSE = Graph((dense_step("fc", LAYER, "x", "y", 1),), {"x": 64, "y": 64}, ("x",), ("y",))


def graph(_: frozenset[str]) -> Graph:
    return DENSE


FAST, SLOW = replace(SPEEDS, transpose=0.0), replace(SPEEDS, transpose=1e6)


class TestNotSlower:
    def test_a_layer_that_would_be_slower_stays_dense(self) -> None:
        """A transpose is what a TT layer has and a dense one has not."""
        candidates = [Candidate({"fc": SHAPE})]
        assert not_slower(candidates, graph, Costing(speeds=FAST)) == (tuple(candidates), {})
        assert not_slower(candidates, graph, Costing(speeds=SLOW)) == ((), {"fc": 1})

    def test_a_window_that_no_kernel_is_made_for(self) -> None:
        """A depthwise 7x7 has fewer MACs than a dense one, and takes longer where each takes twenty times as long."""
        site = parse_layer("7x7x16x16@8x8")
        one = calibrate.graph(ConvolutionProbe(8, (7, 7), 16, 16))
        spec = CP(Window((7, 7), (8, 8)), 16, 16, 64)
        assert held(site, spec).macs < dense(site).macs
        candidates = [Candidate({"w": spec})]
        for cost, kept in ((SPEEDS.mac, tuple(candidates)), (20 * SPEEDS.mac, ())):
            speeds = replace(SPEEDS, windows=((9, SPEEDS.mac), (49, cost)))
            assert not_slower(candidates, lambda _: one, Costing(speeds=speeds))[0] == kept

    def test_on_a_target_that_nobody_measured_all_stay(self) -> None:
        candidates = [Candidate({"fc": SHAPE})]
        assert not_slower(candidates, graph, Costing()) == (tuple(candidates), {})

    def test_others_of_the_model_stay_in_tt_form_each_once(self) -> None:
        steps = (dense_step("fc", LAYER, "x", "h", 1), dense_step("wide", Layer("wide", 64, 4096), "h", "y", 1))
        two = Graph(steps, {"x": 64, "h": 64, "y": 4096}, ("x",), ("y",))
        wide = TTShape((8, 8), (64, 64), (1, 2, 1))
        speeds = replace(SPEEDS, transpose=2e4)
        candidates = [
            Candidate({"fc": SHAPE, "wide": wide}),
            Candidate({"fc": replace(SHAPE, ranks=(1, 1, 1)), "wide": wide}),
            Candidate({"fc": SHAPE}),
        ]
        kept, slower = not_slower(candidates, lambda _: two, Costing(speeds=speeds))
        assert kept == (Candidate({"wide": wide}),)
        assert slower == {"fc": 3}

    def test_solutions_know_their_time(self) -> None:
        (found,) = solutions([Candidate({"fc": SHAPE})], graph, Costing(speeds=FAST))
        assert found.inference.us == latency_us(with_edits(DENSE, found.edits), FAST)
        assert found.work == found.inference.us
        (unknown,) = solutions([Candidate({"fc": SHAPE})], graph)
        assert unknown.inference.us is None
        assert unknown.work == unknown.cost.flops
