"""Convolutions with constant weights: over all channels as products, and depthwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgett.export.kernels import product
from edgett.export.kernels.kernel import Kernel, Nodes, attribute
from edgett.export.kernels.sliding import sliding, unturned
from edgett.graph.c_plan import two_positions


def quantised(node: Any, nodes: Nodes) -> product.Columns | None:
    """Of a QLinearConv, a column for each channel that it makes; see `product.quantised`."""
    (_, in_scale, in_zero, weights, scale, zero, out_scale, out_zero, *rest) = nodes.given(node)
    if weights is None or np.any(zero):
        return None
    count = weights.shape[0]
    biases = rest[0].astype(np.int64) if rest else np.zeros(count, np.int64)
    factors = np.broadcast_to(in_scale * scale / out_scale, (count,)).astype(np.float32)
    rows = weights.reshape(count, -1)
    starts = biases - int(in_zero.item()) * rows.astype(np.int64).sum(axis=1)
    return product.Columns(rows, starts, factors, int(out_zero.item()))


def int8(node: Any, nodes: Nodes) -> Kernel | None:
    """A QLinearConv."""
    (_, _, in_zero, weights, *_) = nodes.given(node)
    columns = quantised(node, nodes)
    found = None if columns is None else sliding(node, nodes, weights.shape[2:])
    if columns is None or found is None:
        return None
    (count, inner), channels = columns.weights.shape, found.data[1]
    codes = int(in_zero.item()), columns.zero
    group = attribute(node, "group", 1)
    if group == channels == count > 1:
        struct = found.struct(*codes)
        return Kernel(
            "depthwise_int8", columns.plain, struct=struct, needs=found.plane, over=found.same, late=found.less
        )
    if group != 1:
        return None
    found = unturned(found, node, nodes)
    struct = found.struct(*codes)
    words = columns.packed
    if words is None:
        return Kernel(
            "convolution_wide", columns.plain, struct=struct, needs=inner, over=found.over, late=found.late(1),
            idle=found.idle,
        )  # fmt: skip
    return Kernel(
        "convolution_int8", (words,), struct=struct, needs=inner, scratch=two_positions(inner), over=found.over,
        late=found.late(1), idle=found.idle,
    )  # fmt: skip


def float32(node: Any, nodes: Nodes) -> Kernel | None:
    """A Conv."""
    (data, weights, *bias) = nodes.given(node)
    if data is not None or weights is None or weights.dtype != np.float32 or (bias and bias[0] is None):
        return None
    found = sliding(node, nodes, weights.shape[2:])
    if found is None:
        return None
    count, channels = weights.shape[0], found.data[1]
    rows, group = weights.reshape(count, -1), attribute(node, "group", 1)
    added = bias[0].ravel() if bias else np.zeros(0, np.float32)
    if group == channels == count > 1:
        return Kernel(
            "depthwise_float", (rows, added), struct=found.struct(), needs=4 * found.plane, over=found.same,
            late=found.less,
        )  # fmt: skip
    if group != 1:
        return None
    found = unturned(found, node, nodes)
    constants, needs = (product.side_by_side(rows), added), 4 * rows.shape[1]
    return Kernel(
        "convolution_float", constants, struct=found.struct(), needs=needs, over=found.over, late=found.late(4),
        idle=found.idle,
    )  # fmt: skip
