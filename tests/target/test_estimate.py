"""Latencies estimated from facts: by hand, in order of size, told as what they are, and without any say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgett.device.calibrate import ConvolutionProbe, FormProbe, ProductProbe, graph
from edgett.forms.tt.shape import TTShape
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.latency import latency_us
from edgett.search.explore import Costing, not_slower, solutions, spread_out
from edgett.search.solution import Candidate, InferenceCost
from edgett.target.estimate import CACHE, MOVE, NUMBER, OPERATOR, START, TRANSPOSE, basis, estimate, unfit
from edgett.target.places import shipped_folder
from edgett.target.profile import Fact, Target, load_profile, load_target, with_dtype
from edgett.target.speeds import toml
from edgett.workflow import calibrate, profile_file
from tests.conftest import EASY, Answer, Tiny
from tests.device.test_calibrate import PLANTED
from tests.graph import test_latency as one_layer

Call = Callable[..., Answer]
SHIPPED = sorted(path.stem for path in shipped_folder().glob("*.toml"))
SMALL, MIDDLE, LARGE = ProductProbe(1, 64, 64), ProductProbe(1, 256, 256), ProductProbe(1, 1024, 1024)
"""16 KiB, 256 KiB and 4 MiB of float32."""


def with_compute(target: Target, **facts: object) -> Target:
    return target.model_copy(update={"compute": target.compute.model_copy(update=facts)})


def test_by_hand() -> None:
    """A Cortex-A53 at 1200 MHz: 2.777 multiply-accumulates a cycle as measured; 32 KiB, 512 KiB, then 2.2 GB/s."""
    cycle = 1 / 1200
    for product, stream in ((SMALL, 0.0), (MIDDLE, cycle / CACHE), (LARGE, 1e6 / 2.2e9)):
        count = product.inner * product.columns
        numbers = NUMBER * (product.inner + product.columns)
        wanted = cycle * (START + OPERATOR + count / 2.777 + numbers) + 4 * count * stream
        found = latency_us(graph(product), estimate(load_target("cortex-a53")))
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_transposes_by_hand() -> None:
    train = FormProbe(TTShape((8, 8), (8, 8), (1, 4, 1)))
    speeds = estimate(load_target("cortex-a53"))
    moved = [step for step in graph(train).steps if step.operator == "Transpose"]
    assert moved
    numbers = sum(graph(train).sizes[step.writes[0]] for step in moved)
    less = latency_us(graph(train), replace(speeds, transpose=0.0, move=0.0))
    wanted = (len(moved) * TRANSPOSE + numbers * MOVE) / 1200
    np.testing.assert_allclose(latency_us(graph(train), speeds) - less, wanted)


def test_a_depthwise_convolution_by_hand() -> None:
    """Twice the arithmetic of a product of as many multiply-accumulates, and its numbers."""
    speeds = estimate(load_target("cortex-a53"))
    channels = speeds.columns * 2
    found = latency_us(graph(ConvolutionProbe(8, (3, 3), channels)), replace(speeds, streams=((1 << 30, 0.0),)))
    arithmetic = 2 * 64 * 9 * channels / 2.777 / 1200
    wanted = (START + OPERATOR + NUMBER * 64 * channels) / 1200 + arithmetic
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_profile_has_one(name: str) -> None:
    target = load_target(name)
    assert target.speeds is None
    speeds = estimate(target)
    small, middle, large = (latency_us(graph(one), speeds, target.runtime.dtype.size) for one in (SMALL, MIDDLE, LARGE))
    assert 0 < small < middle < large < 1e8
    costs = [cost for _, cost in speeds.streams]
    assert costs == sorted(costs)
    if target.rates is not None:
        (words,) = basis(target)
        assert "[instructions] table" in words and "no budget" in words
        return
    (words,) = [line for line in basis(target) if "only estimated" in line]
    assert "compute.clock" in words and "No budget" in words
    assert any("compute.l1d is not set" in line for line in basis(target)) == (target.compute.l1d is None)


def test_facts_that_count() -> None:
    target = load_target("cortex-a72")
    quick = with_compute(target, clock=Fact[int](value=3_000_000_000, estimate=True))
    wide = with_compute(target, bandwidth=Fact[int](value=target.compute.bandwidth.value * 2, estimate=True))
    threads = target.model_copy(update={"runtime": target.runtime.model_copy(update={"threads": 4})})
    plain = target.model_copy(update={"runtime": target.runtime.model_copy(update={"format": Format.C})})
    small, large = (latency_us(graph(one), estimate(target)) for one in (SMALL, LARGE))
    assert latency_us(graph(SMALL), estimate(quick)) == pytest.approx(small / 2)
    assert latency_us(graph(SMALL), estimate(wide)) == small
    assert latency_us(graph(LARGE), estimate(wide)) < large
    assert latency_us(graph(SMALL), estimate(threads)) < small
    assert small - latency_us(graph(SMALL), estimate(plain)) == pytest.approx((START + OPERATOR) / 1500)
    narrow = with_dtype(target, DType.INT8)
    assert latency_us(graph(LARGE), estimate(narrow), 1) < large / 2
    assert "macs_per_cycle.int8" in " ".join(basis(narrow))


def test_it_decides_nothing() -> None:
    """A guess by which TT would be a million times as slow leaves every candidate and its place where they were."""
    slow = replace(PLANTED, transpose=1e9)
    guessing, blind = Costing(estimate=slow), Costing()
    candidates = [Candidate({"fc": replace(one_layer.SHAPE, ranks=(1, rank, 1))}) for rank in (1, 2, 3)]
    assert not_slower(candidates, one_layer.graph, guessing) == (tuple(candidates), {})
    found, plain = (solutions(candidates, one_layer.graph, costing) for costing in (guessing, blind))
    assert all(item.inference.us is None and item.inference.estimate_us is not None for item in found)
    assert [item.work for item in found] == [item.work for item in plain]
    assert [replace(item, inference=InferenceCost()) for item in spread_out(found, None)] == list(
        spread_out(plain, None)
    )


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A profile whose table was measured with something else than it runs."""
    path = tmp_path / "mine.toml"
    text = calibrate._placed(profile_file.text_of("host"), here=False)
    profile_file.write(path, text, profile_file.LATENCY, toml(PLANTED, "somewhere", DType.INT8, 2))
    return path


