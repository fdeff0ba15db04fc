"""A weight rebuilt from int8 factors in whole numbers, by the one arithmetic that hardware, C and NumPy share.

An entry is a product of a row, matrices and a column of int8 numbers, from the left. Each row vector on the way is
rounded to int16, the entry to int8: (sum x multiplier + 2^(shift - 1)) >> shift, which rounds halves up, then clipped
to +-32767 or +-127. Sums take 32 bits, for a rank is at most `MOST_RANK`; a sum times its multiplier takes 47.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ModelError
from edgett.forms.stages import Stage, addresses, entries, multiplied

FACTOR, VECTOR = 127, 32767
"""The largest number of a factor and of a weight, and of a vector between: int8 and int16."""
PRECISION = 15
"""Bits of a multiplier."""
MOST_RANK = 512
"""With more, 127 x 32767 times the rank does not fit 32 bits."""


@dataclass(frozen=True)
class Rounding:
    """How a sum becomes a number of fewer bits: times `multiplier`, `shift` bits down, at most `most`."""

    multiplier: int
    shift: int
    most: int

    @property
    def step(self) -> float:
        """What one of the numbers stands for, in units of the sum."""
        return 2.0**self.shift / self.multiplier

    def of(self, sums: NDArray[np.float64]) -> NDArray[np.int64]:
        """Round sums.

        Args:
            sums: whole numbers.

        Returns:
            Whole numbers of at most `most`.
        """
        return _rounded(sums, self.multiplier, self.shift, self.most)


@dataclass(frozen=True)
class Rebuilding:
    """How the weight of a layer comes of int8 factors.

    Attributes:
        stages: the factors, their numbers from -127 to 127.
        roundings: how each stage but the first and the last rounds.
        columns: how the last one does, to int8: one for all columns of the weight, or one for each.
        unit: what one of the last one's sums stands for.
    """

    stages: tuple[Stage, ...]
    roundings: tuple[Rounding, ...]
    columns: tuple[Rounding, ...]
    unit: float

    @property
    def steps(self) -> NDArray[np.float64]:
        """What one of the weight's codes stands for, of all columns or of each."""
        return self.unit * np.array([each.step for each in self.columns])

    @property
    def multipliers(self) -> int:
        """Products that a unit makes a cycle, a number of each vector in one: the ranks, of a diagonal stage 1."""
        return sum(1 if stage.diagonal else stage.before for stage in self.stages[1:])

    @property
    def stored(self) -> int:
        """Numbers of the factors."""
        return sum(stage.matrices.size for stage in self.stages)

    def stream(self) -> NDArray[np.int8]:
        """Rebuild the weight, the last digit of the place running fastest.

        Returns:
            A code for each entry.
        """
        first, *others, last = self.stages
        rows = first.matrices.reshape(first.values, -1).astype(np.float64)
        for stage, rounding in zip(others, self.roundings, strict=True):
            rows = rounding.of(multiplied(rows, _exact(stage))).astype(np.float64)
        column = addresses(self.stages) % len(self.columns)
        multipliers = np.array([each.multiplier for each in self.columns])
        shifts = np.array([each.shift for each in self.columns])
        sums = multiplied(rows, _exact(last)).ravel()
        return _rounded(sums, multipliers[column], shifts[column], FACTOR).astype(np.int8)

    def codes(self) -> NDArray[np.int8]:
        """Rebuild the weight as it is stored.

        Returns:
            A code for each entry, row by row.
        """
        found = np.zeros(entries(self.stages), np.int8)
        found[addresses(self.stages)] = self.stream()
        return found


def quantised(stages: Sequence[Stage], columns: int = 1) -> Rebuilding:
    """Round the factors of a weight to int8, each with a scale of its own, and find how sums are to be rounded.

    Vectors between take as many of 16 bits as a shift leaves them, the weight the whole of its 8, or each column of it.

    Args:
        stages: at least two, in floating numbers.
        columns: those of the weight, if each is to have a step of its own; else 1.

    Returns:
        How the weight is rebuilt.

    Raises:
        ModelError: for a factor that is not finite, and for a rank above `MOST_RANK`.
    """
    if any(not np.isfinite(stage.matrices).all() for stage in stages):
        raise ModelError("a factor is not finite.", "Train the layer again.")
    if (rank := max(stage.before for stage in stages[1:])) > MOST_RANK:
        raise ModelError(f"a rank of {rank} is more than {MOST_RANK}: sums would not fit 32 bits.", "Take a lower one.")
    scales = [float(np.abs(stage.matrices).max()) / FACTOR or 1.0 for stage in stages]
    whole = tuple(
        replace(stage, matrices=np.rint(stage.matrices.astype(np.float64) / scale).astype(np.int8))
        for stage, scale in zip(stages, scales, strict=True)
    )
    first, *others, last = whole
    rows = first.matrices.reshape(first.values, -1).astype(np.float64)
    roundings: list[Rounding] = []
    for stage in others:
        sums = multiplied(rows, _exact(stage))
        roundings.append(_down(float(np.abs(sums).max())))
        rows = roundings[-1].of(sums).astype(np.float64)
    largest = np.zeros(columns)
    np.maximum.at(largest, addresses(whole) % columns, np.abs(multiplied(rows, _exact(last)).ravel()))
    unit = math.prod(scales) * math.prod(each.step for each in roundings)
    return Rebuilding(whole, tuple(roundings), tuple(map(_to_weight, largest.tolist())), unit)


def _exact(stage: Stage) -> Stage:
    """In float64, whose products and sums of such whole numbers are exact, and as fast as they can be had."""
    return replace(stage, matrices=stage.matrices.astype(np.float64))


def _rounded(sums: NDArray[np.float64], multiplier: Any, shift: Any, most: int) -> NDArray[np.int64]:
    """As the module says; multipliers and shifts are numbers, or arrays with one for each sum."""
    half = np.left_shift(1, shift) >> 1
    moved = (sums.astype(np.int64) * multiplier + half) >> shift
    return np.clip(moved, -most, most)


def _down(largest: float) -> Rounding:
    """By a shift alone."""
    return Rounding(1, max(math.ceil(math.log2(largest / VECTOR)), 0) if largest else 0, VECTOR)


def _to_weight(largest: float) -> Rounding:
    """So that the largest sum becomes 127."""
    ratio = FACTOR / max(largest, 1.0)
    shift = PRECISION - math.frexp(ratio)[1]
    return Rounding(min(round(ratio * 2.0**shift), (1 << PRECISION) - 1), shift, FACTOR)
