"""Convolutions with constant weights: over all channels as products, and depthwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgett.export.kernels import product
from edgett.export.kernels.kernel import Kernel, Nodes, Struct, attribute
from edgett.forms.window import seen
from edgett.graph.c_plan import plane, two_positions


@dataclass(frozen=True)
class _Window:
    """A convolution of images (images, channels, height, width); one of rows has images of height 1."""

    data: tuple[int, ...]
    result: tuple[int, ...]
    window: tuple[int, ...]
    steps: tuple[int, ...]
    pads: tuple[int, ...]
    apart: tuple[int, ...]

    @property
    def plane(self) -> int:
        """The numbers of scratch for a channel with its padding."""
        return plane(*map(seen, self.result[2:], self.window, self.steps, self.apart))

    @property
    def same(self) -> bool:
        """Whether the output is as large as the input."""
        return self.data[2:] == self.result[2:]

    def struct(self, in_zero: int = 0, zero: int = 0) -> Struct:
        """In C."""
        sizes = *self.data, *self.result[1:], *self.window, *self.steps, *self.pads, *self.apart
        return Struct.of("window", *sizes, in_zero, zero)


def _window(node: Any, nodes: Nodes, weights: tuple[int, ...]) -> _Window | None:
    """None for what is no convolution of rows or of images with paddings that are told."""
    data, result = nodes.shapes.get(node.input[0], ()), nodes.shapes[node.output[0]]
    spatial = len(data) - 2
    if spatial not in (1, 2) or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return None

    def two(values: Sequence[int], rest: int) -> tuple[int, ...]:
        return (*[rest] * (2 - spatial), *values)

    ones = [1] * spatial
    pads = attribute(node, "pads", [0] * 2 * spatial)[:spatial]
    return _Window(
        (*data[:2], *two(data[2:], 1)), (*result[:2], *two(result[2:], 1)), two(weights[2:], 1),
        two(attribute(node, "strides", ones), 1), two(pads, 0), two(attribute(node, "dilations", ones), 1),
    )  # fmt: skip


def int8(node: Any, nodes: Nodes) -> Kernel | None:
    """A QLinearConv."""
    (_, in_scale, in_zero, weights, scale, zero, out_scale, out_zero, *rest) = nodes.given(node)
    found = None if weights is None or np.any(zero) else _window(node, nodes, weights.shape)
    if found is None:
        return None
    count, channels = weights.shape[0], found.data[1]
    biases = rest[0].astype(np.int64) if rest else np.zeros(count, np.int64)
    factors = np.broadcast_to(in_scale * scale / out_scale, (count,)).astype(np.float32)
    struct = found.struct(int(in_zero.item()), int(out_zero.item()))
    rows = weights.reshape(count, -1)
    group = attribute(node, "group", 1)
    starts = biases - int(in_zero.item()) * rows.astype(np.int64).sum(axis=1)
    if group == channels == count > 1:
        constants = rows, starts.astype(np.int32), factors
        return Kernel("depthwise_int8", constants, struct=struct, needs=found.plane, over=found.same)
    if group != 1:
        return None
    columns, inner = product.Columns(rows, starts, factors, int(out_zero.item())), rows.shape[1]
    words = columns.packed
    if words is None:
        return Kernel("convolution_wide", columns.plain, struct=struct, needs=inner)
    return Kernel("convolution_int8", (words,), struct=struct, needs=inner, scratch=two_positions(inner))


def float32(node: Any, nodes: Nodes) -> Kernel | None:
    """A Conv."""
    (data, weights, *bias) = nodes.given(node)
    if data is not None or weights is None or weights.dtype != np.float32 or (bias and bias[0] is None):
        return None
    found = _window(node, nodes, weights.shape)
    if found is None:
        return None
    count, channels = weights.shape[0], found.data[1]
    rows, group = weights.reshape(count, -1), attribute(node, "group", 1)
    added = bias[0].ravel() if bias else np.zeros(0, np.float32)
    if group == channels == count > 1:
        return Kernel("depthwise_float", (rows, added), struct=found.struct(), needs=4 * found.plane, over=found.same)
    if group != 1:
        return None
    constants = product.side_by_side(rows), added
    return Kernel("convolution_float", constants, struct=found.struct(), needs=4 * rows.shape[1])
