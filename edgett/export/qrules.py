"""The operators that have an integer form, a rule each: it adds the form to the new graph, or says that it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from edgett.graph.op import (
    ADD,
    AVERAGE_POOL,
    CONCAT,
    CONV,
    GEMM,
    GLOBAL_AVERAGE_POOL,
    MATMUL,
    MUL,
    REDUCE_MEAN,
    SOFTMAX,
    SUB,
    named,
)
from edgett.graph.traits import Op

if TYPE_CHECKING:
    from edgett.export.qoperator import Rewriter


@dataclass(frozen=True)
class Codes:
    """An int8 tensor in the place of a float32 one: `scale` and `zero` name the constants by which it is read.

    They have an entry for each index of `axis`, or just one where that is None.
    """

    name: str
    scale: str
    zero: str
    axis: int | None = None


_Rule = Callable[["Rewriter", Any, tuple[str, str]], bool]


def _matmul(to: Rewriter, node: Any, kept: tuple[str, str]) -> bool:
    """A product with a constant matrix has a scale a column: only QGemm takes those, and only two axes."""
    result = node.output[0]
    left, right = (to.codes.get(name) for name in node.input)
    if left is None or right is None or left.axis is not None:
        return False
    shape = to.shapes[result]
    if right.name not in to.constants:
        inputs = (*terms(left), *terms(right), *kept)
        to.add("QLinearMatMul", inputs, coded(result), np.int8, shape)
        return True
    inner, columns = to.constants[right.name].shape if to.constants[right.name].ndim == 2 else (0, 0)
    if not inner or right.axis not in (None, 1):
        return False
    rows = math.prod(shape) // columns
    flat = left if len(shape) == 2 else _reshaped(to, left, f"{result}/rows", (rows, inner))
    made = coded(result) if len(shape) == 2 else f"{result}/columns"
    to.add(MATMUL.onnx.integer, (*terms(flat), *terms(right), "", *kept), made, np.int8, (rows, columns))
    if len(shape) != 2:
        _reshaped(to, Codes(made, *kept), coded(result), shape)
    return True


def _gemm(to: Rewriter, node: Any, kept: tuple[str, str]) -> bool:
    """With the bias in int32, as it was quantised."""
    known = [to.codes.get(name) for name in node.input]
    turned = attribute_of(node, "transB", 0)
    plain = attribute_of(node, "alpha", 1.0) == attribute_of(node, "beta", 1.0) == 1 and not attribute_of(
        node, "transA", 0
    )
    if not plain or not _known(known) or not _biased(to, known) or known[1].axis not in (None, 0 if turned else 1):
        return False
    bias = known[2].name if len(known) > 2 else ""
    inputs = (*terms(known[0]), *terms(known[1]), bias, *kept)
    turn = [attribute for attribute in node.attribute if attribute.name == "transB"]
    to.add(GEMM.onnx.integer, inputs, coded(node.output[0]), np.int8, to.shapes[node.output[0]], turn)
    return True


def _convolution(to: Rewriter, node: Any, kept: tuple[str, str]) -> bool:
    known = [to.codes.get(name) for name in node.input]
    if not _known(known) or not _biased(to, known) or known[1].axis not in (None, 0):
        return False
    inputs = [*terms(known[0]), *terms(known[1]), *kept, *(bias.name for bias in known[2:])]
    to.add(CONV.onnx.integer, inputs, coded(node.output[0]), np.int8, to.shapes[node.output[0]], node.attribute)
    return True


def _known(codes: list[Codes | None]) -> TypeGuard[list[Codes]]:
    return None not in codes


def _biased(to: Rewriter, known: Sequence[Codes]) -> bool:
    """Whether the weights are constant, and the bias, if there is one, is in int32 by the product's own scales."""
    data, weights, *bias = known
    if data.axis is not None or weights.name not in to.constants:
        return False
    if not bias:
        return True
    scales = to.constants[data.scale] * to.constants[weights.scale]
    stored = to.constants.get(bias[0].name)
    alike = np.allclose(to.constants[bias[0].scale], scales, rtol=1e-5, atol=0)
    return stored is not None and stored.dtype == np.int32 and alike and not to.constants[bias[0].zero].any()


