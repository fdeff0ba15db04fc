"""The small models that data are loaded for."""

from __future__ import annotations

import keras
import pytest


def model_of(
    shape: tuple[int, ...] = (4,), units: int = 3, activation: str | None = "softmax", **compiled: object
) -> keras.Model:
    entry = keras.Input(shape, name="image")
    model = keras.Model(entry, keras.layers.Dense(units, activation, name="class")(keras.layers.Flatten()(entry)))
    if compiled:
        model.compile("sgd", **compiled)
    return model


@pytest.fixture(scope="session")
def model() -> keras.Model:
    return model_of()


@pytest.fixture(scope="session")
def two_by_two() -> keras.Model:
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    ends = [keras.layers.Dense(3, "softmax", name="hour")(joined), keras.layers.Dense(1, name="size")(joined)]
    return keras.Model([a, b], ends)
