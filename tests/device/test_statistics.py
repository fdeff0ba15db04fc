"""Quantiles, ratios, and what counts as noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.device.statistics import ratio, times

LIVES = 5


def turns(seed: int, scale: float = 1.0) -> list[np.ndarray]:
    """Times around 10 us with a tail, of processes of which each is a per cent or so slower or faster than the next."""
    random = np.random.default_rng(seed)
    lives = np.repeat(random.lognormal(0, 0.01, LIVES), 4)
    return [(scale * life * 1e4 * random.lognormal(0, 0.1, 50)).astype(np.int64) for life in lives]


def test_quantiles_are_of_all_runs() -> None:
    found = times([np.arange(1, 51), np.arange(51, 102)])
    assert (found.count, found.median, found.p90, found.p99) == (101, 51, 91, 100)


@given(st.integers(0, 1000), st.sampled_from([2, 3, 10]))
def test_what_takes_a_multiple_is_found_so(seed: int, factor: int) -> None:
    own = turns(seed)
    found = ratio([factor * turn for turn in own], own, LIVES)
    np.testing.assert_allclose((found.value, found.low, found.high), factor)
    assert not found.noise


def test_the_same_twice_is_noise() -> None:
    own = turns(0)
    assert ratio(own, own, LIVES).noise


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Of 400 pairs without a difference 95 % should hold 1."""
    held = sum(ratio(turns(2 * k), turns(2 * k + 1), LIVES).noise for k in range(400))
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_tenth_is_not_noise(factor: float) -> None:
    found = ratio(turns(1, factor), turns(2), LIVES)
    assert not found.noise
    assert found.low < factor < found.high


def test_a_clock_that_falls_does_not_show() -> None:
    """Both become half as fast meanwhile: what takes turns sees the same."""
    slope = np.linspace(1, 2, 20)
    own, other = turns(3), turns(4)
    slow = [(turn * by).astype(np.int64) for turn, by in zip(own, slope, strict=True)]
    others = [(turn * by).astype(np.int64) for turn, by in zip(other, slope, strict=True)]
    np.testing.assert_allclose(ratio(slow, others, LIVES).value, ratio(own, other, LIVES).value, rtol=1e-2)
