"""Files that other tools made: an open batch and any numbers are fed, what cannot be is refused in edgett's words."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgett.device import local
from edgett.device.bench import Plan, Subject
from edgett.errors import ModelError, ToolError
from edgett.meter import Silent
from edgett.workflow import bench
from tests.conftest import Answer

QUICK = Plan(runs=2, seconds=0.0, rounds=1, lives=1, limit=60)


@pytest.fixture(autouse=True)
def a_lock_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Other tests may measure at the same time."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    tempfile.tempdir = None


def save(path: Path, operator: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Path:
    """One operator; values are a type of ONNX and sizes."""
    nodes = [helper.make_node(operator, list(inputs), list(outputs))] if inputs else [
        helper.make_node("Constant", [], list(outputs), value_floats=[1.0, 2.0])
    ]  # fmt: skip
    ends = [[helper.make_tensor_value_info(name, *told) for name, told in side.items()] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "g", *ends)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def measured(path: Path) -> tuple[Subject, dict[str, Any]]:
    (subject,) = bench.subjects([bench.Contestant(path.name, path, {})])
    (found,) = local.Local().measure([subject], QUICK, Silent()).artefacts
    return subject, dict(found.outputs)


@pytest.mark.parametrize(
    ("kind", "operator"),
    [(TensorProto.DOUBLE, "Neg"), (TensorProto.FLOAT16, "Neg"), (TensorProto.BOOL, "Not"), (TensorProto.INT16, "Abs"),
     (TensorProto.UINT32, "Identity")],
)  # fmt: skip
def test_any_kind_of_number(kind: int, operator: str, tmp_path: Path) -> None:
    path = save(tmp_path / "x.onnx", operator, {"a": (kind, [1, 8])}, {"y": (kind, [1, 8])})
    subject, outputs = measured(path)
    given = subject.inputs["a"].astype(helper.tensor_dtype_to_np_dtype(kind))
    expected = {"Neg": np.negative, "Not": np.logical_not, "Abs": np.abs, "Identity": np.copy}[operator](given)
    np.testing.assert_array_equal(outputs["y"], expected)
    assert outputs["y"].dtype == given.dtype
    assert bench.agreement(path, subject.inputs, outputs) == {
        "samples": bench.SAMPLES, "max_abs": 0.0, "top1": None,
    }  # fmt: skip


def test_truths_are_both(tmp_path: Path) -> None:
    path = save(tmp_path / "x.onnx", "Not", {"a": (TensorProto.BOOL, [1, 1])}, {"y": (TensorProto.BOOL, [1, 1])})
    subject, outputs = measured(path)
    assert 0 < outputs["y"].mean() < 1
    assert bench.agreement(path, subject.inputs, outputs)["max_abs"] == 0.0


@pytest.mark.parametrize(("sizes", "batch"), [(["N", 3], 1), ([None, 3], 1)])
def test_an_open_batch_is_one(sizes: list[Any], batch: int, tmp_path: Path) -> None:
    number = TensorProto.FLOAT
    path = save(tmp_path / "x.onnx", "Neg", {"a": (number, sizes)}, {"y": (number, sizes)})
    assert local.input_ports(path)[0].shape == (batch, 3)
    subject, outputs = measured(path)
    np.testing.assert_array_equal(outputs["y"], -subject.inputs["a"].astype(np.float32))


def test_an_open_batch_is_that_of_the_other_input(tmp_path: Path) -> None:
    number = TensorProto.FLOAT
    path = save(tmp_path / "x.onnx", "Add", {"a": (number, ["N", 3]), "b": (number, [4, 3])}, {"y": (number, [4, 3])})
    assert [port.shape for port in local.input_ports(path)] == [(4, 3), (4, 3)]
    subject, outputs = measured(path)
    np.testing.assert_array_equal(outputs["y"], sum(array.astype(np.float32) for array in subject.inputs.values()))


def test_one_number_for_a_batch_is_a_row(tmp_path: Path) -> None:
    number = TensorProto.FLOAT
    path = save(tmp_path / "x.onnx", "Size", {"a": (number, [1, 3])}, {"y": (TensorProto.INT64, [])})
    subject, outputs = measured(path)
    np.testing.assert_array_equal(outputs["y"], np.full(bench.SAMPLES, 3))
    assert bench.agreement(path, subject.inputs, outputs)["max_abs"] == 0


@pytest.mark.parametrize("given", [{}, {"z": np.zeros((64, 3))}, {"y": np.zeros((64, 4))}])
def test_other_outputs_than_the_file_has(given: dict[str, Any], tmp_path: Path) -> None:
    number = TensorProto.FLOAT
    path = save(tmp_path / "x.onnx", "Neg", {"a": (number, [1, 3])}, {"y": (number, [1, 3])})
    (subject,) = bench.subjects([bench.Contestant(path.name, path, {})])
    with pytest.raises(ToolError, match=r"the device gave back is not what .*x\.onnx gives: output") as raised:
        bench.agreement(path, subject.inputs, given)
    assert raised.value.cure == "Look whether its disk is full, and run it again."


FLOATS = (TensorProto.FLOAT, [1, 8])


@pytest.mark.parametrize(
    ("operator", "inputs", "words", "cure"),
    [
        ("Identity", {"a": (TensorProto.FLOAT, [])}, "the input 'a' is a scalar", "batch as the first size"),
        ("", {}, "takes no input", "with its inputs"),
        ("Identity", {"a": (TensorProto.FLOAT, [0, 8])}, r"'a' is \(0, 8\), which holds nothing", "batch of 1"),
        ("Identity", {"a": (TensorProto.FLOAT, [1, "T", 8])}, r"\(1, \?, 8\): only the batch may be open", "fixed"),
        ("Identity", {"a": (TensorProto.STRING, [1, 8])}, r"'a' is tensor\(string\); edgett feeds", "numbers"),
        ("Add", {"a": FLOATS, "b": (TensorProto.FLOAT, [2, 8])},
         r"different batches: 'a' is \(1, 8\), 'b' is \(2, 8\)", "one batch for all"),
    ],
)  # fmt: skip
def test_what_cannot_be_fed(
    edgett: Callable[..., Answer], operator: str, inputs: dict[str, Any], words: str, cure: str, tmp_path: Path
) -> None:
    kind, sizes = next(iter(inputs.values()), (TensorProto.FLOAT, [2]))
    path = save(tmp_path / "x.onnx", operator, inputs, {"y": (kind, sizes if operator != "Add" else [2, 8])})
    with pytest.raises(ModelError, match=words) as raised:
        local.input_ports(path)
    assert cure in raised.value.cure
    answer = edgett("bench", path)
    assert answer.code == 3
    assert raised.value.message in answer.err and "ONNXRuntimeError" not in answer.err


def test_outputs_that_are_no_numbers(tmp_path: Path) -> None:
    path = save(tmp_path / "x.onnx", "Cast", {"a": FLOATS}, {"y": (TensorProto.STRING, [1, 8])})
    model = onnx.load(path)
    model.graph.node[0].attribute.append(helper.make_attribute("to", TensorProto.STRING))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"'y' is tensor\(string\)"):
        local.input_ports(path)


def test_the_cure_of_open_sizes_is_one(tmp_path: Path) -> None:
    """The command that it names is carried out, and what comes of it can be fed."""
    sizes = (TensorProto.FLOAT, ["N", "T", 8])
    path = save(tmp_path / "an odd name.onnx", "Neg", {"a": sizes}, {"y": sizes})
    with pytest.raises(ModelError) as raised:
        local.input_ports(path)
    command = shlex.split(raised.value.cure.partition("python ")[2])
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert local.input_ports(tmp_path / "fixed.onnx")[0].shape == (1, 1, 8)


def test_open_sizes_of_tflite(tmp_path: Path) -> None:
    """Whose interpreter says 1 of them."""
    import tensorflow as tf

    from edgett.system.quiet import quiet

    paths = {}
    for sizes in ((None, 4), (None, None, 4)):

        class Plain(tf.Module):  # type: ignore[misc]
            @tf.function(input_signature=[tf.TensorSpec(sizes, tf.float32, "a")])
            def __call__(self, a):  # type: ignore[no-untyped-def]
                return {"y": a * 2.0}

        module = Plain()
        with quiet():
            tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.__call__.get_concrete_function())
            content = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "m")).convert()
        paths[sizes] = tmp_path / f"{len(sizes)}.tflite"
        paths[sizes].write_bytes(content)
    assert local.input_ports(paths[None, 4])[0].shape == (1, 4)
    with pytest.raises(ModelError, match=r"'a' is \(\?, \?, 4\): only the batch may be open"):
        local.input_ports(paths[None, None, 4])
