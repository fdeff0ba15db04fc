"""C of edgett's own: for products, in which TT layers spend their time, and for what emx-onnx-cgen makes less exact.

A product takes four columns at a time, to read an input once for them, and each column's weights one after the other.
In int8 the zero point of the input is taken out of the loop: it adds the same to every row, as the bias does.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.graph.op import GEMM, MATMUL, QGEMM, QLINEAR_AVERAGE_POOL, QLINEAR_CONV, QLINEAR_SOFTMAX, named
from edgett.graph.traits import Op

C_TYPES = {"int8": "int8_t", "int32": "int32_t", "float32": "float"}


@dataclass(frozen=True)
class Kernel:
    """A call of the C function `name`: input and output, then `constants`, none where empty, and `numbers` in C."""

    name: str
    constants: tuple[NDArray[Any], ...]
    numbers: tuple[str, ...]


def kernels(model: Any, tables: Mapping[str, NDArray[np.int8]]) -> dict[str, Kernel]:
    """The calls that take the place of nodes, by the nodes' names; `tables` by theirs."""
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    shapes = {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in values}
    names = Counter(node.name for node in model.graph.node)
    made: dict[str, Kernel] = {}
    for node in model.graph.node:
        given, shape = [constants.get(name) for name in node.input], shapes.get(node.output[0])
        if shape is None or not node.name or names[node.name] > 1:
            continue
        if node.name in tables:
            made[node.name] = Kernel("lookup", (tables[node.name],), (str(math.prod(shape)),))
        elif (kind := _KINDS.get(named(node.op_type))) and (found := kind(node, given, shape)):
            made[node.name] = found
    return made


def text(names: Iterable[str], prefix: str) -> str:
    """The C functions that calls of these names need."""
    wanted = [name for name in _TEXTS if name in names]
    helpers = [name for name in _HELPERS if any(f"{{name}}_{name}(" in _TEXTS[kind] for kind in wanted)]
    parts = [_HELPERS[name] for name in helpers] + [_TEXTS[name] for name in wanted]
    return "\n".join(part.replace("{name}", prefix) for part in parts)


def _int8_product(node: Any, given: Sequence[Any], shape: tuple[int, ...]) -> Kernel | None:
    (_, in_scale, in_zero, weights, scale, zero, bias, out_scale, out_zero) = given
    if np.any(zero):
        return None
    columns = np.ascontiguousarray(weights if _attribute(node, "transB", 0) else weights.T)
    sums = columns.astype(np.int64).sum(axis=1)
    offsets = (0 if bias is None else bias.astype(np.int64)) - int(in_zero.item()) * sums
    factors = np.broadcast_to(in_scale * scale / out_scale, sums.shape).astype(np.float32)
    numbers = (shape[0], columns.shape[1], len(columns), int(out_zero.item()))
    return Kernel("product_int8", (columns, offsets.astype(np.int32), factors), tuple(map(str, numbers)))


