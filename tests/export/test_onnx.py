"""ONNX files: the exporter's contract, and the file as onnx itself sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnx as library
import pytest
from onnx import numpy_helper

from edgett.errors import ModelError
from edgett.model.tt_dense import TTDense
from tests.export import exported as zoo
from tests.export.contract import WHOLE, ExporterContract
from tests.export.exported import CASES, ONNX, L


class TestOnnx(ExporterContract):
    form = ONNX

    def signature(self, path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
        graph = library.load(path).graph
        return tuple(
            {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in side}
            for side in (graph.input, graph.output)
        )


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", CASES)
def test_the_checker_passes_and_the_operator_set_is_17(name: str, batch: int) -> None:
    model = library.load(zoo.exported(name, ".onnx", batch).path)
    library.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [17]


@pytest.mark.parametrize("name", WHOLE)
def test_names_tell_the_layer_and_no_number_of_the_converter(name: str) -> None:
    made = zoo.exported(name, ".onnx", 1)
    for node in library.load(made.path).graph.node:
        # What hands an input on as an output belongs to no layer.
        assert node.name.split("/", 1)[0] in made.owners.paths or node.name == "?/Identity"
        assert "__" not in node.name.replace("/_activation/", "/")


@pytest.mark.parametrize("name", WHOLE)
def test_the_numbers_in_the_file_are_the_parameters(name: str) -> None:
    """Every float initialiser, counted from the file alone, but for the constants of spelled-out activations."""
    made = zoo.exported(name, ".onnx", 1)
    graph = library.load(made.path).graph
    idle = {item for node in graph.node if "/_activation/" in node.name or node.op_type == "Resize"
            for item in node.input}  # fmt: skip
    arrays = [numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name not in idle]
    assert sum(array.size for array in arrays if array.dtype == np.float32) == made.predicted.params()


def test_the_operators_of_a_tt_layer() -> None:
    made = zoo.exported("tensor trains", ".onnx", 1)
    kinds = [step.operator for step in ONNX.read(made.path, made.owners).steps if step.layer == "fc.1-a>b"]
    assert kinds == [
        "Reshape", "MatMul", "Reshape", "Transpose", "MatMul", "Transpose", "Reshape", "Add", "Relu",
    ]  # fmt: skip


def test_a_layer_that_onnx_cannot_hold_is_named(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    outputs = keras.ops.erfinv(L.Dense(2)(inputs))
    with pytest.raises(ModelError, match=r"tf2onnx cannot convert layer '.*': it has nothing for Erfinv"):
        zoo.export(keras.Model(inputs, outputs), ONNX, 1, tmp_path / "none.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_steps_that_layers_share_belong_to_the_first_of_them(tmp_path: Path) -> None:
    """tf2onnx merges what is alike, and whose name is left is chance."""
    inputs = keras.Input((4, 6), name="x")
    flat = L.Flatten(name="flat")(inputs)
    heads = [TTDense((4, 6), (5, 4), (1, 3, 1), name=name)(flat) for name in ("zeta", "alpha", "mid")]
    model = zoo.lively(keras.Model(inputs, heads))
    contents = set()
    for number in range(8):
        made = zoo.export(model, ONNX, 1, tmp_path / f"{number}.onnx")
        contents.add(made.path.read_bytes())
    assert len(contents) == 1
    nodes = library.load(made.path).graph.node
    shared = [node for node in nodes if sum(node.output[0] in other.input for other in nodes) > 1]
    first = next(layer for layer in made.owners.paths.values() if layer != "flat")
    assert {made.owners.paths[node.name.split("/", 1)[0]] for node in shared} == {first}


ALONE = """
import sys
import os
import subprocess
import sys
from pathlib import Path
from tests.export import exported

exported.export(exported.lively(exported.twins()), exported.ONNX, 1, Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_what_is_left_of_twins_does_not_depend_on_how_a_process_hashes(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent.parent
    for seed in range(4):
        command = [sys.executable, "-c", ALONE, str(tmp_path / f"{seed}.onnx")]
        environment = os.environ | {"PYTHONHASHSEED": str(seed)}
        subprocess.run(command, check=True, capture_output=True, cwd=root, env=environment)
    assert len({path.read_bytes() for path in tmp_path.glob("*.onnx")}) == 1
    names = [node.name for node in library.load(tmp_path / "0.onnx").graph.node]
    first = min(("hour", "minute"), key=lambda layer: names.index(f"{layer}/MatMul"))
    assert names.index(f"{first}/Transpose") < names.index(f"{first}/MatMul")
