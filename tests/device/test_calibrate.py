"""Calibration: planted speeds are found again, and times that make no sense are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.device.calibrate import (
    COLUMNS,
    LEVELS,
    PROBES,
    TAPS,
    ConvolutionProbe,
    FormProbe,
    Probe,
    ProductProbe,
    _filled,
    fitted,
    graph,
)
from edgett.errors import ToolError
from edgett.forms.tt.shape import TTShape
from edgett.graph.latency import Speeds, latency_us

PLANTED = Speeds(
    start=0.7, operator=0.03, transpose=0.1, mac=1.6e-5, columns=8, read=1.5e-4, write=1e-4, move=3e-4, touch=7e-5,
    streams=tuple(zip(LEVELS, (1.2e-5, 1.5e-5, 1.5e-5, 2e-5, 5e-5), strict=True)),
    windows=tuple(zip(TAPS, (3e-4, 2.5e-4, 2e-4, 2.2e-4, 1e-4, 8e-4), strict=True)),
)  # fmt: skip
OTHERS: tuple[Probe, ...] = (
    FormProbe(TTShape((28, 28), (15, 20), (1, 8, 1))),
    FormProbe(TTShape((4, 4, 4), (4, 5, 5), (1, 6, 6, 1))),
    ProductProbe(1, 784, 300),
    ProductProbe(7, 33, 21),
    ConvolutionProbe(10, (3, 3), 24, 40),
    ConvolutionProbe(12, (5, 1), 20),
    ConvolutionProbe(7, (9, 9), 12),
)


def times(speeds: Speeds, size: int = 4, noise: float = 0.0, *, turned: bool = False) -> Mapping[Probe, float]:
    random = np.random.default_rng(0)
    graphs = {probe: graph(probe, channels_first=turned) for probe in PROBES}
    return {probe: latency_us(one, speeds, size) * random.lognormal(0, noise) for probe, one in graphs.items()}


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("turned", [False, True], ids=["tflite", "onnx"])
@pytest.mark.parametrize("columns", [1, 8, 32])
def test_planted_speeds_are_found_again(columns: int, turned: bool, size: int) -> None:
    planted = replace(PLANTED, columns=columns)
    found = fitted(times(planted, size, turned=turned), size, channels_first=turned)
    assert found.speeds.columns == columns
    assert found.p90 < 1e-6
    for probe in OTHERS:
        np.testing.assert_allclose(
            latency_us(graph(probe), found.speeds, size), latency_us(graph(probe), planted, size), rtol=1e-3
        )


@pytest.mark.slow
@settings(max_examples=20)
@given(st.sampled_from(COLUMNS), st.lists(st.floats(0.2, 5), min_size=8, max_size=8))
def test_whatever_was_planted(columns: int, factors: list[float]) -> None:
    names = ("start", "operator", "transpose", "mac", "read", "write", "move", "touch")
    changed = {name: factor * getattr(PLANTED, name) for name, factor in zip(names, factors, strict=True)}
    found = fitted(times(replace(PLANTED, columns=columns, **changed)))
    assert found.median < 1e-6


def test_noise_does_little() -> None:
    found = fitted(times(PLANTED, noise=0.05))
    assert found.median < 0.08
    for probe in OTHERS:
        guess, truth = latency_us(graph(probe), found.speeds), latency_us(graph(probe), PLANTED)
        np.testing.assert_allclose(guess, truth, rtol=0.15)


def test_nothing_costs_less_than_nothing() -> None:
    speeds = fitted(times(replace(PLANTED, touch=0.0, move=0.0), noise=0.1)).speeds
    assert min(speeds.start, speeds.operator, speeds.transpose, speeds.read, speeds.write, speeds.move) >= 0
    costs = [cost for _, cost in speeds.streams]
    assert costs == sorted(costs)


@pytest.mark.parametrize(
    ("costs", "wanted"),
    [([3.0, 0.0, 0.0, 2.0, 0.0], [3.0, 2.0, 2.0, 2.0, 2.0]), ([0.0, 0.0], [7.0, 7.0]), ([1.0, 2.0], [1.0, 2.0])],
)
def test_a_window_that_noise_made_free_costs_what_its_neighbour_does(costs: list[float], wanted: list[float]) -> None:
    assert _filled(costs, 7.0) == wanted


def test_no_window_is_free() -> None:
    none = replace(PLANTED, windows=tuple((taps, 0.0) for taps in TAPS))
    assert min(cost for _, cost in fitted(times(none)).speeds.windows) > 0


def test_a_unit_for_matrices_hides_the_arithmetic() -> None:
    """As int8 on AMX: 64 columns at once, and no time but that of reading and writing."""
    planted = replace(PLANTED, mac=0.0, columns=64)
    found = fitted(times(planted, 1, noise=0.03), 1)
    assert found.speeds.columns == 64
    assert found.speeds.mac < 0.01 * PLANTED.mac
    assert found.median < 0.05


def test_times_that_make_no_sense() -> None:
    with pytest.raises(ToolError, match="make no sense"):
        fitted({probe: 1e9 / (1 + latency_us(graph(probe), PLANTED)) for probe in PROBES})


def test_probes_are_what_they_say() -> None:
    """From the smallest products of TT layers to the largest dense layers; each once."""
    assert len(set(PROBES)) == len(PROBES)
    products = [probe for probe in PROBES if isinstance(probe, ProductProbe)]
    assert {probe.rows for probe in products} >= {1, 4, 64}
    assert max(4 * probe.inner * probe.columns for probe in products) == 4 * 4096**2
    alone = {math.prod(probe.kernel) for probe in PROBES if isinstance(probe, ConvolutionProbe) and not probe.outputs}
    assert alone == set(TAPS)
    lengths = {probe.spec.length for probe in PROBES if isinstance(probe, FormProbe)}
    assert lengths >= {2, 3, 5}
