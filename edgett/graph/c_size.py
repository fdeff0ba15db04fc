"""The bytes of a model's constants in C, which firmware holds in flash. The instructions depend on the compiler.

`export.c` writes them: in int8 a product has an offset and a factor for each column, a convolution a bias and the
scale of each channel, what adds or multiplies tensors three scales, and an activation a table of all its results.
"""

from __future__ import annotations

from edgett.graph.c_view import quantised
from edgett.graph.graph import Graph, Step
from edgett.graph.onnx_size import columns
from edgett.graph.traits import Scales

_SCALED = 5
"""A scale in float32, a zero point in int8."""
_TABLE = 256


def file_bytes(graph: Graph) -> int:
    """What the constants of an unfused graph take. Their widths tell whether it is in int8."""
    stored = {(step.layer, item): item.bytes for step in graph.steps for item in step.constants}
    if not graph.quantised:
        return sum(stored.values())
    own = sum(item.bytes for _, item in stored if item.width == 1)
    return own + sum(_scales(step, graph) for step in quantised(graph).steps)


def _scales(step: Step, graph: Graph) -> int:
    """What an int8 operator stores besides its numbers."""
    stored = step.op.scales_in_c
    if stored is Scales.COLUMNS:
        return 2 * 4 * columns(step, step.constants[0], graph)
    if stored is Scales.CHANNELS:
        return (4 + _SCALED) * step.constants[0].channels + 2 * _SCALED
    if stored is Scales.TENSORS:
        return 3 * _SCALED
    return _TABLE if step.activates and stored is not Scales.NONE else 0
