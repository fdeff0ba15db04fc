"""Distillation: the starts of layers, and the soft loss against formulas."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from edgett.forms.moments import target
from edgett.forms.tt import fit
from edgett.forms.tt.decompose import tt_svd
from edgett.forms.tt.fit import fitted
from edgett.job.choices import Recover
from edgett.train.data import Split
from edgett.train.methods import METHODS
from edgett.train.methods.distill import Distill, soft_loss
from edgett.train.methods.method import Method
from edgett.train.quality import judge
from tests.forms.tt.test_fit import TWO, Floats, drawn

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
    """Of probabilities whose logits are divided by 3."""
    soft, sought = (each ** (1 / 3) / (each ** (1 / 3)).sum(-1, keepdims=True) for each in (p, t))
    return 9 * float((sought * np.log(sought / soft)).sum(-1).mean())


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


class TestDistill:
    def method(self) -> tuple[keras.Model, Distill, Floats]:
        keras.utils.set_random_seed(0)
        x = keras.Input((24,), name="x")
        hidden = keras.layers.Dense(12, name="fc")(keras.layers.Rescaling(0.5)(x))
        model = keras.Model(x, keras.layers.Dense(3, activation="softmax", name="y")(hidden))
        model.compile("adam", "sparse_categorical_crossentropy")
        inputs = drawn(count=600)[1]
        return model, Distill(model, judge(model, {"y": np.arange(600) % 3}), Split({"x": inputs}, {})), inputs

    def test_fits_each_layer_on_what_it_is_given(self) -> None:
        model, method, inputs = self.method()
        weight = np.asarray(model.get_layer("fc").kernel)
        found = method.factors({"fc": TWO})["fc"]
        for core, other in zip(found, fitted(target(weight, inputs / 2), tt_svd(weight, TWO)), strict=True):
            np.testing.assert_array_equal(core, other)

    @pytest.mark.parametrize(("constant", "value"), [("LONGEST", 23), ("LEAST_WORK", 1000)])
    def test_where_it_does_not_pay_a_layer_keeps_its_start(
        self, constant: str, value: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fit, constant, value)
        assert self.method()[1].factors({"fc": TWO}) == {}

    def test_teaches_the_outputs_of_the_dense_model(self) -> None:
        model, method, inputs = self.method()
        wanted = model.predict(inputs, verbose=0)
        np.testing.assert_allclose(method.teacher.outputs(np.arange(600), {})["y"], wanted, atol=1e-6)
        assert float(method.teacher.loss({"y": wanted}, {"y": wanted})) == pytest.approx(0, abs=1e-6)

    def test_plain_does_none_of_it(self) -> None:
        model, method, _ = self.method()
        plain = METHODS[Recover.PLAIN](model, method.judge, method.samples)
        assert type(plain) is Method and plain.factors({"fc": TWO}) == {} and plain.teacher is None
        assert {*METHODS} == {*Recover}
