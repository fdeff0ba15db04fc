"""Sources for LiteRT for Microcontrollers: they compile, hold the file, and name operators as the runtime does."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import flatbuffers
import keras
import numpy as np
import pytest

from edgett.device import micro
from edgett.errors import ModelError, ToolError
from edgett.export import tflite, tflm
from edgett.graph.op import named
from edgett.model.inference import inference_form
from edgett.model.servable import Servable
from edgett.model.tt_dense import TTDense
from tests.device.operators import CODES, needing
from tests.firmware.tools import needs

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
METHODS = {
    "ADD": "AddAdd", "AVERAGE_POOL_2D": "AddAveragePool2D", "BATCH_MATMUL": "AddBatchMatMul",
    "BATCH_TO_SPACE_ND": "AddBatchToSpaceNd", "CONCATENATION": "AddConcatenation", "CONV_2D": "AddConv2D",
    "CUMSUM": "AddCumSum", "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D", "DEPTH_TO_SPACE": "AddDepthToSpace",
    "DEQUANTIZE": "AddDequantize", "DIV": "AddDiv", "ELU": "AddElu", "EXPAND_DIMS": "AddExpandDims",
    "FULLY_CONNECTED": "AddFullyConnected", "GATHER": "AddGather", "HARD_SWISH": "AddHardSwish",
    "L2_POOL_2D": "AddL2Pool2D", "LEAKY_RELU": "AddLeakyRelu", "LOGISTIC": "AddLogistic",
    "LOG_SOFTMAX": "AddLogSoftmax", "MAXIMUM": "AddMaximum", "MAX_POOL_2D": "AddMaxPool2D", "MEAN": "AddMean",
    "MIRROR_PAD": "AddMirrorPad", "MUL": "AddMul", "PACK": "AddPack", "PAD": "AddPad", "PADV2": "AddPadV2",
    "QUANTIZE": "AddQuantize", "REDUCE_MAX": "AddReduceMax", "RELU": "AddRelu", "RELU6": "AddRelu6",
    "RESHAPE": "AddReshape", "RESIZE_BILINEAR": "AddResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "AddResizeNearestNeighbor", "SELECT_V2": "AddSelectV2", "SLICE": "AddSlice",
    "SOFTMAX": "AddSoftmax", "SPACE_TO_DEPTH": "AddSpaceToDepth", "SPLIT": "AddSplit", "SPLIT_V": "AddSplitV",
    "SQUARED_DIFFERENCE": "AddSquaredDifference", "SQUEEZE": "AddSqueeze", "STRIDED_SLICE": "AddStridedSlice",
    "SUB": "AddSub", "SUM": "AddSum", "TANH": "AddTanh", "TRANSPOSE": "AddTranspose",
    "TRANSPOSE_CONV": "AddTransposeConv", "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
    "UNPACK": "AddUnpack",
}  # fmt: skip
"""As read in micro_mutable_op_resolver.h of tflite-micro."""
INTEGERS = "INDEX SIZE BYTES RANK ZERO_POINT".split()


def _model() -> keras.Model:
    inputs = keras.Input((24,), name="my-input")
    x = TTDense((4, 6), (5, 4), (1, 3, 1), activation="relu", name="tt")(inputs)
    return keras.Model(inputs, {"Class": keras.layers.Dense(3, activation="softmax", name="class")(x),
                                "class": keras.layers.Dense(2, activation="tanh", name="other")(x)})  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model in float32 and in int8."""
    keras.utils.set_random_seed(1)
    servable = Servable(inference_form(_model(), 1))
    folder = tmp_path_factory.mktemp("tflm")
    numbers = np.random.default_rng(2)
    samples = [{"my-input": numbers.normal(size=(1, 24)).astype("f4")} for _ in range(16)]
    tflite.write(servable, folder / "float32.tflite")
    tflite.write(servable, folder / "int8.tflite", samples)
    return {dtype: folder / f"{dtype}.tflite" for dtype in ("float32", "int8")}


