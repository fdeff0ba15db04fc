"""The bracket of a shape's error against the errors that T3F and TT-SVD really make."""

from __future__ import annotations

import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest
import t3f
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.errors import ModelError
from edgett.forms import spectra as numerics
from edgett.forms.error import Bracket
from edgett.forms.tt.decompose import rebuild, relative_error, tt_svd
from edgett.forms.tt.error import Spectra, bracket, spectra, units
from edgett.forms.tt.shape import TTShape, tt_shape

KINDS = ("flat", "decaying", "low rank")
STORED = 2e-6
"""Cores are stored in float32: relative errors below a few of its steps cannot be told apart."""


def weight(kind: str, shape: TTShape, seed: int) -> NDArray[np.float32]:
    """Low rank: what a train of rank 2 holds exactly."""
    random = np.random.default_rng(seed)
    if kind == "low rank":
        cores = tt_shape(shape.inputs, shape.outputs, 2).cores
        return rebuild(tuple(random.normal(size=core).astype(np.float32) for core in cores)).astype(np.float32)
    noise = random.normal(size=shape.matrix)
    if kind == "decaying":
        left, values, right = np.linalg.svd(noise, full_matrices=False)
        noise = left * np.arange(1, len(values) + 1) ** -1.5 @ right
    return noise.astype(np.float32)


def error_of_t3f(matrix: NDArray[np.float32], shape: TTShape) -> float:
    train = t3f.to_tt_matrix(matrix, [shape.inputs, shape.outputs], max_tt_rank=list(shape.ranks))
    assert tuple(train.get_tt_ranks().as_list()) == shape.ranks
    return relative_error(matrix, tuple(np.asarray(core) for core in train.tt_cores))


def assert_inside(ends: Bracket, error: float) -> None:
    assert 0 <= ends.low <= ends.estimate <= ends.high <= 1
    assert ends.low - STORED <= error <= ends.high + STORED


@st.composite
def shapes(draw: st.DrawFn) -> TTShape:
    """Two to four cores, every bond a rank of its own that a train can have."""
    cells = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=4))
    inputs, outputs = zip(*cells, strict=True)
    products = [x * y for x, y in cells]
    ranks = [1]
    for k in range(1, len(cells)):
        most = min(ranks[-1] * products[k - 1], math.prod(products[k:]))
        ranks.append(draw(st.integers(1, most)))
    return TTShape(inputs, outputs, (*ranks, 1))


@settings(max_examples=80)
@given(shapes(), st.sampled_from(KINDS), st.integers(0, 1000))
def test_tt_svd_is_inside(shape: TTShape, kind: str, seed: int) -> None:
    matrix = weight(kind, shape, seed)
    found = spectra(matrix, max(shape.ranks)).bracket(shape)
    assert_inside(found, relative_error(matrix, tt_svd(matrix, shape)))
    # The shares agree to float64's precision; a share of nothing is a root away from an error of nothing.
    np.testing.assert_allclose(np.square(astuple(bracket(matrix, shape))), np.square(astuple(found)), atol=1e-11)


