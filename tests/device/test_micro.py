"""The interpreter for microcontrollers: the arena of a file, its outputs, and what it cannot run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device import local, micro
from edgett.errors import ModelError, ToolError
from edgett.export import tflite
from edgett.model.inference import inference_form
from edgett.model.servable import Servable
from tests.device.operators import needing

NUMBERS = np.random.default_rng(7)


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = a + b W, z = softmax(b W)."""
    a, b = keras.Input((3,), name="a"), keras.Input((40,), name="b")
    product = keras.layers.Dense(3, name="w")(b)
    ends = {"y": keras.layers.Add(name="y")([a, product]), "z": keras.layers.Softmax(name="z")(product)}
    path = tmp_path_factory.mktemp("micro") / "two.tflite"
    tflite.write(Servable(inference_form(keras.Model([a, b], ends), 1)), path)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """relu(x W), 100 inputs and 9 outputs."""
    layers = [keras.Input((100,), name="x"), keras.layers.Dense(9, activation="relu", name="y")]
    path = tmp_path_factory.mktemp("micro") / "plain.tflite"
    tflite.write(Servable(inference_form(keras.Sequential(layers), 1)), path)
    return path


def test_the_head_holds_what_lives_at_once(plain: Path) -> None:
    made = micro.run(plain)
    # Input and output of the one product, each in a multiple of 16 bytes.
    assert made.head == 400 + 48
    assert 0 < made.tail < 4096
    assert made.total == made.head + made.tail
    assert made.outputs == ()


def test_outputs_are_those_of_the_reference_runtime(two_inputs: Path) -> None:
    given = {"a": NUMBERS.normal(size=(5, 3)).astype("f4"), "b": NUMBERS.normal(size=(5, 40)).astype("f4")}
    order = [given[name] for name in _names(two_inputs, "inputs")]
    made = micro.run(two_inputs, order)
    expected = local.run(two_inputs, given, 1)
    for name, found in zip(_names(two_inputs, "outputs"), made.outputs, strict=True):
        np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6)
    assert (made.head, made.tail) == (micro.run(two_inputs).head, micro.run(two_inputs).tail)


def _names(path: Path, which: str) -> list[str]:
    """In the order of the file's tensors, which is not that of its signature."""
    model = tflite._parsed(path)
    known = {end.tensorIndex: end.name.decode() for end in getattr(model.signatureDefs[0], which)}
    return [known[index] for index in getattr(model.subgraphs[0], which)]


def test_every_operator_that_is_lacking_is_named(tmp_path: Path) -> None:
    path = tmp_path / "strange.tflite"
    path.write_bytes(needing(["RELU", "GELU", "ADD", "TILE", "SELECT"]))
    with pytest.raises(ModelError, match=r"has no GELU, TILE, SELECT, which strange\.tflite needs") as caught:
        micro.run(path)
    assert "--format c" in caught.value.cure


def test_a_layer_that_needs_a_lacking_operator(tmp_path: Path) -> None:
    inputs = keras.Input((6,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(4, activation="gelu", name="y")(inputs))
    path = tmp_path / "gelu.tflite"
    tflite.write(Servable(inference_form(model, 1)), path)
    with pytest.raises(ModelError, match="has no GELU"):
        micro.run(path)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([np.zeros((2, 100), "i1")], "type"),
        ([np.zeros((2, 99), "f4")], "expected 100"),
        ([np.zeros((2, 100), "f4")] * 2, "index 1"),
    ],
    ids=["type", "size", "number"],
)
def test_inputs_that_do_not_fit(plain: Path, inputs: list[np.ndarray], reason: str) -> None:
    with pytest.raises(ToolError, match=f"does not run in the interpreter for microcontrollers.*{reason}"):
        micro.run(plain, inputs)


def test_files_that_are_none(plain: Path, tmp_path: Path) -> None:
    content = plain.read_bytes()
    for name, cut in (("empty", 0), ("short", 6), ("half", len(content) // 2)):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content[:cut])
        with pytest.raises(ToolError, match=f"{name}.tflite"):
            micro.run(path)
    with pytest.raises(ToolError, match=r"missing\.tflite cannot be run"):
        micro.run(tmp_path / "missing.tflite")


def test_a_graph_that_its_kernel_refuses(tmp_path: Path) -> None:
    path = tmp_path / "graph.tflite"
    path.write_bytes(needing(["RELU"]))  # without an input
    with pytest.raises(ToolError, match=r"graph\.tflite does not run"):
        micro.run(path)


def test_the_time_is_limited(plain: Path) -> None:
    with pytest.raises(ToolError, match=r"more than 0\.01 s"):
        micro.run(plain, limit=0.01)


def test_the_package_is_missing(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == micro.PACKAGE else found(name))
    with pytest.raises(ToolError, match="is not installed") as caught:
        micro.run(plain)
    assert caught.value.cure == "pip install 'edgett[firmware]'"
