"""What a TT layer costs: `exact`, which drives every decision, and `paper`, which reproduces the paper's tables.

Closed formulas, for a search is to bound costs without making a plan; `exact` is what the plan adds up to.

Parameters count every number stored, the bias included. FLOPs count a multiplication as one and an addition as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edgett.forms import operators
from edgett.forms.site import Cost, CostModel, Layer
from edgett.forms.tt.contraction import plan
from edgett.forms.tt.order import Order

if TYPE_CHECKING:
    from edgett.forms.tt.shape import TTShape

# Training on a CPU, copying an element in a transpose takes about as long as this many FLOPs of a large matrix product
# (tools/benchmark.py training).
FLOPS_PER_MOVED_ELEMENT = 250


def tt(layer: Layer, shape: TTShape, model: CostModel = CostModel.EXACT) -> Cost:
    """What a layer costs for one sample as a tensor train.

    Args:
        layer: a fully connected layer of weight (X, Y).
        shape: its factorisation and ranks.
        model: how FLOPs are counted.

    Returns:
        Its cost, the bias included.

    Raises:
        ValueError: when the shape is of another size.
    """
    if shape.matrix != (layer.inputs, layer.outputs):
        raise ValueError(f"{shape} is {shape.matrix[0]}x{shape.matrix[1]}, layer {layer.name!r} is not")
    bias, rows = layer.outputs * layer.bias, layer.positions
    return Cost(
        params=shape.params + bias,
        flops=rows * ((exact_flops(shape) if model is CostModel.EXACT else paper_flops(shape)) + bias),
        peak_elements=max(peak(shape, rows), 2 * rows * bias),
        moved_elements=moved(shape, rows),
        macs=rows * exact_flops(shape) // 2,
    )


def lighter(shape: TTShape) -> TTShape:
    """The shape, contracted in the order whose peak memory is lower, if that costs no more FLOPs.

    Args:
        shape: a factorisation with its ranks.

    Returns:
        The same factorisation and ranks.
    """
    other = replace(shape, order=Order.FIRST_LAST if shape.order is Order.LAST_FIRST else Order.LAST_FIRST)
    if exact_flops(other) > exact_flops(shape):
        return shape
    return min((shape, other), key=peak)


def merged(shape: TTShape, growing: bool = False) -> TTShape:
    """Merge adjacent cores, one bond after the other, while that costs no more FLOPs: fewer and larger products.

    Args:
        shape: a factorisation with its ranks.
        growing: whether it may take more parameters and more peak memory than the shape.

    Returns:
        A shape of at least two cores that stands for all weights that the shape stands for.
    """
    while True:
        ways = [way for way in _one_bond_less(shape) if growing or way.params <= shape.params]
        ways = [way for way in ways if exact_flops(way) <= exact_flops(shape) and (growing or peak(way) <= peak(shape))]
        if not ways:
            return shape
        shape = min(ways, key=lambda way: (exact_flops(way), way.params))


def _one_bond_less(shape: TTShape) -> Iterator[TTShape]:
    """Every shape of at least two cores that multiplying two adjacent ones together gives."""

    def together(sizes: tuple[int, ...], k: int) -> tuple[int, ...]:
        return (*sizes[: k - 1], sizes[k - 1] * sizes[k], *sizes[k + 1 :])

    for k in range(1, shape.length) if shape.length > 2 else ():
        ranks = shape.ranks[:k] + shape.ranks[k + 1 :]
        yield replace(shape, inputs=together(shape.inputs, k), outputs=together(shape.outputs, k), ranks=ranks)


def peak(shape: TTShape, rows: int = 1) -> int:
    """The most elements that an operator of the contraction reads and writes.

    Args:
        shape: a factorisation with its ranks.
        rows: the rows of the input.

    Returns:
        Elements, the cores not among them.
    """
    return operators.peak(plan(shape, rows), rows * shape.matrix[0])


def moved(shape: TTShape, rows: int = 1) -> int:
    """Elements that the transposes of the contraction copy.

    Args:
        shape: a factorisation with its ranks.
        rows: the rows of the input.

    Returns:
        Elements.
    """
    return operators.moved(plan(shape, rows))


def exact_flops(shape: TTShape) -> int:
    """What the contraction executes for one row, the bias left out.

    Last core first: sum over i of 2 r_{i-1} x_i y_i r_i (x_1 ... x_{i-1}) (y_{i+1} ... y_L); first core first mirrors
    the rows to (y_1 ... y_{i-1}) (x_{i+1} ... x_L). Source: the order of products in T3F's `tt_dense_matmul`.

    Args:
        shape: a factorisation with its ranks, and the order of its cores.

    Returns:
        FLOPs: a multiplication is one, an addition is one.
    """
    left, right = (shape.inputs, shape.outputs) if shape.order is Order.LAST_FIRST else (shape.outputs, shape.inputs)
    return sum(
        2 * math.prod(core) * math.prod(left[:i]) * math.prod(right[i + 1 :]) for i, core in enumerate(shape.cores)
    )


def paper_flops(shape: TTShape) -> int:
    """Equation 4 of the paper as printed, the bias left out: the rows of the last core, x_1 ... x_{L-1}, in every term.

    Source: Kokhazadeh et al., SAMOS 2022, doi:10.1007/978-3-031-15074-6_11.

    Args:
        shape: a factorisation with its ranks.

    Returns:
        FLOPs as that paper counts them.
    """
    rows = math.prod(shape.inputs[:-1])
    return sum(
        before * y * x * after * rows + before * x * y * after + x * after * rows for before, x, y, after in shape.cores
    )


def rebuild_flops(shape: TTShape) -> int:
    """FLOPs of multiplying the cores out to the dense weight, from the last one on."""
    *others, (_, rows, columns, _) = shape.cores
    total = 0
    for before, x, y, after in reversed(others):
        total += 2 * before * x * y * after * rows * columns
        rows, columns = x * rows, y * columns
    return total


def rebuild_moved(shape: TTShape) -> int:
    """Elements that transposes copy while the cores are multiplied out to the dense weight."""
    *others, (_, rows, columns, _) = shape.cores
    total = 0
    for before, x, y, _ in reversed(others):
        rows, columns = x * rows, y * columns
        total += before * rows * columns
    return total


def rebuild_from(shape: TTShape) -> float:
    """The batch size from which a training step is faster with the dense weight rebuilt than with each core contracted.

    Args:
        shape: a factorisation with its ranks.

    Returns:
        Rows; infinite when contracting a row costs less than the dense product itself.
    """
    contract, dense, rebuild = _ways(shape)
    saved = contract - dense
    return math.inf if saved <= 0 else rebuild / saved


def training_work(shape: TTShape, rows: int) -> float:
    """What the layer's forward pass costs in training.

    Args:
        shape: a factorisation with its ranks.
        rows: the rows of X numbers in a training batch.

    Returns:
        FLOPs; an element that a transpose copies counts as `FLOPS_PER_MOVED_ELEMENT` of them.
    """
    contract, dense, rebuild = _ways(shape)
    return rows * dense + rebuild if rows >= rebuild_from(shape) else rows * contract


def _ways(shape: TTShape) -> tuple[float, float, float]:
    """What it costs to contract a sample, to multiply it with the dense weight, and to rebuild that."""
    contract = exact_flops(shape) + FLOPS_PER_MOVED_ELEMENT * moved(shape)
    rebuild = rebuild_flops(shape) + FLOPS_PER_MOVED_ELEMENT * rebuild_moved(shape)
    return contract, 2 * math.prod(shape.matrix), rebuild
