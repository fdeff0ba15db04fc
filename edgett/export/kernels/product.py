"""Products with constant weights, in int8 and in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.export.kernels.kernel import Kernel, Nodes, Struct, attribute
from edgett.export.kernels.placing import Placing, placing
from edgett.graph.c_plan import two_rows

_FOUR = 4
"""Columns that a product takes at once, and inputs that are read at once."""
_LIMIT = 2**23
"""Sums of the second of two columns in a word must stay below: they come out of 32 bits, 8 places up."""


def int8(node: Any, nodes: Nodes) -> Kernel | None:
    """A QGemm. Its zero point is taken out of the loop: it adds the same to every row, as the bias does."""
    (_, in_scale, in_zero, weights, scale, zero, bias, out_scale, out_zero) = nodes.given(node)
    rows, columns = nodes.shapes[node.output[0]]
    if np.any(zero):
        return None
    by_column = weights if attribute(node, "transB", 0) else weights.T
    sums = by_column.astype(np.int64).sum(axis=1)
    starts = (0 if bias is None else bias.astype(np.int64)) - int(in_zero.item()) * sums
    factors = np.broadcast_to(in_scale * scale / out_scale, sums.shape).astype(np.float32)
    placed = _placing(nodes, node, rows, columns, biased=bias is not None)
    order = list(placed.order)
    by_column, starts, factors = np.ascontiguousarray(by_column[order]), starts[order], factors[order]
    inner, zero_point = by_column.shape[1], int(out_zero.item())
    struct = _struct(placed, rows, inner, columns, zero_point)
    if not packs(by_column, starts):
        by_column, starts, factors = without_steady(by_column, starts, factors, zero_point)
    if not packs(by_column, starts):
        constants = by_column, starts.astype(np.int32), factors
        return Kernel("product_wide", constants, struct=struct, idle=placed.idle)
    constants = words(by_column), paired(starts), padded(factors)
    room = two_rows(inner) if rows > 1 else 0
    return Kernel("product_int8", constants, struct=struct, scratch=room, idle=placed.idle)


def float32(node: Any, nodes: Nodes) -> Kernel | None:
    """A MatMul or Gemm."""
    (left, weights, *bias) = nodes.given(node)
    scaled = any(attribute(node, name, 1.0) != 1 for name in ("alpha", "beta")) or attribute(node, "transA", 0)
    if left is not None or weights is None or weights.ndim != 2 or weights.dtype != np.float32 or scaled:
        return None
    by_column = weights if attribute(node, "transB", 0) else weights.T
    columns, inner = by_column.shape
    if bias and (bias[0] is None or bias[0].size != columns):
        return None
    rows = nodes.size(node.output[0]) // columns
    placed = _placing(nodes, node, rows, columns, biased=bool(bias))
    order = list(placed.order)
    added = bias[0].ravel()[order] if bias else np.zeros(0, np.float32)
    constants = side_by_side(by_column[order]), added
    struct = _struct(placed, rows, inner, columns)
    return Kernel("product_float", constants, struct=struct, idle=placed.idle)


def _placing(nodes: Nodes, node: Any, rows: int, columns: int, biased: bool) -> Placing:
    """Behind the transposes of a form, whose products have no bias: `graph.c_view` foretells these alone."""
    if biased:
        found = Placing.of(np.arange(rows * columns).reshape(rows, columns))
        assert found is not None
        return found
    return placing(nodes, node.output[0], rows, columns)


def _struct(placed: Placing, rows: int, inner: int, columns: int, zero: int = 0) -> Struct:
    places = [number for part in (placed.columns, placed.rows) for number in (part.run, part.step, part.jump)]
    return Struct.of("product", rows, inner, columns, zero, *places)


def packs(columns: NDArray[np.int8], starts: NDArray[np.int64]) -> bool:
    """Whether two columns go into words.

    Args:
        columns: weights (columns, inner).
        starts: what is added to the sum of each column.

    Returns:
        Whether 256 w1 + w0 fits 16 bits for every pair, and every sum of a second column that there can be 24.
    """
    wide = padded(columns).astype(np.int64)
    least = (256 * wide[1::2] + wide[::2]).min(initial=0)
    lowest, most = (ends[1::2] for ends in _ends(columns, starts))
    return bool(least >= -(2**15) and most.max(initial=0) < _LIMIT and lowest.min(initial=0) >= -_LIMIT)


def without_steady(
    columns: NDArray[np.int8], starts: NDArray[np.int64], factors: NDArray[np.float32], zero: int
) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.float32]]:
    """Take the weights out of columns that give the same code whatever is read, as those of units that are dead do.

    Their sums are large, for the scales of their weights are tiny.

    Args:
        columns: weights (columns, inner).
        starts: what is added to the sum of each column.
        factors: by which a sum becomes a code.
        zero: what is added to that.

    Returns:
        Columns, starts and factors that give the same codes.
    """
    first, last = (
        np.clip(np.rint(sums.astype(np.float32) * factors) + zero, -128, 127) for sums in _ends(columns, starts)
    )
    steady = first == last
    return (
        np.where(steady[:, None], np.int8(0), columns), np.where(steady, first.astype(np.int64) - zero, starts),
        np.where(steady, np.float32(1), factors),
    )  # fmt: skip


def _ends(columns: NDArray[np.int8], starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The least and the largest sum that each column can have."""
    numbers = columns.astype(np.int64)
    ends = np.where(numbers > 0, -128 * numbers, 127 * numbers), np.where(numbers > 0, 127 * numbers, -128 * numbers)
    lowest, most = (starts + end.sum(axis=1) for end in ends)
    return lowest, most


def words(columns: NDArray[np.int8]) -> NDArray[np.uint32]:
    """Weights (columns, inner) as `product_int8.c` reads them."""
    wide = padded(columns).astype(np.int64)
    halves = ((256 * wide[1::2] + wide[::2]) & 0xFFFF).reshape(-1, 2, columns.shape[1])
    blocks, _, inner = halves.shape
    full = inner - inner % _FOUR
    # (block, pair, four, upper or lower half, even or odd) to (block, four, even or odd, pair, half).
    fours = halves[:, :, :full].reshape(blocks, 2, -1, 2, 2).transpose(0, 2, 4, 1, 3).reshape(-1, 2)
    low, high = fours[:, 0], fours[:, 1]
    body = (low | high << 16).reshape(blocks, full)
    rest = halves[:, 0, full:] | halves[:, 1, full:] << 16
    return np.concatenate([body, rest], axis=1).astype(np.uint32)


def paired(starts: NDArray[np.int64]) -> NDArray[np.int32]:
    """What A and S0 of each pair of columns start from."""
    first, second = padded(starts).reshape(-1, 2).T
    return np.stack([256 * second + first, first], axis=1).astype(np.uint32).view(np.int32)


def side_by_side(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights (columns, inner) as `row_float.c` reads them: (inner, 4) for four columns, (inner, n) for others."""
    return np.concatenate([columns[first : first + _FOUR].T.ravel() for first in range(0, len(columns), _FOUR)])


def padded(array: NDArray[Any]) -> NDArray[Any]:
    """With zeros, to a multiple of four columns."""
    more = -len(array) % _FOUR
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])
