"""Constants that are added to what layers put out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from edgett.model.shifts import shift, takers

L = keras.layers


def image() -> Any:
    return keras.Input((6, 6, 3), name="x")


def biased() -> keras.Model:
    return keras.Sequential([image(), L.Conv2D(4, 3, name="c"), L.ReLU()])


def normalised() -> keras.Model:
    return keras.Sequential([image(), L.Conv2D(4, 3, use_bias=False, name="c"), L.BatchNormalization(), L.ReLU()])


def with_values(model: keras.Model) -> keras.Model:
    random = np.random.default_rng(0)
    model.set_weights([np.abs(random.normal(size=weight.shape)) + 0.1 for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("build", [biased, normalised])
def test_what_a_layer_puts_out_moves_by_it(build: Callable[[], keras.Model]) -> None:
    model = with_values(build())
    tap = keras.Model(model.inputs, model.layers[-1].input)
    x = np.random.default_rng(1).normal(size=(5, 6, 6, 3)).astype(np.float32)
    amount = np.array([0.5, -1.0, 0.25, 2.0], np.float32)
    before = np.asarray(tap([x]))
    norm = model.layers[1] if build is normalised else None
    scale = 1.0 if norm is None else np.asarray(norm.gamma / np.sqrt(norm.moving_variance + norm.epsilon))
    shift(model, {"c": amount})
    np.testing.assert_allclose(tap([x]), before + amount * scale, rtol=1e-4, atol=1e-4)
    shift(model, {"c": -amount})
    np.testing.assert_allclose(tap([x]), before, rtol=1e-4, atol=1e-4)


def read_twice() -> keras.Model:
    x = image()
    y = L.Conv2D(4, 3, use_bias=False, name="c")(x)
    return keras.Model(x, L.Add()([L.BatchNormalization()(y), y]))


def also_an_output() -> keras.Model:
    x = image()
    y = L.Conv2D(4, 3, use_bias=False, name="c")(x)
    return keras.Model(x, [L.BatchNormalization()(y), y])


def norm_of_two() -> keras.Model:
    x = image()
    norm = L.BatchNormalization()
    ways = [norm(L.Conv2D(4, 3, use_bias=False, name=name)(x)) for name in ("c", "d")]
    return keras.Model(x, L.Add()(ways))


def other_axis() -> keras.Model:
    return keras.Sequential([image(), L.Conv2D(4, 3, use_bias=False, name="c"), L.BatchNormalization(axis=1)])


def bare() -> keras.Model:
    return keras.Sequential([image(), L.Conv2D(4, 3, use_bias=False, name="c"), L.ReLU()])


@pytest.mark.parametrize("build", [read_twice, also_an_output, norm_of_two, other_axis, bare])
def test_where_nothing_can_take_it_up(build: Callable[[], keras.Model]) -> None:
    assert takers(build(), {"c"}) == {}


def test_a_layer_that_is_called_twice_shares_what_takes_it_up() -> None:
    a, b = keras.Input((6, 6, 3), name="a"), keras.Input((6, 6, 3), name="b")
    layer, norm = L.Conv2D(4, 3, use_bias=False, name="c"), L.BatchNormalization()
    model = keras.Model([a, b], L.Add()([norm(layer(a)), norm(layer(b))]))
    assert takers(model, {"c"})["c"].numbers is norm.moving_mean
