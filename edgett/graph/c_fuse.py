"""Two products computed together, block by block, so that no whole tensor lies between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


def _divisors(number: int) -> list[int]:
    small = [one for one in range(1, math.isqrt(number) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)})