class TestTold:
    def test_of_a_table_of_something_else(self, other: Path) -> None:
        words = "The [latency] table of mine is of int8 on 2 threads, and is not used for float32 on 1 thread."
        assert unfit(load_profile(other)) == words
        assert next(iter(basis(load_profile(other)))) == words
        (measured,) = basis(with_dtype(load_profile(other), DType.INT8).model_copy(
            update={"runtime": load_profile(other).runtime.model_copy(update={"dtype": DType.INT8, "threads": 2})}
        ))  # fmt: skip
        assert "which was measured" in measured

    def test_by_targets_show(self, edgett: Call, other: Path) -> None:
        assert "only estimated" in edgett("targets", "show", "cortex-a53", "--json").document["latency"]
        said = " ".join(edgett("targets", "check", other).out.split())
        assert "is not used for float32 on 1 thread" in said and "only estimated, from compute.clock" in said

    @pytest.mark.slow
    def test_by_a_run(self, edgett: Call, tiny: Tiny, other: Path) -> None:
        """The limit of a profile stays unchecked, whatever the guess says."""
        other.write_text(other.read_text().replace("[budget]", "[budget]\nlatency_ms = 1e-9"))
        found = edgett("compress", *tiny.arguments, *EASY, "--target", other, "--json")
        assert found.code == 0, found.err
        assert found.err.count("is not used for float32 on 1 thread") == 1
        (held,) = (item for item in found.document["constraints"] if item["name"] == "latency_ms")
        assert (held["holds"], held["value"]) == (None, None)
        for model in (found.document["baseline"], *found.document["trials"]):
            assert model["latency_ms"] is None and model["latency_estimate_ms"] > 0


@pytest.mark.slow
def test_an_impossible_latency_is_told_with_its_digits(
    edgett: Call, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    text = calibrate._placed(profile_file.text_of("host"), here=False)
    profile_file.write(
        path, text, profile_file.LATENCY, toml(replace(PLANTED, mac=0.01), "somewhere", DType.FLOAT32, 1)
    )
    found = edgett("compress", *tiny.arguments, *EASY, "--target", path, "--latency-ms", 1e-6)
    assert found.code == 4
    assert "latency_ms binds" in found.err and "1e-06" in found.out and "--epochs" not in found.err
