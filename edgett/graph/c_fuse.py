"""Two products computed together, block by block, so that no whole tensor lies between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FOUR = 4
"""Columns that a product takes at once: a block begins with one of these."""
_ENOUGH = 16
"""Columns with which it takes less than a tenth more to begin with each row again."""


@dataclass(frozen=True)
class Blocks:
    """How the rows of a second product read what a first one makes, and how many of them at once.

    Row (j, i) of `across` times `along` reads the i-th `rows` rows and the j-th `columns` columns of the first, and
    nothing else. At once are computed `wide` j and `high` i: all i where that is more than one j.
    """

    across: int
    along: int
    rows: int
    columns: int
    wide: int
    high: int

    @classmethod
    def of(cls, across: int, along: int, rows: int, columns: int, pairs: bool) -> Blocks:
        """Choose small blocks: of whole fours of columns, and of no fewer columns than pay a beginning if there can be.

        Args:
            across: the groups of columns of the first product.
            along: its groups of rows.
            rows: the rows of such a group.
            columns: the columns of such a group.
            pairs: whether pairs of rows are faster.

        Returns:
            The blocks; of a single one there is nothing to gain.
        """
        able = [wide for wide in _divisors(across) if wide * columns % _FOUR == 0 or wide == across]
        wide = next((wide for wide in able[:-1] if wide * columns >= _ENOUGH), able[0])
        if wide > 1 or along == 1:
            odd = pairs and wide * along % 2
            wide = next((other for other in able[:-1] if other > wide and other % 2 == 0), wide) if odd else wide
            return cls(across, along, rows, columns, wide, along)
        return cls(across, along, rows, columns, 1, 2 if pairs and along % 2 == 0 else 1)

    @property
    def at_once(self) -> int:
        """The rows of the second product in a block."""
        return self.wide * self.high

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return self.across * self.along // self.at_once

    @property
    def held(self) -> int:
        """The numbers that a block of the first product makes: what the second reads of it."""
        return self.at_once * self.rows * self.columns


@dataclass(frozen=True)
class Reading:
    """How rows of a second product read the results of a first.

    Attributes:
        columns: (across, held) those of the first that each block of columns has.
        at: (rows, held) the places of a group of rows and one of columns in a row of the second.
        along: the groups of rows.
    """

    columns: NDArray[np.int64]
    at: NDArray[np.int64]
    along: int

    @classmethod
    def of(cls, rows: int, columns: int, turned: Sequence[tuple[int, int]], inner: int) -> Reading | None:
        """Look for a pattern.

        Args:
            rows: those of the first product.
            columns: its columns.
            turned: the matrices that its results are read as and transposed, one after the other.
            inner: the length of a row of the second.

        Returns:
            It; None where it is no pattern of blocks.
        """
        import numpy as np

        read: NDArray[np.int64] = np.arange(rows * columns)
        for dims in turned:
            read = read.reshape(dims).T.ravel()
        read = read.reshape(-1, inner)
        down, across = read // columns, read % columns
        first, held = np.unique(down[0]), np.unique(across[0])
        along = rows // len(first)
        if len(first) * len(held) != inner or rows % len(first) or len(read) % along:
            return None
        low, local = np.searchsorted(first, down[0]), np.searchsorted(held, across[0])
        found = np.zeros((len(read) // along, len(held)), np.int64)
        found[:, local] = across[::along]
        groups = np.arange(along)[:, None] * len(first)
        expected = (low + groups)[None] * columns + found[:, None, local]
        at = np.zeros((len(first), len(held)), np.int64)
        at[low, local] = np.arange(inner)
        return cls(found, at, along) if np.array_equal(expected.reshape(read.shape), read) else None

    def blocks(self, pairs: bool) -> Blocks:
        """Small ones; `pairs`: whether pairs of rows are faster."""
        rows, columns = self.at.shape
        return Blocks.of(len(self.columns), self.along, rows, columns, pairs)


def _divisors(number: int) -> list[int]:
    small = [one for one in range(1, math.isqrt(number) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)})
