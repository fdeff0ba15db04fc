"""A weight whose every entry is a product of matrices: one of each factor, chosen by a part of the entry's place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Axis = tuple[int, int]
"""An axis of a weight: its place among all of them, outermost first, and its size."""


@dataclass(frozen=True)
class Stage:
    """A factor as the matrices of one digit: where an entry lies along some axes of the weight chooses one of them.

    An entry of the weight is the product of the matrices that its digits choose, the first a row, the last a column.

    Attributes:
        axes: the axes that the digit runs over, the last one fastest.
        matrices: (values, before, after) for each value of the digit; (values, after) has diagonal ones.
    """

    axes: tuple[Axis, ...]
    matrices: NDArray[Any]

    @property
    def values(self) -> int:
        """How many values the digit has."""
        return len(self.matrices)

    @property
    def diagonal(self) -> bool:
        """Whether its matrices are diagonal ones."""
        return self.matrices.ndim == 2

    @property
    def before(self) -> int:
        """The numbers of the row vector that it is given."""
        return int(self.matrices.shape[1])

    @property
    def after(self) -> int:
        """The numbers of the row vector that it makes."""
        return int(self.matrices.shape[-1])


def strides(stages: Sequence[Stage]) -> dict[int, int]:
    """How far entries lie apart in a weight stored row by row.

    Args:
        stages: those of the weight.

    Returns:
        Entries to the next one along each axis, by the place of the axis.
    """
    found, step = dict[int, int](), 1
    for place, size in sorted((axis for stage in stages for axis in stage.axes), reverse=True):
        found[place] = step
        step *= size
    return found


def addresses(stages: Sequence[Stage]) -> NDArray[np.int64]:
    """Where entries lie, the last digit running fastest.

    Args:
        stages: those of a weight.

    Returns:
        The place of each entry in the weight stored row by row.
    """
    apart, found = strides(stages), np.zeros(1, np.int64)
    for place, size in (axis for stage in stages for axis in stage.axes):
        found = (found[:, np.newaxis] + apart[place] * np.arange(size)).ravel()
    return found


def multiplied(before: NDArray[Any], stage: Stage) -> NDArray[Any]:
    """Multiply row vectors by the matrices of a stage.

    Args:
        before: (n, stage.before), a vector for each value of the digits so far.
        stage: the next one.

    Returns:
        (n x values, after), the digit of the stage running fastest.
    """
    if stage.diagonal:
        return (before[:, np.newaxis] * stage.matrices).reshape(-1, stage.after)
    flat = stage.matrices.transpose(1, 0, 2).reshape(stage.before, -1)
    return (before @ flat).reshape(-1, stage.after)


def period(stages: Sequence[Stage], place: int) -> int:
    """Cycles from one row vector of a stage to the next, where every stage makes one number of its vectors a cycle.

    T_k = max(r_k, n_{k+1} T_{k+1}) with T_L = 1: the next stage takes n_{k+1} T_{k+1} cycles over a vector of r_k
    numbers; those of the first one lie ready, for r_1 there is 1. Where no rank exceeds what all digits behind it can
    tell apart, as in every train that is not wasteful, that is the product of n_{k+1} to n_L: an entry a cycle.

    Args:
        stages: those of a weight.
        place: the stage's.

    Returns:
        T_k.
    """
    if place == len(stages) - 1:
        return 1
    least = stages[place].after if place else 1
    return max(least, stages[place + 1].values * period(stages, place + 1))


def cycles(stages: Sequence[Stage]) -> int:
    """Cycles from the first entry of a weight to the last, by the same pipeline.

    Args:
        stages: those of a weight.

    Returns:
        The sum of (n_k - 1) T_k; one less than the entries where one comes a cycle.
    """
    return sum((stage.values - 1) * period(stages, place) for place, stage in enumerate(stages))


def entries(stages: Sequence[Stage]) -> int:
    """Count the entries of a weight.

    Args:
        stages: those of the weight.

    Returns:
        The product of the values of all digits.
    """
    return math.prod(stage.values for stage in stages)
