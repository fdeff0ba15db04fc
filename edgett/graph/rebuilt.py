"""What a weight takes that is not stored but rebuilt from int8 factors before its layer runs, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # NumPy takes long to load, and graphs are there without it
    from edgett.forms.integers import Rebuilding

_HEAD, _FACTOR, _AXIS, _NUMBER = 3, 6, 2, 4
"""Numbers of a plan: of all, of each factor, of each of its axes; bytes of one."""


@dataclass(frozen=True)
class RebuildRoom:
    """The bytes of a rebuilt weight.

    Attributes:
        rows: of RAM for the vectors between the factors.
        weight: of RAM for itself.
        stored: of flash for factors, how they are multiplied, and how columns are rounded.
        macs: multiply-accumulates that rebuild it.
    """

    rows: int
    weight: int
    stored: int
    macs: int

    @classmethod
    def of(cls, made: Rebuilding) -> RebuildRoom:
        """Count them.

        Args:
            made: how the weight is rebuilt.

        Returns:
            That.
        """
        *before, _ = made.stages
        axes = sum(len(stage.axes) for stage in made.stages)
        plan = _HEAD + _FACTOR * len(made.stages) + _AXIS * axes + len(made.columns)
        vectors, macs = 1, 0
        for place, stage in enumerate(made.stages):
            vectors *= stage.values
            macs += vectors * stage.after * (1 if stage.diagonal else stage.before) if place else 0
        rows = -(-2 * sum(stage.after for stage in before) // 4) * 4
        return cls(rows, vectors, made.stored + _NUMBER * plan, macs)

    @property
    def ram(self) -> int:
        """Of RAM while the layer runs."""
        return self.rows + self.weight
