"""A slimmed model as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.report.style import Sheet, number, remark, title, words


def drawn(document: Mapping[str, Any]) -> RenderableType:
    """The answer of `edgett slim`."""
    before, after = document["params"]["before"], document["params"]["after"]
    head = title(f"{document['model']}: {before:,} parameters, {after:,} of them left")
    if not document["layers"]:
        return Group(head, remark("every channel contributes"))
    table = Sheet(words("layer"), number("channels removed"))
    for layer in document["layers"]:
        table.add(layer["name"], f"{layer['removed']:,}")
    how = f"largest difference of an output: {document['max_abs']:.2g}"
    folded = document["folded"]
    constants = "all of them were zero, or read by nothing"
    if folded:
        constants = f"{folded:,} of them were constants, now in biases"
    return Group(head, table, Text(constants), Text(how))
