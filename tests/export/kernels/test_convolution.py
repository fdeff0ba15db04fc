"""Convolutions in int8 against exact whole numbers, in float32 against float64: windows of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.export.kernels import product
from edgett.forms.window import seen
from edgett.graph.c_plan import late, plane, two_positions
from tests.export.kernels.harness import Case, codes, ran, words
from tests.export.kernels.test_product import WAYS


@dataclass(frozen=True)
class Window:
    """A convolution, with what pads the image at its ends."""

    images: int
    channels: int
    made: int
    height: int
    width: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    before: tuple[int, int]
    behind: tuple[int, int]
    dilation: tuple[int, int]
    last: bool = False

    @property
    def out(self) -> tuple[int, int]:
        sizes = zip((self.height, self.width), self.before, self.behind, self.kernel, self.strides, self.dilation,
                    strict=True)  # fmt: skip
        rows, columns = ((n + a + b - (k - 1) * d - 1) // s + 1 for n, a, b, k, s, d in sizes)
        return rows, columns

    def numbers(self, outputs: int, in_zero: int, zero: int) -> list[int]:
        return [self.images, self.channels, self.height, self.width, outputs, *self.out, *self.kernel, *self.strides,
                *self.before, *self.dilation, in_zero, zero, *self.apart]  # fmt: skip

    @property
    def apart(self) -> tuple[int, int, int]:
        """How far channels, rows and pixels of the input are apart."""
        if self.last:
            return 1, self.width * self.channels, self.channels
        return self.height * self.width, self.width, 1

    def laid(self, x: np.ndarray) -> np.ndarray:
        """The input (images, channels, height, width) as it is in memory."""
        return x.transpose(0, 2, 3, 1) if self.last else x

    def patches(self, x: np.ndarray, outside: float) -> np.ndarray:
        """What the window sees: (images, rows, columns, channels, taps)."""
        pads = ((0, 0), (0, 0), *zip(self.before, self.behind, strict=True))
        padded = np.pad(x, pads, constant_values=outside)
        (rows, columns), (high, wide) = self.out, self.kernel
        found = np.empty((len(x), rows, columns, self.channels, high * wide), padded.dtype)
        for i, j in np.ndindex(high, wide):
            top, left = i * self.dilation[0], j * self.dilation[1]
            part = padded[:, :, top :: self.strides[0], left :: self.strides[1]][:, :, :rows, :columns]
            found[..., i * wide + j] = part.transpose(0, 2, 3, 1)
        return found


TWO = st.tuples(st.integers(1, 2), st.integers(1, 2))
KERNELS = st.one_of(st.sampled_from([(1, 1), (3, 3), (1, 3)]), st.tuples(st.integers(1, 4), st.integers(1, 4)))


def windows_of(kernels: st.SearchStrategy[tuple[int, int]], moves: st.SearchStrategy[tuple[int, int]]) -> Any:
    return st.builds(
        Window, images=st.integers(1, 2), channels=st.integers(1, 9), made=st.integers(1, 9), height=st.integers(1, 7),
        width=st.integers(1, 9), kernel=kernels, strides=moves, before=st.tuples(st.integers(0, 2), st.integers(0, 2)),
        behind=st.tuples(st.integers(0, 2), st.integers(0, 2)), dilation=moves, last=st.booleans(),
    ).filter(lambda w: min(w.out) >= 1)  # fmt: skip


WINDOWS = st.one_of(windows_of(KERNELS, TWO), windows_of(st.just((3, 3)), st.just((1, 1))))
"""Half of them are of the kind that networks have most, which kernels treat in ways of their own."""
MANY = st.lists(WINDOWS, min_size=6, max_size=6)
SEED = st.integers(0, 2**32 - 1)


def still(
    images: int, channels: int, height: int, width: int, kernel: tuple[int, int], apart: tuple[int, int]
) -> Window:
    """A window whose output is as large as its input."""
    (high, wide) = ((size - 1) * far for size, far in zip(kernel, apart, strict=True))
    before, behind = (high // 2, wide // 2), (high - high // 2, wide - wide // 2)
    return Window(images, channels, channels, height, width, kernel, (1, 1), before, behind, apart)


SIZES = st.integers(1, 9)
STILL = st.builds(still, st.integers(1, 2), SIZES, SIZES, SIZES, KERNELS, TWO)


def kept(w: Window) -> int:
    """The numbers of scratch with which a convolution writes over what it reads."""
    return late(w.before[0], w.width, w.channels) if w.kernel != (1, 1) else 0


def scales(draw: np.random.Generator, count: int) -> np.ndarray:
    return draw.uniform(1e-4, 1e-2, count).astype(np.float32)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, deadline=None)
@given(MANY, SEED)
def test_int8(way: str, windows: list[Window], seed: int) -> None:
    int8(way, windows, seed, over=False)


PIXELS = st.builds(
    Window, st.just(1), SIZES, SIZES, SIZES, SIZES, st.just((1, 1)), st.just((1, 1)), st.just((0, 0)), st.just((0, 0)),
    st.just((1, 1)),
)  # fmt: skip
"""Outputs of as many pixels as inputs, and of other channels."""
OVER = st.lists(STILL | PIXELS, min_size=6, max_size=6)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, deadline=None)
@given(OVER, SEED)
def test_int8_over_its_input(way: str, windows: list[Window], seed: int) -> None:
    int8(way, windows, seed, over=True)


def int8(way: str, windows: list[Window], seed: int, over: bool) -> None:
    draw, cases, expected = np.random.default_rng(seed), [], []
    for index, w in enumerate(windows):
        x = draw.integers(-128, 128, (w.images, w.channels, w.height, w.width))
        inner = w.channels * w.kernel[0] * w.kernel[1]
        weights, biases = draw.integers(-127, 128, (w.made, inner)), draw.integers(-(2**15), 2**15, w.made)
        in_zero, zero = (int(value) for value in draw.integers(-128, 128, 2))
        starts, factors = biases - in_zero * weights.sum(axis=1), scales(draw, w.made)
        arrays = [words(weights.astype("i1"), starts, factors)]
        room, made, kernel = two_positions(inner) if index % 2 else inner, (w.images, w.made, *w.out), "int8"
        room += kept(w) if over else 0
        if index == 4:
            arrays, kernel = [weights.astype("i1"), starts.astype(np.int32), factors], "wide"
        given = [w.laid(x.astype("i1")), *arrays]
        numbers = w.numbers(w.made, in_zero, zero)
        cases.append(Case(f"convolution_{kernel}", numbers, given, made, room=room, over=over))
        patches = w.patches(x, in_zero).reshape(w.images, *w.out, inner) - in_zero
        expected.append(codes(patches @ weights.T + biases, factors, zero).transpose(0, 3, 1, 2))
    for array, values in zip(ran(way, cases), expected, strict=True):
        np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, deadline=None)
@given(MANY, SEED)
def test_depthwise_int8(way: str, windows: list[Window], seed: int) -> None:
    """Over its input where that is no smaller than the output."""
    draw, cases, expected = np.random.default_rng(seed), [], []
    for w in windows:
        x = draw.integers(-128, 128, (w.images, w.channels, w.height, w.width))
        weights = draw.integers(-128, 128, (w.channels, w.kernel[0] * w.kernel[1]))
        biases, factors = draw.integers(-(2**12), 2**12, w.channels), scales(draw, w.channels)
        in_zero, zero = (int(value) for value in draw.integers(-128, 128, 2))
        starts = (biases - in_zero * weights.sum(axis=1)).astype(np.int32)
        arrays, made = [x.astype("i1"), weights.astype("i1"), starts, factors], (w.images, w.channels, *w.out)
        room = plane(*map(seen, w.out, w.kernel, w.strides, w.dilation))
        over = np.prod(w.out) <= w.height * w.width
        cases.append(Case("depthwise_int8", w.numbers(w.channels, in_zero, zero), arrays, made, room=room, over=over))
        sums = ((w.patches(x, in_zero) - in_zero) * weights).sum(axis=-1) + biases
        expected.append(codes(sums, factors, zero).transpose(0, 3, 1, 2))
    for array, values in zip(ran(way, cases), expected, strict=True):
        np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(MANY, SEED)
def test_float32(way: str, deep: bool, windows: list[Window], seed: int) -> None:
    float32(way, deep, windows, seed, over=False)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(OVER, SEED)
def test_float32_over_its_input(way: str, deep: bool, windows: list[Window], seed: int) -> None:
    float32(way, deep, windows, seed, over=True)


def float32(way: str, deep: bool, windows: list[Window], seed: int, over: bool) -> None:
    draw, cases, expected = np.random.default_rng(seed), [], []
    for w in windows:
        x = draw.normal(size=(w.images, w.channels, w.height, w.width)).astype("f4")
        taps, count = w.kernel[0] * w.kernel[1], w.channels if deep else w.made
        weights = draw.normal(size=(count, taps if deep else w.channels * taps)).astype("f4")
        biases, made = draw.normal(size=count).astype("f4"), (w.images, count, *w.out)
        patches = w.patches(x.astype("f8"), 0.0)
        if deep:
            room, arrays = plane(*map(seen, w.out, w.kernel, w.strides, w.dilation)), [x, weights, biases]
            over = bool(np.prod(w.out) <= w.height * w.width)
            values = (patches * weights).sum(axis=-1) + biases
        else:
            room = weights.shape[1] + (kept(w) if over else 0)
            arrays = [w.laid(x), product.side_by_side(weights), biases]
            values = patches.reshape(w.images, *w.out, -1) @ weights.T.astype("f8") + biases
        kernel = "depthwise_float" if deep else "convolution_float"
        cases.append(Case(kernel, w.numbers(count, 0, 0), arrays, made, "f4", 4 * room, over))
        expected.append(values.transpose(0, 3, 1, 2))
    for array, values in zip(ran(way, cases), expected, strict=True):
        np.testing.assert_allclose(array, values, rtol=1e-4, atol=1e-4)
