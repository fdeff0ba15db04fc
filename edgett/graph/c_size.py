"""The bytes of a model's constants in C, which firmware holds in flash. The instructions depend on the compiler.

`export.c` writes them. In int8 products and convolutions have columns in fours, zeros fill the last, and each has an
offset and a factor besides; a column of a product that is left alone is no four, and none of a weight that is rebuilt
is. What multiplies tensors has three scales, and an activation a table of all its results.
"""

from __future__ import annotations

from edgett.graph.c_view import quantised
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.onnx_size import columns
from edgett.graph.op import CONVOLUTION, PRODUCT
from edgett.graph.traits import Scales

_SCALED = 5
"""A scale in float32, a zero point in int8."""
_TABLE = 256
_FOUR = 4


def file_bytes(graph: Graph) -> int:
    """What the constants of an unfused graph take. Their widths tell whether it is in int8."""
    stored = {(step.layer, item): _stored(step, item) for step in graph.steps for item in step.constants}
    if not graph.quantised:
        return sum(stored.values())
    own = sum(count for (_, item), count in stored.items() if item.width == 1)
    filled = {(step.layer, step.constants[0]): _zeros(step, graph) for step in graph.steps if _in_fours(step)}
    return own + sum(filled.values()) + sum(_scales(step, graph) for step in quantised(graph).steps)


def _stored(step: Step, item: Constant) -> int:
    """The bytes of numbers; of a weight that is rebuilt, those of what it is rebuilt from."""
    return step.rebuilt.stored if step.rebuilt is not None and item is step.constants[0] else item.bytes


def _in_fours(step: Step) -> bool:
    weighted = bool(step.macs and step.constants) and step.constants[0].width == 1
    return weighted and not step.depthwise and step.rebuilt is None and step.op.family in (PRODUCT, CONVOLUTION)


def _zeros(step: Step, graph: Graph) -> int:
    """The bytes of the columns that only fill the last four of a weight, and of what fills the words of one alone."""
    weight = step.constants[0]
    count = columns(step, weight, graph)
    inner = weight.count // count
    return -inner % _FOUR if _alone(step, count) else -count % _FOUR * inner


def _alone(step: Step, count: int) -> bool:
    """Whether one of the columns of a product is left alone by the fours."""
    return step.op.family is PRODUCT and count % _FOUR == 1


def _scales(step: Step, graph: Graph) -> int:
    """What an int8 operator stores besides its numbers."""
    stored = step.op.scales_in_c
    if stored is Scales.COLUMNS:
        count = columns(step, step.constants[0], graph)
        apart = step.depthwise or step.rebuilt is not None or _alone(step, count)
        return 2 * 4 * (count if apart else count + -count % _FOUR)
    if stored is Scales.TENSORS:
        return 3 * _SCALED
    return _TABLE if step.activates and stored is not Scales.NONE else 0
