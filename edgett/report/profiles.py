"""Targets as JSON documents and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.report.style import Sheet, title, words
from edgett.schema import SCHEMA
from edgett.target.estimate import basis
from edgett.target.fields import describe
from edgett.target.profile import Target


def listed(targets: Iterable[Target]) -> dict[str, Any]:
    """The document of `targets list`."""
    rows = [{"name": target.name, "title": target.title} for target in targets]
    return {"schema": SCHEMA, "targets": rows}


def shown(target: Target) -> dict[str, Any]:
    """The document of `targets show` and `targets check`."""
    fields = [
        {"key": row.key, "value": row.value, "meaning": row.meaning, "origin": row.origin} for row in describe(target)
    ]
    return {
        "schema": SCHEMA, "name": target.name, "title": target.title, "sources": target.sources, "fields": fields,
        "latency": " ".join(basis(target)),
    }  # fmt: skip


def draw_list(document: Mapping[str, Any]) -> RenderableType:
    """Names and titles."""
    table = Sheet(words("target"), words("device"))
    for row in document["targets"]:
        table.add(row["name"], row["title"])
    return table


def draw(document: Mapping[str, Any]) -> RenderableType:
    """Every field; sources by their key, listed below."""
    keys = {address: key for key, address in document["sources"].items()}
    table = Sheet(*map(words, ("field", "value", "meaning", "from")))
    for row in document["fields"]:
        origin = keys.get(row["origin"], row["origin"])
        table.add(row["key"], row["value"], row["meaning"], origin)
    lines = [Text(f"{key}: {address}") for key, address in document["sources"].items()]
    return Group(title(document["title"]), table, *lines, Text(document["latency"]))
