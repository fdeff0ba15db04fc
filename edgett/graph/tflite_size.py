"""The bytes of a .tflite: tables of fields that point to each other and to vectors, laid out as flatbuffers are.

A table takes a word for its kind and what its fields take; a vector or a text begins with its length; an offset to each
lies where it is used. Numbers of constants lie at multiples of 16 bytes. `export.compact_tflite` writes such a file.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.op import CONVOLUTION, FLATTEN, RESHAPE, TRANSPOSE
from edgett.graph.traits import Rule

_WORD = 4
"""An offset, a count, a 32-bit number; the head of a table."""
_ALIGNED = 16
_TABLES = 200
"""The model's own tables, and the descriptions of those that every model has."""
_KIND = 28
"""The code of a kind of operators, and the description of its options."""
_DIMS = 3
"""Numbers of a shape, an axis or a permutation."""
_UNKNOWN = 8
"""Operators that a layer without a rule is taken for."""
_MATRICES, _IMAGES = 5, 11
"""Of the numbers of a tensor's shape, which equal ones share."""
_ENDING = 9
"""Letters and a slash that an operator adds to the name of its layer, as a rule."""


def file_bytes(graph: Graph) -> int:
    """What the file takes. The widths of the constants tell whether it is in int8."""
    quantised = graph.quantised
    steps = [(step, index) for step in graph.steps for index in range(_count(step))]
    stored = dict.fromkeys(item for step in graph.steps for item in _constants(step))
    shapes = dict.fromkeys(_shape(step, index) for step, index in steps if step.op.tflite.shaped)
    kinds = {step.op for step, _ in steps}
    zeros = {item.channels for _, item in stored if item.channels} if quantised else set()
    total = _TABLES + len(kinds) * _KIND + sum(_operator(step) for step, _ in steps)
    total += sum(_computed(_letters(step), quantised) for step, _ in steps)
    total += sum(_computed(len(f"serving_default_{name}:0"), quantised) for name in graph.inputs)
    total += sum(_constant(item, quantised) for _, item in stored)
    spatial = any(step.op is CONVOLUTION for step, _ in steps)
    total += (_IMAGES if spatial else _MATRICES) * (len(steps) + len(stored) + len(shapes))
    total += len(shapes) * (_buffer(_DIMS * _WORD) + 6 * _WORD)
    total += sum(2 * _WORD + 2 * _WORD * count for count in zeros)
    return _up(total + _signature(graph), _ALIGNED)


def _count(step: Step) -> int:
    """The operators of a step."""
    return step.op.tflite.operators or (_UNKNOWN if step.flops is None else 1)


def _constants(step: Step) -> Iterator[tuple[str, Constant]]:
    """What a step stores for a layer; for any of them the zeros that convolutions of as many channels have for a bias.

    The scales of zeros are those of a weight.
    """
    yield from ((step.layer, item) for item in step.constants)
    if step.op is CONVOLUTION and len(step.constants) == 1:
        yield "", Constant("zeros", step.constants[0].channels, _WORD, channels=0)


def _shape(step: Step, index: int) -> tuple[object, ...]:
    """What tells the integers of an operator from others: all transposes of matrices have the same."""
    return (step.op,) if step.op is TRANSPOSE else (step.op, step.layer, step.writes[0], index)


def _operator(step: Step) -> int:
    """Its table, the numbers of its tensors, its options."""
    op = step.op
    if op in (RESHAPE, FLATTEN):
        return _WORD + 8 * _WORD
    reads = len(step.reads) + len(step.constants) + op.tflite.shaped
    table = 4 if op is TRANSPOSE else 6 if op.rule is Rule.PRODUCT else 5
    vectors = 2 * _WORD + (_WORD + reads * _WORD if reads > 1 else 0)
    return _WORD + table * _WORD + vectors + _WORD + op.tflite.options


def _letters(step: Step) -> int:
    """Of the name of what it makes: its layer, whether that is its activation, the kind of operator."""
    return len(step.layer) + _ENDING + len("_activation/") * step.activates


def _computed(letters: int, quantised: bool) -> int:
    """A tensor that is computed: its table, its name, its scale."""
    table = _WORD + (6 if quantised else 4) * _WORD
    return table + _text(letters) + quantised * (3 * _WORD + 2 * _WORD)


def _constant(item: Constant, quantised: bool) -> int:
    """A tensor that is stored: its table, its numbers, and in int8 the scales of its channels, if they are its own."""
    table = _WORD + (6 if quantised else 4) * _WORD
    scales = _WORD + _WORD * item.channels if item.channels else 0
    return table + quantised * (3 * _WORD + scales) + _buffer(item.bytes)


def _buffer(size: int) -> int:
    """An offset to a table, which points to the numbers."""
    return _WORD + _up(3 * _WORD + size, _ALIGNED)


def _signature(graph: Graph) -> int:
    """The names by which the model is called."""
    ends = (*graph.inputs, *graph.outputs)
    return 10 * _WORD + sum(4 * _WORD + _text(len(name)) for name in ends)


def _text(letters: int) -> int:
    return _up(_WORD + letters + 1, _WORD)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
