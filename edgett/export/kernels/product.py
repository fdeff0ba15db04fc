"""Products with constant weights, in int8 and in float32."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.export.kernels.kernel import PREFIX, Kernel, Nodes, Struct, Words, attribute
from edgett.export.kernels.placing import Placing, placing
from edgett.graph.c_plan import two_rows

PRODUCT_INT8, PRODUCT_FLOAT = "product_int8", "product_float"
"""The kernels of products."""
_FOUR = 4
"""Columns that a product takes at once, and inputs that are read at once."""
_LIMIT = 2**23
"""Sums of the second of two columns in a word must stay below: they come out of 32 bits, 8 places up."""


_NONE = Words(np.zeros(0, np.uint32), str)


@dataclass(frozen=True)
class Columns:
    """The columns of an int8 product.

    Attributes:
        weights: (columns, inner).
        starts: what is added to the sum of each.
        factors: by which a sum becomes a code.
        zero: what is added to that.
    """

    weights: NDArray[np.int8]
    starts: NDArray[np.int64]
    factors: NDArray[np.float32]
    zero: int

    def of(self, order: Sequence[int]) -> Columns:
        """In this order, or some of them."""
        some = list(order)
        return replace(
            self, weights=np.ascontiguousarray(self.weights[some]), starts=self.starts[some], factors=self.factors[some]
        )

    @property
    def with_alone(self) -> Words | None:
        """As `packed`, but one that is left alone by the fours is in bytes, as `part_int8.c` reads it."""
        last = len(self.weights) - 1
        if last % _FOUR:
            return self.packed
        fours, one = self.of(range(last)).packed if last else _NONE, self.of([last])
        if fours is None:
            return None
        alone = in_bytes(*without_steady(one.weights, one.starts, one.factors, one.zero))
        return Words(
            np.append(fours.words, alone.words), lambda: ",\n    ".join(filter(None, (fours.text(), alone.text())))
        )

    @property
    def packed(self) -> Words | None:
        """As `rows_int8.c` reads them; None where they do not go into words."""
        numbers = self.weights, self.starts, self.factors
        if not packs(*numbers[:2]):
            numbers = without_steady(*numbers, self.zero)
        return Words(packed(*numbers), partial(written, *numbers)) if packs(*numbers[:2]) else None

    @property
    def plain(self) -> tuple[NDArray[Any], ...]:
        """As they are."""
        return self.weights, self.starts.astype(np.int32), self.factors


def quantised(node: Any, nodes: Nodes) -> Columns | None:
    """Of a QGemm. Its zero point is taken out of the loop: it adds the same to every row, as the bias does."""
    (_, in_scale, in_zero, weights, scale, zero, bias, out_scale, out_zero) = nodes.given(node)
    if np.any(zero):
        return None
    by_column = weights if attribute(node, "transB", 0) else weights.T
    sums = by_column.astype(np.int64).sum(axis=1)
    starts = (0 if bias is None else bias.astype(np.int64)) - int(in_zero.item()) * sums
    factors = np.broadcast_to(in_scale * scale / out_scale, sums.shape).astype(np.float32)
    return Columns(by_column, starts, factors, int(out_zero.item()))


def int8(node: Any, nodes: Nodes) -> Kernel | None:
    """A QGemm."""
    found = quantised(node, nodes)
    if found is None:
        return None
    rows, columns = nodes.shapes[node.output[0]]
    placed = _placing(nodes, node, rows, columns, biased=nodes.given(node)[6] is not None)
    ordered, inner = found.of(placed.order), found.weights.shape[1]
    struct = struct_of(placed, rows, inner, columns, found.zero)
    words = ordered.with_alone
    if words is None:
        return Kernel("product_wide", ordered.plain, struct=struct, idle=placed.idle)
    return Kernel(
        PRODUCT_INT8,
        (words,),
        struct=struct,
        scratch=two_rows(inner) if rows > 1 and columns > 1 else 0,
        idle=placed.idle,
    )


def multiplied(node: Any, nodes: Nodes) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """The weights (columns, inner) of a MatMul or Gemm in float32, and its bias, empty if there is none."""
    (left, weights, *bias) = nodes.given(node)
    scaled = any(attribute(node, name, 1.0) != 1 for name in ("alpha", "beta")) or attribute(node, "transA", 0)
    if left is not None or weights is None or weights.ndim != 2 or weights.dtype != np.float32 or scaled:
        return None
    by_column = weights if attribute(node, "transB", 0) else weights.T
    if bias and (bias[0] is None or bias[0].size != len(by_column)):
        return None
    return by_column, bias[0].ravel() if bias else np.zeros(0, np.float32)


def float32(node: Any, nodes: Nodes) -> Kernel | None:
    """A MatMul or Gemm."""
    found = multiplied(node, nodes)
    if found is None:
        return None
    by_column, bias = found
    columns, inner = by_column.shape
    rows = nodes.size(node.output[0]) // columns
    placed = _placing(nodes, node, rows, columns, biased=bool(bias.size))
    order = list(placed.order)
    constants = side_by_side(by_column[order]), bias[order] if bias.size else bias
    return Kernel(PRODUCT_FLOAT, constants, struct=struct_of(placed, rows, inner, columns), idle=placed.idle)


def _placing(nodes: Nodes, node: Any, rows: int, columns: int, biased: bool) -> Placing:
    """Behind the transposes of a form, whose products have no bias: `graph.c_view` foretells these alone."""
    if biased:
        found = Placing.of(np.arange(rows * columns).reshape(rows, columns))
        assert found is not None
        return found
    return placing(nodes, node.output[0], rows, columns)


def struct_of(placed: Placing, rows: int, inner: int, columns: int, zero: int = 0) -> Struct:
    """In C."""
    places = [number for part in (placed.columns, placed.rows) for number in (part.run, part.step, part.jump)]
    return Struct.of("product", rows, inner, columns, zero, *places)


def packs(columns: NDArray[np.int8], starts: NDArray[np.int64]) -> bool:
    """Whether two columns go into words.

    Args:
        columns: weights (columns, inner).
        starts: what is added to the sum of each column.

    Returns:
        Whether 256 w1 + w0 fits 16 bits for every pair, every sum of a second column that there can be 24, others 32.
    """
    wide = padded(columns).astype(np.int64)
    least = (256 * wide[1::2] + wide[::2]).min(initial=0)
    lowest, most = _ends(columns, starts)
    limits = np.where(np.arange(len(columns)) % 2, _LIMIT, 2**31)
    return bool(least >= -(2**15) and np.all(most < limits) and np.all(lowest >= -limits))


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


def packed(columns: NDArray[np.int8], starts: NDArray[np.int64], factors: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Put products together as `rows_int8.c` reads them.

    Args:
        columns: weights (columns, inner).
        starts: what is added to the sum of each column.
        factors: by which a sum becomes a code.

    Returns:
        Words: for each four columns where the sums begin, the weights, and the factors.
    """
    blocks = -(-len(columns) // _FOUR)
    first, second = padded(starts).reshape(-1, 2).T
    begun = np.stack([256 * second + first, first], axis=1).astype(np.uint32).reshape(blocks, _FOUR)
    scales = np.ascontiguousarray(padded(factors)).view(np.uint32).reshape(blocks, _FOUR)
    return np.concatenate([begun, _words(columns), scales], axis=1).ravel()


def _words(columns: NDArray[np.int8]) -> NDArray[np.uint32]:
    """Weights (columns, inner) in words (block, inner), a block for each four columns."""
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


def written(columns: NDArray[np.int8], starts: NDArray[np.int64], factors: NDArray[np.float32]) -> str:
    """Put the same together in C.

    Args:
        columns: weights (columns, inner).
        starts: what is added to the sum of each column.
        factors: by which a sum becomes a code.

    Returns:
        What the macros of `rows_int8.c` make words of.
    """
    inner, lines = columns.shape[1], []
    full = inner - inner % _FOUR
    wide = padded(columns).reshape(-1, _FOUR, inner)
    begun = padded(starts).astype(np.uint32).view(np.int32).reshape(-1, _FOUR)
    scales = np.ascontiguousarray(padded(factors)).view(np.uint32).reshape(-1, _FOUR)
    for weights, start, scale in zip(wide, begun.tolist(), scales.tolist(), strict=True):
        # (column, four, input) to (four, column, input).
        fours = weights[:, :full].reshape(_FOUR, -1, _FOUR).transpose(1, 0, 2).reshape(-1, _FOUR * _FOUR)
        lines.append(_macro("BEGIN", map(_number, start)))
        lines += [_macro("FOUR", four) for four in fours.tolist()]
        lines += [_macro("REST", rest) for rest in weights[:, full:].T.tolist()]
        lines.append(", ".join(f"{value:#x}u" for value in scale))
    return ",\n    ".join(lines)


def in_bytes(columns: NDArray[np.int8], starts: NDArray[np.int64], factors: NDArray[np.float32]) -> Words:
    """Put a column together that is left alone by the fours.

    Args:
        columns: its weights (1, inner).
        starts: what is added to its sum.
        factors: by which that becomes a code.

    Returns:
        Where its sum begins, its weights by fours, its factor.
    """
    fours = np.append(columns, np.zeros(-columns.size % _FOUR, np.int8)).reshape(-1, _FOUR)
    start, scale = starts.astype(np.uint32), np.ascontiguousarray(factors).view(np.uint32)
    begun, weights = (
        f"(uint32_t){_number(int(start.view(np.int32)[0]))}",
        [_macro("BYTES", one) for one in fours.tolist()],
    )
    words = np.concatenate([start, fours.view("<u4").ravel(), scale]).astype(np.uint32)
    return Words(words, lambda: ",\n    ".join((begun, *weights, f"{scale[0]:#x}u")))


def _number(value: int) -> str:
    return f"{value}" if value > -(2**31) else "(-2147483647 - 1)"


def _macro(name: str, values: Iterable[object]) -> str:
    return f"{PREFIX}_{name}({', '.join(map(str, values))})"


def side_by_side(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights (columns, inner) as `row_float.c` reads them: (inner, 4) for four columns, (inner, n) for others."""
    return np.concatenate([columns[first : first + _FOUR].T.ravel() for first in range(0, len(columns), _FOUR)])


def padded(array: NDArray[Any]) -> NDArray[Any]:
    """With zeros, to a multiple of four columns."""
    more = -len(array) % _FOUR
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])
