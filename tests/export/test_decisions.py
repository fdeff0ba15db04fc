"""What outputs decide, and when agreement is no better than chance."""

import numpy as np
import pytest

from edgett.export.decisions import FEW, Decision

RANDOM = np.random.default_rng(0)


def one_hot(classes: np.ndarray, count: int = 10) -> np.ndarray:
    return np.eye(count, dtype=np.float32)[classes]


def test_a_class_is_the_largest_value_and_yes_is_above_a_threshold() -> None:
    outputs = np.array([[0.2, 0.7, 0.1], [-3.0, -2.0, 0.6]])
    np.testing.assert_array_equal(Decision.TOP.of(outputs), [1, 2])
    np.testing.assert_array_equal(Decision.HALF.of(outputs), [[0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(Decision.SIGN.of(outputs), [[1, 1, 1], [0, 0, 1]])


def test_chance_is_the_commonest_class_and_the_commoner_of_yes_and_no() -> None:
    assert Decision.TOP.chance(one_hot(np.array([0, 0, 0, 1, 2]))) == pytest.approx(0.6)
    yes = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert Decision.HALF.chance(yes) == pytest.approx((0.75 + 0.75) / 2)


def test_always_saying_the_commonest_class_is_blind() -> None:
    expected = one_hot(RANDOM.choice(10, 256, p=[0.28] + [0.08] * 9))
    commonest = np.bincount(expected.argmax(1)).argmax()
    assert Decision.TOP.blind(expected, one_hot(np.full(256, commonest)))
    assert Decision.TOP.blind(expected, one_hot(RANDOM.permutation(expected.argmax(1))))
    assert not Decision.TOP.blind(expected, expected)
    half = np.where((np.arange(256) % 2)[:, None] == 0, expected, one_hot(np.full(256, commonest)))
    assert not Decision.TOP.blind(expected, half)


def test_a_detector_that_never_fires_is_blind_and_a_rare_slip_is_not() -> None:
    """1.5 % of the samples are positive: 98.5 % agreement is nothing."""
    expected = (np.arange(1000) % 66 == 0).astype(np.float32)[:, None]
    never = np.zeros_like(expected)
    assert Decision.HALF.agreement(expected, never) > 0.98
    assert Decision.HALF.blind(expected, never)
    assert not Decision.HALF.blind(expected, expected)
    few = expected[:200]  # four positives
    assert few.sum() < FEW
    assert not Decision.HALF.blind(few, never[:200])


def test_samples_of_one_class_are_agreed_on_or_not() -> None:
    expected = one_hot(np.zeros(64, int))
    assert not Decision.TOP.blind(expected, expected)
    assert Decision.TOP.blind(expected, one_hot(np.ones(64, int)))
    assert Decision.TOP.blind(expected[:2], one_hot(np.ones(2, int)))


def test_an_unknown_model_decides_where_its_rows_are_distributions() -> None:
    chances = RANDOM.dirichlet(np.ones(5), 20)
    assert Decision.seen(chances) is Decision.TOP
    assert Decision.seen(np.round(chances * 256) / 256) is Decision.TOP
    assert Decision.seen(np.log(chances)) is None
    assert Decision.seen(chances * 2) is None
    assert Decision.seen(chances[:, :1]) is None
    assert Decision.seen(chances[:, 0]) is None
