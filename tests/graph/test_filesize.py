"""The bytes of every exported file, as they were foretold from the operators of the model."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import keras
import numpy as np
import pytest

from edgett.device import local
from edgett.export import c, tflite
from edgett.forms.convolution.cp import CP
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window
from edgett.graph.filesize import Format, file_bytes
from edgett.graph.graph import Graph
from edgett.model import ports
from edgett.search.replaced import with_edits
from edgett.workflow.files import Style, batches, predicted, taken, write
from tests.export import exported as zoo
from tests.export import test_int8 as narrow
from tests.export.exported import CASES, L

FORMS = {".tflite": Format.TFLITE, ".onnx": Format.ONNX}
QUICK = ("tensor trains", "shared", "sequences")
WHOLE = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES if name != "unruled"]
"""Of a model with an operator that no rule counts the bytes are read from the file, not foretold."""


def near(foretold: int, found: int) -> bool:
    """Within 3 % or 1 KiB."""
    return abs(foretold - found) <= max(0.03 * found, 1024)


@pytest.mark.parametrize("suffix", FORMS)
class TestEveryFile:
    @pytest.mark.parametrize("name", WHOLE)
    def test_in_float32(self, name: str, suffix: str) -> None:
        made = zoo.exported(name, suffix, 1)
        assert near(file_bytes(made.predicted, FORMS[suffix]), made.path.stat().st_size)

    @pytest.mark.parametrize("name", WHOLE)
    def test_in_int8(self, name: str, suffix: str) -> None:
        made = narrow.exported(name, suffix)
        assert near(file_bytes(made.predicted, FORMS[suffix]), made.path.stat().st_size)


class TestC:
    """In flash are the constants; what instructions take is the compiler's to say."""

    @pytest.mark.slow
    @pytest.mark.parametrize("name", WHOLE)
    def test_the_constants_are_counted_without_writing_any_c(self, name: str) -> None:
        for path in (zoo.exported(name, ".onnx", 1).path, narrow.exported(name, ".onnx").path):
            assert taken(path, Format.C) == c.generate(path, "model", "1").weight_bytes

    @pytest.mark.parametrize("name", WHOLE)
    def test_and_foretold(self, name: str) -> None:
        for made in (zoo.exported(name, ".onnx", 1), narrow.exported(name, ".onnx")):
            assert near(file_bytes(made.predicted, Format.C), taken(made.path, Format.C))


@dataclass(frozen=True)
class Sized:
    """A model, its int8 file, and what that was foretold to take."""

    model: keras.Model
    path: Path
    graph: Graph

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size

    @property
    def foretold(self) -> int:
        return file_bytes(self.graph, Format.TFLITE)


def int8(model: keras.Model, path: Path) -> Sized:
    numbers = np.random.default_rng(0)
    given = {port.name: numbers.normal(size=(16, *port.shape)).astype("float32") for port in ports.input_ports(model)}
    style = Style(1, batches(given, 1))
    write(zoo.lively(model), style, path.with_suffix(""), (".tflite",))
    return Sized(model, path, predicted(model, ".tflite", style))


def perceptron(*sizes: int, normed: bool = False, name: str = "d") -> keras.Model:
    layers = [keras.Input((sizes[0],), name="x")]
    for index, units in enumerate(sizes[1:]):
        layers.append(L.Dense(units, name=f"{name}{index}"))
        if index < len(sizes) - 2:
            layers += [L.BatchNormalization(), L.ReLU()] if normed else [L.ReLU()]
    return keras.Sequential(layers)


@pytest.mark.slow
def test_an_autoencoder_takes_no_more_than_in_the_file_that_others_made(tmp_path: Path) -> None:
    """MLPerf Tiny's ad01, which takes 276,976 bytes in MLCommons' own int8 file; its 9 inner layers are normed."""
    made = int8(perceptron(640, *4 * [128], 8, *4 * [128], 640, normed=True), tmp_path / "ad01.tflite")
    assert made.bytes <= 276_976
    assert near(made.foretold, made.bytes)


