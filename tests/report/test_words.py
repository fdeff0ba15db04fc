"""How reports word numbers and places."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.report.words import apart, digits, duration, place, size


@pytest.mark.parametrize(
    ("number", "many", "words"),
    [
        (0.9999, 3, "1"),
        (999.7, 3, "1,000"),
        (12345.6, 4, "12,350"),
        (0.00012345, 3, "0.000123"),
        (1e7, 3, "10,000,000"),
    ],
)
def test_digits(number: float, many: int, words: str) -> None:
    assert digits(number, many) == words


@given(st.floats(1e-4, 1e15), st.integers(3, 8))
def test_no_power_of_ten_and_as_near_as_the_digits_say(number: float, many: int) -> None:
    words = digits(number, many)
    assert re.fullmatch(r"[\d,.]+", words)
    assert abs(float(words.replace(",", "")) - number) <= 0.5001 * 10 ** (1 - many) * number * 10


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1 KB"), (1234, "1.23 KB"), (999_499, "999 KB"), (999_500, "1 MB"),
     (999_999_999, "1 GB"), (2.5e12, "2,500 GB")],
)  # fmt: skip
def test_sizes(number: float, words: str) -> None:
    assert size(number) == words


@pytest.mark.parametrize(
    ("microseconds", "words"), [(0.5, "0.5 us"), (999.7, "1 ms"), (12_345, "12.3 ms"), (2.5e9, "2,500 s")]
)
def test_durations(microseconds: float, words: str) -> None:
    assert duration(microseconds) == words


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_two_numbers_are_told_apart(one: float, other: float) -> None:
    many = apart(one, other)
    assert many == 17 or digits(one, many) != digits(other, many)


def test_a_little_over_the_limit() -> None:
    assert apart(1.5, 1.5004) == 5


def test_a_place_is_no_option() -> None:
    assert (place("-dash"), place("runs/x")) == ("./-dash", "runs/x")
