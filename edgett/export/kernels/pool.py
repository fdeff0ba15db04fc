"""Pools: the largest number or the mean of what a window sees in each channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgett.export.kernels.kernel import Kernel, Nodes, attribute, literal
from edgett.export.kernels.sliding import Sliding, sliding


def largest(node: Any, nodes: Nodes) -> Kernel | None:
    """A MaxPool or GlobalMaxPool, in int8 or float32."""
    found, kind = _sliding(node, nodes), {"int8": "int8", "float32": "float"}.get(nodes.types.get(node.input[0], ""))
    if found is None or kind is None or len(node.output) > 1 or attribute(node, "storage_order", 0):
        return None
    return Kernel(f"maxima_{kind}", struct=found.struct())


def mean(node: Any, nodes: Nodes) -> Kernel | None:
    """An AveragePool or GlobalAveragePool in float32."""
    found = _sliding(node, nodes)
    if found is None or _beside(node):
        return None
    return Kernel("averages_float", (), (_count(node, found), literal(1)), found.struct())


def mean_of_codes(node: Any, nodes: Nodes) -> Kernel | None:
    """A QLinearAveragePool, which divides and scales."""
    (_, scale, zero, out_scale, out_zero) = nodes.given(node)
    found = _sliding(node, nodes)
    if found is None or _beside(node):
        return None
    numbers = _count(node, found), literal((scale / out_scale).item())
    return Kernel("averages_int8", (), numbers, found.struct(int(zero.item()), int(out_zero.item())))


def global_mean_of_codes(node: Any, nodes: Nodes) -> Kernel | None:
    """A QLinearGlobalAveragePool, which scales alone."""
    (_, scale, zero, out_scale, out_zero) = nodes.given(node)
    found = _sliding(node, nodes)
    if found is None:
        return None
    numbers = "1", literal((scale / (out_scale * np.float32(math.prod(found.window)))).item())
    return Kernel("averages_int8", (), numbers, found.struct(int(zero.item()), int(out_zero.item())))


def _sliding(node: Any, nodes: Nodes) -> Sliding | None:
    """None where windows may end behind the padding, and where channels are not where they are expected."""
    shape = nodes.shapes.get(node.input[0], ())
    if attribute(node, "ceil_mode", 0) or attribute(node, "channels_last", 0):
        return None
    return sliding(node, nodes, tuple(attribute(node, "kernel_shape", shape[2:])))


def _beside(node: Any) -> bool:
    """Whether a window may see nothing but padding."""
    return max(attribute(node, "dilations", [1])) > 1 and any(attribute(node, "pads", [0]))


def _count(node: Any, found: Sliding) -> str:
    """By how many a sum is divided; 0: by as many as are on the image."""
    return str(math.prod(found.window)) if attribute(node, "count_include_pad", 0) else "0"
