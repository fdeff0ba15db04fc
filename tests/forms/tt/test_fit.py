"""The fit of cores to a layer's outputs against least squares by brute force."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.forms import moments
from edgett.forms.moments import Moments, target
from edgett.forms.tt import fit
from edgett.forms.tt.decompose import Cores, rebuild, tt_svd
from edgett.forms.tt.fit import fitted
from edgett.forms.tt.shape import TTShape, tt_shape

Floats = NDArray[np.float32]
TWO = tt_shape((4, 6), (6, 2), 3)
SHAPES = (TWO, tt_shape((2, 3, 4), (3, 2, 2), 4), tt_shape((2, 2, 3, 2), (2, 2, 1, 3), 3))


def drawn(seed: int = 0, count: int = 60) -> tuple[Floats, Floats]:
    """A weight (24, 12), and inputs whose later columns vary more."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, 24)) * np.linspace(0.1, 3, 24)
    return random.normal(size=(24, 12)).astype(np.float32), inputs.astype(np.float32)


WEIGHT, INPUTS = drawn()
TARGET = target(WEIGHT, INPUTS)


def distance(wanted: Moments, weight: NDArray[Any]) -> float:
    """What `Target` says it measures, word for word: the trace of (W' - W)^T moment (W' - W)."""
    change = weight - wanted.weight.astype(np.float64)
    return float(np.trace(change.T @ wanted.moment @ change))


def jacobian(cores: Cores, index: int) -> NDArray[np.float64]:
    """What each number of a core does to the weight (X, Y), as columns."""
    columns = []
    for number in range(cores[index].size):
        unit = np.zeros(cores[index].size)
        unit[number] = 1
        changed = (*cores[:index], unit.reshape(cores[index].shape), *cores[index + 1 :])
        columns.append(rebuild(changed).ravel())  # type: ignore[arg-type]
    return np.stack(columns, 1)


def best(wanted: Moments, cores: Cores, index: int) -> float:
    """The least distance over all values of one core, the others fixed."""
    root = np.linalg.cholesky(wanted.moment.astype(np.float64)).T
    columns = jacobian(cores, index).reshape(24, 12, -1)
    rows = np.einsum("xz,zyk->xyk", root, columns).reshape(24 * 12, -1)
    right = (root @ wanted.weight).ravel()
    return float(np.square(rows @ np.linalg.lstsq(rows, right)[0] - right).sum())


