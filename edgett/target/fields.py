"""A target's profile, field by field, in words."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edgett.target.profile import Fact, Target, leaves
from edgett.target.units import Unit


@dataclass(frozen=True)
class Explained:
    """A field of a profile. `origin` is a document's address, "estimate" or "choice"."""

    key: str
    value: str
    meaning: str
    origin: str


def describe(target: Target) -> tuple[Explained, ...]:
    """Every field of the profile with its value, its meaning and where it comes from, for `edgett targets show`."""
    rows = []
    for key, value, field in leaves(target):
        meaning = field.description or ""
        if isinstance(value, Fact):
            text = _text(value.value, _unit(type(value).model_fields["value"]))
            rows.append(Explained(key, text, meaning, target.sources[value.source] if value.source else "estimate"))
        elif key != "sources":
            rows.append(Explained(key, _text(value, _unit(field)), meaning, "choice"))
    return tuple(rows)


def _unit(field: FieldInfo) -> Unit | None:
    parts = (field.annotation, *get_args(field.annotation))
    known = [*field.metadata, *(entry for part in parts for entry in getattr(part, "__metadata__", ()))]
    return next((entry for entry in known if isinstance(entry, Unit)), None)


def _text(value: object, unit: Unit | None) -> str:
    if value is None:
        return "not set"
    if isinstance(value, dict) and any(isinstance(row, BaseModel) for row in value.values()):
        return f"{len(value)} tables"
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and unit:
        return unit.text(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
