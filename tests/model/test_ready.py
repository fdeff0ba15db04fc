"""Models with open dimensions, with numbers that are none, with a training step of their own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgett.errors import EdgettError, ModelError, UsageError
from edgett.model.ready import ready
from edgett.model.trace import trace

L = keras.layers


def nothing(line: str) -> None:
    pytest.fail(line)


def image() -> keras.Model:
    x = keras.Input((None, None, 1), name="image")
    inner = keras.Sequential(
        [keras.Input((None, None, 1)), L.Conv2D(4, 3, activation="relu"), L.Dropout(0.1)], name="in"
    )
    model = keras.Model(x, L.Dense(3, name="out")(L.GlobalAveragePooling2D()(inner(x))))
    model.compile(keras.optimizers.SGD(0.25), "mse", metrics=["mae"])
    return model


def sequence() -> keras.Model:
    return keras.Sequential([keras.Input((None, 8)), L.LSTM(4), L.Dense(2)], name="sequence")


@pytest.mark.parametrize(("make", "shape"), [(image, (6, 5, 1)), (sequence, (7, 8))])
def test_the_sizes_that_are_given(make: object, shape: tuple[int, ...]) -> None:
    model = make()  # type: ignore[operator]
    fixed = ready(model, {"": shape}, nothing)
    assert tuple(fixed.inputs[0].shape) == (None, *shape) and fixed.name == model.name
    assert [layer.name for layer in fixed.layers] == [layer.name for layer in model.layers]
    assert all(None not in tensor.shape for call in trace(fixed, 1).calls for tensor in call.writes)
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    np.testing.assert_allclose(fixed(x), model(x), atol=1e-6)
    assert fixed.compiled == model.compiled
    if model.compiled:
        assert float(fixed.optimizer.learning_rate) == 0.25 and fixed.loss == "mse"


def test_none_given() -> None:
    with pytest.raises(ModelError, match=r"input 'image' takes \(n, any, any, 1\): dimensions 1, 2 can be") as caught:
        ready(image(), {}, nothing)
    assert "--input-shape 32,32,1" in caught.value.cure


def test_several_inputs() -> None:
    a, b = keras.Input((None, 2), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], L.Concatenate()([L.GlobalMaxPooling1D()(a), b]))
    assert tuple(ready(model, {"a": (5, 2)}, nothing).inputs[0].shape) == (None, 5, 2)
    with pytest.raises(ModelError, match="dimension 1 can be") as caught:
        ready(model, {"b": (3,)}, nothing)
    assert "--input-shape a=32,2" in caught.value.cure
    with pytest.raises(UsageError, match="does not say which of the inputs a, b"):
        ready(model, {"": (5, 2)}, nothing)
    with pytest.raises(UsageError, match="the model has no such input"):
        ready(model, {"c": (5, 2)}, nothing)


@pytest.mark.parametrize("shape", [(7,), (7, 9), (7, 8, 1)])
def test_sizes_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"does not fit input 'input_layer.*', which takes \(n, any, 8\)"):
        ready(sequence(), {"": shape}, nothing)


@pytest.mark.parametrize(
    "layer", [L.Reshape((4, 4)), L.Conv1D(2, 5), L.AveragePooling1D(9)], ids=["reshape", "kernel", "pool"]
)
def test_sizes_that_the_layers_cannot_take(layer: keras.layers.Layer) -> None:
    x = keras.Input((None, 8))
    model = keras.Model(x, L.Flatten()(layer(x)))
    with pytest.raises(EdgettError) as caught:
        ready(model, {"": (3, 8)}, nothing)
    assert isinstance(caught.value, ModelError) and "--input-shape 3,8" in caught.value.message


def test_weights_whose_shape_depends_on_the_size() -> None:
    class Scaled(L.Layer):
        def build(self, shape: tuple[int | None, ...]) -> None:
            self.scale = self.add_weight(shape=(shape[1] or 1,), name="scale")

        def call(self, x: object) -> object:
            return x * keras.ops.mean(self.scale)  # type: ignore[operator]

    x = keras.Input((None, 8))
    with pytest.raises(ModelError, match="cannot take --input-shape 5,8"):
        ready(keras.Model(x, Scaled()(x)), {"": (5, 8)}, nothing)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(value: float) -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, name="fc"), L.Dense(2)])
    weights = model.get_weights()
    weights[1][2] = value
    model.set_weights(weights)
    with pytest.raises(ModelError, match="weight 'bias' of layer 'fc' has 1 of 3 values that are NaN or infinite"):
        ready(model, {}, nothing)


def test_a_training_step_of_its_own_is_said_not_to_be_called() -> None:
    class Mine(keras.Model):
        def train_step(self, data: object) -> object:
            return super().train_step(data)

    x = keras.Input((4,))
    said: list[str] = []
    ready(Mine(x, L.Dense(2)(x), name="mine"), {}, said.append)
    assert said == ["Model 'mine' has a training step of its own, which is not called: its loss is minimised instead."]
