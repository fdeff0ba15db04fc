"""What the plan of a form is made of: operators that take an input to an output, one after the other.

One plan serves everything: the Keras layer executes it, costs add it up, and the exported graphs hold exactly these
operators, so that what was predicted can be compared with what was written.

An operator reads what the one before it has written, unless `of` tells which results: 0 is the input of the layer, k
what the k-th operator writes. Tensors have the batch in front of the first operator and behind the last one.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from edgett.forms.window import Window


class Moves(enum.Enum):
    """What a transpose moves at once; the products and their results are the same either way."""

    NUMBERS = "numbers"
    """Each by itself: ONNX Runtime is up to three times as fast so."""
    RUNS = "runs"
    """The numbers of a rank together, where they are more than the axis is long: LiteRT is up to half as fast again."""


@dataclass(frozen=True)
class Reshape:
    """Read the same numbers under other sizes, `dims`."""

    dims: tuple[int, ...]
    of: tuple[int, ...] = field(default=(), kw_only=True)

    @property
    def reads(self) -> int:
        """Elements read, and written."""
        return math.prod(self.dims)

    writes = reads
    flops = macs = 0


@dataclass(frozen=True)
class Transpose:
    """Copy a matrix of (rows, columns) so that its rows become columns; an entry is `run` numbers in a row."""

    rows: int
    columns: int
    run: int = 1
    of: tuple[int, ...] = field(default=(), kw_only=True)
    flops = macs = 0

    @property
    def dims(self) -> tuple[int, ...]:
        """The sizes of the tensor that it reads."""
        return (self.rows, self.columns, self.run)[: len(self.axes)]

    @property
    def made(self) -> tuple[int, ...]:
        """The sizes of the tensor that it writes."""
        return (self.columns, self.rows, self.run)[: len(self.axes)]

    @property
    def axes(self) -> tuple[int, ...]:
        """Its permutation: for each axis of the result the axis of the input, as `numpy.transpose` takes it."""
        return (1, 0) if self.run == 1 else (1, 0, 2)

    @property
    def reads(self) -> int:
        """Elements read."""
        return math.prod(self.dims)

    writes = reads


@dataclass(frozen=True)
class Product:
    """Multiply an input (rows, inner) by a matrix (inner, columns).

    Attributes:
        factor: the number of the factor that the matrix is, brought into its shape.
        rows: those of the input; they grow with the batch.
        inner: the length of the sums.
        columns: those of the matrix.
        axes: how to transpose the factor before it is reshaped to the matrix; none: not at all.
        of: the results that it reads (see `sources`); none: that of the operator before it.
    """

    factor: int
    rows: int
    inner: int
    columns: int
    axes: tuple[int, ...] = ()
    of: tuple[int, ...] = field(default=(), kw_only=True)

    @property
    def reads(self) -> int:
        """Elements read, the factor not among them."""
        return self.rows * self.inner

    @property
    def writes(self) -> int:
        """Elements written."""
        return self.rows * self.columns

    @property
    def stored(self) -> int:
        """Numbers stored in the factor."""
        return self.inner * self.columns

    @property
    def macs(self) -> int:
        """Multiplications that an addition follows."""
        return self.rows * self.inner * self.columns

    @property
    def flops(self) -> int:
        """FLOPs: one for a multiplication, one for an addition."""
        return 2 * self.macs


@dataclass(frozen=True)
class Convolve:
    """Move a window over images, and multiply what it sees by a factor.

    Attributes:
        factor: the number of the factor that the weight is: (*kernel, inputs, outputs), or (*kernel, inputs, 1).
        batch: the images.
        window: how it moves.
        inputs: the channels that it reads.
        outputs: the channels that it writes.
        depthwise: whether each channel has a window of its own.
        of: the results that it reads (see `sources`); none: that of the operator before it.
    """

    factor: int
    batch: int
    window: Window
    inputs: int
    outputs: int
    depthwise: bool = False
    of: tuple[int, ...] = field(default=(), kw_only=True)

    @property
    def reads(self) -> int:
        """Elements read, the factor not among them."""
        return self.batch * self.window.pixels * self.inputs

    @property
    def writes(self) -> int:
        """Elements written."""
        return self.batch * self.window.positions * self.outputs

    @property
    def stored(self) -> int:
        """Numbers stored in the factor."""
        return self.window.taps * self.outputs * (1 if self.depthwise else self.inputs)

    @property
    def macs(self) -> int:
        """Multiplications that an addition follows, those with the zeros around an image among them."""
        return self.batch * self.window.positions * self.stored

    @property
    def flops(self) -> int:
        """FLOPs: one for a multiplication, one for an addition."""
        return 2 * self.macs


@dataclass(frozen=True)
class Mul:
    """Multiply each of `rows` rows by factor number `factor`, element by element."""

    factor: int
    rows: int
    columns: int
    of: tuple[int, ...] = field(default=(), kw_only=True)
    macs = 0

    @property
    def reads(self) -> int:
        """Elements read, the factor not among them; as many are written, by one FLOP each."""
        return self.rows * self.columns

    writes = flops = reads

    @property
    def stored(self) -> int:
        """Numbers stored in the factor."""
        return self.columns


@dataclass(frozen=True)
class Add:
    """Add two tensors of (rows, columns), the results that `of` names."""

    rows: int
    columns: int
    of: tuple[int, ...] = field(kw_only=True)
    macs = 0

    @property
    def reads(self) -> int:
        """Elements read."""
        return 2 * self.writes

    @property
    def writes(self) -> int:
        """Elements written, by one FLOP each."""
        return self.rows * self.columns

    flops = writes


Operator = Reshape | Transpose | Product | Convolve | Mul | Add
Plan = Sequence[Operator]


def sources(plan: Plan) -> Iterator[tuple[int, ...]]:
    """For each operator of a plan the results that it reads.

    Args:
        plan: operators, one after the other.

    Returns:
        The numbers of the results: 0 is the input, k what the k-th operator writes.
    """
    return (operator.of or (index,) for index, operator in enumerate(plan))


def peak(plan: Plan, inputs: int) -> int:
    """The most elements that are alive while an operator runs: what it reads and writes, and what is read later.

    Args:
        plan: operators, one after the other.
        inputs: the elements of the input.

    Returns:
        Elements, stored factors not among them.
    """
    last = dict[int, int]()
    for index, read in enumerate(sources(plan)):
        last.update(dict.fromkeys(read, index))
    sizes = [inputs, *(operator.writes for operator in plan)]
    alive = (
        sizes[index + 1] + sum(sizes[result] for result, end in last.items() if result <= index <= end)
        for index in range(len(plan))
    )
    return max(alive)


def moved(plan: Plan) -> int:
    """Elements that the transposes of a plan copy."""
    return sum(operator.writes for operator in plan if isinstance(operator, Transpose))


def for_any(two: Plan, three: Plan) -> tuple[Operator, ...]:
    """The plan for a batch of any size, from those for two sizes: a size that grows with the batch is -1.

    That is at most one an operator, as a reshape wants it.

    Args:
        two: the plan for two samples.
        three: that for three.

    Returns:
        The plan.
    """

    def open_size(here: Any, there: Any) -> Any:
        if isinstance(here, tuple):
            return tuple(map(open_size, here, there))
        return here if here == there else -1

    def open_all(one: Operator, other: Operator) -> Operator:
        sizes = {each.name: open_size(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)}
        return replace(one, **sizes)

    return tuple(open_all(*pair) for pair in zip(two, three, strict=True))


def last_factors(plan: Plan) -> set[int]:
    """The factors that the output is linear in all together: on each way from it to the input the first one met.

    Args:
        plan: operators, one after the other.

    Returns:
        The numbers of the factors.

    Raises:
        ValueError: where a way meets no factor.
    """
    read = list(sources(plan))
    found, ahead = set[int](), [len(plan)]
    while ahead:
        result = ahead.pop()
        if result == 0:
            raise ValueError("an input reaches the output past all factors")
        operator = plan[result - 1]
        if isinstance(operator, (Product, Convolve, Mul)):
            found.add(operator.factor)
        else:
            ahead += read[result - 1]
    return found
