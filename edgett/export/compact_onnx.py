"""An int8 .onnx without what no runtime reads: short names for what stands between its nodes, equal constants once."""

from __future__ import annotations

from typing import Any

from edgett.graph.op import named


def compact(model: Any) -> None:
    """Shorten the names that quantisation made, of nodes, tensors and constants; those of the float graph stay.

    Scales and zero points that are equal become one. What is derived from the graph, such as the shapes of tensors
    inside, is left out.
    """
    graph = model.graph
    del graph.value_info[:], model.metadata_props[:]
    model.producer_name, model.producer_version = "edgett", ""
    names = _shared(graph)
    fixed = {value.name for value in (*graph.input, *graph.output)}
    for index, node in enumerate(node for node in graph.node if named(node.op_type).converts):
        node.name = ""
        if node.output[0] not in fixed:
            names[node.output[0]] = f"q{index}"
    for tensor in graph.initializer:
        if tensor.name.endswith("_quantized"):
            names[tensor.name] = tensor.name.removesuffix("_quantized")
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    kept = {names.get(tensor.name, tensor.name): tensor for tensor in reversed(graph.initializer)}
    used = {name for node in graph.node for name in node.input}
    for name, tensor in kept.items():
        tensor.name = name
    ordered = [kept[name] for name in sorted(kept.keys() & used)]
    del graph.initializer[:]
    graph.initializer.extend(ordered)


def _shared(graph: Any) -> dict[str, str]:
    """New names for the scales and zero points: one for all that are equal."""
    scales = {name for node in graph.node if named(node.op_type).converts for name in node.input[1:]}
    known: dict[bytes, str] = {}
    names = {}
    for tensor in graph.initializer:
        if tensor.name in scales:
            name, tensor.name = tensor.name, ""
            names[name] = known.setdefault(tensor.SerializeToString(deterministic=True), f"s{len(known)}")
            tensor.name = name
    return names
