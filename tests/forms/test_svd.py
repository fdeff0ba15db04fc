"""The truncated SVD against NumPy's, and what it is refused for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.errors import ModelError
from edgett.forms import moments, splitting
from edgett.forms.front import Search
from edgett.forms.moments import target
from edgett.forms.site import Layer
from edgett.forms.svd import SingularValues, SVDShape

SIZES = st.tuples(st.integers(2, 30), st.integers(2, 30))


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(0, 1000), st.data())
def test_no_matrix_of_that_rank_is_closer(size: tuple[int, int], seed: int, data: st.DataObject) -> None:
    weight = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    spec = SVDShape(*size, data.draw(st.integers(1, min(size))))
    values = np.linalg.svd(weight.astype(np.float64), compute_uv=False)
    least = np.sqrt(np.square(values[spec.rank :]).sum())
    error = np.linalg.norm(spec.dense(spec.best(weight)) - weight)
    assert error == pytest.approx(least, abs=1e-4 * values[0])
    bracket, norm = spec.error(weight), np.linalg.norm(weight)
    assert bracket.low - 1e-3 <= least / norm <= bracket.high + 1e-3


def test_both_matrices_are_as_long_and_equal_inputs_give_equal_bytes() -> None:
    weight = np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32)
    left, right = SVDShape(20, 12, 4).best(weight)
    np.testing.assert_allclose(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1), rtol=1e-5)
    for one, other in zip((left, right), SVDShape(20, 12, 4).best(weight.copy()), strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_large_weight_goes_through_a_krylov_space(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    weight = (random.normal(size=(90, 6)) @ random.normal(size=(6, 70)) + 0.1 * random.normal(size=(90, 70))).astype(
        "f"
    )
    exact = SVDShape(90, 70, 6).best(weight)
    monkeypatch.setattr(splitting, "EXACT_SIDE", 0)
    monkeypatch.setattr(splitting, "EXACT_SHARE", 0)
    spec = SVDShape(90, 70, 6)
    np.testing.assert_allclose(spec.dense(spec.best(weight)), spec.dense(exact), atol=1e-2)


@pytest.mark.parametrize("weight", [np.zeros((6, 5), np.float32), np.eye(6, 5, dtype=np.float32)])
def test_weights_with_nothing_to_cut(weight: np.ndarray) -> None:
    for rank in (1, 5):
        found = SVDShape(6, 5, rank).best(weight)
        assert all(np.isfinite(factor).all() for factor in found)
    np.testing.assert_allclose(SVDShape(6, 5, 5).dense(SVDShape(6, 5, 5).best(weight)), weight, atol=1e-6)


def test_fitted_to_its_inputs_it_is_the_best_there_is() -> None:
    """The distance is that of the truncated SVD of the weight seen through the root of the inputs' second moment."""
    random = np.random.default_rng(2)
    weight = random.normal(size=(24, 12)).astype(np.float32)
    inputs = (random.normal(size=(200, 24)) * np.linspace(0.1, 3, 24)).astype(np.float32)
    wanted, spec = target(weight, inputs), SVDShape(24, 12, 4)
    start = spec.best(weight)
    found = spec.fitted(start, wanted)
    root = np.linalg.cholesky(wanted.moment.astype(np.float64)).T
    values = np.linalg.svd(root @ weight, compute_uv=False)
    assert wanted.distance(spec.dense(found)) == pytest.approx(np.square(values[4:]).sum(), rel=1e-3)
    assert wanted.distance(spec.dense(found)) < wanted.distance(spec.dense(start))
    assert spec.fitted(start, target(np.full_like(weight, np.nan), inputs)) is start


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 12))
@settings(max_examples=30)
def test_by_the_inputs_alone_it_is_the_best_there_is_too(seed: int, count: int, rank: int) -> None:
    """Where the second moment would not fit into memory: against the truncated SVD by its root."""
    random = np.random.default_rng(seed)
    weight = random.normal(size=(24, 12)).astype(np.float32)
    inputs = (random.normal(size=(count, 24)) * np.linspace(0.1, 3, 24)).astype(np.float32)
    whole, spec = target(weight, inputs), SVDShape(24, 12, rank)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(moments, "LONGEST", 23)
        held = target(weight, inputs)
    assert held.moment is None
    found, exact = (spec.dense(spec.fitted(spec.best(weight), one)) for one in (held, whole))
    # Singular values that hold a millionth of the energy or less are lost in float32.
    assert whole.distance(found) == pytest.approx(whole.distance(exact), rel=1e-2, abs=1e-5 * whole.energy)


def test_the_front_is_every_rank_that_is_smaller_than_dense() -> None:
    weight = np.random.default_rng(3).normal(size=(40, 30)).astype(np.float32)
    front = SingularValues().front(Layer("fc", 40, 30), weight, Search(2, 64), lambda units: None)
    assert [spec.rank for spec in front.specs] == [rank for rank in range(2, 31, 2) if rank * 70 < 1200]
    assert list(front.losses) == sorted(front.losses, reverse=True) and front.solutions == 15
    small = SingularValues().front(Layer("fc", 40, 30), weight, Search(2, 64, most_peak=47), lambda units: None)
    assert len(small) < len(front)
    none = SingularValues().front(Layer("fc", 40, 30), weight, Search(30, 30), lambda units: None)
    assert len(none) == 0 and none.reason == "40x30: none of its 1 solutions is smaller and cheaper than dense"


@pytest.mark.parametrize("size", [(2, 9), (9, 2), (1, 1), (1 << 15, 1 << 14)])
def test_layers_that_it_does_not_fit(size: tuple[int, int]) -> None:
    assert SingularValues().unfit(Layer("fc", *size)) is not None
    assert SingularValues().unfit(Layer("fc", 3, 1000)) is None


def test_what_is_refused() -> None:
    for rank in (0, 6):
        with pytest.raises(ValueError, match="the rank must be from 1 to 5"):
            SVDShape(6, 5, rank)
    with pytest.raises(ModelError, match="NaN or infinite"):
        SVDShape(6, 5, 2).error(np.full((6, 5), np.nan, np.float32))
    with pytest.raises(ValueError, match="the weight"):
        SVDShape(6, 5, 2).error(np.ones((5, 6), np.float32))
