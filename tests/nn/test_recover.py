"""The fit of cores to a layer's outputs against least squares by brute force; the soft loss against formulas."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.forms.target import Target, target
from edgett.forms.tt import fit
from edgett.forms.tt.decompose import Cores, rebuild, tt_svd
from edgett.forms.tt.fit import fitted
from edgett.forms.tt.shape import TTShape, tt_shape
from edgett.nn.quality import judge
from edgett.nn.recover import Guide, soft_loss

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


def distance(wanted: Target, weight: NDArray[Any]) -> float:
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


def best(wanted: Target, cores: Cores, index: int) -> float:
    """The least distance over all values of one core, the others fixed."""
    root = np.linalg.cholesky(wanted.moment.astype(np.float64)).T
    columns = jacobian(cores, index).reshape(24, 12, -1)
    rows = np.einsum("xz,zyk->xyk", root, columns).reshape(24 * 12, -1)
    right = (root @ wanted.weight).ravel()
    return float(np.square(rows @ np.linalg.lstsq(rows, right)[0] - right).sum())


def far(wanted: Target, cores: Cores) -> float:
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


RANDOM = np.random.default_rng(1)
LABELS = {
    "classes": RANDOM.integers(0, 4, 8),
    "chances": RANDOM.integers(0, 2, (8, 4)),
    "values": RANDOM.normal(size=8),
}


def softmax(values: NDArray[Any]) -> NDArray[Any]:
    raised = np.exp(values - values.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def sigmoid(values: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-values))


def divergence(p: NDArray[Any], t: NDArray[Any]) -> float:
    return float((t * np.log(t / p)).sum(-1).mean())


def each(p: NDArray[Any], t: NDArray[Any]) -> float:
    return float((t * np.log(t / p) + (1 - t) * np.log((1 - t) / (1 - p))).mean())


def relative(p: NDArray[Any], t: NDArray[Any]) -> float:
    return float(((p - t) ** 2).mean() / t.var(0).mean())


def squared(p: NDArray[Any], t: NDArray[Any]) -> float:
    return float(((p - t) ** 2).mean())


def own(y: Any, p: Any) -> Any:
    """A loss of the user's own."""
    return tf.reduce_mean(tf.abs(p[:, 0] - tf.cast(y, p.dtype)), -1)


def pull(activation: str | None, loss: Any, labels: str) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation=activation, name="out")])
    model.compile(loss=loss)
    return soft_loss(judge(model, {"out": LABELS[labels]}))


LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY_LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)
CASES = [
    pytest.param("softmax", "sparse_categorical_crossentropy", "classes", softmax, divergence, id="softmax"),
    pytest.param("softmax", "mse", "chances", softmax, divergence, id="softmax, squared error"),
    pytest.param(None, LOGITS, "classes", None, lambda p, t: divergence(softmax(p), softmax(t)), id="logits"),
    pytest.param("sigmoid", "binary_crossentropy", "chances", sigmoid, each, id="sigmoid"),
    pytest.param(None, BINARY_LOGITS, "chances", None, lambda p, t: each(sigmoid(p), sigmoid(t)), id="binary logits"),
    pytest.param(None, "mse", "values", None, squared, id="regression"),
    pytest.param(None, "mae", "values", None, lambda p, t: float(np.abs(p - t).mean()), id="absolute error"),
    pytest.param(None, own, "values", None, relative, id="a loss of one's own"),
]


@pytest.mark.parametrize(("activation", "loss", "labels", "ending", "formula"), CASES)
def test_soft_loss_is_its_formula_and_pulls_to_the_baseline(
    activation: str | None, loss: Any, labels: str, ending: Any, formula: Any
) -> None:
    soft = tf.function(pull(activation, loss, labels))
    ours, theirs = np.random.default_rng(4).normal(size=(2, 8, 4))
    end = ending or (lambda values: values)
    p, t = (tf.constant(end(values), tf.float32) for values in (ours, theirs))
    assert float(soft({"out": p}, {"out": t})) == pytest.approx(formula(end(ours), end(theirs)), rel=1e-4)
    assert float(soft({"out": t}, {"out": t})) == pytest.approx(0, abs=1e-6)
    with tf.GradientTape() as tape:
        tape.watch(p)
        value = soft({"out": p}, {"out": t})
    slope = tape.gradient(value, p)
    assert float(soft({"out": p - 1e-3 * slope}, {"out": t})) < float(value)
    assert float(tf.reduce_sum((t - p) * slope)) < 0  # downhill lies towards the baseline


