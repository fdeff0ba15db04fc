"""How a window slides over images: of convolutions and of pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgett.export.kernels.kernel import Nodes, Struct, attribute
from edgett.forms.window import seen
from edgett.graph.c_plan import late, plane
from edgett.graph.op import named


@dataclass(frozen=True)
class Sliding:
    """A window over images (images, channels, height, width); one over rows has images of height 1.

    Attributes:
        data: the sizes of its input.
        result: those of its output.
        window: the rows and columns that it sees.
        steps: how far it moves.
        pads: the zeros above and on the left.
        apart: the distance of two rows and of two columns that it sees.
        strides: how far channels, rows and columns of the input are apart in memory, where channels come last.
        idle: the transpose whose result it would read, which need not be done.
    """

    data: tuple[int, ...]
    result: tuple[int, ...]
    window: tuple[int, ...]
    steps: tuple[int, ...]
    pads: tuple[int, ...]
    apart: tuple[int, ...]
    strides: tuple[int, ...] = ()
    idle: tuple[str, ...] = ()

    @property
    def plane(self) -> int:
        """The numbers of scratch for a channel with its padding."""
        return plane(*map(seen, self.result[2:], self.window, self.steps, self.apart))

    @property
    def same(self) -> bool:
        """Whether the output is as large as the input."""
        return self.data[2:] == self.result[2:]

    @property
    def less(self) -> int | None:
        """No scratch with which a depthwise one may write over what it reads, where it makes no more than that."""
        return 0 if math.prod(self.result) <= math.prod(self.data) else None

    @property
    def pixels(self) -> bool:
        """Whether it sees each pixel, and nothing but that."""
        return self.same and {*self.window, *self.steps} == {1}

    @property
    def over(self) -> bool:
        """Whether it may write over what it reads in any case."""
        return self.pixels and self.data == self.result and not self.idle

    def late(self, width: int) -> int | None:
        """The bytes of scratch besides with which it may write over what it reads, in numbers of that `width`."""
        if self.idle:
            return None
        if self.pixels:
            return 0 if self.data[0] == 1 else None
        room = late(self.pads[0], self.data[3], self.data[1])
        alike = self.data == self.result and {*self.steps} == {1}
        return width * room if alike and room < math.prod(self.data[1:]) else None

    def struct(self, in_zero: int = 0, zero: int = 0) -> Struct:
        """In C."""
        strides = self.strides or (self.data[2] * self.data[3], self.data[3], 1)
        sizes = *self.data, *self.result[1:], *self.window, *self.steps, *self.pads, *self.apart
        return Struct.of("window", *sizes, in_zero, zero, *strides)


def sliding(node: Any, nodes: Nodes, window: tuple[int, ...]) -> Sliding | None:
    """Read how a node's window slides.

    Args:
        node: a convolution or a pool.
        nodes: of the graph.
        window: the sizes of its window.

    Returns:
        That; None for what is not of rows or of images, or has paddings that are not told.
    """
    data, result = nodes.shapes.get(node.input[0], ()), nodes.shapes[node.output[0]]
    spatial = len(data) - 2
    if spatial not in (1, 2) or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return None

    def two(values: Sequence[int], rest: int) -> tuple[int, ...]:
        return (*[rest] * (2 - spatial), *values)

    ones = [1] * spatial
    pads = attribute(node, "pads", [0] * 2 * spatial)[:spatial]
    return Sliding(
        (*data[:2], *two(data[2:], 1)), (*result[:2], *two(result[2:], 1)), two(window, 1),
        two(attribute(node, "strides", ones), 1), two(pads, 0), two(attribute(node, "dilations", ones), 1),
    )  # fmt: skip


def unturned(found: Sliding, node: Any, nodes: Nodes) -> Sliding:
    """Read an input of the model whose channels come last, if a transpose brings them forward for this node alone.

    Args:
        found: how the window slides.
        node: a convolution that can read numbers wherever they are.
        nodes: of the graph.

    Returns:
        How it slides over that.
    """
    turned, rank = nodes.makers.get(node.input[0]), len(nodes.shapes[node.input[0]])
    if turned is None or turned.op_type != "Transpose" or turned.name not in nodes.told:
        return found
    name = turned.input[0]
    while (view := nodes.makers.get(name)) is not None and named(view.op_type).view:
        name = view.input[0]
    given = name in {value.name for value in nodes.model.graph.input}
    forward = tuple(attribute(turned, "perm", ())) == (0, rank - 1, *range(1, rank - 1))
    if not (given and forward) or len(nodes.readers[node.input[0]]) != 1:
        return found
    (_, channels, _, width) = found.data
    return replace(found, strides=(1, width * channels, channels), idle=(turned.name,))
