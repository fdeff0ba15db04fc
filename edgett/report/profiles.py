"""Targets as JSON documents and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from edgett.targets import Target, describe


def listed(targets: Iterable[Target]) -> dict[str, Any]:
    """The document of `targets list`."""
    rows = [{"name": target.name, "title": target.title} for target in targets]
    return {"schema": 1, "targets": rows}


def shown(target: Target) -> dict[str, Any]:
    """The document of `targets show` and `targets check`."""
    fields = [
        {"key": row.key, "value": row.value, "meaning": row.meaning, "origin": row.origin} for row in describe(target)
    ]
    return {"schema": 1, "name": target.name, "title": target.title, "sources": target.sources, "fields": fields}


def draw_list(document: Mapping[str, Any]) -> RenderableType:
    """Names and titles."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("target")
    table.add_column("device")
    for row in document["targets"]:
        table.add_row(escape(row["name"]), escape(row["title"]))
    return table


def draw(document: Mapping[str, Any]) -> RenderableType:
    """Every field; sources by their key, listed below."""
    keys = {address: key for key, address in document["sources"].items()}
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("field", "value", "meaning", "from"):
        table.add_column(name, overflow="fold")
    for row in document["fields"]:
        origin = keys.get(row["origin"], row["origin"])
        table.add_row(*(escape(text) for text in (row["key"], row["value"], row["meaning"], origin)))
    lines = [Text(f"{key}: {address}", overflow="fold") for key, address in document["sources"].items()]
    return Group(Text(document["title"], style="bold"), table, *lines)
