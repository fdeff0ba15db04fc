"""Layers and costs check themselves, and add up."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.errors import UsageError
from edgett.forms.site import MOST_PIXELS, Cost, Layer, parse_layer
from edgett.forms.window import Padding, Window

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


def test_they_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Layer("fc", 4, 4).inputs = 5  # type: ignore[misc]


def test_a_layer_as_written() -> None:
    assert parse_layer("4096x1000") == Layer("4096x1000", 4096, 1000, bias=True)


def test_a_convolution_as_written() -> None:
    window = Window((3, 5), (8, 6), padding=Padding.SAME)
    name = "3x5x64x32@8x6"
    assert parse_layer(name) == Layer(name, 15 * 64, 32, bias=True, positions=48, window=window)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 99), st.integers(1, 99))
def test_a_size_is_read_as_it_is_written(rows: int, columns: int, inputs: int, outputs: int) -> None:
    window = Window((rows, columns), (5, 1 + columns))
    for layer in (
        Layer("a", inputs, outputs),
        Layer("a", rows * columns * inputs, outputs, positions=window.positions, window=window),
    ):
        assert parse_layer(layer.size) == dataclasses.replace(layer, name=layer.size)


@pytest.mark.parametrize(
    ("text", "message", "cure"),
    [
        ("4096", "two whole numbers", "3x3x64x64@8x8"),
        ("4096X10", "two whole numbers", "4096x1000"),
        ("4x-4", "two whole numbers", "4096x1000"),
        ("٤x٤", "two whole numbers", "4096x1000"),
        ("0x4", "a size of 0, below 1", "4096x1000"),
        ("9" * 5000 + "x4", "a size of 5000 digits, and 268435456 weights", "4096x1000"),
        ("3x3x64x64", "a convolution without its image", "3x3x64x64@8x8"),
        ("3x3x64@8x8", "no convolution", "3x3x64x64@8x8"),
        ("3x3x64x64@8", "no convolution", "3x3x64x64@8x8"),
        ("3x3x64x64@8x8x8", "no convolution", "3x3x64x64@8x8"),
        ("3x3x0x64@8x8", "a size of 0, below 1", "3x3x64x64@8x8"),
        ("3x3x64x64@0x8", "a size of 0, below 1", "3x3x64x64@8x8"),
        ("3x3x64x64@8192x8192", f"67108864 pixels, more than the {MOST_PIXELS}", "Give the image"),
        ("3x4x64x64@2x2", "a window of 4 columns over an image of 2: beyond 3", "at most 3 columns"),
        ("3x3x64x64@1x9", "a window of 3 rows over an image of 1: beyond 1", "at most 1 rows"),
    ],
)
def test_a_layer_that_cannot_be_read(text: str, message: str, cure: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_layer(text)
    assert cure in caught.value.cure and len(caught.value.message) < 250
