"""Batch normalisation in one operator: what Keras makes, its gradients and its statistics, and whom it leaves alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.train.normalisation import fuse

_L = keras.layers


def models(shape: tuple[int, ...], **settings: Any) -> tuple[keras.Model, keras.Model]:
    """The same twice, the second fused."""
    keras.utils.set_random_seed(0)
    entry = keras.Input(shape)
    model = keras.Model(entry, _L.BatchNormalization(**settings)(_L.Dense(shape[-1])(entry)))
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) ** 2 for weight in model.get_weights()])
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    fuse(other)
    return model, other


def step(model: keras.Model, x: Any) -> tuple[Any, list[Any]]:
    """Outputs and gradients of a training step."""
    with tf.GradientTape() as tape:
        made = model(x, training=True)
        loss = tf.reduce_sum(tf.sin(made))
    return made, tape.gradient(loss, model.trainable_variables)


def operators(model: keras.Model, x: Any, training: bool) -> set[str]:
    graph = tf.function(lambda: model(x, training=training)).get_concrete_function().graph
    return {operator.type for operator in graph.get_operations()}


def same(model: keras.Model, other: keras.Model, x: Any) -> None:
    for _ in range(2):
        (made, slopes), (fused, others) = step(model, x), step(other, x)
        np.testing.assert_allclose(fused, made, rtol=1e-3, atol=1e-4)
        for slope, one in zip(slopes, others, strict=True):
            np.testing.assert_allclose(one, slope, rtol=1e-3, atol=1e-3 * (1 + np.abs(slope).max()))
    for mine, its in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(its, mine, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other(x), model(x), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([(4, 4, 3), (5, 7, 16), (1, 1, 2), (6, 5), (9, 1)]),
    st.integers(2, 9),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.9, 0.99, 0.0]),
    st.sampled_from([1e-3, 1e-2]),
)
def test_it_is_what_keras_makes(
    shape: tuple[int, ...], batch: int, scale: bool, center: bool, momentum: float, epsilon: float
) -> None:
    model, other = models(shape, scale=scale, center=center, momentum=momentum, epsilon=epsilon)
    x = tf.constant(np.random.default_rng(2).normal(size=(batch, *shape)), tf.float32)
    assert "FusedBatchNormV3" in operators(other, x, training=True)
    assert "FusedBatchNormV3" not in operators(other, x, training=False)
    same(model, other, x)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [((4, 4, 3), {"axis": 1}), ((6,), {}), ((4, 4, 3), {"dtype": "float64"}), ((4, 4, 3), {"trainable": False}),
     ((4, 4, 3), {"synchronized": True}), ((4, 4, 3), {"renorm": True}), ((2, 2, 2, 3), {})],
    ids=str,
)  # fmt: skip
def test_others_stay_as_they_are(shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    model, other = models(shape, **settings)
    x = tf.constant(np.random.default_rng(2).normal(size=(5, *shape)), tf.float32)
    assert "FusedBatchNormV3" not in operators(other, x, training=True)
    same(model, other, x)


def test_masked_steps_count_for_nothing() -> None:
    entry = keras.Input((5, 3))
    model = keras.Model(entry, _L.BatchNormalization()(_L.Masking()(entry)))
    other = keras.models.clone_model(model)
    fuse(other)
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    x[:, 3:] = 0
    same(model, other, tf.constant(x))


def test_one_inside_another_model_and_what_is_saved(tmp_path: Any) -> None:
    inner, _ = models((4, 4, 3))
    entry = keras.Input((4, 4, 3))
    model = keras.Model(entry, inner(entry))
    x = tf.constant(np.random.default_rng(0).normal(size=(6, 4, 4, 3)), tf.float32)
    fuse(model)
    assert "FusedBatchNormV3" in operators(model, x, training=True)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert "FusedBatchNormV3" not in operators(again, x, training=True)
    np.testing.assert_array_equal(again(x), model(x))
