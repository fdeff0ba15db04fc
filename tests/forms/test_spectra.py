"""The spectra of all unfoldings against NumPy's singular values in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.forms import spectra as module
from edgett.forms.factors import divisors
from edgett.forms.spectra import GramOf, Spectrum, Unfolding, lanczos, most_kept
from edgett.forms.tt.error import Spectra, spectra

Floats = NDArray[np.float64]

KINDS = ("flat", "decaying", "low rank", "positive")
PATHS = {
    "exact": {},
    "Lanczos on Gram matrices": {"EXACT_SIDE": 0},
    "Lanczos on unfoldings": {"EXACT_SIDE": 0, "GRAM_SIDE": 4},
    "float32": {"DOUBLE_SIZE": 0},
    "float32, Lanczos": {"EXACT_SIDE": 0, "DOUBLE_SIZE": 0},
}


def weight(kind: str, size: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    """Flat: independent entries. Decaying: singular values 1/j. Low rank: a train of rank 2 and a little noise."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=size)
    if kind == "decaying":
        left, values, right = np.linalg.svd(noise, full_matrices=False)
        noise = left / np.arange(1, len(values) + 1) @ right
    elif kind == "low rank":
        grid = np.add.outer(np.linspace(0, 3, size[0]), np.linspace(0, 5, size[1]))
        noise = np.sin(grid) + 1e-4 * noise
    elif kind == "positive":
        noise = np.abs(noise) + 2
    return noise.astype(np.float32)


def true_cuts(matrix: NDArray[np.floating], p: int, q: int, max_rank: int) -> Floats:
    """The share beyond 0 .. max_rank singular values, its unfolding written out index by index."""
    x, y = matrix.shape
    s, t = x // p, y // q
    unfolding = [
        [matrix[i * s + k, j * t + m] for k, m in itertools.product(range(s), range(t))]
        for i, j in itertools.product(range(p), range(q))
    ]
    energy = np.linalg.svd(np.asarray(unfolding, np.float64), compute_uv=False) ** 2
    beyond = np.cumsum(energy[::-1])[::-1] / energy.sum()
    return np.pad(beyond[: max_rank + 1], (0, max(0, max_rank + 1 - len(beyond))))


def assert_right(found: Spectra, matrix: NDArray[np.floating], max_rank: int) -> None:
    """Cuts within 1 % where they are above a hundred times the rounding, never below the true ones; floors below."""
    for (i, p), (j, q) in itertools.product(enumerate(found.inputs), enumerate(found.outputs)):
        true = true_cuts(matrix, p, q, max_rank)
        np.testing.assert_allclose(found.cuts[i, j], true, rtol=0.01, atol=100 * found.rounding, err_msg=f"{p, q}")
        assert (found.cuts[i, j] >= true - found.rounding).all()
        assert (found.floor[i, j] <= true).all()
        assert (found.floor[i, j] >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [(24, 36), (32, 32)])
