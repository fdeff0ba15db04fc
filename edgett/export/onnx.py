"""ONNX: write an artefact, read its graph back from the file."""

from __future__ import annotations

import hashlib
import heapq
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgett.errors import ToolError
from edgett.export.bodies import UNTOLD, Tensors, bodies, dims, inside, reads, results, size, told_by_running
from edgett.export.calibration import Calibration
from edgett.export.compact_onnx import compact
from edgett.export.owners import ACTIVATION, UNKNOWN, Owners
from edgett.export.qdq import quantised, seen_through
from edgett.export.refusal import refused
from edgett.graph.graph import Constant, Graph, Step, around
from edgett.graph.op import CAST, RESHAPE, TRANSPOSE, named
from edgett.graph.traits import Rule
from edgett.system.quiet import quiet

OPSET = 17

# What tf2onnx ends the names of nodes of its own making with.
_COUNTER = re.compile(r"__\d+")
_FLOATS = frozenset({1, 10, 11})  # TensorProto's numbers for float32, float16 and float64


def write(
    servable: Any,
    owners: Owners,
    path: Path,
    calibration: Calibration | None = None,
    floats: Callable[[list[str]], bool] | None = None,
) -> None:
    """Convert a model to a checked ONNX file with names of its own: to float32, or by calibration to int8.

    Args:
        servable: a `model.servable.Servable`.
        owners: tell from converters' names which layer a node belongs to.
        path: the file to write.
        calibration: the inputs by which int8 ranges are set; None: float32.
        floats: tells by the names of a node and its results whether it stays in float32; None: none does.

    Raises:
        ModelError: for what the converter refuses.
        OSError: for a full disk.
    """
    try:
        with quiet():
            import onnx
            import tf2onnx

            model, _ = tf2onnx.convert.from_function(
                servable.serve, servable.signature, opset=OPSET, custom_op_handlers={"Erfc": (_erfc, [])}
            )
            _rename(model.graph, owners)
            model.graph.name, model.graph.doc_string, model.doc_string = "edgett", "", ""
            model.producer_name, model.producer_version = "edgett", ""
            if calibration is not None:
                spared = [node.name for node in model.graph.node if floats and floats(_told(node))]
                order = [node.name for node in model.graph.node]
                model = quantised(model, calibration, spared)
                _put_in_order(model.graph, order)
                compact(model)
            onnx.checker.check_model(model, full_check=True)
    except OSError:
        raise
    except Exception as error:
        raise refused("tf2onnx", servable.paths.items(), error) from error
    path.write_bytes(model.SerializeToString(deterministic=True))


