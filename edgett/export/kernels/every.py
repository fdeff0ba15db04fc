"""All kernels: which nodes they take, and the C that they need."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.export.kernels import convolution, fused, pool, product, rebuilt
from edgett.export.kernels.kernel import PREFIX, Kernel, Nodes, Struct, attribute, literal
from edgett.forms.integers import Rebuilding
from edgett.graph.op import (
    AVERAGE_POOL,
    CONV,
    GEMM,
    GLOBAL_AVERAGE_POOL,
    GLOBAL_MAX_POOL,
    MATMUL,
    MAX_POOL,
    QGEMM,
    QLINEAR_ADD,
    QLINEAR_AVERAGE_POOL,
    QLINEAR_CONV,
    QLINEAR_GLOBAL_AVERAGE_POOL,
    QLINEAR_SOFTMAX,
    named,
)
from edgett.graph.traits import Op

_SCALED = ("processor", "rounded", "scaled")
_ROWS = (*_SCALED, "rows_int8", "rows_helium", "rows_neon", "rows_plain")
_POOLED_INT8 = "processor", "rounded", "window", "mean_int8", "pooled_int8"
_POOLED_FLOAT = "processor", "window", "mean_float", "pooled_float"
_NEEDS = {
    "product_int8": (*_ROWS, "product", "part_int8"),
    "product_wide": (*_SCALED, "product"),
    "product_float": ("processor", "row_float", "product", "part_float"),
    "fused_int8": (*_ROWS, "product", "part_int8", "fused"),
    "fused_float": ("processor", "row_float", "product", "part_float", "fused"),
    "convolution_int8": (*_ROWS, "window", "patch_int8", "late_int8"),
    "convolution_wide": (*_SCALED, "window", "patch_int8", "late_int8"),
    "product_rebuilt": (*_SCALED, "product", "product_wide", "rebuild"),
    "convolution_rebuilt": (*_SCALED, "window", "patch_int8", "late_int8", "convolution_wide", "rebuild"),
    "convolution_float": ("processor", "row_float", "window", "patch_float", "late_float"),
    "depthwise_int8": (*_SCALED, "window", "plane_int8"),
    "depthwise_float": ("processor", "window", "plane_float"),
    "maxima_int8": _POOLED_INT8,
    "maxima_float": _POOLED_FLOAT,
    "averages_int8": _POOLED_INT8,
    "averages_float": _POOLED_FLOAT,
    "lookup": (),
    "add": ("processor", "rounded"),
    "add_tensors": ("processor", "rounded", "add"),
    "softmax": ("processor", "rounded"),
}
"""The C files that each kernel needs before its own, in this order."""
_WIDE = ("product_wide", "convolution_wide")
"""Plain loops."""
_INCLUDE = re.compile(r"^#include <(.+)>\n+", re.MULTILINE)
_OF_TYPE = {
    "patch_int8": "int8_t", "patch_float": "float", "plane_int8": "int8_t", "plane_float": "float",
    "late_int8": "int8_t", "late_float": "float", "maxima_int8": "int8_t", "maxima_float": "float",
    "averages_int8": "int8_t", "averages_float": "float", "pooled_int8": "int8_t", "pooled_float": "float",
}  # fmt: skip
"""Files that are written once for several types of number: `NUMBER` stands for it, `KIND` for its short name."""


def kernels(
    model: Any, tables: Mapping[str, NDArray[np.int8]], held: Mapping[str, Rebuilding] | None = None
) -> dict[str, Kernel]:
    """The calls that take the place of nodes, by the nodes' names; `tables` by theirs, `held` by layer.

    Raises ValueError for a layer whose weight is not what is rebuilt for it.
    """
    nodes = Nodes(model)
    made: dict[str, Kernel] = {}
    for node in nodes.told.values():
        if node.name in tables:
            made[node.name] = Kernel("lookup", (tables[node.name],), (str(nodes.size(node.output[0])),))
        elif (kind := _KINDS.get(named(node.op_type))) and (found := kind(node, nodes)):
            made[node.name] = found
    if held:
        swapped = rebuilt.rebuilt(nodes, made, held)
        if missing := held.keys() - {layer for layer, _ in swapped.values()}:
            raise ValueError(f"no int8 product or convolution has the weight of {min(missing)}")
        made |= {name: kernel for name, (_, kernel) in swapped.items()}
    return made


def fusions(model: Any, own: Mapping[str, Kernel]) -> dict[str, fused.Fused]:
    """The calls that take the place of two products, by the name of the second's node; `own`: those of each alone."""
    return fused.fusions(Nodes(model), own)


