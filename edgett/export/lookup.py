"""Functions of one int8 number as tables of 256: whatever lies element-wise between two int8 tensors is one.

An activation that ONNX spells out in many operators (GELU, Mish) becomes a single read from flash an element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.graph.op import named

PREFIX = "lookup/"
"""Begins the names of the Identity nodes that stand for a table."""

_EVERY = np.arange(-128, 128).astype(np.int8)


@dataclass(frozen=True)
class Looked:
    """A graph with Identity nodes for its tables: `tables` holds, by a node's name, the results for -128 to 127."""

    model: Any
    tables: Mapping[str, NDArray[np.int8]]


def looked_up(model: Any) -> Looked:
    """The graph with every int8 tensor that is a function of another one, number by number, looked up from it."""
    import onnx

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    roots = _roots(model.graph, stored)
    ends = _ends(model.graph, roots)
    tables: dict[str, NDArray[np.int8]] = {}
    nodes = []
    for node in model.graph.node:
        (*_, result) = node.output
        if result in ends:
            name = f"{PREFIX}{len(tables)}"
            tables[name] = _table(model, stored, roots[result], result)
            nodes.append(onnx.helper.make_node("Identity", [roots[result]], [result], name=name))
        else:
            nodes.append(node)
    made: Any = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:]
    made.graph.node.extend(_needed(nodes, {value.name for value in model.graph.output}))
    _tidy(made.graph)
    return Looked(made, tables)


def _roots(graph: Any, stored: Mapping[str, Any]) -> dict[str, str]:
    """The int8 tensor that each tensor is an element-wise function of; itself, when there is no other."""
    roots = {value.name: value.name for value in graph.input if value.type.tensor_type.elem_type == _int8()}
    narrow = {value.name for value in (*graph.value_info, *graph.output) if value.type.tensor_type.elem_type == _int8()}
    for node in graph.node:
        sources = {roots.get(name) for name in node.input if name and name not in stored}
        plain = all(_count(stored[name]) == 1 for name in node.input if name in stored)
        (*_, result) = node.output
        if named(node.op_type).elementwise and plain and len(sources) == 1 and None not in sources:
            roots[result] = next(source for source in sources if source)
        elif result in narrow:
            roots[result] = result
    return roots


def _ends(graph: Any, roots: Mapping[str, str]) -> set[str]:
    """What is worth a table: int8, not its own root, and read by something else than functions of the same root."""
    narrow = {value.name for value in (*graph.value_info, *graph.output) if value.type.tensor_type.elem_type == _int8()}
    read = {
        name for node in graph.node for name in node.input if name in roots and roots[name] != roots.get(node.output[0])
    }
    wanted = read | {value.name for value in graph.output}
    return {name for name in wanted & narrow if roots[name] != name}


def _table(model: Any, stored: Mapping[str, Any], root: str, end: str) -> NDArray[np.int8]:
    """The end for every number that the root can be, as ONNX Runtime computes it operator by operator."""
    import onnxruntime
    from onnx import helper, numpy_helper

    nodes = _between(model.graph, root, end)
    names = {name for node in nodes for name in node.input if name in stored}
    scalars = [numpy_helper.from_array(numpy_helper.to_array(stored[name]).reshape(()), name) for name in sorted(names)]
    ends = [helper.make_tensor_value_info(name, _int8(), [len(_EVERY)]) for name in (root, end)]
    graph = helper.make_graph(nodes, "table", ends[:1], ends[1:], scalars)
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(alone.SerializeToString(), options, providers=["CPUExecutionProvider"])
    table: NDArray[np.int8] = session.run([end], {root: _EVERY})[0]
    return table


def _between(graph: Any, root: str, end: str) -> list[Any]:
    """The nodes that make the end of the root, in order."""
    wanted, nodes = {end}, []
    for node in reversed(graph.node):
        if wanted & set(node.output) and root not in node.output:
            nodes.append(node)
            wanted |= set(node.input) - {root}
    return nodes[::-1]


def _needed(nodes: list[Any], outputs: set[str]) -> Iterator[Any]:
    kept, wanted = [], set(outputs)
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return reversed(kept)


def _tidy(graph: Any) -> None:
    """Drop what nothing mentions any more."""
    named = {name for node in graph.node for name in (*node.input, *node.output)}
    for kept in (graph.initializer, graph.value_info):
        left = [one for one in kept if one.name in named]
        del kept[:]
        kept.extend(left)


def _count(tensor: Any) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))


def _int8() -> int:
    from onnx import TensorProto

    return int(TensorProto.INT8)
