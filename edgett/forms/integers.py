"""A weight rebuilt from int8 factors in whole numbers, by the one arithmetic that hardware, C and NumPy share.

An entry is a product of a row, matrices and a column of int8 numbers, from the left. Each row vector on the way is
rounded to int16, the entry to int8: (sum x multiplier + 2^(shift - 1)) >> shift, which rounds halves up, then clipped
to +-32767 or +-127. Sums take 32 bits, for a rank is at most `MOST_RANK`; a sum times its multiplier takes 47.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    def half(self) -> int:
        """What is added before the shift."""
        return 1 << self.shift >> 1

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
        moved = (sums.astype(np.int64) * self.multiplier + self.half) >> self.shift
        return np.clip(moved, -self.most, self.most)


@dataclass(frozen=True)
class Rebuilding:
    """How the weight of a layer comes of int8 factors.

    Attributes:
        stages: the factors, their numbers from -127 to 127.
        roundings: how each stage but the first rounds, the last one to int8.
        step: what one of the weight's codes stands for.
    """

    stages: tuple[Stage, ...]
    roundings: tuple[Rounding, ...]
    step: float

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
        first, *others = self.stages
        rows = first.matrices.reshape(first.values, -1).astype(np.float64)
        for stage, rounding in zip(others, self.roundings, strict=True):
            rows = rounding.of(multiplied(rows, _exact(stage))).astype(np.float64)
        return rows.ravel().astype(np.int8)

    def codes(self) -> NDArray[np.int8]:
        """Rebuild the weight as it is stored.

        Returns:
            A code for each entry, row by row.
        """
        found = np.zeros(entries(self.stages), np.int8)
        found[addresses(self.stages)] = self.stream()
        return found


def quantised(stages: Sequence[Stage]) -> Rebuilding:
    """Round the factors of a weight to int8, each with a scale of its own, and find how sums are to be rounded.

    Vectors between take as many of 16 bits as a shift leaves them, the weight the whole of its 8.

    Args:
        stages: at least two, in floating numbers.

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
    rows = whole[0].matrices.reshape(whole[0].values, -1).astype(np.float64)
    roundings: list[Rounding] = []
    for stage in whole[1:]:
        sums = multiplied(rows, _exact(stage))
        largest = float(np.abs(sums).max())
        roundings.append(_down(largest) if len(roundings) < len(whole) - 2 else _to_weight(largest))
        rows = roundings[-1].of(sums).astype(np.float64)
    return Rebuilding(whole, tuple(roundings), math.prod(scales) * math.prod(each.step for each in roundings))


def _exact(stage: Stage) -> Stage:
    """In float64, whose products and sums of such whole numbers are exact, and as fast as they can be had."""
    return replace(stage, matrices=stage.matrices.astype(np.float64))


def _down(largest: float) -> Rounding:
    """By a shift alone."""
    return Rounding(1, max(math.ceil(math.log2(largest / VECTOR)), 0) if largest else 0, VECTOR)


def _to_weight(largest: float) -> Rounding:
    """So that the largest sum becomes 127."""
    ratio = FACTOR / max(largest, 1.0)
    shift = PRECISION - math.frexp(ratio)[1]
    return Rounding(min(round(ratio * 2.0**shift), (1 << PRECISION) - 1), shift, FACTOR)
