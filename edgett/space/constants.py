"""The bytes of a model's constants in C, which firmware holds in flash. The instructions depend on the compiler.

`export.c` writes them: in int8 a product has an offset and a factor for each column, a convolution a bias and the
scale of each channel, what adds or multiplies tensors three scales, and an activation a table of all its results.
"""

from __future__ import annotations

from edgett.space.compiled import quantised
from edgett.space.graph import Graph, Step
from edgett.space.memory import plain
from edgett.space.protobuf import columns

_SCALED = 5
"""A scale in float32, a zero point in int8."""
_TABLE = 256
_MATRICES = frozenset({"product", "dense"})
_TENSORS = frozenset("add mul multiply".split())


def file_bytes(graph: Graph) -> int:
    """What the constants of an unfused graph take. Their widths tell whether it is in int8."""
    stored = {(step.layer, item): item.bytes for step in graph.steps for item in step.constants}
    if not graph.quantised:
        return sum(stored.values())
    own = sum(item.bytes for _, item in stored if item.width == 1)
    return own + sum(_scales(step, graph) for step in quantised(graph).steps)


def _scales(step: Step, graph: Graph) -> int:
    """What an int8 operator stores besides its numbers."""
    kind = plain(step.operator)
    if kind in _MATRICES:
        return 2 * 4 * columns(step, step.constants[0], graph)
    if kind == "convolution":
        return (4 + _SCALED) * step.constants[0].channels + 2 * _SCALED
    if kind in _TENSORS:
        return 3 * _SCALED
    return _TABLE if step.operator.islower() and kind not in ("relu", "softmax") else 0