def _written(source: tflm.MicroSource, name: str, folder: Path) -> None:
    for file, text in ((f"{name}.h", source.header), (f"{name}_model.c", source.code), (f"{name}_ops.h", source.ops)):
        (folder / file).write_text(text)


def _output(folder: Path, compiler: str, *arguments: str) -> str:
    """What the program prints that the compiler makes."""
    subprocess.run([compiler, *arguments, "-o", "program"], cwd=folder, check=True)
    return subprocess.run([folder / "program"], check=True, capture_output=True, text=True).stdout


@needs("gcc")
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_file_comes_back_byte_for_byte(files: dict[str, Path], dtype: str, tmp_path: Path) -> None:
    _written(tflm.generate(files[dtype], "clock", "1.2", 1000), "clock", tmp_path)
    (tmp_path / "main.c").write_text("""
#include <stdint.h>
#include <stdio.h>
#include "clock.h"
int main(void) {
    if ((uintptr_t)clock_model % 16 || sizeof clock_model != CLOCK_MODEL_BYTES) return 1;
    return fwrite(clock_model, 1, CLOCK_MODEL_BYTES, stdout) != CLOCK_MODEL_BYTES;
}
""")
    subprocess.run(["gcc", *STRICT, "-o", "program", "main.c", "clock_model.c"], cwd=tmp_path, check=True)
    held = subprocess.run([tmp_path / "program"], check=True, capture_output=True).stdout
    assert held == files[dtype].read_bytes()


@needs("gcc")
def test_the_header_says_what_the_ports_are(files: dict[str, Path], tmp_path: Path) -> None:
    source = tflm.generate(files["int8"], "clock", "1.2", 1000)
    _written(source, "clock", tmp_path)
    ports = (*source.inputs, *source.outputs)
    # Two outputs whose names differ in case only are two in C all the same.
    macros = re.findall(r"#define (CLOCK_\w+)_INDEX", source.header)
    assert len(macros) == len(set(macros)) == 3
    asked = [f"{macro}_{what}" for macro in macros for what in INTEGERS]
    lines = "\n".join(f'printf("%d\\n", (int){name});' for name in asked)
    scales = "\n".join(f'printf("%.9g\\n", (double){macro}_SCALE);' for macro in macros)
    main = f'#include <stdio.h>\n#include "clock.h"\nint main(void) {{\n{lines}\n{scales}\nputs(CLOCK_SHA256);\n'
    (tmp_path / "main.c").write_text(f"{main}puts(CLOCK_VERSION);\nreturn 0;\n}}\n")
    told = _output(tmp_path, "gcc", *STRICT, "main.c", "clock_model.c").split()

    expected = [
        [index, port.size, port.size, 2, port.zero_point]
        for side in (source.inputs, source.outputs)
        for index, port in enumerate(side)
    ]
    np.testing.assert_array_equal(np.reshape(np.array(told[:15], int), (3, 5)), expected)
    np.testing.assert_allclose(np.array(told[15:18], float), [port.scale for port in ports], rtol=1e-7)
    assert told[18:] == [hashlib.sha256(files["int8"].read_bytes()).hexdigest(), "1.2"]


def test_ports_are_what_the_runtime_takes_and_gives(files: dict[str, Path]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    for dtype, path in files.items():
        source = tflm.generate(path, "clock", "1", 1000)
        interpreter = Interpreter(model_path=str(path))
        details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
        for port, detail in zip((*source.inputs, *source.outputs), details, strict=True):
            assert port.shape == tuple(detail["shape"])
            assert port.dtype == dtype == np.dtype(detail["dtype"]).name
            scale, zero_point = detail["quantization"]
            assert ((port.scale or 0), port.zero_point) == (scale, zero_point)
        assert [port.name for port in source.inputs] == ["my-input"]
        assert {port.name: port.size for port in source.outputs} == {"Class": 3, "class": 2}


def test_a_file_without_a_signature_has_the_names_of_its_tensors(files: dict[str, Path], tmp_path: Path) -> None:
    model = tflite._parsed(files["int8"])
    model.signatureDefs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "bare.tflite"
    path.write_bytes(bytes(builder.Output()))
    source = tflm.generate(path, "clock", "1", 1000)
    body = model.subgraphs[0]
    assert [port.name for port in source.inputs] == [body.tensors[index].name.decode() for index in body.inputs]
    assert [port.size for port in source.outputs] == [
        port.size for port in tflm.generate(files["int8"], "c", "1", 1).outputs
    ]


@needs("g++")
def test_a_cpp_program_may_include_all_of_it(files: dict[str, Path], tmp_path: Path) -> None:
    """Syntax only: whether the methods exist is for the runtime's header to say."""
    source = tflm.generate(files["float32"], "clock", "1", 1000)
    _written(source, "clock", tmp_path)
    (tmp_path / "main.cc").write_text('#include "clock.h"\n#include "clock_ops.h"\n' * 2)
    subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "main.cc"], cwd=tmp_path, check=True)