@pytest.mark.slow
def test_names_of_layers_take_bytes(tmp_path: Path) -> None:
    short, long = (int8(perceptron(8, 6, 4, name=name), tmp_path / f"{len(name)}.tflite") for name in ("d", "d" * 80))
    assert 70 < long.bytes - short.bytes < 200
    assert abs((long.foretold - short.foretold) - (long.bytes - short.bytes)) <= 100


@pytest.mark.slow
def test_a_small_layer_in_tt_form_takes_more_than_dense_as_foretold(tmp_path: Path) -> None:
    """42-20-10-9 in int8: fewer parameters, and a larger file."""
    from edgett.model.layers import replace

    shape = TTShape((6, 7), (4, 5), (1, 2, 1))
    dense = int8(perceptron(42, 20, 10, 9), tmp_path / "dense.tflite")
    small = int8(replace(dense.model, {"d0": shape}), tmp_path / "tt.tflite")
    assert small.graph.params() < dense.graph.params()
    assert small.bytes > dense.bytes and small.foretold > dense.foretold
    assert near(small.foretold, small.bytes) and near(dense.foretold, dense.bytes)


def test_cores_of_a_graph_are_as_wide_as_what_they_stand_for() -> None:
    model = perceptron(42, 20)
    shape = TTShape((6, 7), (4, 5), (1, 2, 1))
    style = Style(1, batches({"x": np.zeros((1, 42), np.float32)}, 1))
    graph = with_edits(predicted(model, ".tflite", style), {"d0": shape})
    assert graph.weight_bytes() == graph.params() == 6 * 4 * 2 + 2 * 7 * 5


def test_a_file_holds_nothing_twice_and_nothing_idle() -> None:
    model = tflite._parsed(narrow.exported("tensor trains", ".tflite").path)
    contents = [bytes(buffer.data) for buffer in model.buffers if buffer.data is not None]
    assert len(contents) == len(set(contents))
    (body,) = model.subgraphs
    used = {tensor.buffer for tensor in body.tensors}
    assert used | {0} == set(range(len(model.buffers)))
    assert not model.metadata and not model.description
    assert {(bool(tensor.name), bool(tensor.buffer)) for tensor in body.tensors} == {(True, False), (False, True)}


def test_numbers_of_constants_lie_where_runtimes_read_them() -> None:
    content = narrow.exported("tensor trains", ".tflite").path.read_bytes()
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    for index in range(1, model.BuffersLength()):
        data = model.Buffers(index)
        start = data._tab.Vector(data._tab.Offset(4))
        assert start % 16 == 0


def test_zeros_are_stored_once_with_scales_of_a_weight_and_nothing_comes_out_otherwise(tmp_path: Path) -> None:
    """Of the links inside a chain, whose scales would take as many bytes as those of its weights once more."""
    from edgett.model.layers import replace

    model = keras.Sequential([keras.Input((8, 8, 8), name="x"), L.Conv2D(8, 3, padding="same", name="c")])
    chain = replace(model, {"c": CP(Window((3, 3), (8, 8)), 8, 8, 8)})
    made = int8(chain, tmp_path / "cp.tflite")
    parsed = tflite._parsed(made.path)
    (body,) = parsed.subgraphs
    scales = [[body.tensors[index].quantization.scale for index in one.inputs] for one in body.operators]
    lent = [bias is not None and np.array_equal(bias, weight) for _, weight, bias in scales]
    assert lent == [True, False, False]
    first, second, last = (one.inputs[2] for one in body.operators)
    assert first == second != last
    assert near(made.foretold, made.bytes)

    for (entry, weight, _), one in zip(scales, body.operators, strict=True):
        own = copy.deepcopy(body.tensors[one.inputs[2]])
        own.quantization.scale = entry[0] * weight
        one.inputs = np.array([*one.inputs[:2], len(body.tensors)], np.int32)
        body.tensors.append(own)
    builder = flatbuffers.Builder(1024)
    builder.Finish(parsed.Pack(builder), b"TFL3")
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(builder.Output())
    x = {"x": np.random.default_rng(1).normal(size=(4, 8, 8, 8)).astype(np.float32)}
    mine, theirs = (local.run(path, x, 1) for path in (made.path, plain))
    for name, output in mine.items():
        np.testing.assert_array_equal(output, theirs[name])
