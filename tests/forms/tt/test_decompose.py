"""TT-SVD against T3F's and against the bounds of theory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
import t3f
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.forms import spectra, splitting
from edgett.forms.tt import decompose
from edgett.forms.tt.decompose import rebuild, relative_error, tt_svd, tt_svds
from edgett.forms.tt.shape import TTShape, tt_shape

Floats = NDArray[np.float32]
RANDOM = np.random.default_rng(0)
FULL = TTShape((2, 3, 4), (3, 2, 2), (1, 6, 8, 1))
"""Ranks that its bonds just hold: 6 = 2*3 on the left, 8 = 4*2 on the right."""


def noise(rows: int = 24, columns: int = 12) -> Floats:
    return RANDOM.normal(size=(rows, columns)).astype(np.float32)


def of_rank(shape: TTShape) -> Floats:
    """A weight that a train of this shape holds exactly."""
    cores = tuple(RANDOM.normal(size=core).astype(np.float32) for core in shape.cores)
    return rebuild(cores).astype(np.float32)


def by_t3f(weight: Floats, shape: TTShape) -> NDArray[np.float64]:
    matrix = t3f.to_tt_matrix(weight, [shape.inputs, shape.outputs], max_tt_rank=max(shape.ranks))
    return rebuild(tuple(np.asarray(core) for core in matrix.tt_cores))


def cut_energies(weight: Floats, shape: TTShape) -> list[float]:
    """At each bond, the squared singular values beyond its rank."""
    length = shape.length
    pairs = [axis for k in range(length) for axis in (k, length + k)]
    tensor = weight.astype(np.float64).reshape(shape.inputs + shape.outputs).transpose(pairs)
    cells = [x * y for x, y in zip(shape.inputs, shape.outputs, strict=True)]
    return [
        float((np.linalg.svd(tensor.reshape(np.prod(cells[:k]), -1), compute_uv=False)[shape.ranks[k] :] ** 2).sum())
        for k in range(1, length)
    ]


LOW = of_rank(TTShape((2, 3, 4), (3, 2, 2), (1, 2, 2, 1)))


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "weight",
    [
        pytest.param(noise(), id="noise"),
        pytest.param(LOW, id="of low rank"),
        pytest.param(LOW + 1e-4 * noise(), id="nearly of low rank"),
        pytest.param(1e-12 * noise(), id="tiny"),
        pytest.param(1e8 * noise(), id="large"),
        pytest.param(np.ones((24, 12), np.float32), id="all equal"),
    ],
)
def test_the_error_is_that_of_t3f(weight: Floats, rank: int) -> None:
    shape = tt_shape((2, 3, 4), (3, 2, 2), rank)
    norm = np.linalg.norm(weight)
    theirs = np.linalg.norm(by_t3f(weight, shape) - weight) / norm
    # Both work in float32 at the end: below its rounding there is nothing to compare.
    assert relative_error(weight, tt_svd(weight, shape)) <= 1.001 * theirs + 1e-6


@pytest.mark.parametrize("sizes", [((8, 64), (64, 8)), ((64, 8), (4, 16)), ((4, 4, 4, 8), (2, 4, 2, 4))])
def test_the_error_is_that_of_t3f_on_wide_and_tall_unfoldings(sizes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    shape = tt_shape(*sizes, 6)
    weight = noise(*shape.matrix)
    theirs = np.linalg.norm(by_t3f(weight, shape) - weight) / np.linalg.norm(weight)
    np.testing.assert_allclose(relative_error(weight, tt_svd(weight, shape)), theirs, rtol=1e-3)


@cache
def spectrum(kind: str, size: tuple[int, int]) -> Floats:
    """Flat; falling as 1/j, j^-1/2 or 0.8^j; three levels; of rank 5 but for noise; all equal but for noise."""
    random = np.random.default_rng(1)
    flat = random.normal(size=size)
    left, _, right = np.linalg.svd(flat, full_matrices=False)
    j, noise = np.arange(1, min(size) + 1), flat / np.linalg.norm(flat)
    values = {
        "1/j": 1 / j,
        "slow": j**-0.5,
        "fast": 0.8**j,
        "levels": np.where(j <= 5, 1, np.where(j <= 30, 0.3, 0.05)),
        "equal": np.ones(len(j)),
    }
    if kind in values:
        flat = left * values[kind] @ right
    elif kind != "flat":
        low = left[:, :5] * 0.5 ** np.arange(5) @ right[:5] if kind.startswith("low") else np.ones(size)
        flat = low / np.linalg.norm(low) + float(kind.split()[-1]) * noise
    return flat.astype(np.float32)


KINDS = ("flat", "1/j", "slow", "fast", "levels", "equal", "low 1e-2", "low 1e-4", "low 1e-6", "constant 1e-4")
TALL, WIDE = ((16, 12), (16, 16)), ((12, 16), (12, 16))
"""Two cores whose unfoldings are 256x192 and 144x256."""


def as_if_large(way: str, patch: pytest.MonkeyPatch) -> None:
    """Small weights go as those of more than 2^22 numbers, in several slices; by Krylov spaces, or Gram matrices."""
    patch.setattr(splitting, "EXACT_SIDE", 1024 if way == "Gram" else 0)
    patch.setattr(splitting, "SLICE", 5000)
    patch.setattr(splitting, "CACHED", 5000)
    patch.setattr(spectra, "DOUBLE_SIZE", 1 << 22 if way == "Krylov in float64" else 0)


@pytest.fixture(params=["Krylov in float64", "Krylov", "Gram"])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    as_if_large(request.param, monkeypatch)


@cache
def least_error(kind: str, shape: TTShape) -> float:
    """Of two cores of this shape."""
    weight = spectrum(kind, shape.matrix)
    return float(np.sqrt(sum(cut_energies(weight, shape)) / (weight.astype(np.float64) ** 2).sum()))


@cache
def error_of_t3f(kind: str, shape: TTShape) -> float:
    weight = spectrum(kind, shape.matrix)
    return float(np.linalg.norm(by_t3f(weight, shape) - weight) / np.linalg.norm(weight))


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [TALL, WIDE], ids=["tall", "wide"])
@pytest.mark.parametrize("rank", [1, 4, 16])
def test_a_large_unfolding_loses_what_its_singular_values_say(
    kind: str, sizes: tuple[tuple[int, int], tuple[int, int]], rank: int
) -> None:
    shape = tt_shape(*sizes, rank)
    weight, least = spectrum(kind, shape.matrix), least_error(kind, shape)
    # A float32 core is rounded by 3e-8 of its norm.
    assert least * (1 - 1e-6) <= relative_error(weight, tt_svd(weight, shape)) <= 1.001 * least + 1e-7


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [TALL, WIDE, ((4, 6, 8), (6, 4, 8))], ids=["tall", "wide", "three cores"])
def test_large_unfoldings_lose_no_more_than_with_t3f(kind: str, sizes: tuple[tuple[int, ...], ...]) -> None:
    shape = tt_shape(*sizes, 3)
    weight = spectrum(kind, shape.matrix)
    assert relative_error(weight, tt_svd(weight, shape)) <= 1.001 * error_of_t3f(kind, shape) + 1e-7


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("sizes", [TALL, WIDE], ids=["tall", "wide"])
def test_large_unfoldings_are_decomposed_the_same_again(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    shape = tt_shape(*sizes, 8)
    weight = noise(*shape.matrix)
    before = weight.copy()
    np.random.seed(1)  # a global state is of no account
    once = tt_svd(weight, shape)
    np.random.seed(2)
    for a, b in zip(once, tt_svd(weight.copy(order="F"), shape), strict=True):
        np.testing.assert_array_equal(a, b)
    left = once[0].reshape(-1, 8)
    np.testing.assert_allclose(left.T @ left, np.eye(8), atol=1e-6)
    assert (left[np.abs(left).argmax(axis=0), np.arange(8)] > 0).all()
    np.testing.assert_array_equal(weight, before)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("weight", [np.zeros((24, 12)), np.eye(24, 12), np.ones((24, 12)), noise()])
@pytest.mark.parametrize("share", [1, 0])
def test_full_ranks_of_large_unfoldings_give_the_weight_back(
    weight: Floats, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splitting, "EXACT_SHARE", share)  # 0: by the Krylov space even so
    np.testing.assert_allclose(rebuild(tt_svd(weight.astype(np.float32), FULL)), weight, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "factors",
    [pytest.param((64,) * 2, id="two cores", marks=pytest.mark.long), (16,) * 3, (4,) * 6],
    ids=[None, "three", "six"],
)
@pytest.mark.parametrize("kind", ["flat", "nearly of low rank"])
def test_the_error_is_that_of_t3f_on_4096x4096(kind: str, factors: tuple[int, ...]) -> None:
    shape = tt_shape(factors, factors, 8)
    weight = noise(4096, 4096)
    if kind != "flat":
        low = of_rank(shape)
        weight = low / np.linalg.norm(low) + np.float32(1e-6) * weight / np.linalg.norm(weight)
    theirs = float(np.linalg.norm(by_t3f(weight, shape) - weight) / np.linalg.norm(weight))
    assert relative_error(weight, tt_svd(weight, shape)) <= 1.001 * theirs + 1e-7


def test_a_weight_of_zeros() -> None:
    weight = np.zeros((24, 12), np.float32)
    cores = tt_svd(weight, tt_shape((2, 3, 4), (3, 2, 2), 2))
    assert all(np.isfinite(core).all() for core in cores)
    np.testing.assert_array_equal(rebuild(cores), weight)
    assert relative_error(weight, cores) == 0.0


def test_a_column_of_zeros_leaves_no_nan() -> None:
    weight = noise()
    weight[:, 3:] = 0
    cores = tt_svd(weight, FULL)
    assert all(np.isfinite(core).all() for core in cores)
    np.testing.assert_allclose(rebuild(cores), weight, atol=1e-5)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=4),
    st.integers(1, 4),
    st.integers(0, 1000),
)
def test_the_error_is_within_its_bounds(factors: list[tuple[int, int]], rank: int, seed: int) -> None:
    inputs, outputs = zip(*factors, strict=True)
    shape = tt_shape(inputs, outputs, rank)
    weight = np.random.default_rng(seed).normal(size=shape.matrix).astype(np.float32)
    cores = tt_svd(weight, shape)
    assert tuple(core.shape for core in cores) == shape.cores
    assert all(core.dtype == np.float32 for core in cores)
    error = float(((rebuild(cores) - weight) ** 2).sum())
    cut = cut_energies(weight, shape)
    rounding = 1e-9 * float((weight**2).sum())  # (float32: 6e-8)^2 an entry, with room for a few cores
    assert max(cut) - rounding <= error <= sum(cut) + rounding


def test_full_ranks_give_the_weight_back() -> None:
    weight = noise()
    np.testing.assert_allclose(rebuild(tt_svd(weight, FULL)), weight, atol=2e-6)


def test_the_layout_is_that_of_t3f() -> None:
    cores = tt_svd(noise(), tt_shape((2, 3, 4), (3, 2, 2), 3))
    matrix = t3f.TensorTrain(cores, tt_ranks=[1, 3, 3, 1])
    assert [tuple(size) for size in matrix.get_raw_shape()] == [(2, 3, 4), (3, 2, 2)]
    np.testing.assert_allclose(np.asarray(t3f.full(matrix)), rebuild(cores), atol=1e-5)


def test_the_same_weight_gives_the_same_cores() -> None:
    weight = noise()
    once, again = tt_svd(weight, FULL), tt_svd(weight.copy(order="F"), FULL)
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_input_is_left_alone() -> None:
    weight = noise()
    before = weight.copy()
    tt_svd(weight, FULL)
    np.testing.assert_array_equal(weight, before)


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(12, 24\) cannot take .* which is \(24, 12\)"):
        tt_svd(noise(12, 24), FULL)


@pytest.mark.parametrize(("ranks", "named"), [((1, 7, 8, 1), "7 exceeds 6"), ((1, 6, 9, 1), "9 exceeds 8")])
def test_a_rank_that_no_bond_holds_is_refused(ranks: tuple[int, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        tt_svd(noise(), TTShape((2, 3, 4), (3, 2, 2), ranks))


def plain(weight: Floats, shape: TTShape) -> list[NDArray[np.float64]]:
    """TT-SVD of one shape in float64, by the eigenvectors of Gram matrices."""
    length = shape.length
    pairs = [axis for k in range(length) for axis in (k, length + k)]
    rest, cores = weight.astype(np.float64).reshape(shape.inputs + shape.outputs).transpose(pairs), []
    for before, x, y, after in shape.cores[:-1]:
        rest = rest.reshape(before * x * y, -1)
        wide = rest if len(rest) <= rest.shape[1] else rest.T
        left = np.linalg.eigh(wide @ wide.T)[1][:, ::-1][:, :after]
        if wide is not rest:
            left = np.linalg.qr(rest @ left)[0]
        left = left * np.sign(left[np.abs(left).argmax(axis=0), np.arange(after)])
        rest = left.T @ rest
        cores.append(left.reshape(before, x, y, after))
    return [*cores, rest.reshape(shape.cores[-1])]


def assert_same(some: decompose.Cores, others: Iterable[NDArray[np.floating]]) -> None:
    for core, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(core, other.astype(np.float32))


FACTORS = [
    ((6, 4), (3, 4)),
    ((6, 2, 2), (3, 2, 2)),
    ((6, 2, 2), (3, 4, 1)),
    ((2, 3, 4), (3, 2, 2)),
    ((2, 3, 2, 2), (3, 2, 2, 1)),
    ((24, 1), (1, 12)),
]
SHAPES = [tt_shape(*factors, rank) for factors in FACTORS for rank in (1, 3, 4, 8)]
SHAPES += [TTShape((2, 3, 4), (3, 2, 2), (1, 6, rank, 1)) for rank in (2, 3, 8)]


@pytest.mark.parametrize("size", [(784, 300), (300, 100)])
def test_cores_are_those_of_the_plain_algorithm(size: tuple[int, int]) -> None:
    weight = noise(*size)
    factors = {784: ((28, 28), (7, 4, 28), (4, 4, 7, 7)), 300: ((15, 20), (5, 4, 15), (10, 5, 3, 2))}
    factors[100] = ((10, 10), (5, 2, 10), (2, 2, 5, 5))
    shapes = [tt_shape(x, y, r) for x, y in zip(*map(factors.get, size), strict=True) for r in (2, 8, 12)]
    for shape, cores in tt_svds(weight, shapes):
        for core, other in zip(cores, plain(weight, shape), strict=True):
            np.testing.assert_allclose(core, other, atol=2e-7 * np.abs(other).max())


@pytest.mark.parametrize("way", [None, "Krylov in float64", "Krylov", "Gram"])
@given(st.lists(st.sampled_from(SHAPES), unique=True), st.sampled_from(["flat", "fast", "low 1e-4"]))
@settings(max_examples=15)
def test_the_cores_of_a_shape_do_not_depend_on_the_others(way: str | None, shapes: list[TTShape], kind: str) -> None:
    weight = spectrum(kind, (24, 12))
    with pytest.MonkeyPatch.context() as patch:
        if way:
            as_if_large(way, patch)
        together = dict(tt_svds(weight, shapes))
        assert set(together) == set(shapes)
        for shape in shapes:
            assert_same(together[shape], tt_svd(weight, shape))


def eigenproblems(weight: Floats, shapes: Iterable[TTShape], patch: pytest.MonkeyPatch) -> int:
    calls = []
    eigh = np.linalg.eigh
    patch.setattr(np.linalg, "eigh", lambda gram: calls.append(len(gram)) or eigh(gram))
    list(tt_svds(weight, shapes))
    return len(calls)


ALIKE = [TTShape((6, 2, 2), (3, 2, 2), (1, *ranks, 1)) for ranks in ((3, 2), (3, 3), (5, 2))]
"""Two unfoldings of the first bond would do for one, three of the second for two: they differ in the first rank."""


def test_shapes_of_the_same_factors_share_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert eigenproblems(noise(), ALIKE, monkeypatch) == 1 + 2


def test_shapes_of_a_large_weight_share_what_their_first_factors_have_in_common(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_if_large("Gram", monkeypatch)
    others = [TTShape((6, 4), (3, 4), (1, 2, 1)), TTShape((6, 1, 4), (3, 4, 1), (1, 3, 2, 1))]
    assert eigenproblems(noise(), ALIKE + others, monkeypatch) == 1 + 2 + 1


def test_many_shapes_take_no_more_memory_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    as_if_large("Gram", monkeypatch)
    weight = noise(512, 512)

    def peak(shapes: list[TTShape]) -> int:
        tracemalloc.start()
        for _ in tt_svds(weight, shapes):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    shapes = [tt_shape((8, 8, 8), (y, 64 // y, 8), rank) for y in (4, 8, 16) for rank in (2, 4, 6, 8)]
    assert peak(shapes) < 1.2 * max(peak([shape]) for shape in shapes)


def test_the_cores_are_the_callers_own() -> None:
    weight = noise()
    shapes = [TTShape((6, 2, 2), (3, 2, 2), (1, 3, rank, 1)) for rank in (2, 4)]
    for _, cores in tt_svds(weight, shapes):
        assert all(core.flags.c_contiguous and core.flags.writeable for core in cores)
        for core in cores:
            core[:] = 0
    assert_same(dict(tt_svds(weight, shapes))[shapes[1]], tt_svd(weight, shapes[1]))
    assert weight.any()


def test_one_shape_that_does_not_fit_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompose, "_walk", None)
    with pytest.raises(ValueError, match="7 exceeds 6"):
        next(tt_svds(noise(), [*SHAPES, TTShape((2, 3, 4), (3, 2, 2), (1, 7, 8, 1))]))


def test_no_shapes() -> None:
    assert list(tt_svds(noise(), [])) == []
