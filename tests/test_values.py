"""The frozen values check themselves, and add up."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.forms.tt.shape import TTShape
from edgett.space.solution import Picks, Solution, Trial
from edgett.values import Cost, Layer, Mismatch, Quality, Score, Silent

COSTS = st.builds(Cost, *[st.integers(0, 10**30)] * 5)


@given(COSTS, COSTS, COSTS)
def test_costs_add_up_and_the_peak_is_the_larger(a: Cost, b: Cost, c: Cost) -> None:
    total = a + b

    for name in ("params", "flops", "moved_elements", "macs"):
        assert getattr(total, name) == getattr(a, name) + getattr(b, name)
    assert total.peak_elements == max(a.peak_elements, b.peak_elements)
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (-1, 4)])
def test_layer_needs_sizes(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="both sizes must be at least 1"):
        Layer("fc", *sizes)


def test_shape_knows_its_cores_matrix_and_name() -> None:
    shape = TTShape((4, 2), (3, 5), (1, 7, 1))

    assert shape.length == 2
    assert shape.cores == ((1, 4, 3, 7), (7, 2, 5, 1))
    assert shape.matrix == (8, 15)
    assert str(shape) == "4x2 -> 3x5, rank 7"


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (((8,), (15,), (1, 1)), "at least 2"),
        (((4, 2), (15,), (1, 2, 1)), "same number of factors"),
        (((4, 2), (3, 5), (1, 1)), "2 cores need 3 ranks"),
        (((4, 2), (3, 5), (2, 2, 1)), "the outer two 1"),
        (((4, 0), (3, 5), (1, 2, 1)), "must be at least 1"),
        (((4, 2), (3, 5), (1, 0, 1)), "must be at least 1"),
    ],
)
def test_shape_refuses_nonsense(parts: tuple[tuple[int, ...], ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TTShape(*parts)


def quality(*values: float, relative: bool = False, up: bool = True) -> Quality:
    return Quality(tuple(Score(f"out{i}", "metric", value, up, relative) for i, value in enumerate(values)))


@pytest.mark.parametrize(
    ("baseline", "other", "drop"),
    [
        (quality(0.9), quality(0.88), 2.0),
        (quality(0.9), quality(0.92), -2.0),
        (quality(0.9, 0.5), quality(0.9, 0.4), 10.0),  # the worst output decides
        (quality(0.9, 0.5), quality(0.1, 0.6), 80.0),
        (quality(4.0, relative=True, up=False), quality(5.0, relative=True, up=False), 25.0),
        (quality(-2.0, relative=True), quality(-3.0, relative=True), 50.0),
        (quality(0.0, relative=True, up=False), quality(0.5, relative=True, up=False), 50.0),
        (quality(0.9), quality(math.nan), math.inf),
        (quality(1.0, relative=True, up=False), quality(math.inf, relative=True, up=False), math.inf),
        (quality(0.9, 0.9), quality(math.nan, 0.9), math.inf),
        (quality(0.9, 0.9), quality(0.9, math.nan), math.inf),
    ],
)
def test_drop(baseline: Quality, other: Quality, drop: float) -> None:
    assert other.drop_from(baseline) == pytest.approx(drop)


def test_drop_refuses_scores_of_something_else() -> None:
    with pytest.raises(ValueError, match="different outputs"):
        quality(0.9).drop_from(Quality((Score("other", "metric", 0.9),)))
    with pytest.raises(ValueError, match="zip"):
        quality(0.9).drop_from(quality(0.9, 0.9))


def test_picks_are_named_with_the_recommended_first() -> None:
    trials = [Trial(Solution(n, {}, Cost(n, n), n), quality(0.5), 0.0, 1, 0, 0.1) for n in range(4)]

    named = Picks(*trials).named()

    assert list(named) == ["recommended", "highest_accuracy", "lowest_memory", "lowest_flops"]
    assert list(named.values()) == trials


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Layer("fc", 4, 4).inputs = 5  # type: ignore[misc]


def test_mismatch_tells_both_numbers() -> None:
    assert str(Mismatch("layer fc, parameters", 1200, 1300)) == "layer fc, parameters: predicted 1,200, found 1,300"


def test_silent_meter_draws_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    meter = Silent()
    with meter.stage("work", 3) as advance:
        advance(1)
    meter.say("done")

    assert capfd.readouterr() == ("", "")
