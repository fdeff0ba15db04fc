"""`TTDense` in training: its gradients, its loss, its regularisers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import t3f
import tensorflow as tf

from edgett.forms.tt.order import Order
from edgett.model.tt_dense import TTDense
from tests.model.test_tt_dense import ORDERS, RANDOM, SMALL, SWITCHING, dense_weight, model_of, of, samples


class TestGradients:
    @ORDERS
    @pytest.mark.parametrize("batch", [2, 200])
    def test_are_those_of_the_dense_reconstruction(self, order: Order, batch: int) -> None:
        layer = of(SWITCHING, order, activation="tanh")
        x, cotangent = samples(batch, layer), samples(batch, layer)
        variables = layer.trainable_weights
        with tf.GradientTape() as tape:
            found = tf.reduce_sum(layer(x, training=True) * cotangent)
        gradients = tape.gradient(found, [v.value for v in variables])
        cores = [tf.convert_to_tensor(core) for core in layer.cores]
        bias = tf.convert_to_tensor(layer.bias)
        with tf.GradientTape() as tape:
            tape.watch([*cores, bias])
            weight = t3f.full(t3f.TensorTrain(cores, tt_ranks=list(SWITCHING.ranks)))
            wanted = tf.reduce_sum(tf.tanh(x @ weight + bias) * cotangent)
        for mine, theirs in zip(gradients, tape.gradient(wanted, [*cores, bias]), strict=True):
            scale = float(tf.reduce_max(tf.abs(theirs)))
            np.testing.assert_allclose(mine, theirs, atol=1e-4 * scale)

    @ORDERS
    def test_are_those_of_finite_differences(self, order: Order) -> None:
        layer = of(SMALL, order, activation="tanh", dtype="float64")
        x = samples(3, layer).astype(np.float64)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        gradients = tape.gradient(loss, [v.value for v in layer.trainable_weights])
        for variable, gradient in zip(layer.trainable_weights, gradients, strict=True):
            place = tuple(RANDOM.integers(0, variable.shape))
            values = np.asarray(variable)
            loss_at = []
            for step in (1e-6, -1e-6):
                moved = values.copy()
                moved[place] += step
                variable.assign(moved)
                loss_at.append(float(tf.reduce_sum(layer(x) ** 2)))
            variable.assign(values)
            np.testing.assert_allclose(gradient.numpy()[place], (loss_at[0] - loss_at[1]) / 2e-6, rtol=1e-5, atol=1e-8)


class TestTraining:
    def test_every_weight_is_trainable_and_named(self) -> None:
        layer = of(SMALL, Order.LAST_FIRST)
        assert [weight.name for weight in layer.trainable_weights] == ["factor_0", "factor_1", "factor_2", "bias"]
        assert [tuple(weight.shape) for weight in layer.trainable_weights[:3]] == list(SMALL.cores)
        assert layer.non_trainable_weights == []
        assert layer.count_params() == sum(math.prod(core) for core in SMALL.cores) + 12

    def test_no_bias(self) -> None:
        layer = of(SMALL, Order.LAST_FIRST, use_bias=False)
        np.testing.assert_array_equal(layer(np.zeros((2, 24), np.float32)), np.zeros((2, 12)))

    @pytest.mark.parametrize("batch", [4, 150])
    def test_fit_changes_every_weight_and_lowers_the_loss(self, batch: int) -> None:
        layer = of(SWITCHING, Order.LAST_FIRST)
        model = model_of(layer, compiled=False)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        x = samples(304, layer)
        y = (x @ RANDOM.normal(size=(64, 64)) / 8).astype(np.float32)
        before = layer.get_weights()
        losses = model.fit(x, y, batch_size=batch, epochs=2, verbose=0).history["loss"]
        assert losses[1] < losses[0]
        assert all((old != new).any() for old, new in zip(before, layer.get_weights(), strict=True))

    @pytest.mark.slow
    def test_save_reload_and_train_on(self, tmp_path: Path) -> None:
        layer = of(SMALL, Order.FIRST_LAST, activation="tanh", kernel_regularizer="l2", name="fc")
        model = model_of(layer)
        x = samples(20, layer)
        y = np.tanh(x[:, :12])
        model.fit(x, y, verbose=0)
        model.save(tmp_path / "model.keras")
        twin = keras.models.load_model(tmp_path / "model.keras")
        assert type(twin.get_layer("fc")) is TTDense
        np.testing.assert_array_equal(twin.predict(x, verbose=0), model.predict(x, verbose=0))
        for trained in (model, twin):
            trained.fit(x, y, epochs=2, batch_size=20, shuffle=False, verbose=0)
        for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-6)

    def test_mixed_precision(self) -> None:
        layer = of(SWITCHING, Order.LAST_FIRST, dtype="mixed_float16", kernel_regularizer="l2")
        model = model_of(layer)
        x = samples(150, layer)
        for training in (False, True):
            for count in (2, 150):
                found = layer(x[:count], training=training)
                assert found.dtype == tf.float16
                wanted = x[:count] @ dense_weight(layer) + np.asarray(layer.bias)
                np.testing.assert_allclose(found, wanted, atol=0.05)  # float16 keeps three digits
        before = layer.get_weights()
        model.fit(x, np.zeros((150, 64)), batch_size=100, verbose=0)
        assert all((old != new).any() for old, new in zip(before, layer.get_weights(), strict=True))


class TestRegularisers:
    def pair(self, **keywords: Any) -> tuple[TTDense, keras.layers.Dense]:
        layer = of(SMALL, Order.LAST_FIRST, **keywords)
        dense = keras.layers.Dense(12, **keywords)
        dense.build((None, 24))
        dense.set_weights([dense_weight(layer), np.asarray(layer.bias)])
        return layer, dense

    @pytest.mark.parametrize(
        "keywords",
        [
            {"kernel_regularizer": keras.regularizers.L1L2(0.1, 0.2)},
            {"bias_regularizer": "l1"},
            {"kernel_regularizer": "l2", "bias_regularizer": "l2", "activity_regularizer": "l1"},
        ],
    )
    @pytest.mark.parametrize("calls", [1, 2])
    def test_lose_what_dense_loses_however_often_it_is_called(self, keywords: dict[str, Any], calls: int) -> None:
        layer, dense = self.pair(**keywords)
        x = samples(3, layer)
        lost = []
        for each in (layer, dense):
            inputs = [keras.Input((24,)) for _ in range(calls)]
            model = keras.Model(inputs, [each(i) for i in inputs])
            model([x] * calls)
            lost.append(float(tf.add_n(model.losses)))
        np.testing.assert_allclose(lost[0], lost[1], rtol=1e-5)

    def test_reach_every_core(self) -> None:
        layer, _ = self.pair(kernel_regularizer="l2")
        with tf.GradientTape() as tape:
            layer(samples(1, layer))
            loss = tf.add_n(layer.losses)
        assert all(g is not None and np.any(g) for g in tape.gradient(loss, [core.value for core in layer.cores]))

    def test_a_frozen_layer_loses_nothing_by_its_kernel_as_in_dense(self) -> None:
        for layer in self.pair(kernel_regularizer="l2"):
            layer.trainable = False
            layer(np.ones((1, 24), np.float32))
            assert layer.losses == []

    def test_a_bias_constraint_holds_in_training(self) -> None:
        layer = of(SMALL, Order.LAST_FIRST, bias_constraint="non_neg")
        model_of(layer).fit(samples(8, layer), -np.ones((8, 12)), verbose=0)
        assert np.asarray(layer.bias).min() >= 0
