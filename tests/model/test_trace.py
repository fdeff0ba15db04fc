"""Models opened into their calls."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.model.servable import Servable
from edgett.model.trace import Trace, trace

L = keras.layers


def paths(form: Trace) -> list[str]:
    return [call.path for call in form.calls]


def encoder(name: str = "encoder") -> keras.Model:
    inputs = keras.Input((6,))
    return keras.Model(inputs, L.Dense(4, name="fc2")(L.Dense(5, "relu", name="fc1")(inputs)), name=name)


def run(form: Trace, *arrays: Any) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in Servable(form).serve(*arrays).items()}


def test_nested_models_are_opened_and_their_names_lead_the_path() -> None:
    inner = keras.Sequential([keras.Input((6,)), encoder(), L.Dense(3, name="fc")], name="inner")
    inputs = keras.Input((6,), name="x")
    model = keras.Model(inputs, L.Softmax(name="end")(inner(inputs)))
    form = trace(model)
    assert paths(form) == ["inner/encoder/fc1", "inner/encoder/fc2", "inner/fc", "end"]
    assert list(form.inputs) == ["x"] and list(form.outputs) == ["end"]
    x = np.ones((2, 6), np.float32)
    np.testing.assert_allclose(run(trace(model, 2), x)["end"], model(x), atol=1e-6)


def test_a_model_that_is_called_twice_shows_every_call_of_the_same_layers() -> None:
    twin = encoder()
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    model = keras.Model([left, right], L.Subtract(name="gap")([twin(left), twin(right)]))
    form = trace(model, 1)
    assert sorted(paths(form)) == ["encoder/fc1", "encoder/fc1", "encoder/fc2", "encoder/fc2", "gap"]
    (call,) = [call for call in form.calls if call.path == "gap"]
    assert len(call.reads) == 2
    assert len(form.calls_of(twin.get_layer("fc1"))) == 2
    a, b = np.random.default_rng(0).normal(size=(2, 1, 6)).astype(np.float32)
    np.testing.assert_allclose(run(form, a, b)["gap"], model([a, b]), atol=1e-6)


def test_readers_count_a_call_once_though_it_reads_twice() -> None:
    inputs = keras.Input((3,))
    hidden = L.Dense(3, name="fc")(inputs)
    form = trace(keras.Model(inputs, L.Add(name="twice")([hidden, hidden])))
    (made,) = form.calls[0].writes
    assert form.readers(made) == (form.calls[1],)


@pytest.mark.parametrize("batch", [None, 3])
def test_the_batch_is_that_of_every_tensor(batch: int | None) -> None:
    form = trace(keras.Sequential([keras.Input((4, 4, 1)), L.Conv2D(2, 2), L.Flatten(), L.Dense(3)]), batch)
    assert {tensor.shape[0] for call in form.calls for tensor in call.reads + call.writes} == {batch}


def test_named_inputs_and_outputs_keep_their_names() -> None:
    a, b = keras.Input((2,), name="a_key"), keras.Input((2,), name="b_key")
    model = keras.Model({"b_key": b, "a_key": a}, {"sum": L.Add()([a, b]), "gap": L.Subtract()([a, b])})
    form = trace(model, 1)
    assert set(form.inputs) == {"a_key", "b_key"} and set(form.outputs) == {"gap", "sum"}
    values = {"a_key": np.array([[1.0, 2.0]], np.float32), "b_key": np.array([[10.0, 30.0]], np.float32)}
    found = run(form, *(values[name] for name in form.inputs))
    np.testing.assert_array_equal(found["gap"], [[-9, -28]])
    np.testing.assert_array_equal(found["sum"], [[11, 32]])


def test_bare_operations_are_calls_too() -> None:
    inputs = keras.Input((2,))
    form = trace(keras.Model(inputs, inputs * 2 + 1), 1)
    assert [type(call.layer).__name__ for call in form.calls] == ["Multiply", "Add"]
    np.testing.assert_array_equal(next(iter(run(form, np.ones((1, 2), np.float32)).values())), [[3, 3]])


def test_tracing_leaves_the_model_as_it_is() -> None:
    model = encoder()
    before = model.to_json()
    trace(model, 4)
    assert model.to_json() == before and model.input_shape == (None, 6)
    assert len(model.get_layer("fc1")._inbound_nodes) == 1


class Subclassed(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


def test_a_subclassed_model_is_refused() -> None:
    model = Subclassed(name="mine")
    model(np.ones((1, 2), np.float32))
    with pytest.raises(ModelError, match="'mine' is a Subclassed, which hides its layers") as caught:
        trace(model)
    assert "keras.Input" in caught.value.cure


def test_a_subclassed_model_inside_is_one_call() -> None:
    inputs = keras.Input((2,))
    assert paths(trace(keras.Model(inputs, Subclassed(name="mine")(inputs)))) == ["mine"]


def test_a_sequential_model_without_an_input_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(ModelError, match="no input of known shape") as caught:
        trace(keras.Sequential([L.Dense(3)], name="bare"))
    assert "keras.Input" in caught.value.cure
