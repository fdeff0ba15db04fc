"""Layers and costs check themselves, and add up."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.forms.site import Cost, Layer

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
