"""The contraction of an input with a TT weight, operator by operator.

One plan serves everything: `nn.tt_dense` executes it, `space.cost` adds it up, and the exported graphs hold exactly
these operators, so that what was predicted can be compared with what was written.

Every core is one matrix product with a constant on the right. Between two products stands one transpose; the last one
(or, first to last, the first one) brings the batch back to the front. All are of matrices: the constant is laid out so
that a transpose has to bring one axis alone from the back to the front, or the other way, and runtimes are fastest at
that. What moves is a number, or where a runtime is faster so (`Moves`), all the numbers of a rank together.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgett.values import Order, TTShape


class Moves(enum.Enum):
    """What transposes move; the products and their results are the same."""

    NUMBERS = "numbers"
    """Each by itself: ONNX Runtime is up to three times as fast so."""
    RUNS = "runs"
    """The numbers of a rank together, where they are more than the axis is long: LiteRT is up to half as fast again."""


@dataclass(frozen=True)
class Reshape:
    """Read the same numbers as `dims`."""

    dims: tuple[int, ...]

    @property
    def reads(self) -> int:
        """Elements read."""
        return math.prod(self.dims)

    writes = reads


@dataclass(frozen=True)
class Transpose:
    """Copy a matrix of (rows, columns) so that its rows become columns; an entry is a run of so many numbers."""

    rows: int
    columns: int
    run: int = 1

    @property
    def dims(self) -> tuple[int, ...]:
        """What it reads."""
        return (self.rows, self.columns, self.run)[: len(self.axes)]

    @property
    def made(self) -> tuple[int, ...]:
        """What it writes."""
        return (self.columns, self.rows, self.run)[: len(self.axes)]

    @property
    def axes(self) -> tuple[int, ...]:
        """Which axis of what it reads each axis of what it writes is."""
        return (1, 0) if self.run == 1 else (1, 0, 2)

    @property
    def reads(self) -> int:
        """Elements read."""
        return math.prod(self.dims)

    writes = reads


@dataclass(frozen=True)
class Product:
    """Multiply (rows, inner) by the matrix (inner, columns) of core number `core`."""

    core: int
    rows: int
    inner: int
    columns: int

    @property
    def reads(self) -> int:
        """Elements read, the constant not among them."""
        return self.rows * self.inner

    @property
    def writes(self) -> int:
        """Elements written."""
        return self.rows * self.columns

    @property
    def flops(self) -> int:
        """Two for a multiplication and its addition."""
        return 2 * self.rows * self.inner * self.columns


Operator = Reshape | Transpose | Product


def plan(shape: TTShape, batch: int | None = 1, moves: Moves = Moves.NUMBERS) -> tuple[Operator, ...]:
    """The operators that map an input (batch, X) to an output (batch, Y), the bias left out.

    With a `batch` of None the sizes that grow with the batch are -1: at most one an operator, as a reshape wants it.
    """
    if batch is None:
        return tuple(_open(*pair) for pair in zip(plan(shape, 2, moves), plan(shape, 3, moves), strict=True))
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


def matrix_axes(shape: TTShape, core: int, moves: Moves = Moves.NUMBERS) -> tuple[int, int, int, int]:
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
        yield Product(core, rows, x * after, y * before)
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
        yield Product(core, rows, x * before, y * after)
        rows *= y


def _open(two: Operator, three: Operator) -> Operator:
    """The operator for any batch, from the same one for two samples and for three."""
    if isinstance(two, Product):
        return replace(two, rows=-1)
    assert not isinstance(three, Product), "both plans have the same operators"
    if isinstance(two, Transpose) and isinstance(three, Transpose):
        rows, columns = (a if a == b else -1 for a, b in ((two.rows, three.rows), (two.columns, three.columns)))
        return replace(two, rows=rows, columns=columns)
    return Reshape(tuple(a if a == b else -1 for a, b in zip(two.dims, three.dims, strict=True)))