def plain(model: Any, own: Mapping[str, Kernel]) -> int:
    """How many int8 products and convolutions plain loops compute: words do not hold them, or they are in groups."""
    operators = [node for node in model.graph.node if named(node.op_type) in (QGEMM, QLINEAR_CONV)]
    return sum(node.name not in own or own[node.name].name in _WIDE for node in operators)


def text(names: Iterable[str], prefix: str) -> tuple[list[str], str]:
    """The headers and the C that calls of these names need."""
    used = [name for name in _NEEDS if name in set(names)]
    files = dict.fromkeys(file for name in used for file in (*_NEEDS[name], name))
    whole = "\n".join(map(_read, files)).replace(PREFIX, prefix)
    return _INCLUDE.findall(whole), _INCLUDE.sub("", whole)


def _read(file: str) -> str:
    stem, _, kind = file.partition("_") if file in _OF_TYPE else (file, "", "")
    content = resources.files(__package__).joinpath(f"{stem}.c").read_text()
    return content.replace("NUMBER", _OF_TYPE[file]).replace("KIND", kind) if kind else content


def _softmax(node: Any, nodes: Nodes) -> Kernel | None:
    (_, in_scale, _, out_scale, out_zero) = nodes.given(node)
    (*rows, columns) = shape = nodes.shapes[node.output[0]]
    if attribute(node, "axis", -1) not in (-1, len(shape) - 1):
        return None
    scales = (literal(in_scale.item()), literal(out_scale.item()))
    return Kernel("softmax", (), (str(math.prod(rows)), str(columns), *scales, str(int(out_zero.item()))))


def _add(node: Any, nodes: Nodes) -> Kernel | None:
    """A QLinearAdd of a tensor and another one, or a constant, that is as large or repeats."""
    shape, one, two = nodes.shapes[node.output[0]], node.input[:3], node.input[3:6]
    if one[0] in nodes.constants:
        one, two = two, one
    constant = nodes.constants.get(two[0])
    part = nodes.shapes[two[0]] if constant is None else constant.shape
    if one[0] in nodes.constants or nodes.size(one[0]) != math.prod(shape) or not _repeats(part, shape):
        return None
    (scale, zero), (other_scale, other_zero), (out_scale, out_zero) = (
        (literal(nodes.constants[pair[0]].item()), int(nodes.constants[pair[1]].item()))
        for pair in (one[1:], two[1:], node.input[6:])
    )
    sizes = math.prod(shape), math.prod(part)
    struct = Struct.of("sum", *sizes, zero, other_zero, out_zero, scale, other_scale, out_scale)
    return Kernel("add_tensors", struct=struct) if constant is None else Kernel("add", (constant,), struct=struct)


def _repeats(part: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether what is broadcast to a shape is itself, again and again."""
    count = math.prod(part)
    whole = np.broadcast_to(np.arange(count).reshape(part), shape)
    return bool((whole.reshape(-1, count) == np.arange(count)).all())


_KINDS: Mapping[Op, Callable[[Any, Nodes], Kernel | None]] = {
    QGEMM: product.int8,
    MATMUL: product.float32,
    GEMM: product.float32,
    QLINEAR_CONV: convolution.int8,
    CONV: convolution.float32,
    QLINEAR_ADD: _add,
    QLINEAR_SOFTMAX: _softmax,
    MAX_POOL: pool.largest,
    GLOBAL_MAX_POOL: pool.largest,
    AVERAGE_POOL: pool.mean,
    GLOBAL_AVERAGE_POOL: pool.mean,
    QLINEAR_AVERAGE_POOL: pool.mean_of_codes,
    QLINEAR_GLOBAL_AVERAGE_POOL: pool.global_mean_of_codes,
}
