"""A picture as JSON, to be drawn later without counting anew what it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, TypeAdapter

from edgett.report.picture import Axis, Heat, Hue, Mark, Note, Panel, Picture, Points, Rules, Scale
from edgett.schema.parts import Count, Part, Real, Text

_KINDS: Mapping[str, Any] = {"heat": Heat, "points": Points, "rules": Rules, "note": Note}


class _Axis(Part):
    title: Text
    low: Real
    high: Real
    scale: Scale = Scale.LINEAR
    whole: bool = False


class _Heat(Part):
    kind: Literal["heat"]
    x: tuple[Count, ...]
    y: tuple[Count, ...]
    counts: tuple[tuple[Count, ...], ...]
    unit: Text


class _Points(Part):
    kind: Literal["points"]
    name: Text
    x: tuple[Real, ...]
    y: tuple[Real, ...]
    mark: Mark
    hue: Hue
    labels: tuple[Text, ...] = ()
    joined: bool = False
    size: Annotated[float, Field(ge=0, le=100)] = 5.0
    stairs: bool = False
    whiskers: tuple[tuple[Real, Real], ...] = ()


class _Rules(Part):
    kind: Literal["rules"]
    name: Text
    x: tuple[Real, ...]
    y: tuple[Real, ...]
    hue: Hue
    dashed: bool = False


class _Note(Part):
    kind: Literal["note"]
    text: Text
    x: Real
    y: Real


class _Panel(Part):
    title: Text
    x: _Axis
    y: _Axis
    layers: tuple[Annotated[_Heat | _Points | _Rules | _Note, Field(discriminator="kind")], ...]


class _Picture(Part):
    title: Text
    columns: Annotated[int, Field(ge=1, le=100)]
    remarks: tuple[Text, ...]
    panels: Annotated[tuple[_Panel, ...], Field(max_length=10_000)]


def stored(picture: Picture) -> dict[str, Any]:
    """The picture as numbers, words and lists."""
    return {
        "title": picture.title,
        "columns": picture.columns,
        "remarks": list(picture.remarks),
        "panels": [
            {
                "title": panel.title,
                "x": _plain(panel.x),
                "y": _plain(panel.y),
                "layers": [{"kind": _kind(layer)} | _plain(layer) for layer in panel.layers],
            }
            for panel in picture.panels
        ],
    }


def _kind(layer: object) -> str:
    return next(name for name, kind in _KINDS.items() if isinstance(layer, kind))


def _plain(value: Any) -> dict[str, Any]:
    return {field.name: _number(getattr(value, field.name)) for field in fields(value)}


def _number(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.value if isinstance(value, (Scale, Mark, Hue)) else value


def restored(given: Mapping[str, Any]) -> Picture:
    """The picture again. Raises ValueError for what is none."""
    made: Picture = CODEC.validate_json(json.dumps(given), strict=True)
    return made


def _made(told: _Picture) -> Picture:
    panels = tuple(
        Panel(one.title, Axis(**dict(one.x)), Axis(**dict(one.y)), tuple(map(_layer, one.layers)))
        for one in told.panels
    )
    return Picture(told.title, panels, told.columns, told.remarks)


def _layer(told: Any) -> Heat | Points | Rules | Note:
    rest = {name: value for name, value in dict(told).items() if name != "kind"}
    if told.kind == "heat":
        if len({len(row) for row in told.counts}) > 1:
            raise ValueError("rows of pixels of one length")
        x, y = np.array(told.x, np.int64), np.array(told.y, np.int64)
        return Heat(x, y, np.array(told.counts, np.int64).reshape(len(told.counts), -1), told.unit)
    made: Points | Rules | Note = _KINDS[told.kind](**rest)
    return made


CODEC: TypeAdapter[Any] = TypeAdapter(Annotated[_Picture, AfterValidator(_made)])
"""Makes a picture of its JSON."""