def test_sure_probabilities_stay_finite() -> None:
    sure = tf.constant([[1.0, 0, 0, 0]])
    for activation, loss, labels in (("softmax", LOGITS, "classes"), ("sigmoid", "binary_crossentropy", "chances")):
        p = tf.Variable(tf.reverse(sure, [1]))
        with tf.GradientTape() as tape:
            value = pull(activation, loss, labels)({"out": p}, {"out": sure})
        assert np.isfinite(float(value)) and float(value) > 1
        assert np.isfinite(tape.gradient(value, p)).all()


def test_outputs_add_up_with_their_weights_and_untrained_ones_do_not_count() -> None:
    x = keras.Input((3,))
    heads = [keras.layers.Dense(4, activation="softmax", name=name)(x) for name in "abc"]
    model = keras.Model(x, heads)
    crossentropy = "sparse_categorical_crossentropy"
    model.compile(loss=[crossentropy, crossentropy, None], loss_weights=[1.0, 0.25, 1.0])
    soft = soft_loss(judge(model, dict.fromkeys("abc", LABELS["classes"])))
    p, t = softmax(np.random.default_rng(5).normal(size=(2, 3, 8, 4)))
    found = float(soft(dict(zip("abc", p, strict=True)), dict(zip("abc", t, strict=True))))
    assert found == pytest.approx(divergence(p[0], t[0]) + 0.25 * divergence(p[1], t[1]), rel=1e-4)


def test_half_precision_outputs_are_compared_in_single() -> None:
    p, t = softmax(np.random.default_rng(6).normal(size=(2, 8, 4)))
    found = pull("softmax", LOGITS, "classes")({"out": tf.constant(p, tf.float16)}, {"out": t})
    assert found.dtype == tf.float32
    assert float(found) == pytest.approx(divergence(p, t), rel=2e-2)


class TestGuide:
    def guide(self) -> tuple[keras.Model, Guide, Floats]:
        keras.utils.set_random_seed(0)
        x = keras.Input((24,), name="x")
        hidden = keras.layers.Dense(12, name="fc")(keras.layers.Rescaling(0.5)(x))
        model = keras.Model(x, keras.layers.Dense(3, activation="softmax", name="y")(hidden))
        model.compile("adam", "sparse_categorical_crossentropy")
        inputs = drawn(count=600)[1]
        return model, Guide(model, judge(model, {"y": np.arange(600) % 3}), {"x": inputs}), inputs

    def test_fits_each_layer_on_what_it_is_given(self) -> None:
        model, guide, inputs = self.guide()
        weight = np.asarray(model.get_layer("fc").kernel)
        found = guide.factors({"fc": TWO})["fc"]
        for core, other in zip(found, fitted(target(weight, inputs / 2), tt_svd(weight, TWO)), strict=True):
            np.testing.assert_array_equal(core, other)

    @pytest.mark.parametrize(("constant", "value"), [("LONGEST", 23), ("LEAST_WORK", 1000)])
    def test_where_it_does_not_pay_a_layer_keeps_its_start(
        self, constant: str, value: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fit, constant, value)
        assert self.guide()[1].factors({"fc": TWO}) == {}

    def test_teaches_the_outputs_of_the_dense_model(self) -> None:
        model, guide, inputs = self.guide()
        wanted = model.predict(inputs, verbose=0)
        np.testing.assert_allclose(guide.teacher.outputs["y"], wanted, atol=1e-6)
        assert float(guide.teacher.loss({"y": wanted}, {"y": wanted})) == pytest.approx(0, abs=1e-6)
