"""The type of the numbers that a runtime computes on."""

from __future__ import annotations

import enum


class DType(enum.Enum):
    """The type of the numbers in the exported file."""

    FLOAT32 = "float32"
    INT8 = "int8"

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return {DType.FLOAT32: 4, DType.INT8: 1}[self]
