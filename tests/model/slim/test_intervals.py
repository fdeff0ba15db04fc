"""Intervals hold whatever is inside them, and tell constants exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.model.slim.intervals import Intervals, unknown

ENDS = st.floats(-8, 8, width=16)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def intervals(draw: st.DrawFn, channels: int = 3) -> Intervals:
    """Some of them constant, some without an end."""
    pairs = [sorted((draw(ENDS), draw(st.one_of(ENDS, st.just(np.inf))))) for _ in range(channels)]
    constant = [draw(st.booleans()) for _ in range(channels)]
    low = np.array([pair[0] for pair in pairs])
    return Intervals(low, np.where(constant, low, [pair[1] for pair in pairs]))


def inside(bounds: Intervals, random: np.random.Generator, count: int = 40) -> np.ndarray:
    """Samples (count, channels) between the ends, which are among them."""
    low, high = bounds.low, np.where(np.isfinite(bounds.high), bounds.high, bounds.low + 1e3)
    shares = np.concatenate([np.zeros((1, len(low))), np.ones((1, len(low))), random.random((count, len(low)))])
    return low + shares * (high - low)


def holds(bounds: Intervals, values: np.ndarray) -> None:
    assert (values >= bounds.low - 1e-9).all() and (values <= bounds.high + 1e-9).all()


@given(intervals(), SEEDS)
def test_a_product_is_inside(read: Intervals, seed: int) -> None:
    random = np.random.default_rng(seed)
    kernel, bias = random.normal(size=(3, 4)) * (random.random((3, 4)) < 0.6), random.normal(size=4)
    made = read.product(kernel, bias)
    holds(made, inside(read, random) @ kernel + bias)
    steady = ((kernel == 0) | read.constant[:, None]).all(0)
    np.testing.assert_array_equal(made.constant, steady)


@given(intervals(), SEEDS)
def test_a_product_of_float32_stays_below_zero_where_it_is_said_to(read: Intervals, seed: int) -> None:
    random = np.random.default_rng(seed)
    kernel = (random.normal(size=(3, 200)) * 10.0 ** random.integers(-3, 4, (3, 200))).astype(np.float32)
    bias = random.normal(size=200).astype(np.float32)
    made = read.product(kernel.astype(np.float64), bias.astype(np.float64))
    values = inside(read, random).astype(np.float32) @ kernel + bias
    assert (values[:, made.high <= 0] <= 0).all() and (values[:, made.low >= 0] >= 0).all()


@given(intervals(), SEEDS)
def test_a_scale_and_a_window_are_products_of_each_channel(read: Intervals, seed: int) -> None:
    random = np.random.default_rng(seed)
    scale, shift = random.normal(size=3), random.normal(size=3)
    one, other = read.scaled(scale, shift), read.product(np.diag(scale), shift)
    np.testing.assert_allclose([one.low, one.high], [other.low, other.high])
    taps = random.normal(size=(9, 3))
    made = read.windowed(taps, shift)
    every = np.stack([inside(read, random) for _ in range(9)], 1)  # (samples, taps, channels)
    holds(made, (every * taps).sum(1) + shift)


def test_zeros_round_a_channel_are_values_of_it() -> None:
    padded = Intervals(np.array([1.0, -2.0, 0.0]), np.array([3.0, -1.0, 0.0])).with_zero()
    assert (padded.low.tolist(), padded.high.tolist()) == ([0, -2, 0], [3, 0, 0])
    assert padded.constant.tolist() == [False, False, True]


def test_nothing_is_known_and_nothing_times_zero_is_zero() -> None:
    made = unknown(2).product(np.zeros((2, 2)), np.array([0.5, 0.0]))
    assert made.constant.all() and made.low.tolist() == [0.5, 0.0]


def test_ends_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no interval"):
        Intervals(np.array([1.0]), np.array([0.0]))