def _float_product(node: Any, given: Sequence[Any], shape: tuple[int, ...]) -> Kernel | None:
    (left, weights, *bias) = given
    scaled = any(_attribute(node, name, 1.0) != 1 for name in ("alpha", "beta")) or _attribute(node, "transA", 0)
    if left is not None or weights is None or weights.ndim != 2 or weights.dtype != np.float32 or scaled:
        return None
    columns = np.ascontiguousarray(weights if _attribute(node, "transB", 0) else weights.T)
    added = bias[0] if bias else np.zeros(0, np.float32)
    if added is None or (bias and added.size != len(columns)):
        return None
    numbers = (math.prod(shape) // len(columns), columns.shape[1], len(columns))
    return Kernel("product_float", (columns, added.ravel()), tuple(map(str, numbers)))


def _int8_softmax(node: Any, given: Sequence[Any], shape: tuple[int, ...]) -> Kernel | None:
    (_, in_scale, _, out_scale, out_zero) = given
    if _attribute(node, "axis", -1) not in (-1, len(shape) - 1):
        return None
    scales = (literal(in_scale.item()), literal(out_scale.item()))
    return Kernel("softmax", (), (str(math.prod(shape[:-1])), str(shape[-1]), *scales, str(int(out_zero.item()))))


_KINDS: Mapping[Op, Callable[[Any, Sequence[Any], tuple[int, ...]], Kernel | None]] = {
    QGEMM: _int8_product,
    MATMUL: _float_product,
    GEMM: _float_product,
    QLINEAR_SOFTMAX: _int8_softmax,
}


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def literal(value: float) -> str:
    """A float32 in C, to the last bit."""
    digits = re.sub(r"0+p", "p", float(np.float32(value)).hex()).replace(".p", "p")
    return f"{digits}f"


def nearer(operator: str, body: str) -> str:
    """The body of a function of emx-onnx-cgen that rounds as QuantizeLinear does, to even, and in float alone."""
    rounding = _ROUNDING.get(named(operator))
    return body.replace(*rounding) if rounding else body


_ROUNDING = {
    QLINEAR_CONV: ("ref_scalar_f64_nearbyint(scaled)", "nearbyintf(scaled)"),
    QLINEAR_AVERAGE_POOL: ("roundf(mean * scale)", "nearbyintf(mean * scale)"),
}
_HELPERS = {
    "rounded": """static int8_t {name}_rounded(float value, int32_t zero) {
    const float near = value < -1000.0f ? -1000.0f : value > 1000.0f ? 1000.0f : value;
    const int32_t code = (int32_t)lrintf(near) + zero;
    return (int8_t)(code < -128 ? -128 : code > 127 ? 127 : code);
}
""",
    "biased": """static float {name}_biased(float sum, const float *bias, int32_t column) {
    return bias ? sum + bias[column] : sum;
}
""",
}
_TEXTS = {
    "lookup": """/* output[i] = table[input[i]], the table from -128 on. */
static void {name}_lookup(const int8_t *input, int8_t *output, const int8_t *table, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        output[i] = table[input[i] + 128];
    }
}
""",
    "product_int8": """/* output (rows, columns) = input (rows, inner) x weights (columns, inner), a scale a column. */
static void {name}_product_int8(const int8_t *input, int8_t *output, const int8_t *weights, const int32_t *offsets,
                                const float *scales, int32_t rows, int32_t inner, int32_t columns, int32_t zero) {
    const int32_t fours = columns - columns % 4;
    for (int32_t row = 0; row < rows; ++row, input += inner, output += columns) {
        const int8_t *weight = weights;
        int32_t column = 0;
        for (; column < fours; column += 4, weight += 4 * inner) {
            const int8_t *second = weight + inner, *third = second + inner, *fourth = third + inner;
            int32_t a = offsets[column], b = offsets[column + 1], c = offsets[column + 2], d = offsets[column + 3];
            for (int32_t i = 0; i < inner; ++i) {
                const int32_t x = input[i];
                a += x * weight[i];
                b += x * second[i];
                c += x * third[i];
                d += x * fourth[i];
            }
            output[column] = {name}_rounded((float)a * scales[column], zero);
            output[column + 1] = {name}_rounded((float)b * scales[column + 1], zero);
            output[column + 2] = {name}_rounded((float)c * scales[column + 2], zero);
            output[column + 3] = {name}_rounded((float)d * scales[column + 3], zero);
        }
        for (; column < columns; ++column, weight += inner) {
            int32_t sum = offsets[column];
            for (int32_t i = 0; i < inner; ++i) {
                sum += (int32_t)input[i] * weight[i];
            }
            output[column] = {name}_rounded((float)sum * scales[column], zero);
        }
    }
}
""",
    "product_float": """/* output (rows, columns) = input (rows, inner) x weights (columns, inner) + bias. */
static void {name}_product_float(const float *input, float *output, const float *weights, const float *bias,
                                 int32_t rows, int32_t inner, int32_t columns) {
    const int32_t fours = columns - columns % 4;
    for (int32_t row = 0; row < rows; ++row, input += inner, output += columns) {
        const float *weight = weights;
        int32_t column = 0;
        for (; column < fours; column += 4, weight += 4 * inner) {
            const float *second = weight + inner, *third = second + inner, *fourth = third + inner;
            float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
            for (int32_t i = 0; i < inner; ++i) {
                const float x = input[i];
                a += x * weight[i];
                b += x * second[i];
                c += x * third[i];
                d += x * fourth[i];
            }
            output[column] = {name}_biased(a, bias, column);
            output[column + 1] = {name}_biased(b, bias, column + 1);
            output[column + 2] = {name}_biased(c, bias, column + 2);
            output[column + 3] = {name}_biased(d, bias, column + 3);
        }
        for (; column < columns; ++column, weight += inner) {
            float sum = 0.0f;
            for (int32_t i = 0; i < inner; ++i) {
                sum += input[i] * weight[i];
            }
            output[column] = {name}_biased(sum, bias, column);
        }
    }
}
""",
    "softmax": """/* output (rows, columns) = softmax of each row. */
static void {name}_softmax(const int8_t *input, int8_t *output, int32_t rows, int32_t columns, float in_scale,
                           float out_scale, int32_t zero) {
    for (int32_t row = 0; row < rows; ++row, input += columns, output += columns) {
        int32_t largest = -128;
        for (int32_t i = 0; i < columns; ++i) {
            largest = input[i] > largest ? input[i] : largest;
        }
        float sum = 0.0f;
        for (int32_t i = 0; i < columns; ++i) {
            sum += expf((float)(input[i] - largest) * in_scale);
        }
        for (int32_t i = 0; i < columns; ++i) {
            output[i] = {name}_rounded(expf((float)(input[i] - largest) * in_scale) / sum / out_scale, zero);
        }
    }
}
""",
}