def _elementwise(to: Rewriter, node: Any, kept: tuple[str, str]) -> bool:
    left, right = (to.codes.get(name) for name in node.input)
    if left is None or right is None or not left.axis is right.axis is None:
        return False
    operator, result = named(node.op_type), node.output[0]
    if operator is SUB:
        right = _negated(to, right, result)
    to.add(operator.onnx.integer, (*terms(left), *terms(right), *kept), coded(result), np.int8, to.shapes[result])
    return True


def _negated(to: Rewriter, known: Codes, result: str) -> Codes:
    """The opposite numbers, exactly: ~q stands by ~zero for what -q stands for by zero."""
    zero = to.constant(f"{result}/negated_zero", np.invert(to.constants[known.zero]))
    made = Codes(f"{result}/negated", known.scale, zero)
    if known.name in to.constants:
        to.constant(made.name, np.invert(to.constants[known.name]))
        return made
    shape = to.made[known.name][1] if known.name in to.made else to.shapes[known.name]
    steps = f"{result}/positive", f"{result}/negative"
    to.add("DequantizeLinear", terms(known), steps[0], np.float32, shape)
    to.add("Neg", steps[:1], steps[1], np.float32, shape)
    to.add("QuantizeLinear", (steps[1], made.scale, made.zero), made.name, np.int8, shape)
    return made


def _one(to: Rewriter, node: Any, kept: tuple[str, str]) -> bool:
    """What reads one tensor: softmax and averages."""
    known, result = to.codes.get(node.input[0]), node.output[0]
    if known is None:
        return False
    operator = named(node.op_type)
    attributes = [*node.attribute, *_extra(operator)]
    to.add(operator.onnx.integer, (*terms(known), *kept), coded(result), np.int8, to.shapes[result], attributes)
    return True


def _mean(to: Rewriter, node: Any, kept: tuple[str, str]) -> bool:
    """A mean over neighbouring axes, as the average of a column: (others before, 1, they, others behind)."""
    from onnx import helper

    known, result = to.codes.get(node.input[0]), node.output[0]
    shape = to.shapes[node.input[0]]
    axes = sorted(axis % len(shape) for axis in attribute_of(node, "axes", range(len(shape))))
    if known is None or len(node.input) > 1 or axes != list(range(axes[0], axes[-1] + 1)):
        return False
    before, high, behind = (
        math.prod(part) for part in (shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :])
    )
    column = _reshaped(to, known, f"{result}/column", (before, 1, high, behind))
    attributes = [helper.make_attribute("kernel_shape", [high, 1])]
    made = Codes(f"{result}/mean", *kept)
    to.add(REDUCE_MEAN.onnx.integer, (*terms(column), *kept), made.name, np.int8, (before, 1, 1, behind), attributes)
    _reshaped(to, made, coded(result), to.shapes[result])
    return True


def _extra(operator: Op) -> list[Any]:
    from onnx import helper

    more: dict[Op, dict[str, int]] = {SOFTMAX: {"opset": 13}, GLOBAL_AVERAGE_POOL: {"channels_last": 0}}
    return [helper.make_attribute(name, value) for name, value in more.get(operator, {}).items()]


def _concat(to: Rewriter, node: Any, kept: tuple[str, str]) -> bool:
    known = [to.codes.get(name) for name in node.input]
    if not _known(known):
        return False
    inputs = [*kept, *(name for one in known for name in terms(one))]
    result = node.output[0]
    to.add(CONCAT.onnx.integer, inputs, coded(result), np.int8, to.shapes[result], node.attribute)
    return True


RULES: Mapping[Op, _Rule] = {
    MATMUL: _matmul,
    GEMM: _gemm,
    CONV: _convolution,
    ADD: _elementwise,
    SUB: _elementwise,
    MUL: _elementwise,
    SOFTMAX: _one,
    AVERAGE_POOL: _one,
    GLOBAL_AVERAGE_POOL: _one,
    CONCAT: _concat,
    REDUCE_MEAN: _mean,
}


def _reshaped(to: Rewriter, known: Codes, name: str, shape: tuple[int, ...]) -> Codes:
    dims = to.constant(f"{name}/shape", np.array(shape, np.int64))
    to.add("Reshape", (known.name, dims), name, np.int8, shape)
    return Codes(name, known.scale, known.zero)


def terms(codes: Any) -> tuple[str, str, str]:
    return codes.name, codes.scale, codes.zero


def coded(name: str) -> str:
    return f"{name}/codes"


def attribute_of(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)
