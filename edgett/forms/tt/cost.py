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
    """The layer in the given shape, for one sample. Raises ValueError when the shape is of another size."""
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
    """The shape, contracted in the order that needs less memory at once, if that costs no more FLOPs."""
    other = replace(shape, order=Order.FIRST_LAST if shape.order is Order.LAST_FIRST else Order.LAST_FIRST)
    if exact_flops(other) > exact_flops(shape):
        return shape
    return min((shape, other), key=peak)


def merged(shape: TTShape, growing: bool = False) -> TTShape:
    """The shape with adjacent cores multiplied together, one bond after the other, while that costs no more FLOPs.

    It stands for all weights that the shape stands for, in fewer and larger products. It takes no more parameters and
    no more memory at once than the shape, unless it may be `growing`.
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
    """The most elements that an operator of the contraction of so many rows reads and writes."""
    return operators.peak(plan(shape, rows), rows * shape.matrix[0])


def moved(shape: TTShape, rows: int = 1) -> int:
    """Elements that the transposes of the contraction of so many rows copy."""
    return operators.moved(plan(shape, rows))


def exact_flops(shape: TTShape) -> int:
    """What the contraction executes for one sample, bias left out.

    Last core first: sum over i of 2 r_{i-1} x_i y_i r_i (x_1 ... x_{i-1}) (y_{i+1} ... y_L); first core first mirrors
    the rows to (y_1 ... y_{i-1}) (x_{i+1} ... x_L). Source: the order of products in T3F's `tt_dense_matmul`.
    """
    left, right = (shape.inputs, shape.outputs) if shape.order is Order.LAST_FIRST else (shape.outputs, shape.inputs)
    return sum(
        2 * math.prod(core) * math.prod(left[:i]) * math.prod(right[i + 1 :]) for i, core in enumerate(shape.cores)
    )


def paper_flops(shape: TTShape) -> int:
    """Equation 4 of the paper as printed, bias left out: the rows of the last core, x_1 ... x_{L-1}, in every term."""
    rows = math.prod(shape.inputs[:-1])
    return sum(
        before * y * x * after * rows + before * x * y * after + x * after * rows for before, x, y, after in shape.cores
    )


def rebuild_flops(shape: TTShape) -> int:
    """FLOPs of multiplying the cores out to the dense weight: each one with what stands of those after it."""
    *others, (_, rows, columns, _) = shape.cores
    total = 0
    for before, x, y, after in reversed(others):
        total += 2 * before * x * y * after * rows * columns
        rows, columns = x * rows, y * columns
    return total


def rebuild_moved(shape: TTShape) -> int:
    """Elements that transposes copy while the cores are multiplied out."""
    *others, (_, rows, columns, _) = shape.cores
    total = 0
    for before, x, y, _ in reversed(others):
        rows, columns = x * rows, y * columns
        total += before * rows * columns
    return total


def rebuild_from(shape: TTShape) -> float:
    """The batch from which a training step is faster with the dense weight rebuilt than with each core contracted.

    Infinite when contracting a sample costs less than the dense product itself.
    """
    contract, dense, rebuild = _ways(shape)
    saved = contract - dense
    return math.inf if saved <= 0 else rebuild / saved


def training_work(shape: TTShape, rows: int) -> float:
    """What the layer's forward pass on a training batch of so many rows costs, in FLOPs; moved elements count too."""
    contract, dense, rebuild = _ways(shape)
    return rows * dense + rebuild if rows >= rebuild_from(shape) else rows * contract


def _ways(shape: TTShape) -> tuple[float, float, float]:
    """What it costs to contract a sample, to multiply it with the dense weight, and to rebuild that."""
    contract = exact_flops(shape) + FLOPS_PER_MOVED_ELEMENT * moved(shape)
    rebuild = rebuild_flops(shape) + FLOPS_PER_MOVED_ELEMENT * rebuild_moved(shape)
    return contract, 2 * math.prod(shape.matrix), rebuild
