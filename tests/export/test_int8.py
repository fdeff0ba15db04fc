"""int8 files: what they store and compute is foretold to the number, and they say what the float model says."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.device import local
from edgett.export import onnx, tflite
from edgett.export.check import GraphCheck, compare, compare_outputs
from edgett.export.owners import Owners
from edgett.nn import ports
from edgett.nn.inference import inference_form
from edgett.nn.predict import predict
from edgett.nn.servable import Servable
from edgett.space.graph import Constant, Graph, arena_bytes
from tests.export import exported as zoo
from tests.export.exported import CASES
from tests.export.test_tflite import MICRO

FIRST_CORE = Constant("core_0", 1 * 2 * 3 * 2)
"""Of the layer tt3."""
QUICK = ("tensor trains", "shared", "sequences")
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES if not CASES[name].partial
]


@dataclass(frozen=True)
class Int8:
    """A model, what is foretold of it, and the file."""

    model: keras.Model
    predicted: Graph
    owners: Owners
    path: Path

    def check(self) -> GraphCheck:
        read = tflite.read if self.path.suffix == ".tflite" else onnx.read
        return compare(self.predicted, read(self.path, self.owners), "int8", 1)


def drawn(model: keras.Model, count: int, batch: int = 1, seed: int = 3) -> Iterator[dict[str, np.ndarray]]:
    numbers = np.random.default_rng(seed)
    for _ in range(count):
        yield {p.name: numbers.normal(size=(batch, *p.shape)).astype(p.dtype) for p in ports.input_ports(model)}


@functools.cache
def exported(name: str, suffix: str) -> Int8:
    return export(zoo.lively(CASES[name].build()), Path(zoo.folder().name) / f"int8-{name.replace(' ', '_')}{suffix}")


def export(model: keras.Model, path: Path) -> Int8:
    form = inference_form(model, 1)
    servable = Servable(form)
    owners = Owners(servable.paths, frozenset(predict(form).layers), servable.producers)
    calibration = list(drawn(model, 64))
    if path.suffix == ".tflite":
        tflite.write(servable, path, calibration)
    else:
        onnx.write(servable, owners, path, calibration)
    return Int8(model, predict(form, fused=path.suffix == ".tflite", quantised=True), owners, path)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
class TestInt8:
    @pytest.mark.parametrize("name", NAMES)
    def test_is_what_was_predicted(self, name: str, suffix: str) -> None:
        check = exported(name, suffix).check()
        assert check.mismatches == () and check.partial == ()
        assert check.params[0] > 0 and check.peak_bytes[1] > 0

    @pytest.mark.parametrize("name", NAMES)
    def test_says_what_the_float_model_says(self, name: str, suffix: str) -> None:
        made = exported(name, suffix)
        samples = {
            key: np.concatenate([one[key] for one in drawn(made.model, 64)]) for key in next(drawn(made.model, 1))
        }
        reference = ports.by_output(made.model, made.model.predict(ports.feed(made.model, samples), verbose=0))
        numerics = compare_outputs(reference, local.run(made.path, samples, 1))
        # A step is 1/256 of a tensor's range; up to six of them add up.
        assert numerics.l2_relative < 0.1 and numerics.top1 > 0.95

    def test_the_bytes_depend_on_the_model_alone(self, suffix: str, tmp_path: Path) -> None:
        again = export(zoo.fresh("tensor trains"), tmp_path / f"again{suffix}")
        assert again.path.read_bytes() == exported("tensor trains", suffix).path.read_bytes()

    def test_a_core_less_is_seen(self, suffix: str) -> None:
        made = exported("tensor trains", suffix)
        (core,) = (step for step in made.predicted.steps if step.layer == "tt3" and step.constants[:1] == (FIRST_CORE,))
        idle = replace(core, constants=(), flops=0)
        less = replace(made.predicted, steps=tuple(idle if step is core else step for step in made.predicted.steps))
        wrong = replace(made, predicted=less).check().mismatches
        assert [item.found - item.predicted for item in wrong][:2] == [FIRST_CORE.count, core.flops]
        assert all("tt3" in item.where for item in wrong[:2])

    def test_a_bias_of_two_calls_is_stored_for_each(self, suffix: str) -> None:
        """Its scale is that of the input, of which the calls have one each."""
        rows = {row.layer: row for row in exported("shared", suffix).check().layers}
        assert rows["dense"].params == (12 * 8 + 2 * 8, 12 * 8 + 2 * 8)


def tensors(path: Path) -> list[Any]:
    return list(tflite._parsed(path).subgraphs[0].tensors)


def test_tflite_takes_and_gives_int8_and_has_a_scale_for_each_output_of_a_product() -> None:
    from ai_edge_litert import schema_py_generated as schema

    made = exported("tensor trains", ".tflite")
    body = tflite._parsed(made.path).subgraphs[0]
    ends = [body.tensors[index] for index in (*body.inputs, *body.outputs)]
    assert {tensor.type for tensor in ends} == {schema.TensorType.INT8}
    kinds = {tensor.type for tensor in body.tensors}
    assert schema.TensorType.FLOAT32 not in kinds
    weights = [tensor for tensor in body.tensors if tensor.name.decode().rsplit("/", 1)[-1].startswith("MatMul")]
    scales = [len(t.quantization.scale) for t in weights if tflite._values(tflite._parsed(made.path), t) is not None]
    assert scales and max(scales) > 1


def test_onnx_stores_int8_and_keeps_the_names_of_its_ends() -> None:
    import onnx as library

    made = exported("tensor trains", ".onnx")
    graph = library.load(made.path).graph
    assert [value.name for value in graph.input] == ["my-input"]
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in onnx.seen_through(graph).nodes:
        if node.op_type in ("MatMul", "Gemm"):
            assert stored[node.input[1]].data_type == library.TensorProto.INT8


def test_the_predicted_peak_bounds_the_arena_of_the_microcontroller_interpreter() -> None:
    made = [exported(name, ".tflite") for name in ("sequences", "shared", "named")]
    text = subprocess.run(
        [sys.executable, "-c", MICRO, *(str(one.path) for one in made)], check=True, capture_output=True, text=True
    )
    heads = [int(head) for head in re.findall(r"allocation head (\d+) bytes", text.stdout + text.stderr)]
    assert len(heads) == len(made)
    for one, head in zip(made, heads, strict=True):
        assert head <= arena_bytes(one.predicted, 1) <= 1.35 * head
