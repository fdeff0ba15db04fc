"""What the sources of a package are."""

from __future__ import annotations

import enum


class SourceKind(enum.Enum):
    """What the sources are: C99 that runs by itself, or a model for LiteRT for Microcontrollers."""

    C = "c"
    TFLM = "tflm"

    @property
    def suffix(self) -> str:
        """Of the artefact that they are made from."""
        return {SourceKind.C: ".onnx", SourceKind.TFLM: ".tflite"}[self]