def test_every_path_finds_the_cuts(
    path: str, kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in PATHS[path].items():
        monkeypatch.setattr(module, name, value)
    matrix = weight(kind, size)
    assert_right(spectra(matrix, 4), matrix, 4)


@settings(max_examples=25)
@given(
    st.sampled_from([1, 2, 3, 5, 7, 8, 12, 18, 20]),
    st.sampled_from([1, 2, 4, 6, 9, 11, 16, 30]),
    st.integers(1, 40),
    st.sampled_from(KINDS),
    st.integers(0, 1000),
)
def test_any_size_and_rank(x: int, y: int, max_rank: int, kind: str, seed: int) -> None:
    matrix = weight(kind, (x, y), seed)
    found = spectra(matrix, max_rank)
    assert found.inputs == tuple(divisors(x)) and found.outputs == tuple(divisors(y))
    assert found.cuts.shape == found.floor.shape == (len(found.inputs), len(found.outputs), max_rank + 1)
    assert_right(found, matrix, max_rank)
    assert (np.diff(found.cuts) <= 0).all() and (np.diff(found.floor) <= 0).all()
    for (i, p), (j, q) in itertools.product(enumerate(found.inputs), enumerate(found.outputs)):
        assert not found.cuts[i, j, min(p * q, x * y // (p * q)) :].any()
    # Exact unfoldings are bracketed to rounding.
    np.testing.assert_allclose(found.floor, found.cuts, atol=1.01e-12)


def _swapped_suffix(self: Unfolding, matrix: NDArray[np.floating], side: GramOf) -> NDArray[np.floating]:
    (x, y), (p, q) = self.size, self.prefix
    length = self.rows if side is GramOf.ROWS else self.columns
    axes = (0, 3, 1, 2) if side is GramOf.ROWS else (1, 2, 0, 3)
    return matrix.reshape(p, x // p, y // q, q).transpose(axes).reshape(length, -1)


def _other_side(gram: Floats, unfolding: Unfolding, side: GramOf, digit: tuple[int, int]) -> Floats:
    mirror = Unfolding(
        unfolding.size, (unfolding.size[0] // unfolding.prefix[0], unfolding.size[1] // unfolding.prefix[1])
    )
    return TRACE_OUT(gram, mirror, GramOf.COLUMNS if side is GramOf.ROWS else GramOf.ROWS, digit)


TRACE_OUT = module._trace_out


def test_planted_faults_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = weight("decaying", (12, 18))
    for owner, name, fault in ((Unfolding, "matrix", _swapped_suffix), (module, "_trace_out", _other_side)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fault)
            found = spectra(matrix, 4)
        with pytest.raises(AssertionError):
            assert_right(found, matrix, 4)
    right = spectra(matrix, 4)
    reversed_divisors = Spectra(right.inputs, right.outputs, right.cuts[::-1], right.floor[::-1], right.rounding)
    with pytest.raises(AssertionError):
        assert_right(reversed_divisors, matrix, 4)
    assert_right(right, matrix, 4)


def test_a_square_weight_takes_one_product_a_balanced_unfolding(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    original = Unfolding.matrix

    def counted(self: Unfolding, matrix: NDArray[np.floating], side: GramOf) -> NDArray[np.floating]:
        made.append(self.prefix)
        return original(self, matrix, side)

    monkeypatch.setattr(Unfolding, "matrix", counted)
    spectra(weight("flat", (32, 32)), 4)
    assert sorted(made) == [(1, 32), (2, 16), (4, 8), (8, 4), (16, 2), (32, 1)]


def test_the_bound_of_the_squares_without_a_gram_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT_SIDE", 0)
    monkeypatch.setattr(module, "GRAM_SIDE", 4)
    matrix = weight("decaying", (24, 36)).astype(np.float64)
    matrix /= np.linalg.norm(matrix)
    direct = 0
    for unfolding, spectrum in module.spectra_of(matrix, 3):
        rows = unfolding.matrix(matrix, GramOf.ROWS)
        assert spectrum.square >= (np.linalg.svd(rows, compute_uv=False) ** 4).sum() * (1 - 1e-12)
        direct += unfolding.rank > 4
    assert direct > 20


J = np.arange(1.0, 61.0)
VALUES = (J**-0.5, J**-2.0, np.exp(-J), np.ones(60), np.repeat([1.0, 0.01], 30), 61 - J)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("known", [4, 12, 60])
@pytest.mark.parametrize("below", [0.0, 0.3])
def test_no_more_is_kept_than_proved(values: Floats, known: int, below: float) -> None:
    values = values / values.sum()
    ritz = np.sort(values[:known] * (1 - below * np.random.default_rng(known).random(known)))[::-1]
    kept = np.concatenate([[0.0], np.cumsum(values)[:10]])
    most = most_kept(Spectrum(60, ritz, float((values**2).sum()), exact=False), 10)
    assert (most >= kept - 1e-12).all() and (most <= 1 + 1e-12).all()
    if known == 60 and not below:
        np.testing.assert_allclose(most, kept, atol=1e-7)  # the square root of the rounding of the squares


def test_the_proof_uses_the_squares() -> None:
    """Flat spectra are where the energy not seen says nothing, but the sum of squares does."""
    flat = np.full(1024, 1 / 1024)
    most = most_kept(Spectrum(1024, flat[:16], float((flat**2).sum()), exact=False), 8)
    naive = np.sqrt(np.arange(1, 9) / 1024)
    assert (most[1:] < naive / 3).all()
    assert (most >= np.arange(9) / 1024).all()


@pytest.mark.parametrize("values", VALUES)
def test_lanczos(values: Floats) -> None:
    values = np.pad(values / values.sum(), (0, 40))
    ritz = lanczos(lambda block: values[:, None] * block, np.empty((100, 1)), 8, 1e-12)
    kept, true = np.cumsum(ritz)[:8], np.cumsum(np.sort(values)[::-1])[:8]
    assert (kept <= true + 1e-12).all()
    np.testing.assert_allclose(1 - kept, 1 - true, rtol=0.01, atol=1e-10)


def test_lanczos_finds_a_repeated_value_whole() -> None:
    values = np.concatenate([np.full(9, 0.1), np.full(100, 0.001)])
    ritz = lanczos(lambda block: values[:, None] * block, np.empty((109, 1)), 9, 1e-12)
    np.testing.assert_allclose(ritz[:9], 0.1, rtol=1e-9)


def test_lanczos_ends_when_nothing_is_left() -> None:
    one = np.zeros(50)
    one[7] = 1.0
    ritz = lanczos(lambda block: one[:, None] * block, np.empty((50, 1)), 8, 1e-12)
    np.testing.assert_allclose(ritz, [1.0] + [0.0] * (len(ritz) - 1), atol=1e-12)
