"""The bytes of an .onnx: records of tagged fields, as protocol buffers are laid out.

A field takes a tag of one byte and its number, or its length and its bytes. In int8 every tensor goes through a
QuantizeLinear and a DequantizeLinear, which have a name of a few letters each, and so do scales and zero points.
`export.onnx` and `export.compact_onnx` name things so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.op import ADD, CONVOLUTION, RELU, RELU6, TRANSPOSE, TRANSPOSED_CONVOLUTION

_MODEL = 60
"""Versions, the producer, the names of operator sets."""
_PORT = 26
"""Type and shape of an input or output."""
_SHAPE = 33
"""A shape that is stored, its name apart."""
_SHORT = 3
"""Letters of the names that quantisation gives."""
_QUANTIZE, _DEQUANTIZE, _SCALES = 35, 37, 22
"""Nodes, the name of what they read apart; a scale and a zero point."""
_RIDES = "bias"
"""What is part of the product before it."""
_UNKNOWN = 8
"""Operators that a layer without a rule is taken for."""


def file_bytes(graph: Graph) -> int:
    """What the file of an unfused graph takes. The widths of the constants tell whether it is in int8."""
    quantised = graph.quantised
    steps = [step for step in written(graph, quantised) for _ in range(_count(step))]
    total = _MODEL + sum(_PORT + len(name) for name in (*graph.inputs, *graph.outputs))
    total += sum(_node(step, quantised) for step in steps)
    stored = dict.fromkeys((step.layer, item, columns(step, item, graph)) for step in steps for item in step.constants)
    total += sum(_constant(*item, quantised) for item in stored)
    zeros = {(item.width, count) for _, item, count in stored} if quantised else set()
    total += sum(10 + width * count for width, count in zeros)
    return total + sum(len(step.layer) + _SHAPE for step in steps if step.op.onnx.shaped)


def written(graph: Graph, quantised: bool) -> Iterator[Step]:
    """The steps that are left when the converter is done.

    Transposes between convolutions undo each other, a bias rides on its convolution, and in int8 so does ReLU on any
    product.
    """
    spatial = _spatial(graph)
    copies = [step for step in graph.steps if _copies(step, spatial)][1:-1]
    for step, rides in zip(graph.steps, carried(graph, quantised), strict=True):
        if step in copies or (rides and step.op is not ADD):
            continue
        yield replace(step, operator=_RIDES) if rides else step


def carried(graph: Graph, quantised: bool) -> list[bool]:
    """Tell which steps the converter makes a part of the operator before: biases of convolutions, in int8 ReLU.

    Args:
        graph: an unfused one.
        quantised: whether it is in int8.

    Returns:
        Whether it is so, step by step.
    """
    spatial = _spatial(graph)
    makers: dict[str, Step] = {}
    found: list[bool] = []
    for step in graph.steps:
        before = makers.get(step.reads[0]) if step.reads else None
        makers.update(dict.fromkeys(step.writes, before if _copies(step, spatial) and before else step))
        bent = quantised and step.op in (RELU, RELU6) and before is not None and before.op.onnx.carries_relu
        behind = before is not None and before.op in (CONVOLUTION, TRANSPOSED_CONVOLUTION)
        found.append(bent or (behind and step.op is ADD and len(step.reads) == 1))
    return found


def _spatial(graph: Graph) -> set[str]:
    """The layers that walk over pixels."""
    return {step.layer for step in graph.steps if step.op.spatial}


def _copies(step: Step, spatial: Collection[str]) -> bool:
    """Whether it brings pixels to where ONNX wants them, or back."""
    return step.op is TRANSPOSE and step.layer in spatial


def columns(step: Step, item: Constant, graph: Graph) -> int:
    """The scales of a constant in int8: one for each output of a product."""
    if item.channels > 1 or not step.macs:
        return item.channels
    weights = max(constant.count for constant in step.constants)
    return graph.sizes[step.writes[0]] * weights // step.macs


def _count(step: Step) -> int:
    """The nodes of a step."""
    return step.op.onnx.operators or (_UNKNOWN if step.flops is None else 1)


def _node(step: Step, quantised: bool) -> int:
    """A node, with those that quantise what it makes and make numbers of that again, and their constants."""
    if step.operator == _RIDES:
        return 0
    inside = len("_activation/") * step.activates
    kind = step.op.onnx.letters
    called = len(step.layer) + 1 + inside + kind
    reads = 2 + (_SHORT if quantised else called)
    constants = (2 + (_SHORT if quantised else len(step.layer) + 4)) * len(step.constants)
    shape = (2 + len(step.layer) + 4) * (step.op.onnx.shaped)
    node = 3 + reads * len(step.reads) + constants + shape + 2 * (2 + called) + 2 + kind
    node += step.op.onnx.attributes
    return node + quantised * (_QUANTIZE + called + _DEQUANTIZE + _SCALES)


def _constant(layer: str, item: Constant, columns: int, quantised: bool) -> int:
    """A constant; in int8 with its scales, and the node that makes numbers of it."""
    stored = 17 + len(layer) + 3 + item.bytes
    if not quantised:
        return stored
    axis = 13 if columns > 1 else 0
    return stored + _DEQUANTIZE + len(layer) + 2 + axis + 12 + 4 * columns