def far(wanted: Moments, cores: Cores) -> float:
    return wanted.distance(rebuild(cores))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_distance_is_what_it_says(shape: TTShape) -> None:
    cores = tt_svd(WEIGHT, shape)
    assert far(TARGET, cores) == pytest.approx(distance(TARGET, rebuild(cores)), rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_come_closer_in_cores_of_the_same_shapes(shape: TTShape) -> None:
    start = tt_svd(WEIGHT, shape)
    found = fitted(TARGET, start)
    assert far(TARGET, found) < 0.9 * far(TARGET, start)
    assert [core.shape for core in found] == list(shape.cores)
    assert all(core.dtype == np.float32 and core.flags.c_contiguous for core in found)
    unseen = drawn(seed=7)[1]
    assert np.linalg.norm(unseen @ (rebuild(found) - WEIGHT)) < np.linalg.norm(unseen @ (rebuild(start) - WEIGHT))


@pytest.mark.parametrize(("limit", "value"), [("DIRECT", 2000), ("DIRECT", 0), ("KERNEL", 1)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_core_solved_for_last_is_the_best(
    shape: TTShape, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, limit, value)
    monkeypatch.setattr(fit, "STEPS", 60)
    found = fitted(TARGET, tt_svd(WEIGHT, shape))
    assert far(TARGET, found) == pytest.approx(best(TARGET, found, 1), rel=2e-4)


def test_many_sweeps_reach_what_no_core_betters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "SWEEPS", 300)
    found = fitted(TARGET, tt_svd(WEIGHT, TWO))
    for index in range(2):
        assert far(TARGET, found) == pytest.approx(best(TARGET, found, index), rel=1e-3)


def test_every_sweep_lowers_the_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    start = tt_svd(WEIGHT, SHAPES[1])
    distances = [far(TARGET, start)]
    for sweeps in (2, 4, 8, 16):
        monkeypatch.setattr(fit, "SWEEPS", sweeps)
        distances.append(far(TARGET, fitted(TARGET, start)))
    assert distances == sorted(distances, reverse=True)
    assert distances[1] < 0.9 * distances[0]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.sampled_from(SHAPES))
def test_never_worse_than_the_start(seed: int, count: int, shape: TTShape) -> None:
    weight, inputs = drawn(seed, count)  # fewer samples than inputs, too
    wanted, start = target(weight, inputs), tt_svd(weight, shape)
    assert far(wanted, fitted(wanted, start)) <= far(wanted, start)


def test_an_exact_start_stays_exact() -> None:
    start = tuple(np.random.default_rng(2).normal(size=core).astype(np.float32) for core in SHAPES[1].cores)
    weight = rebuild(start).astype(np.float32)
    found = fitted(target(weight, INPUTS), start)
    np.testing.assert_allclose(rebuild(found), weight, atol=1e-4 * np.abs(weight).max())


@pytest.mark.parametrize("direct", [0, 2000])
def test_a_weight_of_zeros_stays(direct: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "DIRECT", direct)
    start = tt_svd(np.zeros_like(WEIGHT), TWO)
    assert not rebuild(fitted(target(np.zeros_like(WEIGHT), INPUTS), start)).any()


def test_ranks_beyond_what_a_bond_holds_are_kept() -> None:
    shape = TTShape((2, 12), (2, 6), (1, 6, 1))  # the left side of the bond has 4
    start = tuple(np.random.default_rng(3).normal(size=core).astype(np.float32) for core in shape.cores)
    found = fitted(TARGET, start)
    assert [core.shape for core in found] == list(shape.cores)
    assert far(TARGET, found) < 1e-3 * far(TARGET, start)  # four would hold any weight


def test_the_same_inputs_give_the_same_cores() -> None:
    first, second = (fitted(target(WEIGHT, INPUTS), tt_svd(WEIGHT, SHAPES[1])) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_start_is_left_as_it_was() -> None:
    start = tt_svd(WEIGHT, SHAPES[1])
    kept = [core.copy() for core in start]
    fitted(TARGET, start)
    for one, other in zip(start, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_core_too_large_to_solve_for_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    start = tt_svd(WEIGHT, TWO)  # cores of 12 and 18 unknowns
    monkeypatch.setattr(fit, "ITERATIVE", 17)
    found = fitted(TARGET, start)
    assert far(TARGET, found) == pytest.approx(best(TARGET, start, 0), rel=1e-3)
    monkeypatch.setattr(fit, "ITERATIVE", 1)
    assert far(TARGET, fitted(TARGET, start)) == pytest.approx(far(TARGET, start), rel=1e-4)


def test_a_column_of_zeros_does_not_carry_the_weight_away() -> None:
    inputs = INPUTS.copy()
    inputs[:, 3] = 0
    start = tt_svd(WEIGHT, TWO)
    wanted = target(WEIGHT, inputs)
    found = fitted(wanted, start)
    assert far(wanted, found) < far(wanted, start)
    assert np.abs(rebuild(found)[3]).max() < 3 * np.abs(WEIGHT[3]).max()


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_inputs_that_tell_nothing_leave_the_start(value: float) -> None:
    inputs = np.full_like(INPUTS, value) if value == 0 else INPUTS.copy()
    inputs[5, 7] = value
    start = tt_svd(WEIGHT, TWO)
    assert fitted(target(WEIGHT, inputs), start) is start


@given(st.integers(0, 10**6), st.integers(1, 80), st.sampled_from(SHAPES), st.sampled_from([1, 300, fit.BLOCK]))
@settings(max_examples=60)
def test_by_the_inputs_alone_as_by_their_moment(seed: int, count: int, shape: TTShape, block: int) -> None:
    """Where the moment would not fit into memory: all of it made at once, or a part at a time."""
    weight, inputs = drawn(seed, count)
    with pytest.MonkeyPatch.context() as patched:
        whole = target(weight, inputs)
        start = tt_svd(weight, shape)
        expected = fitted(whole, start)
        patched.setattr(moments, "LONGEST", 23)
        patched.setattr(fit, "BLOCK", block)
        held = target(weight, inputs)
        found = fitted(held, start)
    assert held.moment is None and held.inputs is inputs
    np.testing.assert_allclose(held.image, whole.image, rtol=1e-4, atol=1e-5)
    # Sums come in another order, and least squares that are nearly singular show it; what is reached is the same.
    assert far(whole, found) == pytest.approx(far(whole, expected), rel=1e-2, abs=1e-6)
    assert far(whole, found) <= far(whole, start)


def test_a_core_whose_moment_has_no_place_keeps_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    start = tt_svd(WEIGHT, TWO)
    for module in (moments, fit):
        monkeypatch.setattr(module, "LONGEST", 11)
    assert fitted(target(WEIGHT, INPUTS), start) is start
    for module in (moments, fit):
        monkeypatch.setattr(module, "LONGEST", 12)
    found = fitted(target(WEIGHT, INPUTS), start)
    assert far(TARGET, found) < far(TARGET, start)


def test_the_whole_moment_is_never_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4,096 inputs, with bounds a quarter of what it would take."""
    for module in (moments, fit):
        monkeypatch.setattr(module, "LONGEST", 2048)
    monkeypatch.setattr(fit, "BLOCK", 1 << 20)
    random = np.random.default_rng(0)
    inputs = (random.normal(size=(64, 16)) @ random.normal(size=(16, 4096))).astype(np.float32)
    weight = random.normal(size=(4096, 8)).astype(np.float32)
    start = tt_svd(weight, tt_shape((16, 16, 16), (2, 2, 2), 4))
    tracemalloc.start()
    wanted = target(weight, inputs)
    found = fitted(wanted, start)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert far(wanted, found) < 0.5 * far(wanted, start)
    assert most < 0.75 * 4 * 4096**2
