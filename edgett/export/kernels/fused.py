"""Two products, of which one reads what the other makes, computed together block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.export.kernels import product
from edgett.export.kernels.kernel import Kernel, Nodes, Struct, Words, attribute
from edgett.export.kernels.placing import Placing
from edgett.graph.c_fuse import Blocks, Reading
from edgett.graph.c_plan import block
from edgett.graph.op import named


@dataclass(frozen=True)
class Fused:
    """A product that may be computed together with the one before it.

    Attributes:
        first: the node of the other one.
        gone: the nodes that nothing is left of then, that one among them.
        blocks: how it is done.
        kernel: the call that takes the place of both.
    """

    first: str
    gone: tuple[str, ...]
    blocks: Blocks
    kernel: Kernel


def fusions(nodes: Nodes, own: Mapping[str, Kernel]) -> dict[str, Fused]:
    """The products that may be computed together with those before them, by the names of their nodes."""
    makers = {node.output[0]: node for node in nodes.told.values()}
    found: dict[str, Fused] = {}
    for name, kernel in own.items():
        if kernel.name not in (product.PRODUCT_INT8, product.PRODUCT_FLOAT):
            continue
        second = nodes.told[name]
        *moves, first = _before(second, nodes, makers, own)
        if first is not None and first.name in own and own[first.name].name == kernel.name:
            made = _fused(first, moves, second, nodes, own)
            if made:
                found[name] = made
    return found


def _before(second: Any, nodes: Nodes, makers: Mapping[str, Any], own: Mapping[str, Kernel]) -> Iterator[Any]:
    """What only moves numbers between a product and what it reads, back to front, and what makes that.

    None at the end where others read it too, or where it is turned as no matrix is.
    """
    name = second.input[0]
    while (node := makers.get(name)) is not None and len(nodes.readers[name]) == 1:
        turns = node.op_type == "Transpose"
        if turns and tuple(attribute(node, "perm", ())) != (1, 0):
            break
        yield node
        # An activation is a table, and its node an Identity.
        if node.name in own or not (turns or named(node.op_type).view):
            return
        name = node.input[0]
    yield None


def _fused(first: Any, moves: list[Any], second: Any, nodes: Nodes, own: Mapping[str, Kernel]) -> Fused | None:
    kernel = own[second.name]
    integer = kernel.name == product.PRODUCT_INT8
    (rows, columns), inner = _matrix(first.output[0], nodes), nodes.shapes[second.input[0]][-1]
    turned = [_matrix(node.input[0], nodes) for node in reversed(moves) if node.op_type == "Transpose"]
    reading = Reading.of(rows, columns, turned, inner)
    if reading is None:
        return None
    held, blocks = reading.columns.shape[1], reading.blocks(pairs=integer)
    places = np.arange(blocks.at_once).reshape(blocks.wide, blocks.high) * inner
    # (group of rows, row, group of columns, column) of a block.
    within = places.T[:, None, :, None] + reading.at[None, :, None, :]
    placed = Placing.of(within.reshape(blocks.high * blocks.rows, -1))
    if blocks.count < 2 or placed is None:
        return None
    order = reading.columns.reshape(-1, blocks.wide * held)[:, list(placed.order)]
    weights = _int8(first, nodes, order) if integer else _float32(first, nodes, order)
    if weights is None:
        return None
    begun, length, zero = weights
    size = begun.words.size if isinstance(begun, Words) else begun.size
    part = product.struct_of(placed, blocks.high * blocks.rows, length, blocks.wide * held, zero)
    assert kernel.struct is not None
    parts = (f"{{{', '.join(one.numbers)}}}" for one in (part, kernel.struct))
    struct = Struct.of("fused", *parts, blocks.at_once, blocks.along // blocks.high, size // len(order))
    room = block(blocks, max(inner, length), 1 if integer else 4)
    constants = begun, *kernel.constants
    made = Kernel(
        "fused_int8" if integer else "fused_float", constants, struct=struct, needs=room,
        scratch=room if integer else None, idle=kernel.idle,
    )  # fmt: skip
    return Fused(first.name, (first.name, *(node.name for node in moves)), blocks, made)


def _matrix(name: str, nodes: Nodes) -> tuple[int, int]:
    """A tensor as rows of its last axis."""
    columns = nodes.shapes[name][-1]
    return nodes.size(name) // columns, columns


def _int8(first: Any, nodes: Nodes, order: NDArray[np.int64]) -> tuple[Words, int, int] | None:
    """The weights of the first product, its columns in the order of blocks; the length of a row, and its zero point."""
    found = product.quantised(first, nodes)
    if found is None or nodes.given(first)[6] is not None:
        return None
    words = found.of(order.ravel().tolist()).with_alone
    return None if words is None else (words, found.weights.shape[1], found.zero)


def _float32(first: Any, nodes: Nodes, order: NDArray[np.int64]) -> tuple[NDArray[Any], int, int] | None:
    """As `_int8`."""
    found = product.multiplied(first, nodes)
    if found is None or found[1].size:
        return None
    return np.concatenate([product.side_by_side(found[0][some]) for some in order]), found[0].shape[1], 0
