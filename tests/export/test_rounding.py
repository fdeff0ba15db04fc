"""Weights rounded together, against those rounded each to the nearest, on the inputs themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.export.rounding import MOST, rounded, scales

Floats = NDArray[np.float64]


def problem(seed: int, rows: int, size: int, columns: int, shared: float) -> tuple[Floats, Floats]:
    """Inputs (rows, size) of which a share is common to all, and a weight (size, columns)."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, size)) + shared * random.normal(size=(rows, 1))
    return inputs, random.normal(size=(size, columns)) * np.exp(random.normal(size=(size, 1)))


def moment(inputs: Floats) -> Floats:
    found: Floats = inputs.T @ inputs / len(inputs)
    return found


def lost(inputs: Floats, made: NDArray[np.floating], weight: Floats, noise: float = 0.0) -> Floats:
    """By the outputs themselves; the noise of inputs adds what the weights make of it."""
    found: Floats = np.square(inputs @ (made - weight)).mean(axis=0) + noise * np.square(made).sum(axis=0)
    return found


def nearest(weight: Floats, *, apart: bool = True) -> Floats:
    largest = np.abs(weight).max(axis=0 if apart else None)
    found: Floats = np.rint(weight / largest * MOST) * largest / MOST
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(2, 24), st.integers(1, 6), st.floats(0.0, 5.0), st.sampled_from([0, 1e-3, 1.0]),
    st.booleans(),
)  # fmt: skip
def test_whatever_the_inputs(seed: int, size: int, columns: int, shared: float, noise: float, apart: bool) -> None:
    inputs, weight = problem(seed, 8 * size, size, columns, shared)
    found = rounded(weight, moment(inputs), noise, apart=apart)
    # Whoever takes the scale from their largest finds them rounded.
    steps = found / scales(found, apart=apart)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert np.abs(steps).max() <= MOST + 1e-3
    mine, other = (lost(inputs, made, weight, noise) for made in (found, nearest(weight, apart=apart)))
    small = 1e-4 * other.sum() + 1e-8
    assert (mine <= other + small).all() if apart else mine.sum() <= other.sum() + small


def test_inputs_that_go_along_make_up_for_each_other() -> None:
    inputs, weight = problem(1, 4000, 32, 16, shared=4.0)
    found = rounded(weight, moment(inputs), 0.0, apart=True)
    assert lost(inputs, found, weight).sum() < 0.25 * lost(inputs, nearest(weight), weight).sum()
    # The same on inputs that nobody has looked at.
    others = problem(2, 4000, 32, 16, shared=4.0)[0]
    assert lost(others, found, weight).sum() < 0.3 * lost(others, nearest(weight), weight).sum()


def test_large_weights_that_cancel_out_are_not_left_to_make_noise_larger() -> None:
    """Two inputs that are nearly the same, and a large weight of each: their difference is hardly there."""
    random = np.random.default_rng(0)
    one = random.normal(size=(4000, 1))
    inputs = np.hstack([one, one + 0.01 * random.normal(size=(4000, 1))])
    weight = np.array([[50.0], [-49.0]])
    found = rounded(weight, moment(inputs), 0.01, apart=True)
    noisy = inputs + 0.1 * random.normal(size=inputs.shape)
    mine, other = (np.square(noisy @ made - inputs @ weight).mean() for made in (found, nearest(weight)))
    assert mine < 0.05 * other
    assert np.square(found).sum() < 0.05 * np.square(weight).sum()


def test_inputs_that_do_not_go_along_are_rounded_to_the_nearest() -> None:
    _, weight = problem(3, 8, 12, 5, shared=0.0)
    found = rounded(weight, 4.0 * np.eye(12), 0.0, apart=True)
    steps = found / scales(found, apart=True)
    np.testing.assert_array_equal(np.rint(steps), np.rint(weight / scales(weight, apart=True)))


def test_a_small_one_is_near_the_best_there_is() -> None:
    """Against every choice between the two neighbours of each weight."""
    inputs, weight = problem(4, 200, 8, 1, shared=3.0)
    scale = scales(weight, apart=True)
    down = np.floor(weight / scale)
    every = (down + np.array(up)[:, None] for up in itertools.product((0, 1), repeat=8))
    best = min(float(lost(inputs, steps * scale, weight)[0]) for steps in every)
    found = float(lost(inputs, rounded(weight, moment(inputs), 0.0, apart=True), weight)[0])
    plain = float(lost(inputs, nearest(weight), weight)[0])
    assert found < plain and found - best < 0.5 * (plain - best)


@pytest.mark.parametrize("apart", [True, False])
def test_inputs_of_nothing_and_of_no_number_round_to_the_nearest(apart: bool) -> None:
    _, weight = problem(5, 8, 6, 3, shared=0.0)
    weight[:, 1] = 0.0
    for seen, noise in ((np.zeros((6, 6)), 0.0), (np.full((6, 6), np.nan), 0.0), (np.eye(6), np.inf)):
        found = rounded(weight, seen, noise, apart=apart)
        np.testing.assert_allclose(found[:, [0, 2]], nearest(weight[:, [0, 2]], apart=apart), rtol=1e-6)
        assert not found[:, 1].any()
