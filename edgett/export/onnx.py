"""ONNX: write an artefact, read its graph back from the file."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from edgett.errors import ToolError
from edgett.export.owners import UNKNOWN, Owners
from edgett.quiet import quiet
from edgett.space.graph import Constant, Graph, Step

OPSET = 17

_UNCOUNTED = frozenset(
    "Reshape Transpose Squeeze Unsqueeze Flatten Concat Pad Slice Split Tile Gather Cast Shape Identity Expand Relu "
    "LeakyRelu Elu Selu Gelu HardSwish HardSigmoid Tanh Sigmoid Softmax LogSoftmax Softplus Softsign Clip MaxPool "
    "AveragePool GlobalAveragePool GlobalMaxPool ReduceMean ReduceMax ReduceMin Max Min Resize SpaceToDepth "
    "DepthToSpace".split()
)
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div"})


def write(servable: Any, owners: Owners, path: Path) -> None:
    """Convert a `nn.servable.Servable` to ONNX, checked, with names of its own. Raises ToolError when that fails."""
    try:
        with quiet():
            import onnx
            import tf2onnx

            model, _ = tf2onnx.convert.from_function(servable.serve, input_signature=servable.signature, opset=OPSET)
            _rename(model.graph, owners)
            model.graph.name, model.doc_string = "edgett", ""
            onnx.checker.check_model(model, full_check=True)
    except OSError:
        raise
    except Exception as error:
        raise ToolError(
            f"tf2onnx cannot convert the model: {' '.join(str(error).split())[:300]}",
            "A layer that ONNX has no operator for must be replaced in the model.",
        ) from error
    path.write_bytes(model.SerializeToString(deterministic=True))


def read(path: Path, owners: Owners) -> Graph:
    """The graph of an .onnx file, counted from its nodes and initialisers. Raises ToolError when it is none."""
    import onnx

    try:
        model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(path.read_bytes()), strict_mode=True)
    except Exception as error:
        raise ToolError(f"{path} is no ONNX model: {error}.", "Export it again.") from error
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {value.name: _dims(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    shapes |= {name: tuple(tensor.dims) for name, tensor in constants.items()}
    steps = []
    for node in graph.node:
        names = [name for name in node.input if name]
        reads = tuple(name for name in names if name not in constants)
        stored = {name: constants[name] for name in names if name in constants}
        kept, flops = _count(node, shapes, stored)
        layer = owners.layer([node.name, *node.output])
        steps.append(Step(layer, node.op_type, reads, tuple(node.output), kept, flops))
    used = {name for step in steps for name in (*step.reads, *step.writes)}
    sizes = {name: math.prod(shapes[name]) for name in used}
    inputs = tuple(value.name for value in graph.input if value.name in used)
    return Graph(tuple(steps), sizes, inputs, tuple(value.name for value in graph.output if value.name in used))


def _count(node: Any, shapes: dict[str, Any], stored: dict[str, Any]) -> tuple[tuple[Constant, ...], int | None]:
    """The constants that a node stores and its FLOPs; None for a node without a rule."""
    kind = node.op_type
    if kind in _UNCOUNTED:
        return (), 0
    kept = tuple(_constant(tensor) for tensor in stored.values() if tensor.data_type in (1, 10, 11))
    made, first = math.prod(shapes[node.output[0]]), math.prod(shapes[node.input[0]])
    if kind in _ELEMENTWISE:
        return kept, made
    weight = shapes[node.input[1]] if len(node.input) > 1 else ()
    biased = made if len(node.input) > 2 and node.input[2] in stored else 0
    if kind in ("MatMul", "Gemm") and node.input[1] in stored:
        inner = weight[-1] if _attribute(node, "transB") else weight[-2]
        return kept, 2 * made * inner + biased
    if kind == "Conv" and node.input[1] in stored:
        return kept, 2 * made * math.prod(weight[1:]) + biased
    if kind == "ConvTranspose" and node.input[1] in stored:
        return kept, 2 * first * math.prod(weight[1:]) + biased
    return kept, None


def _rename(graph: Any, owners: Owners) -> None:
    """Names that tell the layer and depend on the model alone: tf2onnx numbers them by all it has converted before."""
    fixed = {value.name for value in (*graph.input, *graph.output)}
    constants = {tensor.name for tensor in graph.initializer}
    names: dict[str, str] = {}
    taken: set[str] = set(fixed)

    def fresh(text: str) -> str:
        name, number = text, 2
        while name in taken:
            name, number = f"{text}_{number}", number + 1
        taken.add(name)
        return name

    scope = UNKNOWN
    for node in graph.node:
        own = [node.name, *node.output, *(name for name in node.input if name in constants)]
        found = owners.scope([*own, *(owners.producers.get(name, "") for name in node.output)])
        scope = scope if found == UNKNOWN else found
        node.name = fresh(f"{scope}/{node.op_type}")
        for name in node.output:
            names[name] = name if name in fixed else fresh(f"{node.name}/out")
        for name in node.input:
            if name in constants and name not in names:
                names[name] = fresh(f"{node.name}/constant")
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    ordered = sorted(graph.initializer, key=lambda tensor: tensor.name)
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(ordered)


def _constant(tensor: Any) -> Constant:
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    return Constant(hashlib.sha256(array.tobytes()).hexdigest(), array.size)


def _attribute(node: Any, name: str) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)


def _dims(value: Any) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