def read(path: Path, owners: Owners) -> Graph:
    """Read the graph of an .onnx file from its nodes and initialisers.

    Args:
        path: the file.
        owners: tell from converters' names which layer a node belongs to.

    Returns:
        The graph.

    Raises:
        ToolError: when the file is no ONNX model.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(path.read_bytes())
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except Exception as error:
        raise ToolError(f"{path} is no ONNX model: {error}.", "Export it again.") from error
    try:
        return _graph(model, owners)
    except ToolError:
        raise
    except Exception as error:  # of parts that are there, some may lack what others have
        raise ToolError(f"{path} is no ONNX model that can be read: {error}.", "Export it again.") from error


def _graph(model: Any, owners: Owners) -> Graph:
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {value.name: dims(value) for value in values}
    shapes |= {name: tuple(tensor.dims) for name, tensor in constants.items()}
    seen, inner = seen_through(graph), Tensors()
    made = [name for node in seen.nodes for name in node.output if name]
    shapes |= told_by_running(model, [name for name in made if None in shapes.get(name, UNTOLD)])
    known = {name: None if name in constants else name for name in shapes}
    wanted = {name for node in seen.nodes for name in reads(node)} | set(seen.outputs)
    steps: list[Step] = []
    for node in seen.nodes:
        stored = {name: constants[name] for name in node.input if name in constants}
        told = _told(node)
        rule = named(node.op_type).rule
        idle = rule is Rule.FREE or (rule is not Rule.PRODUCT and owners.activates(told))
        numbers = {n: tensor for n, tensor in stored.items() if tensor.data_type in _FLOATS or n in seen.narrow}
        kept, flops, macs = ((), 0, 0) if idle else _count(node, shapes, numbers)
        layer, tensors = owners.layer(told), tuple(name for name in reads(node) if known.get(name) is not None)
        step = Step(layer, node.op_type, tensors, results(node, wanted), kept, flops, macs)
        steps += around(step, [replace(one, layer=layer) for one in inside(node, known, inner)])
    shapes |= inner.shapes
    used = {name for step in steps for name in (*step.reads, *step.writes)}
    inputs = tuple(value.name for value in graph.input if value.name in used)
    outputs = tuple(name for name in seen.outputs if name in used)
    # A layer that stays in float32 beside quantised ones.
    wide = {step.layer for step in steps if step.macs and all(constant.width == 4 for constant in step.constants)}
    widths = {value.name: width for value in values if value.name in used and (width := _whole(value))}
    widths.update(dict.fromkeys(seen.narrow & used, 1))
    widths.update((name, 4) for step in steps if step.layer in wide for name in step.writes)
    unsized = tuple(sorted(name for name in used if None in shapes[name]))
    sizes = {name: size(shapes[name]) for name in used}
    return Graph(tuple(steps), sizes, inputs, outputs, widths | inner.widths, unsized)


def _count(node: Any, shapes: dict[str, Any], stored: dict[str, Any]) -> tuple[tuple[Constant, ...], int | None, int]:
    """The constants that a node stores, its FLOPs (None for a node without a rule) and its MACs."""
    kind = node.op_type
    kept = tuple(_constant(tensor, node.output[0]) for tensor in stored.values())
    rule = named(kind).rule
    if rule not in (Rule.ARITHMETIC, Rule.PRODUCT):
        return kept, None, 0
    made, first = size(shapes[node.output[0]]), size(shapes[node.input[0]])
    if rule is Rule.ARITHMETIC:
        return kept, made, 0
    weight: tuple[int, ...] = shapes[node.input[1]] if len(node.input) > 1 else ()
    biased = made if len(node.input) > 2 and node.input[2] else 0  # also a tensor that tf2onnx had added otherwise
    if kind in ("MatMul", "Gemm") and node.input[1] in stored:
        inner = weight[-1] if _attribute(node, "transB") else weight[-2]
        macs = made * inner
    elif kind == "Conv" and node.input[1] in stored:
        macs = made * math.prod(weight[1:])
    elif kind == "ConvTranspose" and node.input[1] in stored:
        macs = first * math.prod(weight[1:])
    else:
        return kept, None, 0
    return kept, 2 * macs + biased, macs


def _erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """TensorFlow's erfc(x), which exact GELU is made of, as 1 - erf(x): ONNX has only that one."""
    node.type = "Erf"
    one = graph.make_const(f"{name}/one", np.float32(1))
    graph.insert_new_node_on_output("Sub", node.output[0], inputs=[one.output[0], node.output[0]], name=f"{name}/Sub")


def _rename(graph: Any, owners: Owners) -> None:
    """Names that tell the layer and depend on the model alone: tf2onnx numbers them by all it has converted before.

    The nodes then run call by call, as they were predicted; tf2onnx orders them by name and by chance.
    """
    calls = {scope: index for index, scope in enumerate(owners.paths)}
    scopes = _settled(graph, _scopes(graph, owners), owners)
    keys = [(calls.get(scope, -1), _COUNTER.sub("", node.name)) for node, scope in zip(graph.node, scopes, strict=True)]
    order = _sorted(list(graph.node), keys)
    nodes, scopes = [graph.node[index] for index in order], [scopes[index] for index in order]
    constants = {tensor.name for tensor in graph.initializer}
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    taken, called = set(names), set[str]()

    def fresh(text: str, taken: set[str] = taken) -> str:
        name, number = text, 2
        while name in taken:
            name, number = f"{text}_{number}", number + 1
        taken.add(name)
        return name

    for node, scope in zip(nodes, scopes, strict=True):
        inside = ACTIVATION if owners.activates(_told(node)) else "/"
        node.name = fresh(scope + inside + node.op_type, called)
        for name in node.output:
            names.setdefault(name, fresh(node.name))
        for name in node.input:
            if name in constants and name not in names:
                names[name] = fresh(f"{scope}/c")
    for node in nodes:
        _rewire(node, names)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    ordered = sorted(graph.initializer, key=lambda tensor: tensor.name)
    del graph.initializer[:], graph.value_info[:], graph.node[:]
    graph.initializer.extend(ordered)
    graph.node.extend(nodes)


def _told(node: Any) -> list[str]:
    return [node.name, *node.output]