def test_exactly_the_operators_of_the_graph_are_registered(files: dict[str, Path]) -> None:
    source = tflm.generate(files["float32"], "clock", "1", 1000)
    model = tflite._parsed(files["float32"])
    used = {tflite.operator_name(model, operator) for operator in model.subgraphs[0].operators}
    assert set(source.operators) == used
    assert sorted(re.findall(r"resolver\.(\w+)\(\)", source.ops)) == sorted(METHODS[kind] for kind in used)
    assert f"#define CLOCK_OPERATORS {len(used)}\n" in source.ops


def test_methods_are_called_as_in_the_runtime() -> None:
    assert {operator: tflm.method(operator) for operator in METHODS} == METHODS
    assert all(named(operator).tflite.micro for operator in METHODS)


def test_the_operators_are_those_of_the_real_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "all.tflite"
    # One that is lacking comes first, so that the interpreter never gets to run the graph.
    path.write_bytes(needing(sorted(CODES, key=lambda name: name != "TILE")))
    with pytest.raises(ModelError) as caught:
        micro.run(path)
    lacking = re.search(r"has no (.*), which", caught.value.message)
    assert lacking is not None
    assert CODES.keys() - set(lacking[1].split(", ")) == {name for name in CODES if named(name).tflite.micro}


def test_an_operator_that_the_runtime_lacks(tmp_path: Path) -> None:
    path = tmp_path / "strange.tflite"
    path.write_bytes(needing(["TILE", "ADD", "GELU"]))
    with pytest.raises(ModelError, match=r"has no GELU, TILE, which strange\.tflite needs"):
        tflm.generate(path, "clock", "1", 1000)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "none.tflite"
    path.write_bytes(b"nothing")
    with pytest.raises(ToolError, match="is no TFLite model"):
        tflm.generate(path, "clock", "1", 1000)


@pytest.mark.parametrize(("measured", "bytes_"), [(1, 16), (160, 176), (161, 192), (29424, 32368)])
def test_the_arena_has_the_margin_and_is_aligned(measured: int, bytes_: int, files: dict[str, Path]) -> None:
    assert tflm.arena_bytes(measured) == bytes_
    source = tflm.generate(files["int8"], "clock", "1", measured)
    assert source.arena_bytes == bytes_
    assert f"#define CLOCK_ARENA_BYTES {bytes_}\n" in source.header
    assert f"took {measured} bytes" in source.header


@needs("gcc")
def test_two_models_in_one_program(files: dict[str, Path], tmp_path: Path) -> None:
    for name, dtype in (("one", "float32"), ("two", "int8")):
        _written(tflm.generate(files[dtype], name, "1", 1000), name, tmp_path)
    (tmp_path / "main.c").write_text("""
#include <stdio.h>
#include "one.h"
#include "two.h"
int main(void) {
    return printf("%d %d", (int)sizeof one_model, (int)sizeof two_model) < 0;
}
""")
    told = _output(tmp_path, "gcc", *STRICT, "main.c", "one_model.c", "two_model.c")
    assert told.split() == [str(files[dtype].stat().st_size) for dtype in ("float32", "int8")]
