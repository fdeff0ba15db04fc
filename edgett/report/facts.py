"""What a report tells: sections of words, tables and pictures, and the solutions to choose among.

One value, made by `sections`, and rendered as HTML (`page`), Markdown (`markdown`) and JSON (here). Text is plain: a
renderer escapes it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgett.report.picture import Picture
from edgett.schema import SCHEMA
from edgett.search.constraints import FLOPS, MODEL_BYTES, Constraint, Objective


class Mood(enum.Enum):
    """What a cell says about its value."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True)
class Cell:
    """A value and its words; `share`, between 0 and 1, is drawn as a bar beside it."""

    value: float | str | bool | None
    text: str
    mood: Mood = Mood.PLAIN
    share: float | None = None


@dataclass(frozen=True)
class Column:
    """A column's title, and whether numbers stand in it."""

    title: str
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of one cell a column; the first names the row."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells under {len(self.columns)} columns")


@dataclass(frozen=True)
class Section:
    """A part of the report; `name` is that of its place in the page. The words tell what the picture shows."""

    name: str
    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    picture: Picture | None = None
    code: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """A solution that may be chosen: what the constraints limit, `limited`, and how to have it.

    A drop of None: its trial failed or diverged. `eligible`: trained to the end, and not all dense again for being
    slow, without which nothing is picked. `roles` names the picks that it is, `shapes` its layers and their forms.
    `instructions`: those of C, as far as they are known.
    """

    solution: int
    params: int
    macs: int
    limited: Mapping[Constraint, Any]
    feasible: bool
    eligible: bool
    roles: tuple[str, ...]
    shapes: tuple[tuple[str, str], ...]
    command: str
    instructions: int | None = None

    def __getitem__(self, row: Constraint) -> Any:
        """What it has of that constraint; None where that is not known."""
        return self.limited[row]

    def document(self) -> dict[str, Any]:
        """What it is as JSON, the figures that are limited under the names of their constraints."""
        first = MODEL_BYTES, FLOPS
        rest = (row for row in self.limited if row not in first)
        return {
            "solution": self.solution,
            "params": self.params,
            **{row.name: self[row] for row in first},
            "macs": self.macs,
            "instructions": self.instructions,
            **{row.name: self[row] for row in rest},
            "feasible": self.feasible,
            "eligible": self.eligible,
            "roles": list(self.roles),
            "shapes": dict(self.shapes),
            "command": self.command,
        }


@dataclass(frozen=True)
class Figure:
    """A number of the verdict: of the dense model, of the recommended one, and what became of it in words.

    `dense` is empty where that is the recommended one, and its number all there is to say.

    `share` is what the recommended one has of the dense one's, None where a share says nothing.
    """

    title: str
    dense: str
    picked: str
    change: str
    mood: Mood
    share: float | None = None


@dataclass(frozen=True)
class Report:
    """A run as a whole; the verdict is the first section. `dense` is the option that replaces nothing.

    A limit of None: there is none.

    `figures` are the gist of the verdict's first table; there are none without picks.
    """

    title: str
    sections: tuple[Section, ...]
    dense: Option
    options: tuple[Option, ...]
    limits: Mapping[Constraint, float | None]
    objective: Objective
    figures: tuple[Figure, ...] = ()


def document(report: Report) -> dict[str, Any]:
    """The report as JSON: values where the other renderings have words, and no pictures."""
    return {
        "schema": SCHEMA,
        "title": report.title,
        "sections": [_section(section) for section in report.sections],
        "objective": report.objective.value,
        "limits": [{"name": row.name, "title": row.heading, "limit": limit} for row, limit in report.limits.items()],
        "dense": report.dense.document(),
        "solutions": [option.document() for option in report.options],
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "words": list(section.words),
        "tables": [
            {
                "title": table.title,
                "columns": [column.title for column in table.columns],
                "rows": [[cell.value for cell in row] for row in table.rows],
            }
            for table in section.tables
        ],
        "code": list(section.code),
    }