T3F_SHAPES = (
    TTShape((2, 3), (3, 2), (1, 3, 1)),
    TTShape((4, 2, 3), (3, 2, 4), (1, 5, 4, 1)),
    TTShape((2, 2, 3, 2), (3, 2, 1, 2), (1, 2, 6, 3, 1)),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", T3F_SHAPES, ids=str)
def test_t3f_is_inside(shape: TTShape, kind: str) -> None:
    matrix = weight(kind, shape, 3)
    assert_inside(spectra(matrix, 8).bracket(shape), error_of_t3f(matrix, shape))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gram_side", [4, 4096])
@pytest.mark.parametrize("double_size", [0, 1 << 22])
def test_approximate_singular_values_keep_it_inside(
    kind: str, gram_side: int, double_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "EXACT_SIDE", 0)
    monkeypatch.setattr(numerics, "GRAM_SIDE", gram_side)
    monkeypatch.setattr(numerics, "DOUBLE_SIZE", double_size)
    for inputs, outputs in (((4, 8), (8, 4)), ((3, 2, 4), (2, 4, 3)), ((2, 2, 3, 2), (3, 2, 2, 2))):
        matrix = weight(kind, tt_shape(inputs, outputs, 1), 7)
        found = spectra(matrix, 6)
        slack = math.sqrt(found.rounding)  # of the lower side; the upper one has it already
        for rank in (1, 3, 6):
            shape = tt_shape(inputs, outputs, rank)
            ends, error = found.bracket(shape), relative_error(matrix, tt_svd(matrix, shape))
            assert ends.low - slack <= error <= ends.high + STORED


def test_a_shape_that_holds_the_weight_has_no_error() -> None:
    shape = TTShape((4, 6), (6, 4), (1, 24, 1))
    assert spectra(weight("flat", shape, 0), 24).bracket(shape) == Bracket(0.0, 0.0, 0.0)


def test_one_bond_is_known_exactly() -> None:
    """Two cores are one cut: nothing is left between low and high."""
    shape = TTShape((4, 6), (6, 4), (1, 5, 1))
    matrix = weight("flat", shape, 0)
    bracket = spectra(matrix, 8).bracket(shape)
    np.testing.assert_allclose([bracket.low, bracket.high], relative_error(matrix, tt_svd(matrix, shape)), rtol=1e-6)


def test_the_formulas() -> None:
    cuts, floor = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
    cuts[1, 0, 2], cuts[2, 1, 1] = 0.25, 0.5
    floor[1, 0, 2], floor[2, 1, 1] = 0.24, 0.36
    found = Spectra((1, 2, 4), (1, 3, 9), cuts, floor)
    bracket = found.bracket(TTShape((2, 2, 1), (1, 3, 3), (1, 2, 1, 1)))
    np.testing.assert_allclose([bracket.low, bracket.estimate, bracket.high], np.sqrt([0.36, 1 - 0.75 * 0.5, 0.75]))


def test_the_sum_of_the_cuts_stops_at_the_whole_weight() -> None:
    """A TT-SVD projects: it is never farther from the weight than nothing at all."""
    shape = TTShape((2, 2, 2, 2), (2, 2, 2, 2), (1, 1, 1, 1, 1))
    assert spectra(weight("flat", shape, 0), 1).bracket(shape).high == 1.0


def test_the_cores_at_the_ends_may_be_of_size_one() -> None:
    shape = TTShape((1, 6, 4), (1, 4, 6), (1, 1, 3, 1))
    matrix = weight("flat", shape, 0)
    assert_inside(spectra(matrix, 3).bracket(shape), relative_error(matrix, tt_svd(matrix, shape)))


def test_a_rank_beyond_the_spectra_is_refused_unless_the_bond_holds_no_more() -> None:
    found = spectra(weight("flat", tt_shape((4, 6), (6, 4), 1), 0), 8)
    assert found.max_rank == 8
    with pytest.raises(ValueError, match="rank 9 exceeds 8"):
        found.bracket(TTShape((4, 6), (6, 4), (1, 9, 1)))
    assert found.bracket(TTShape((2, 12), (2, 12), (1, 9, 1))) == Bracket(0.0, 0.0, 0.0)


def test_another_size_is_refused() -> None:
    found = spectra(weight("flat", tt_shape((4, 6), (6, 4), 1), 0), 8)
    with pytest.raises(ValueError, match=r"is \(24, 12\), these are the spectra of \(24, 24\)"):
        found.bracket(TTShape((4, 6), (6, 2), (1, 2, 1)))
    with pytest.raises(ValueError, match=r"is \(24, 12\), the weight \(24, 24\)"):
        bracket(np.ones((24, 24)), TTShape((4, 6), (6, 2), (1, 2, 1)))


def test_a_weight_of_zeros_has_no_error() -> None:
    found = spectra(np.zeros((12, 8), np.float32), 4)
    assert not found.cuts.any() and not found.floor.any()
    assert found.bracket(TTShape((3, 4), (4, 2), (1, 1, 1))) == Bracket(0.0, 0.0, 0.0)
    assert bracket(np.zeros((12, 8)), TTShape((3, 4), (4, 2), (1, 1, 1))) == Bracket(0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused(bad: float) -> None:
    matrix = np.ones((12, 8), np.float32)
    matrix[3, 2:4] = bad
    with pytest.raises(ModelError, match="2 of the 96 weights of a 12x8 layer are NaN or infinite") as caught:
        spectra(matrix, 4)
    assert caught.value.cure
    with pytest.raises(ModelError, match="2 of the 96 weights"):
        bracket(matrix, TTShape((3, 4), (4, 2), (1, 1, 1)))


def test_what_is_no_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3, 2\) is no matrix"):
        spectra(np.ones((4, 3, 2), np.float32), 4)
    with pytest.raises(ValueError, match=r"\(0, 3\) is no matrix"):
        spectra(np.ones((0, 3), np.float32), 4)
    with pytest.raises(ValueError, match="max rank 0 is below 1"):
        spectra(np.ones((4, 4), np.float32), 0)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e30])
def test_the_scale_does_not_matter(scale: float) -> None:
    """Not even where squares leave the range of float32."""
    matrix = (weight("decaying", tt_shape((4, 3), (3, 4), 1), 0) > 0).astype(np.float32)
    np.testing.assert_allclose(
        spectra(matrix * np.float32(scale), 4).cuts, spectra(matrix, 4).cuts, rtol=1e-6, atol=1e-12
    )


def test_the_same_weight_gives_the_same_numbers_and_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "EXACT_SIDE", 0)
    matrix = weight("flat", tt_shape((6, 8), (8, 6), 1), 0)
    before = matrix.copy()
    once, again = spectra(matrix, 4), spectra(matrix.copy(order="F"), 4)
    np.testing.assert_array_equal(once.cuts, again.cuts)
    np.testing.assert_array_equal(once.floor, again.floor)
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize("zeros", [False, True])
def test_progress_adds_up(zeros: bool) -> None:
    done: list[int] = []
    spectra(np.full((12, 18), 0.0 if zeros else 1.0, np.float32), 4, done.append)
    assert sum(done) == units(12, 18) == 6 * 6


def test_shapes_share_what_they_need() -> None:
    """A bond's cut depends on the products before it, not on how they are split."""
    matrix = weight("decaying", tt_shape((4, 6), (6, 4), 1), 0)
    found = spectra(matrix, 4)
    whole = found.bracket(TTShape((4, 6), (6, 4), (1, 4, 1)))
    split = found.bracket(TTShape((2, 2, 6), (3, 2, 4), (1, 4, 4, 1)))
    assert split.low >= whole.low and split.high >= whole.high
    assert all(a in found.inputs and b in found.outputs for a, b in itertools.product((2, 4), (3, 6)))
