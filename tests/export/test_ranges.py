"""The range of a tensor, against the error of int8 counted number by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.export.ranges import ENOUGH, STEPS, Histogram


def filled(numbers: NDArray[np.floating]) -> Histogram:
    histogram = Histogram(float(numbers.min()), float(numbers.max()))
    histogram.add(numbers)
    return histogram


def error(numbers: NDArray[np.floating], low: float, high: float) -> float:
    """The mean square of what int8 makes of them, rounded one by one."""
    step = (high - low) / STEPS
    zero = np.rint(low / step)
    return float(np.mean((np.clip(np.rint(numbers / step), zero, zero + STEPS) * step - numbers) ** 2))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(1.0, 6.0), st.booleans())
def test_int8_is_never_worse_for_it(seed: int, power: float, positive: bool) -> None:
    """By the histogram's bars it may be off a little."""
    numbers = np.random.default_rng(seed).normal(size=4 * ENOUGH)
    numbers = np.sign(numbers) * np.abs(numbers) ** power
    numbers = np.abs(numbers) if positive else numbers
    histogram = filled(numbers)
    low, high = histogram.narrowed()
    assert histogram.low <= low <= 0 <= high <= histogram.high
    assert low == 0 if positive else low < 0
    whole = error(numbers, histogram.low, histogram.high)
    assert error(numbers, low, high) <= 1.02 * whole


def test_it_is_the_best_of_those_that_were_tried() -> None:
    numbers = np.random.default_rng(0).standard_t(3, size=2 * ENOUGH)
    histogram = filled(numbers)
    found = error(numbers, *histogram.narrowed())
    shares = np.linspace(0.1, 1.0, 31)
    best = min(error(numbers, low * histogram.low, high * histogram.high) for low in shares for high in shares)
    assert found < 1.05 * best < 0.95 * error(numbers, histogram.low, histogram.high)


@pytest.mark.parametrize("numbers", [np.zeros(2 * ENOUGH), np.array([-1.0, 100.0]), np.full(2 * ENOUGH, 3.0)])
def test_few_or_equal_numbers_keep_the_range(numbers: NDArray[np.floating]) -> None:
    assert filled(numbers).narrowed() == (min(numbers.min(), 0.0), max(numbers.max(), 0.0))


@pytest.mark.parametrize(("low", "high"), [(-1.0, np.inf), (-np.inf, 1.0)])
def test_a_range_without_end_stays(low: float, high: float) -> None:
    histogram = Histogram(low, high)
    histogram.add(np.full(2 * ENOUGH, 0.5))
    assert histogram.narrowed() == (low, high)


def test_a_tensor_that_was_never_seen_keeps_its_range() -> None:
    assert Histogram(-2.0, 5.0).narrowed() == (-2.0, 5.0)
