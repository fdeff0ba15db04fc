"""The contraction of an input with a TT weight, operator by operator.

Every core is one matrix product with a constant on the right. Between two products stands one transpose; the last one
(or, first to last, the first one) brings the batch back to the front. All are of matrices: the constant is laid out so
that a transpose has to bring one axis alone from the back to the front, or the other way, and runtimes are fastest at
that. What moves is a number, or where a runtime is faster so (`Moves`), all the numbers of a rank together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgett.forms.operators import Moves, Operator, Product, Reshape, Transpose
from edgett.forms.tt.order import Order

if TYPE_CHECKING:
    from edgett.forms.tt.shape import TTShape


def plan(shape: TTShape, batch: int = 1, moves: Moves = Moves.NUMBERS) -> tuple[Operator, ...]:
    """Plan the contraction of an input with the cores of a TT layer.

    Args:
        shape: the factorisation, the ranks, and which core the input meets first.
        batch: the rows of the input.
        moves: what the transposes move; the products and their results are the same.

    Returns:
        The operators that take an input (batch, X) to an output (batch, Y), the bias left out.
    """
    inputs, outputs = shape.matrix
    walk = _last_to_first if shape.order is Order.LAST_FIRST else _first_to_last
    operators: list[Operator] = []
    dims: tuple[int, ...] = (batch, inputs)
    for operator in walk(shape, batch, moves):
        if isinstance(operator, Transpose):
            if 1 in (operator.rows, operator.columns):
                continue
            wanted, after = operator.dims, operator.made
        else:
            wanted, after = (operator.rows, operator.inner), (operator.rows, operator.columns)
        if dims != wanted:
            operators.append(Reshape(wanted))
        operators.append(operator)
        dims = after
    if dims != (batch, outputs):
        operators.append(Reshape((batch, outputs)))
    return tuple(operators)


def _axes(shape: TTShape, core: int, moves: Moves) -> tuple[int, int, int, int]:
    """How to transpose a core (r, x, y, r') so that a reshape to (inner, columns) gives the matrix of its product."""
    runs = _in_runs(shape, core, moves)
    if shape.order is Order.LAST_FIRST:
        return (1, 3, 2, 0) if runs else (1, 3, 0, 2)
    return (1, 0, 2, 3) if runs else (0, 1, 2, 3)


def _in_runs(shape: TTShape, core: int, moves: Moves) -> bool:
    """Whether the transpose between a core and the one before it moves the numbers of their rank together.

    To bring an axis to the back is dearer in runs than to bring it to the front: it takes twice the rank to pay.
    """
    least = shape.outputs[core] if shape.order is Order.LAST_FIRST else 2 * shape.inputs[core]
    return moves is Moves.RUNS and shape.ranks[core] > least


def _last_to_first(shape: TTShape, batch: int, moves: Moves) -> Iterator[Transpose | Product]:
    rows = batch * math.prod(shape.inputs)
    for core in reversed(range(shape.length)):
        before, x, y, after = shape.cores[core]
        rows //= x
        yield Product(core, rows, x * after, y * before, _axes(shape, core, moves))
        if _in_runs(shape, core, moves):
            yield Transpose(rows, y, before)
        else:
            yield Transpose(rows * before, y) if core else Transpose(rows // batch, batch * y)
        rows *= y


def _first_to_last(shape: TTShape, batch: int, moves: Moves) -> Iterator[Transpose | Product]:
    rows = batch * math.prod(shape.inputs)
    for core, (before, x, y, after) in enumerate(shape.cores):
        rows //= x
        if _in_runs(shape, core, moves):
            yield Transpose(x, rows, before)
        else:
            yield Transpose(x, rows * before) if core else Transpose(batch * x, rows // batch)
        yield Product(core, rows, x * before, y * after, _axes(shape, core, moves))
        rows *= y
