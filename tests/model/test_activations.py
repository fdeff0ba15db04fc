"""Keras's own list of activations in every format: what is predicted is what the files hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src import activations as listed

from edgett.device import local
from edgett.export.check import compare, compare_outputs
from edgett.graph.graph import Graph
from edgett.graph.memory import arena_bytes, live_bytes
from edgett.model import ports
from edgett.model.activations import CUSTOM, ROWS, inside, name_of, of_layer
from edgett.model.tt_dense import TTDense
from edgett.train.assess import outputs
from edgett.workflow.files import Style, _Form, batches

L = keras.layers
# GLU halves its axis, which only a model's last layer survives in Keras; Threshold needs numbers, which no file holds.
NAMES = sorted({function.__name__ for function in listed.ALL_OBJECTS} - {"glu", "threshold"})
COARSE = frozenset({"mish", "selu", "softplus", "log_sigmoid", "sparse_plus", "sparsemax"})
"""Which TFLite spells out in steps of too wide a range for int8."""


def _act(name: str) -> Any:
    return getattr(keras.activations, name)


PLACES: dict[str, tuple[tuple[int, ...], Callable[[Any, str], Any]]] = {
    "after a dense layer": ((8,), lambda x, name: L.Dense(16, activation=_act(name), name=name)(x)),
    "as a layer of its own": ((16,), lambda x, name: L.Activation(_act(name), name=name)(x)),
    "after a convolution": ((4, 4, 3), lambda x, name: L.Conv2D(4, 3, activation=_act(name), name=name)(x)),
    "in a TT layer": (
        (8,),
        lambda x, name: TTDense((2, 4), (4, 4), (1, 2, 1), activation=_act(name), name=name)(x),
    ),
    "at the end": ((8,), lambda x, name: L.Dense(16, activation=_act(name), name=name)(x)),
}


def model_of(place: str, names: Sequence[str] = NAMES) -> keras.Model:
    """Every activation side by side, each with an output, or a sum, of its own.

    So has it an input where it is all that reads it: what two of them begin with, converters calculate once.
    """
    keras.utils.set_random_seed(4)
    shape, layer = PLACES[place]
    alone = place == "as a layer of its own"
    inputs = [keras.Input(shape, name=f"x_{name}") for name in (names if alone else ["all"])]
    made = [layer(x, name) for x, name in zip(inputs if alone else inputs * len(names), names, strict=True)]
    if place == "at the end":
        model = keras.Model(inputs, made)
    else:
        flat = [L.Flatten(name=f"flat_{name}")(one) for name, one in zip(names, made, strict=True)]
        model = keras.Model(
            inputs, [L.Dense(3, name=f"end_{name}")(one) for name, one in zip(names, flat, strict=True)]
        )
    return biased(model)


def biased(model: keras.Model) -> keras.Model:
    """With biases as after training: of zeros, nothing is kept."""
    random = np.random.default_rng(4)
    for weight in model.trainable_variables:
        if weight.name == "bias":
            weight.assign(random.normal(size=weight.shape) * 0.3)
    return model


def part(graph: Graph, layer: str) -> Graph:
    """The steps of a layer alone: what they read is there from the start.

    What others read of it, too, does not stay for them: converters give the first of some what all have in common.
    """
    own = [step for step in graph.steps if step.layer == layer]
    ends = {name for step in own for name in (*step.reads, *step.writes)}
    casts = [step for step in graph.steps if step.operator in ("QUANTIZE", "DEQUANTIZE")]
    between = [step for step in casts if ends.issuperset((*step.reads, *step.writes))]
    steps = tuple(step for step in graph.steps if step in own or step in between)
    made = {name for step in steps for name in step.writes}
    read = {name for step in steps for name in step.reads}
    return replace(
        graph, steps=steps, inputs=tuple(sorted(read - made)), outputs=tuple(sorted(made & {*graph.outputs}))
    )


def test_there_is_a_row_for_each_of_keras_s_list() -> None:
    assert sorted(ROWS) == sorted(function.__name__ for function in listed.ALL_OBJECTS)
    assert all(name_of(_act(name)) == name for name in ROWS)


def cases() -> Iterator[Any]:
    """Formats, places and types, from those that are quick to those that take long."""
    for suffix, place, int8 in itertools.product((".tflite", ".onnx"), PLACES, (False, True)):
        plain = place == "after a dense layer"
        marks = [pytest.mark.slow] * (suffix == ".onnx" or not plain or int8)
        marks += [pytest.mark.long] * (int8 and not plain and (suffix, place) != (".tflite", "in a TT layer"))
        yield pytest.param(suffix, place, int8, marks=marks, id=f"{'int8' if int8 else 'float32'}-{place}-{suffix}")


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "place", "int8"), list(cases()))
def test_files_hold_what_is_predicted(suffix: str, place: str, int8: bool, tmp_path: Path) -> None:
    model = model_of(place)
    random = np.random.default_rng(2)
    samples = {x.name: random.normal(size=(24, *x.shape[1:])).astype(np.float32) for x in model.inputs}
    style = Style(1, batches(samples, 1) if int8 else None)
    form, path = _Form(model, 1), tmp_path / f"all{suffix}"
    form.write(path, style)
    predicted, found = form.predicted(suffix, style), form.read(path)
    check = compare(predicted, found, path.name, style.width)
    assert check.mismatches == () and check.partial == ()
    for name in NAMES:
        mine, theirs = part(predicted, name), part(found, name)
        assert arena_bytes(mine, style.width) >= live_bytes(theirs, style.width), name
    reference, run = outputs(model, samples), local.run(path, samples, 1)
    if not int8:
        assert compare_outputs(reference, run).ok
        return
    for name, port in zip(NAMES, ports.output_ports(model), strict=True):
        if name not in COARSE:
            error = np.linalg.norm(run[port.name] - reference[port.name]) / np.linalg.norm(reference[port.name])
            assert error < 0.15, name


@keras.saving.register_keras_serializable("tests")
def bent(x: Any) -> Any:
    """An activation that Keras does not have."""
    return keras.ops.where(x > 0.3, keras.ops.tanh(x) * 1.5 + keras.ops.square(x), -0.1)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_one_that_keras_does_not_have_leaves_the_peak_open_and_nothing_else(suffix: str, tmp_path: Path) -> None:
    layers = [L.Dense(9, activation=bent, name="fc"), L.Dense(3, name="out")]
    model = biased(keras.Sequential([keras.Input((8,)), *layers]))
    form, path = _Form(model, 1), tmp_path / f"own{suffix}"
    form.write(path, Style())
    check = compare(form.predicted(suffix, Style()), form.read(path), "own")
    assert check.mismatches == () and check.partial == (f"{CUSTOM} (fc, activation)",)
    assert check.params == (8 * 9 + 9 + 9 * 3 + 3,) * 2 and check.flops[0] == check.flops[1]


@pytest.mark.parametrize(
    ("layer", "name"),
    [(L.ReLU(), "relu"), (L.ReLU(6), "relu6"), (L.ELU(), "elu"), (L.ELU(0.5), "elu"), (L.LeakyReLU(0.1), "leaky_relu"),
     (L.ReLU(4, 0.1, 0.5), "relu"), (L.Activation(bent), CUSTOM)],
)  # fmt: skip
def test_layers_that_are_an_activation_are_that_one(layer: Any, name: str) -> None:
    function = of_layer(layer)
    assert name_of(function) == name
    x = np.linspace(-3, 7, 41, dtype=np.float32)
    np.testing.assert_allclose(function(keras.ops.convert_to_tensor(x)), layer(x), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_parameters_change_what_is_spelled_out(suffix: str, tmp_path: Path) -> None:
    inputs = keras.Input((16,), name="x")
    layers = [L.ELU(0.5, name="elu"), L.ReLU(4, 0.1, 0.5, name="relu"), L.LeakyReLU(0.1, name="leaky")]
    model = keras.Model(inputs, [L.Dense(3, name=f"end_{layer.name}")(layer(inputs)) for layer in layers])
    form, path = _Form(model, 1), tmp_path / f"given{suffix}"
    form.write(path, Style())
    predicted, found = form.predicted(suffix, Style()), form.read(path)
    assert compare(predicted, found, "given").mismatches == ()
    for layer in layers:
        assert arena_bytes(part(predicted, layer.name)) >= live_bytes(part(found, layer.name)), layer.name
    samples = {"x": np.random.default_rng(3).normal(size=(8, 16)).astype(np.float32)}
    assert compare_outputs(outputs(model, samples), local.run(path, samples, 1)).ok


def test_an_operator_of_its_own_keeps_nothing() -> None:
    assert inside(keras.activations.tanh, fused=True, quantised=False) is None
    assert inside(keras.activations.elu, fused=True, quantised=True) == 6
    assert inside(keras.activations.elu, fused=False, quantised=True) is None
