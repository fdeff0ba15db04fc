"""Planted channels that contribute nothing go with all that reads them, and no other goes; outputs stay."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.model.models import load_model
from edgett.model.slim.slimmed import Slimmed, slimmed

L = keras.layers
POSITIVE = ("moving_variance", "bias", "beta", "gamma")
"""With these no channel is dead by chance."""
RANDOM = np.random.default_rng(7)


def filled(model: keras.Model) -> keras.Model:
    """With weights that are not zero, and statistics that a batch could have had."""
    random = np.random.default_rng(3)
    for weight in model.weights:
        values = random.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if weight.name in POSITIVE else values)
    return model


def kernel(model: keras.Model, name: str, value: Callable[[np.ndarray], None]) -> None:
    """Change a kernel in place."""
    array = model.get_layer(name).kernel.numpy().copy()
    value(array)
    model.get_layer(name).kernel.assign(array)


def bias(model: keras.Model, name: str, channel: int, value: float) -> None:
    array = model.get_layer(name).bias.numpy().copy()
    array[channel] = value
    model.get_layer(name).bias.assign(array)


def dead(channel: int) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[..., channel] = 0

    return change


def unread(channel: int) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[..., channel, :] = 0

    return change


def image(shape: tuple[int, ...] = (8, 8, 3)) -> Any:
    return keras.Input(shape, name="x")


def plain(padding: str = "same", pool: Any = None) -> keras.Model:
    """a -> bn -> relu -> depthwise -> b -> flatten -> head"""
    x = image()
    y = L.Conv2D(6, 3, padding=padding, name="a")(x)
    y = L.ReLU(name="relu")(L.BatchNormalization(name="bn")(y))
    y = L.DepthwiseConv2D(3, padding=padding, name="deep", activation="relu")(y)
    y = L.Conv2D(5, 1, name="b", activation="relu")(y)
    y = L.Flatten()(y) if pool is None else pool()(y)
    return filled(keras.Model(x, L.Dense(4, "softmax", name="head")(y)))


def same(model: keras.Model, small: Slimmed, atol: float = 1e-5) -> None:
    x = RANDOM.normal(size=(5, *model.input_shape[1:])).astype(np.float32)
    before, after = model.predict(x, verbose=0), small.model.predict(x, verbose=0)
    for mine, theirs in zip(keras.tree.flatten(before), keras.tree.flatten(after), strict=True):
        np.testing.assert_allclose(theirs, mine, atol=atol * max(1, np.abs(mine).max()))


def test_nothing_goes_where_everything_contributes() -> None:
    model = plain()
    small = slimmed(model)
    assert small.model is model and small.removed == {} and small.folded == 0


@pytest.mark.parametrize("pool", [None, L.GlobalAveragePooling2D, L.GlobalMaxPooling2D], ids=["flatten", "mean", "max"])
def test_a_channel_that_nothing_reads_goes_with_what_makes_it(pool: Any) -> None:
    model = plain(pool=pool)
    kernel(model, "b", unread(2))
    small = slimmed(model)
    assert small.removed == {"a": 1, "deep": 1} and small.folded == 0
    assert small.model.get_layer("bn").gamma.shape == (5,) and small.model.get_layer("b").kernel.shape == (1, 1, 5, 5)
    same(model, small)


def test_a_zero_behind_relu_goes_through_flattening() -> None:
    model = plain()
    kernel(model, "b", dead(3))
    bias(model, "b", 3, -0.5)
    small = slimmed(model)
    assert small.removed == {"b": 1} and small.model.get_layer("head").kernel.shape == (8 * 8 * 4, 4)
    same(model, small)


def test_what_relu_never_passes_is_zero_whatever_the_weights() -> None:
    """Inputs are not below zero, weights and bias not above."""
    model = plain()
    kernel(model, "b", lambda array: np.copyto(array[..., 1], -np.abs(array[..., 1])))
    bias(model, "b", 1, -0.1)
    assert slimmed(model).removed == {"b": 1}
    bias(model, "b", 1, 0.1)
    assert slimmed(model).removed == {}


def test_a_constant_goes_into_the_bias_of_what_reads_it() -> None:
    model = plain(padding="valid")
    kernel(model, "a", dead(1))
    bias(model, "a", 1, 30.0)
    kernel(model, "deep", lambda array: np.copyto(array, np.abs(array)))
    small = slimmed(model)
    assert small.removed == {"a": 1, "deep": 1} and small.folded == 1
    same(model, small)


def test_a_constant_that_a_border_tells_apart_stays() -> None:
    model = plain(padding="same")
    kernel(model, "a", dead(1))
    bias(model, "a", 1, 30.0)
    assert np.ptp(model.get_layer("deep").kernel) > 0
    small = slimmed(model)
    assert small.removed == {}


def test_a_scale_of_zero_is_a_dead_channel() -> None:
    model = plain()
    norm = model.get_layer("bn")
    norm.gamma.assign(np.where(np.arange(6) == 4, 0, norm.gamma))
    norm.beta.assign(np.where(np.arange(6) == 4, -1, norm.beta))
    deep = model.get_layer("deep")
    deep.bias.assign(np.where(np.arange(6) == 4, -1, deep.bias))
    small = slimmed(model)
    assert small.removed == {"a": 1, "deep": 1}
    same(model, small)


def test_decayed_weights_are_zeros() -> None:
    model = plain()
    kernel(model, "b", lambda array: np.copyto(array[..., 2, :], 1e-32))
    small = slimmed(model)
    assert small.removed == {"a": 1, "deep": 1}
    same(model, small)


def residual() -> keras.Model:
    x = image()
    first = L.Conv2D(4, 1, name="first", activation="relu")(x)
    y = L.Conv2D(4, 3, padding="same", name="second", activation="relu")(first)
    both = L.Concatenate()([L.Add(name="sum")([first, y]), L.Conv2D(2, 1, name="third")(x)])
    return filled(keras.Model(x, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(both))))


def test_channels_that_are_added_fall_together_or_not_at_all() -> None:
    model = residual()
    kernel(model, "head", unread(2))
    small = slimmed(model)
    # The first channel 2 is still read by the second convolution.
    assert small.removed == {}
    kernel(model, "second", unread(2))
    small = slimmed(model)
    assert small.removed == {"first": 1, "second": 1}
    same(model, small)
    kernel(model, "head", unread(4))
    small = slimmed(model)
    assert small.removed == {"first": 1, "second": 1, "third": 1}
    same(model, small)


def test_what_is_put_out_or_read_by_a_stranger_stays() -> None:
    x = image((16,))
    hidden = L.Dense(5, "relu", name="hidden")(x)
    model = filled(keras.Model(x, [hidden, L.Dense(2, name="head")(hidden)]))
    kernel(model, "hidden", dead(0))
    bias(model, "hidden", 0, -1)
    assert slimmed(model).removed == {}
    normed = filled(keras.Model(x, L.Dense(2, name="end")(L.LayerNormalization(name="norm")(hidden))))
    assert slimmed(normed).removed == {}
    softmax = filled(keras.Model(x, L.Dense(2, name="last")(L.Softmax()(hidden))))
    assert slimmed(softmax).removed == {}


def test_one_channel_stays_of_a_layer_that_contributes_nothing() -> None:
    model = plain(pool=L.GlobalAveragePooling2D)
    kernel(model, "head", lambda array: array.fill(0))
    small = slimmed(model)
    assert small.removed == {"b": 4} and small.model.get_layer("b").filters == 1
    same(model, small)


def test_a_shared_layer_and_a_model_inside() -> None:
    shared, norm = L.Dense(6, "relu", name="shared"), L.Dense(6, "relu", name="next")
    x, z = keras.Input((4,), name="x"), keras.Input((4,), name="z")
    deep = [keras.Input((6,)), L.Dense(5, "relu", name="inside"), L.Dense(4, name="last")]
    inner = keras.Sequential(deep, name="inner")
    both = L.Add()([inner(norm(shared(x))), inner(norm(shared(z)))])
    model = filled(keras.Model([x, z], L.Dense(2, name="head")(both)))
    for name, row, holder in (("next", 1, model), ("inside", 2, inner), ("last", 3, inner)):
        kernel(holder, name, unread(row))
    small = slimmed(model)
    # What a model inside reads stays, for its inputs are of a fixed size.
    assert small.removed == {"shared": 1, "inner/inside": 1}
    given = {"x": RANDOM.normal(size=(3, 4)), "z": RANDOM.normal(size=(3, 4))}
    np.testing.assert_allclose(small.model.predict(given, verbose=0), model.predict(given, verbose=0), atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_random_networks_of_many_zeros_put_out_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = image()
    y, width = x, 8
    for block in range(3):
        z = L.Conv2D(width, 3, strides=1 + block % 2, padding="same" if block else "valid", use_bias=False)(y)
        z = L.Activation(random.choice(["relu", "relu6", "tanh", "silu"]))(L.BatchNormalization()(z))
        z = L.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + block % 2, activation="relu")(z)
        y = L.Concatenate()([z, L.MaxPooling2D(1)(z)]) if block == 1 else z
    model = keras.Model(x, L.Dense(3, name="head")(L.Flatten()(y)))
    for weight in model.weights:
        values = random.normal(size=weight.shape) * (random.random(weight.shape[-1:]) < 0.6)
        weight.assign(np.abs(values) + 0.1 if weight.name == "moving_variance" else values)
    small = slimmed(model)
    assert small.removed
    same(model, small)


@pytest.mark.slow
def test_visual_wake_words_hold_971_of_them() -> None:
    folder = os.environ.get("EDGETT_TEST_MODELS")
    if folder is None:
        pytest.skip("EDGETT_TEST_MODELS names no folder")
    model = load_model(Path(folder) / "vww_96.h5")
    small = slimmed(model)
    assert sum(count for path, count in small.removed.items() if path.startswith("conv2d")) == 971
    assert small.model.count_params() == 34_722 and small.folded == 2
    same(model, small, 1e-6)
