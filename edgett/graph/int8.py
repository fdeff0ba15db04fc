"""A predicted graph in int8: what takes a byte then, and where numbers change their type."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from edgett.graph.dtype import DType
from edgett.graph.graph import Constant, Graph, Step


def narrow(graph: Graph, fused: bool) -> Graph:
    """Constants in int8, but for biases that ride on a product; ONNX Runtime quantises no subtraction."""

    def width(step: Step, constant: Constant) -> int:
        wide = constant.key.startswith("bias/") or (step.operator == "Subtract" and not fused)
        return DType.FLOAT32.size if wide else DType.INT8.size

    steps = (
        replace(step, constants=tuple(replace(item, width=width(step, item)) for item in step.constants))
        for step in graph.steps
    )
    return replace(graph, steps=tuple(steps))


def mixed(graph: Graph, floats: Collection[str]) -> Graph:
    """An int8 graph in which the steps of some layers calculate in float32, with copies where numbers change type.

    Each copy is there as long as any runtime keeps it: a float one from the start, an int8 one from its first reader.
    """
    sizes, widths = dict(graph.sizes), dict(graph.widths)
    made = {name for step in graph.steps if step.layer in floats for name in step.writes}
    read = {name for step in graph.steps if step.layer in floats for name in step.reads} - made
    wide = DType.FLOAT32.size
    widths.update(dict.fromkeys(made, wide))
    steps: list[Step] = []

    def copied(name: str, layer: str, kind: str) -> str:
        target = f"{name}/{kind}"
        if target not in sizes:
            sizes[target] = sizes[name]
            steps.append(Step(layer, kind, (name,), (target,)))
        return target

    for name in graph.inputs:
        if name in read:
            widths[copied(name, "", "Dequantize")] = wide
    for step in graph.steps:
        if step.layer in floats:
            reads = tuple(name if name in made else f"{name}/Dequantize" for name in step.reads)
            stored = tuple(replace(item, width=wide) for item in step.constants)
            steps.append(replace(step, reads=reads, constants=stored))
        else:
            reads = tuple(copied(name, step.layer, "Quantize") if name in made else name for name in step.reads)
            steps.append(replace(step, reads=reads))
            for name in step.writes:
                if name in read:
                    widths[copied(name, step.layer, "Dequantize")] = wide
    outputs = tuple(copied(name, "", "Quantize") if name in made else name for name in graph.outputs)
    return replace(graph, steps=tuple(steps), sizes=sizes, outputs=outputs, widths=widths)
