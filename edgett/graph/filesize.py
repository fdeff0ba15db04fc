"""The bytes of an exported file, foretold from its operators: its numbers, and what a format puts round them.

What a graph does not tell (how a converter ends a name, how many axes a tensor has) is taken at its usual length.
"""

from __future__ import annotations

import enum

from edgett.graph import c_size, onnx_size, tflite_size
from edgett.graph.graph import Graph


class Format(enum.Enum):
    """The format of the file that is exported."""

    TFLITE = "tflite"
    ONNX = "onnx"
    C = "c"

    @property
    def suffix(self) -> str:
        """The suffix of the file that is held to the budgets; C is made of an .onnx."""
        return ".onnx" if self is Format.C else f".{self.value}"


def file_bytes(graph: Graph, form: Format) -> int:
    """Predict the bytes of an exported file; of C, those that its constants take in flash.

    Args:
        graph: that of the .tflite, or for ONNX and C that of the .onnx; its constants have the widths of the file.
        form: the format.

    Returns:
        Bytes.
    """
    count = {Format.TFLITE: tflite_size.file_bytes, Format.ONNX: onnx_size.file_bytes, Format.C: c_size.file_bytes}
    return count[form](graph)