def _scopes(graph: Any, owners: Owners) -> list[str]:
    """The scope of each node; one without a name of its own goes with its constants, what it reads, or what reads it.

    A node with a name does not ask its constants: layers share those of equal content.
    """
    calls = {scope: index for index, scope in enumerate(owners.paths)}
    constants = {tensor.name for tensor in graph.initializer}
    scopes = [owners.scope(_told(node)) for node in graph.node]
    for index, node in enumerate(graph.node):
        if scopes[index] == UNKNOWN:
            scopes[index] = owners.scope(name for name in node.input if name in constants)
    known = {name: scope for node, scope in zip(graph.node, scopes, strict=True) for name in node.output}
    for index, node in enumerate(graph.node):
        if scopes[index] == UNKNOWN:
            near = [known[name] for name in reads(node) if known.get(name, UNKNOWN) != UNKNOWN]
            scopes[index] = max(near, key=calls.__getitem__, default=UNKNOWN)
            known.update(dict.fromkeys(node.output, scopes[index]))
    for index, node in reversed(list(enumerate(graph.node))):
        if scopes[index] == UNKNOWN:
            readers = [
                scopes[other] for other, reader in enumerate(graph.node) if set(reads(reader)) & set(node.output)
            ]
            near = [scope for scope in readers if scope != UNKNOWN]
            scopes[index] = min(near, key=calls.__getitem__, default=UNKNOWN)
    return scopes


def _settled(graph: Any, scopes: list[str], owners: Owners) -> list[str]:
    """The scopes, where layers that begin alike share those steps: tf2onnx leaves one of each, by chance whose.

    The first of the layers gets them: also what it left of a layer that computes and does not go on from there, since
    the step after it is another's.
    """
    calls = {scope: index for index, scope in enumerate(owners.paths)}
    settled = list(scopes)
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    takers: dict[str, list[int]] = {}
    for index, node in enumerate(graph.node):
        for name in reads(node):
            takers.setdefault(name, []).append(index)
    for index, node in reversed(list(enumerate(graph.node))):
        own = settled[index]
        readers = {settled[other] for name in node.output for other in takers.get(name, ())}
        begins = own in calls and not any(scopes[makers[name]] == own for name in reads(node) if name in makers)
        shared = own in readers and len(readers) > 1
        left = begins and owners.paths[own] in owners.counted and own not in readers
        known = [scope for scope in readers if scope in calls]
        if named(node.op_type).family in (RESHAPE, TRANSPOSE, CAST) and known and (shared or left):
            settled[index] = min(known, key=calls.__getitem__)
            node.name = f"{settled[index]}/{node.op_type}"
    return settled


def _rewire(node: Any, names: dict[str, str]) -> None:
    """Use the new names, also where the bodies of a loop or a branch reach out for them."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for body in bodies(node):
        for inner in body.node:
            _rewire(inner, names)
        for value in body.output:
            value.name = names.get(value.name, value.name)


def _put_in_order(graph: Any, names: list[str]) -> None:
    """Nodes as they were before they were quantised, by their names; ONNX Runtime sorts them breadth first.

    So that branches run one after the other, as predicted. What changes types goes right behind what it reads, or
    right before what reads it.
    """
    place = {name: index for index, name in enumerate(names)}
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[int]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(place.get(node.name, len(names)))

    def key(node: Any) -> tuple[int, str]:
        if node.name in place:
            return place[node.name], "plain"
        first = min(readers.get(node.output[0], [len(names)]))
        if first < len(names):
            return first, "before"
        maker = makers.get(node.input[0])
        return (-1, "") if maker is None else (key(maker)[0], "quantised")

    nodes = list(graph.node)
    order = _sorted(nodes, [key(node) for node in nodes])
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)


def _sorted(nodes: list[Any], keys: list[tuple[int, str]]) -> list[int]:
    """The order of the nodes by their keys, as far as each one's inputs are there by then."""
    maker = {name: index for index, node in enumerate(nodes) for name in node.output}
    waits = [{maker[name] for name in reads(node) if name in maker} for node in nodes]
    ready = [(keys[index], index) for index, wait in enumerate(waits) if not wait]
    heapq.heapify(ready)
    done: list[int] = []
    while ready:
        _, made = heapq.heappop(ready)
        done.append(made)
        for index, wait in enumerate(waits):
            if made in wait:
                wait.remove(made)
                if not wait:
                    heapq.heappush(ready, (keys[index], index))
    return done


def _constant(tensor: Any, product: str) -> Constant:
    """By content; but a quantised bias belongs to one product, by whose scales it is stored."""
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    apart = f"/{product}" if array.dtype == np.int32 else ""
    return Constant(hashlib.sha256(array.tobytes()).hexdigest() + apart, array.size, array.itemsize)


def _attribute(node: Any, name: str) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)


def _whole(value: Any) -> int:
    """The bytes of a number without a point; 0 for others, which int8 may stand for."""
    from onnx import helper

    kind = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return kind.itemsize if kind.kind in "biu" else 0
