"""Where the numbers of a product go: behind the transposes that follow it, which then have nothing left to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.export.kernels.kernel import Nodes, attribute
from edgett.graph.op import named


@dataclass(frozen=True)
class Stride:
    """Places in memory: `run` of them are `step` apart each, behind them it goes `jump` further."""

    run: int
    step: int
    jump: int

    @classmethod
    def of(cls, places: NDArray[np.int64]) -> Stride | None:
        """The strides of places that begin at 0; None where they go otherwise."""
        if len(places) == 1:
            return cls(1, 0, 0)
        steps = np.diff(places)
        step = int(steps[0])
        others = np.flatnonzero(steps != step)
        run = int(others[0]) + 1 if len(others) else len(places)
        jump = int(steps[run - 1]) - step if len(others) else 0
        index = np.arange(len(places))
        fits = np.array_equal(index * step + index // run * jump, places)
        return cls(run, step, jump) if fits else None


@dataclass(frozen=True)
class Placing:
    """Where a product (rows, columns) puts its numbers.

    Attributes:
        order: the columns as they are computed.
        columns: the places of a row's numbers in that order.
        rows: the places of the first of each row.
        idle: the transposes that need not be done any more.
    """

    order: tuple[int, ...]
    columns: Stride
    rows: Stride
    idle: tuple[str, ...] = ()

    @classmethod
    def of(cls, places: NDArray[np.int64], idle: tuple[str, ...] = ()) -> Placing | None:
        """The placing that puts number (row, column) to `places[row, column]`; None where there is none."""
        orders = [np.argsort(places[0], kind="stable"), np.arange(places.shape[1])]
        found = [made for order in orders if (made := cls._in(places, order, idle))]
        return max(found, key=lambda one: one.columns.run, default=None)

    @classmethod
    def _in(cls, places: NDArray[np.int64], order: NDArray[np.int64], idle: tuple[str, ...]) -> Placing | None:
        """The same with columns in this order."""
        moved = places[:, order]
        along, down = moved[0], moved[:, 0]
        columns, rows = Stride.of(along - along[0]), Stride.of(down - down[0])
        regular = along[0] == 0 and np.array_equal(moved, down[:, None] + along[None, :])
        return cls(tuple(order.tolist()), columns, rows, idle) if columns and rows and regular else None


def placing(nodes: Nodes, result: str, rows: int, columns: int) -> Placing:
    """Follow a product's result through transposes that nobody else reads it from.

    Args:
        nodes: of the graph.
        result: the product's output.
        rows: of the product.
        columns: of the product.

    Returns:
        Where its numbers go.
    """
    index = np.arange(rows * columns)
    found = Placing.of(index.reshape(rows, columns))
    assert found is not None
    idle: tuple[str, ...] = ()
    for node in _moves(nodes, result):
        index = index.reshape(nodes.shapes[node.input[0]])
        if node.op_type == "Transpose":
            index = index.transpose(attribute(node, "perm", None))
            idle = *idle, node.name
            found = Placing.of(np.argsort(index, axis=None).reshape(rows, columns), idle) or found
    return found


def _moves(nodes: Nodes, name: str) -> Iterator[Any]:
    """Reshapes and transposes behind a tensor, one after the other, each the only reader of the one before."""
    while len(readers := nodes.readers.get(name, ())) == 1:
        (node,) = readers
        if node is None or node.name not in nodes.told or not (node.op_type == "Transpose" or named(node.op_type).view):
            return
        yield node
        name = node.output[0]
