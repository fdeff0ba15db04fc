"""The bytes of an .onnx: records of tagged fields, as protocol buffers are laid out.

A field takes a tag of one byte and its number, or its length and its bytes. In int8 every tensor goes through a
QuantizeLinear and a DequantizeLinear, which have a name of a few letters each, and so do scales and zero points.
`export.onnx` and `export.compact_onnx` name things so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgett.space.graph import Constant, Graph, Step
from edgett.space.memory import plain

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
_NAMES = {"product": 6, "dense": 5, "add": 3, "mul": 3, "transpose": 9, "convolution": 4}
"""Letters of the names of kinds of operators; those of others are about as long as that of a reshape."""

_SPELLED = {
    "silu": 2, "gelu": 6, "hardsilu": 4, "hardsigmoid": 3, "mish": 3, "hardtanh": 2, "hardshrink": 8, "softshrink": 16,
    "tanhshrink": 2, "squareplus": 5, "sparseplus": 17, "sparsemax": 19, "sparsesigmoid": 16, "logsigmoid": 3,
    "tile": 3, "embedding": 1, "layernormalization": 9, "lstm": 60, "gru": 70, "simplernn": 40, "bidirectional": 120,
    "multiheadattention": 30,
}  # fmt: skip
"""Operators of what is not one alone."""
_CARRIES_RELU = frozenset("product dense convolution convtranspose add".split())
_SHAPED = frozenset(
    "reshape flatten squeeze unsqueeze expanddims zeropadding1d zeropadding2d pad tile repeatvector getitem "
    "cropping1d cropping2d".split()
)
_ATTRIBUTES = {"transpose": 17, "convolution": 85, "convtranspose": 100, "maxpooling1d": 60, "maxpooling2d": 60,
               "averagepooling1d": 60, "averagepooling2d": 60, "softmax": 15, "logsoftmax": 15, "concatenate": 13,
               "dense": 10, "leakyrelu": 16, "mean": 30}  # fmt: skip
"""Bytes of an operator's attributes."""


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
    return total + sum(len(step.layer) + _SHAPE for step in steps if plain(step.operator) in _SHAPED)


def written(graph: Graph, quantised: bool) -> Iterator[Step]:
    """The steps that are left when the converter is done.

    Transposes between convolutions undo each other, a bias rides on its convolution, and in int8 so does ReLU on any
    product.
    """
    spatial = {step.layer for step in graph.steps if _is_spatial(step)}
    copies = [step for step in graph.steps if step.operator == "Transpose" and step.layer in spatial][1:-1]
    makers: dict[str, Step] = {}
    for step in graph.steps:
        kind = plain(step.operator)
        before = makers.get(step.reads[0]) if step.reads else None
        maker = "" if before is None else plain(before.operator)
        copied = kind == "transpose" and step.layer in spatial
        makers.update(dict.fromkeys(step.writes, before if copied and before else step))
        if step in copies or (quantised and kind == "relu" and maker in _CARRIES_RELU):
            continue
        if kind == "add" and maker.startswith("conv"):
            yield replace(step, operator=_RIDES)
            continue
        yield step


def _is_spatial(step: Step) -> bool:
    """Whether it walks over pixels, which ONNX has in another order."""
    kind = plain(step.operator)
    return kind.startswith("conv") or "pooling" in kind


def columns(step: Step, item: Constant, graph: Graph) -> int:
    """The scales of a constant in int8: one for each output of a product."""
    if item.channels > 1 or not step.macs:
        return item.channels
    weights = max(constant.count for constant in step.constants)
    return graph.sizes[step.writes[0]] * weights // step.macs


def _count(step: Step) -> int:
    """The nodes of a step."""
    return _SPELLED.get(plain(step.operator)) or (_UNKNOWN if step.flops is None else 1)


def _node(step: Step, quantised: bool) -> int:
    """A node, with those that quantise what it makes and make numbers of that again, and their constants."""
    if step.operator == _RIDES:
        return 0
    inside = len("_activation/") * step.operator.islower()
    kind = _NAMES.get(plain(step.operator), len("reshape"))
    called = len(step.layer) + 1 + inside + kind
    reads = 2 + (_SHORT if quantised else called)
    constants = (2 + (_SHORT if quantised else len(step.layer) + 4)) * len(step.constants)
    shape = (2 + len(step.layer) + 4) * (plain(step.operator) in _SHAPED)
    node = 3 + reads * len(step.reads) + constants + shape + 2 * (2 + called) + 2 + kind
    node += _ATTRIBUTES.get(plain(step.operator), 0)
    return node + quantised * (_QUANTIZE + called + _DEQUANTIZE + _SCALES)


def _constant(layer: str, item: Constant, columns: int, quantised: bool) -> int:
    """A constant; in int8 with its scales, and the node that makes numbers of it."""
    stored = 17 + len(layer) + 3 + item.bytes
    if not quantised:
        return stored
    axis = 13 if columns > 1 else 0
    return stored + _DEQUANTIZE + len(layer) + 2 + axis + 12 + 4 * columns
