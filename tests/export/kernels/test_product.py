"""Products in int8 against exact whole numbers, in float32 against float64: all sizes, placings and kinds of C."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.export.kernels import every, product
from edgett.export.kernels.placing import Placing
from edgett.graph.c_plan import two_rows
from tests.export.kernels.harness import Case, codes, made_by, ran
from tests.firmware.tools import needs

WAYS = [
    pytest.param("plain", marks=needs("gcc")),
    pytest.param("without FPU", marks=needs("gcc")),
    pytest.param("any byte order", marks=needs("gcc")),
    pytest.param("dsp", marks=needs("arm-linux-gnueabihf-gcc", "qemu-arm")),
    pytest.param("neon", marks=needs("aarch64-linux-gnu-gcc", "qemu-aarch64")),
    pytest.param("dot", marks=needs("aarch64-linux-gnu-gcc", "qemu-aarch64")),
    pytest.param("thumb", marks=needs("arm-linux-gnueabihf-gcc", "qemu-arm")),
]
SIZES = st.tuples(
    st.one_of(st.integers(1, 7), st.integers(20, 40)),
    st.one_of(st.integers(1, 40), st.integers(200, 230)),
    st.integers(1, 11),
)
HEAVY = [np.full((2, 9), 127), np.tile([[127], [-127]], (3, 9)), np.full((4, 9), -127), np.eye(6, 9) * 127]
"""Weights at the ends of what a word holds."""


def placing(rows: int, columns: int, turned: bool) -> tuple[np.ndarray, Placing]:
    """Where numbers go: as they come, or transposed."""
    places = np.arange(rows * columns).reshape(rows, columns)
    places = places.reshape(columns, rows).T if turned else places
    found = Placing.of(places)
    assert found is not None
    return places, found


def numbers(found: Placing, rows: int, inner: int, columns: int, zero: int) -> list[int]:
    parts = found.columns, found.rows
    return [rows, inner, columns, zero, *(number for one in parts for number in (one.run, one.step, one.jump))]


def int8(
    x: np.ndarray, weights: np.ndarray, starts: np.ndarray, scales: np.ndarray, zero: int, turned: bool, wide: bool,
    room: bool,
) -> tuple[Case, np.ndarray]:  # fmt: skip
    """A case, and what it must make."""
    (rows, inner), columns = x.shape, len(weights)
    places, found = placing(rows, columns, turned)
    order = list(found.order)
    ordered, begun, factors = weights[order].astype(np.int8), starts[order], scales[order]
    packed = [product.Columns(ordered, begun, factors, zero).with_alone]
    plain = [ordered, begun.astype(np.int32), factors]
    case = Case(
        "product_wide" if wide else "product_int8", numbers(found, rows, inner, columns, zero),
        [x.astype(np.int8), *(plain if wide else packed)], (rows * columns,),
        room=two_rows(inner) if room and not wide else 0,
    )  # fmt: skip
    sums = x.astype(np.int64) @ weights.astype(np.int64).T + starts
    expected = np.empty(rows * columns, np.int8)
    expected[places] = codes(sums, scales, zero)
    return case, expected


@pytest.mark.parametrize("way", WAYS)
class TestInt8:
    @settings(max_examples=15, deadline=None)
    @given(st.lists(SIZES, min_size=8, max_size=8), st.integers(0, 2**32 - 1))
    def test_any_size(self, way: str, sizes: list[tuple[int, int, int]], seed: int) -> None:
        draw, made = np.random.default_rng(seed), []
        for index, (rows, inner, columns) in enumerate(sizes):
            x, weights = draw.integers(-128, 128, (rows, inner)), draw.integers(-127, 128, (columns, inner))
            starts = draw.integers(-(2**18), 2**18, columns)
            starts[::2] += draw.integers(-(2**29), 2**29)  # a first column may have any sum
            scales = draw.uniform(1e-5, 1e-2, columns).astype(np.float32)
            zero, odd = int(draw.integers(-128, 128)), bool(index % 2)
            made.append(int8(x, weights, starts, scales, zero, odd, index % 8 == 7, index % 4 < 2))
        found = ran(way, [case for case, _ in made])
        for array, (_, expected) in zip(found, made, strict=True):
            np.testing.assert_array_equal(array, expected)

    def test_the_ends_of_what_there_is(self, way: str) -> None:
        """The largest weights, inputs and sums, factors by which codes overflow far and not at all."""
        made = []
        for weights in HEAVY:
            for value in (-128, 127):
                for scale in (1e-9, 0.5, 1e4):
                    x = np.full((3, 9), value)
                    starts = np.linspace(-(2**22), 2**22, len(weights)).astype(np.int64)
                    scales = np.full(len(weights), scale, np.float32)
                    made += [int8(x, weights, starts, scales, zero, True, False, True) for zero in (-128, 127)]
        for array, (_, expected) in zip(ran(way, [case for case, _ in made]), made, strict=True):
            np.testing.assert_array_equal(array, expected)

    def test_halves_go_to_the_even_number(self, way: str) -> None:
        """Sums of 1, 3, 5 and so on, halved."""
        x = np.arange(-60, 60, dtype=np.int64).reshape(-1, 1)
        made = [int8(x, np.array([[1], [3]]), np.zeros(2, int), np.full(2, 0.5, np.float32), 3, False, False, r)
                for r in (False, True)]  # fmt: skip
        for array, (_, expected) in zip(ran(way, [case for case, _ in made]), made, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, deadline=None)
@given(st.lists(SIZES, min_size=8, max_size=8), st.integers(0, 2**32 - 1))
def test_float32(way: str, sizes: list[tuple[int, int, int]], seed: int) -> None:
    draw, cases, expected = np.random.default_rng(seed), [], []
    for index, (rows, inner, columns) in enumerate(sizes):
        x, weights = draw.normal(size=(rows, inner)).astype("f4"), draw.normal(size=(columns, inner)).astype("f4")
        bias = draw.normal(size=columns).astype("f4")
        places, found = placing(rows, columns, bool(index % 2))
        order, biased = list(found.order), index % 3 > 0
        arrays = [x, product.side_by_side(weights[order]), bias[order]]
        cases.append(
            Case("product_float", numbers(found, rows, inner, columns, 0), arrays, (rows * columns,), "f4", int(biased))
        )
        values = np.empty(rows * columns)
        values[places] = x.astype("f8") @ weights.T.astype("f8") + biased * bias
        expected.append((values, np.abs(x).astype("f8").sum() * np.abs(weights).max()))
    for array, (values, size) in zip(ran(way, cases), expected, strict=True):
        np.testing.assert_allclose(array, values, rtol=0, atol=1e-6 * size + 1e-6)


class TestSteady:
    """Columns that give the same code whatever is read."""

    @given(st.integers(1, 9), st.integers(1, 30), st.integers(-128, 127), st.integers(0, 2**32 - 1))
    def test_gives_the_same_codes(self, columns: int, inner: int, zero: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        weights = draw.integers(-127, 128, (columns, inner)).astype(np.int8)
        starts = draw.integers(-(2**31), 2**31, columns) // 10 ** draw.integers(0, 9, columns)
        factors = (10 ** draw.uniform(-9, -1, columns)).astype(np.float32)
        x = np.concatenate([draw.integers(-128, 128, (20, inner)), np.where(weights > 0, 127, -128)])
        expected = codes(x @ weights.T.astype(np.int64) + starts, factors, zero)
        changed, begun, scales = product.without_steady(weights, starts, factors, zero)
        np.testing.assert_array_equal(codes(x @ changed.T.astype(np.int64) + begun, scales, zero), expected)
        gone = weights.any(axis=1) & ~changed.any(axis=1)
        assert all(len(set(column)) == 1 for column in expected.T[gone])
        np.testing.assert_array_equal(changed[~gone], weights[~gone])

    def test_a_dead_unit_goes_into_words_in_a_first_column_too(self) -> None:
        """Its sum would go beyond 32 bits."""
        weights, starts = np.array([[5, 5], [1, 0]], np.int8), np.array([2**31 - 1, 0])
        assert not product.packs(weights, starts)
        found = product.Columns(weights, starts, np.array([3e-9, 0.01], np.float32), 4).packed
        assert found is not None and found.words[1] == 6, "the code less the zero point"

    def test_a_dead_unit_goes_into_words(self) -> None:
        """Its scale is tiny, and its bias the largest number of 32 bits."""
        weights, starts = np.array([[5, 5], [0, 0]], np.int8), np.array([0, 2**31 - 1])
        factors = np.array([0.01, 3e-9], np.float32)
        assert not product.packs(weights, starts)
        changed, begun, scales = product.without_steady(weights, starts, factors, 4)
        assert product.packs(changed, begun)
        assert begun.tolist() == [0, 6] and scales[1] == 1 and scales[0] == factors[0]


class TestWords:
    def test_what_does_not_go_into_words(self) -> None:
        starts = np.zeros(2, np.int64)
        assert product.packs(np.array([[-128], [127]], np.int8), starts)
        assert product.packs(np.array([[127], [-128]], np.int8), starts)
        assert not product.packs(np.array([[-1], [-128]], np.int8), starts), "256 x -128 - 1 is below 16 bits"
        assert not product.packs(np.full((2, 600), 127, np.int8), starts[:2]), "600 x 127 x 127 is above 23 bits"
        assert product.packs(np.full((1, 600), 127, np.int8), starts[:1]), "but not of the second of two"
        assert not product.packs(np.ones((2, 4), np.int8), np.array([0, 2**23]))
        assert product.packs(np.ones((2, 4), np.int8), np.array([2**30, 2**23 - 1 - 4 * 127]))
        assert not product.packs(np.ones((2, 4), np.int8), np.array([0, 2**23 - 4 * 127]))

    @given(st.integers(1, 9), st.integers(1, 14), st.integers(0, 99))
    def test_words_hold_every_weight_once(self, columns: int, inner: int, seed: int) -> None:
        weights = np.random.default_rng(seed).integers(-127, 128, (columns, inner)).astype(np.int8)
        starts, factors = np.arange(columns) - 3, np.arange(1, columns + 1).astype(np.float32)
        blocks = product.packed(weights, starts, factors).reshape(-1, 4 + inner + 4)
        assert blocks.dtype == np.uint32 and len(blocks) == -(-columns // 4)
        begun = blocks[:, :4].astype(np.int32).reshape(-1, 2)
        assert begun[:, 1].tolist()[: (columns + 1) // 2] == starts[::2].tolist()
        assert ((begun[:, 0] - begun[:, 1]) // 256).tolist()[: columns // 2] == starts[1::2].tolist()
        assert blocks[:, -4:].copy().view(np.float32).ravel().tolist()[:columns] == factors.tolist()
        words = blocks[:, 4:-4].copy()
        halves = words.view(np.uint16).astype(np.int64)
        halves -= (halves >> 15) << 16
        low = halves & 0xFF
        low -= (low >> 7) << 8
        found = sorted([*low.ravel().tolist(), *((halves - low) // 256).ravel().tolist()])
        zeros = [0] * (-columns % 4 * inner)
        assert found == sorted([*weights.ravel().tolist(), *zeros])


LAYOUTS = {"dsp": "DSP", "thumb": "THUMB", "neon": "NEON", "plain": "no"}


class TestAlone:
    """A column that is left alone by the fours."""

    @given(st.integers(0, 3), st.integers(1, 14), st.integers(0, 99))
    def test_comes_in_bytes_behind_them(self, fours: int, inner: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        weights = draw.integers(-127, 128, (4 * fours + 1, inner)).astype(np.int8)
        starts, factors = np.arange(4 * fours + 1) - 3, np.linspace(0.5, 1, 4 * fours + 1).astype(np.float32)
        found = product.Columns(weights, starts, factors, 0).with_alone
        assert found is not None
        size = fours * (8 + inner)
        if fours:
            assert found.words[:size].tolist() == product.packed(weights[:-1], starts[:-1], factors[:-1]).tolist()
        alone = found.words[size:]
        assert found.nbytes == 4 * found.words.size
        assert alone[:1].view(np.int32).item() == starts[-1] and alone[-1:].view(np.float32).item() == factors[-1]
        assert alone[1:-1].view(np.int8)[:inner].tolist() == weights[-1].tolist()
        assert not alone[1:-1].view(np.int8)[inner:].any() and alone.size == 2 + -(-inner // 4)

    def test_of_a_dead_unit_has_no_weights(self) -> None:
        """Its sum would go beyond 32 bits."""
        one = product.Columns(np.array([[5, 5]], np.int8), np.array([2**31 - 1]), np.array([3e-9], np.float32), 4)
        found = one.with_alone
        assert found is not None
        assert found.words.tolist() == [6, 0, np.float32(1).view(np.uint32).item()]

    def test_goes_with_others_that_do_not_go_into_words(self) -> None:
        weights = np.full((5, 1), -128, np.int8)
        assert product.Columns(weights, np.zeros(5, np.int64), np.full(5, 0.01, np.float32), 0).with_alone is None


@needs("gcc")
@pytest.mark.parametrize("way", LAYOUTS)
@given(st.integers(1, 9), st.integers(1, 14), st.integers(0, 99))
@settings(max_examples=5, deadline=None)
def test_macros_make_what_is_tested(way: str, columns: int, inner: int, seed: int) -> None:
    """What is written in C is what the tests give to kernels."""
    draw = np.random.default_rng(seed)
    weights = draw.integers(-127, 128, (columns, inner)).astype(np.int8)
    starts, factors = draw.integers(-(2**31), 2**31, columns), draw.uniform(1e-9, 1, columns).astype(np.float32)
    starts[1::2] //= 2**9
    words = product.Columns(weights, starts, factors, 0).with_alone
    assert words is not None
    assert compiled(words.text(), LAYOUTS[way]) == made_by(way, words).tolist()


def test_the_least_start_is_no_overflow() -> None:
    """2147483648 is no int in C, so that -2147483648 is none either."""
    numbers = np.ones((2, 1), np.int8), np.array([-(2**31), 0]), np.ones(2, np.float32)
    assert compiled(product.written(*numbers), "DSP") == product.packed(*numbers).tolist()
    numbers = np.ones((1, 1), np.int8), np.array([-(2**31)]), np.ones(1, np.float32)
    assert compiled(product.in_bytes(*numbers).text(), "no") == product.in_bytes(*numbers).words.tolist()


def compiled(text: str, layout: str) -> list[int]:
    """The words that a compiler makes of constants for a processor that has this."""
    _, code = every.text(["product_int8"], "t")
    macros = code[code.index("#define t_AT") : code.index("typedef", code.index("#define t_AT"))]
    has = [f"#define t_{one} {int(one == layout)}" for one in ("DSP", "MVE", "NEON", "THUMB")]
    array = f"static const uint32_t words[] = {{\n{text.replace('NAME', 't')}\n}};"
    show = 'int main(void) { for (size_t i = 0; i < sizeof words / 4; ++i) printf("%u\\n", (unsigned)words[i]); }'
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "words.c")
        source.write_text("\n".join(["#include <stdint.h>\n#include <stdio.h>", *has, macros, array, show, ""]))
        subprocess.run(["gcc", "-std=gnu99", "-Wall", "-Werror", source, "-o", source.with_suffix("")], check=True)
        done = subprocess.run([source.with_suffix("")], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(13, 24))
def test_sums_next_to_halves(way: str, seed: int, power: int) -> None:
    """There float32 rounds a product to the half itself, and the code goes to the even number."""
    draw, count = np.random.default_rng(seed), 64
    scales = (draw.uniform(1, 2, count) * 2.0**-power).astype(np.float32)
    halves = draw.integers(-140, 140, count) + 0.5
    starts = np.rint(halves / scales.astype("f8")).astype(np.int64) + draw.integers(-1, 2, count)
    starts = np.clip(starts, -(2**22), 2**22)
    case, expected = int8(np.zeros((2, 1), int), np.zeros((count, 1), int), starts, scales, 7, False, False, True)
    np.testing.assert_array_equal(ran(way, [case])[0], expected)
