"""A picture as JSON, to be drawn later without counting anew what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from edgett.report.picture import Axis, Heat, Hue, Mark, Note, Panel, Picture, Points, Rules, Scale

_KINDS: Mapping[str, Any] = {"heat": Heat, "points": Points, "rules": Rules, "note": Note}
_ENUMS: Mapping[str, Any] = {"scale": Scale, "mark": Mark, "hue": Hue}


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


def restored(given: Mapping[str, Any]) -> Picture:
    """The picture again. Raises KeyError, TypeError or ValueError for what is none."""
    panels = tuple(
        Panel(one["title"], Axis(**_read(one["x"])), Axis(**_read(one["y"])), tuple(map(_layer, one["layers"])))
        for one in given["panels"]
    )
    return Picture(given["title"], panels, given["columns"], tuple(given["remarks"]))


def _kind(layer: object) -> str:
    return next(name for name, kind in _KINDS.items() if isinstance(layer, kind))


def _plain(value: Any) -> dict[str, Any]:
    return {field.name: _number(getattr(value, field.name)) for field in fields(value)}


def _number(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.value if isinstance(value, (Scale, Mark, Hue)) else value


def _layer(given: Mapping[str, Any]) -> Heat | Points | Rules | Note:
    rest = {name: value for name, value in given.items() if name != "kind"}
    if given["kind"] == "heat":
        x, y, counts = (np.array(rest[name], np.int64) for name in ("x", "y", "counts"))
        return Heat(x, y, counts, rest["unit"])
    made: Points | Rules | Note = _KINDS[given["kind"]](**_read(rest))
    return made


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    """Names as enumerations, lists as tuples."""
    return {name: _ENUMS[name](value) if name in _ENUMS else _tuple(value) for name, value in given.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
