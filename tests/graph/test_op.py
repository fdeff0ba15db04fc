"""Rows of operators: whoever calls one by whatever name finds the same, and what a row says is so elsewhere."""

from __future__ import annotations

import keras
import onnx
import pytest

from edgett.export.qrules import RULES
from edgett.graph.op import PRODUCT, ROWS, named
from edgett.graph.traits import Rule


def test_each_operator_has_one_row_under_its_plain_name() -> None:
    names = [op.name for op in ROWS]
    assert len(set(names)) == len(names)
    assert all(name == name.lower().replace("_", "") for name in names)
    assert all(named(name.upper()) is op for name, op in zip(names, ROWS, strict=True))


@pytest.mark.parametrize(
    ("predicted", "tflite", "nodes"),
    [
        ("Product", ("FULLY_CONNECTED",), ("MatMul", "Gemm", "QGemm")),
        ("Dense", ("FULLY_CONNECTED",), ("MatMul", "Gemm", "QGemm")),
        ("Convolution", ("CONV_2D", "DEPTHWISE_CONV_2D"), ("Conv", "QLinearConv")),
        ("ConvTranspose", ("TRANSPOSE_CONV",), ("ConvTranspose",)),
        ("Reshape", ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), ("Reshape", "Squeeze", "Unsqueeze", "Flatten")),
        ("Transpose", ("TRANSPOSE",), ("Transpose",)),
        ("Add", ("ADD", "SUB"), ("Add", "Sub")),
        ("Multiply", ("MUL",), ("Mul",)),
    ],
)
def test_predictions_and_files_mean_the_same(predicted: str, tflite: tuple[str, ...], nodes: tuple[str, ...]) -> None:
    families = {named(name).family.name for name in (predicted, *tflite, *nodes)}
    assert families == {named(predicted).family.name}


def test_a_family_counts_alike() -> None:
    for op in ROWS:
        assert op.family.family is op.family
        told = op.rule is not Rule.NONE and op.family.rule is not Rule.NONE
        assert not told or op.rule is op.family.rule, op.name
    products = {op.name for op in ROWS if op.family is PRODUCT}
    assert all(named(name).rule is Rule.PRODUCT for name in products)


def test_an_operator_that_nobody_knows_has_no_properties() -> None:
    op = named("WHATEVER_IT_IS")
    assert (op.name, op.rule, op.family, op.elementwise, op.tflite.micro) == (
        "whateveritis", Rule.NONE, op, False, False,
    )  # fmt: skip


def test_what_keras_calls_so_there_is() -> None:
    """Layers and bare operations, which have one class each."""
    classes = {name.lower() for name in dir(keras.layers)}
    modules = (keras.src.ops.core, keras.src.ops.nn, keras.src.ops.numpy)
    classes |= {name.lower() for module in modules for name in vars(module) if name[0].isupper()}
    assert {op.name for op in ROWS if op.foretold} - classes == set()


def test_what_is_computed_on_int8_is_an_operator_of_onnx_or_of_onnx_runtime_s_own() -> None:
    integers = {op.onnx.integer for op in RULES}
    assert "" not in integers
    for name in integers:
        assert named(name).onnx.contributed == (not onnx.defs.has(name)), name
    contributed = {op.name for op in ROWS if op.onnx.contributed}
    assert contributed == {name.lower() for name in integers if not onnx.defs.has(name)}
    for op in (op for op in ROWS if op.converts and op.elementwise):
        assert op.name in {schema.name.lower() for schema in onnx.defs.get_all_schemas()}
