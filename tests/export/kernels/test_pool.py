"""Pools in int8 against exact whole numbers, in float32 against float64: windows of all kinds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.export.kernels.harness import Case, bits, ran
from tests.export.kernels.test_convolution import MANY, SEED, WAYS, Window


def pooled(w: Window, padded: bool) -> Window:
    """The same window over as many channels, its padding narrower than it is, or none."""
    before, behind = (
        tuple(min(size, tap - 1) if padded else 0 for size, tap in zip(side, w.kernel, strict=True))
        for side in (w.before, w.behind)
    )
    return replace(w, before=before, behind=behind, made=w.channels, dilation=(1, 1), last=False)


def fits(w: Window) -> bool:
    return min(w.out) >= 1


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(MANY, st.booleans(), SEED)
def test_maxima(way: str, windows: list[Window], padded: bool, seed: int) -> None:
    draw, cases, expected = np.random.default_rng(seed), [], []
    for index, w in enumerate(filter(fits, (pooled(w, padded) for w in windows))):
        kind, number = ("int8", "i1") if index % 2 else ("float", "f4")
        x = draw.integers(-128, 128, (w.images, w.channels, w.height, w.width)).astype(number)
        made = (w.images, w.channels, *w.out)
        cases.append(Case(f"maxima_{kind}", w.numbers(w.channels, 0, 0), [x], made, number))
        expected.append(w.patches(x.astype("f8"), -np.inf).max(axis=-1).transpose(0, 3, 1, 2))
    for array, values in zip(ran(way, cases), expected, strict=True):
        np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(MANY, st.booleans(), st.booleans(), SEED)
def test_means(way: str, windows: list[Window], padded: bool, all_count: bool, seed: int) -> None:
    """Of what is on the image, or of the padding too, which is zero."""
    draw, cases, expected = np.random.default_rng(seed), [], []
    for w in filter(fits, (pooled(w, padded) for w in windows)):
        x = draw.integers(-128, 128, (w.images, w.channels, w.height, w.width))
        in_zero, zero, scale = int(draw.integers(-128, 128)), int(draw.integers(-128, 128)), draw.uniform(0.1, 3)
        made, count = (w.images, w.channels, *w.out), w.kernel[0] * w.kernel[1] if all_count else 0
        inside = w.patches(np.ones(x.shape), 0).sum(axis=-1)
        sums = w.patches((x - in_zero).astype("f8"), 0.0).sum(axis=-1)
        numbers = [*w.numbers(w.channels, in_zero, zero), count, *bits(scale)]
        cases.append(Case("averages_int8", numbers, [x.astype("i1")], made))
        means = sums.astype("f4") / np.float32(count or inside).astype("f4") * np.float32(scale)
        expected.append(np.clip(np.rint(means) + zero, -128, 127).transpose(0, 3, 1, 2))
        numbers = [*w.numbers(w.channels, 0, 0), count, *bits(1.0)]
        cases.append(Case("averages_float", numbers, [(x - in_zero).astype("f4")], made, "f4"))
        expected.append((sums / (count or inside)).transpose(0, 3, 1, 2))
    for array, values in zip(ran(way, cases), expected, strict=True):
        near = 1e-5 if array.dtype == np.float32 else 0
        np.testing.assert_allclose(array, values, rtol=near, atol=10 * near)
