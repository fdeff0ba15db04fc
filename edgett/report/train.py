"""A network that was trained in low-rank forms, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.report.style import Sheet, number, title, words

PHASES = {"dense": "dense", "low_rank": "low rank", "dense_again": "dense again", "search": "search of forms"}


def drawn(document: Mapping[str, Any]) -> RenderableType:
    """The answer of `edgett train`."""
    before, after = document["params"]["before"], document["params"]["after"]
    head = title(f"{document['model']}: {before:,} parameters, {after:,} of them left")
    times = Sheet(words("phase"), number("epochs"), number("time"))
    for name, told in PHASES.items():
        if document["seconds"][name]:
            times.add(told, str(document["epochs"].get(name, "")), f"{document['seconds'][name]:,.1f} s")
    forms = Sheet(words("layer"), words("form"), number("parameters"))
    for layer in document["layers"]:
        forms.add(layer["name"], layer["form"], f"{layer['params']:,}")
    pairs = zip(document["accuracy"], document["test_accuracy"], strict=True)
    scores = (
        f"{one['output']} {one['metric']}: validation {_digits(one['value'])}, test {_digits(other['value'])}"
        for one, other in pairs
    )
    return Group(head, times, forms, Text("\n".join(scores)))


def _digits(value: float | None) -> str:
    return "no number" if value is None else f"{value:.4f}"
