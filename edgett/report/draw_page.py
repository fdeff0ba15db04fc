"""A picture as HTML, drawn by plotly: zooms, and tells at the pointer what a point or a pixel is. Needs no network."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgett.escape import html
from edgett.report import picture as p

PANEL, TITLE, GAP, SIDE = 400, 70, 110, 70
"""Pixels: a panel's height, the band of the title, what stands between two rows, and left of a panel."""
LEGEND = 50
"""Pixels that the legend takes, in two lines where the page is narrow."""
BAR = 0.022
"""Share of the width that a colour bar takes."""

MARKS = {
    p.Mark.DOT: "circle",
    p.Mark.SQUARE: "square",
    p.Mark.DIAMOND: "diamond",
    p.Mark.STAR: "star",
    p.Mark.TRIANGLE: "triangle-up",
    p.Mark.CROSS: "x",
    p.Mark.PLUS: "cross",
    p.Mark.ARROW: "triangle-down",
}
CORNERS = {p.Mark.LOWER_LEFT: 45, p.Mark.LOWER_RIGHT: -45, p.Mark.UPPER_LEFT: 135, p.Mark.UPPER_RIGHT: -135}
"""How far a corner is turned to point at its point, degrees clockwise from up."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>body {{ margin: 1rem auto; max-width: 1400px; background: #fff; font-family: sans-serif; }}</style>
<script>{script}</script>
</head>
<body>
{div}
</body>
</html>
"""


def page(picture: p.Picture) -> str:
    """A page of its own, plotly.js inside."""
    return PAGE.format(title=html(picture.title), script=script(), div=div(picture, "picture"))


def script() -> str:
    """plotly.js, which a page with any number of `div`s holds once."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def div(picture: p.Picture, name: str) -> str:
    """The picture as an element with the id `name`, for a page that holds `script()` before it."""
    import plotly.graph_objects as go

    figure = go.Figure(_figure(picture))
    settings = {"displaylogo": False, "responsive": True}
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, include_mathjax=False, div_id=name, config=settings)
    remarks = "".join(f"\n<p>{html(remark)}</p>" for remark in picture.remarks)
    return f"{drawn}{remarks}"


def figures(picture: p.Picture) -> Iterator[dict[str, Any]]:
    """Each panel for itself, as wide as its place, without a title and in no particular colours of paper.

    A heat map has counts where plotly.js needs what `_toned` makes of them: the page does that, from half the size.
    """
    whole = [0.0, 1.0], [0.0, 1.0]
    for panel in picture.panels:
        traces, notes = _layers(panel, 1, whole, set())
        yield {
            "data": traces,
            "layout": _axes(panel, 1, whole)
            | {
                "template": None,
                "margin": {"l": 64, "r": 12, "t": 12, "b": 56},
                "hovermode": "closest",
                "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
                "annotations": notes,
            },
        }


def _figure(picture: p.Picture) -> dict[str, Any]:
    """Traces and layout as plotly.js takes them."""
    traces: list[dict[str, Any]] = []
    below = LEGEND * bool(picture.legend) + 20
    inner = picture.rows * PANEL + (picture.rows - 1) * GAP
    layout: dict[str, Any] = {
        "title": {"text": f"<b>{_text(picture.title)}</b>", "x": 0.5, "font": {"size": 18}},
        "height": inner + TITLE + GAP // 2 + below,
        "margin": {"l": SIDE, "r": 20, "t": TITLE + 20, "b": GAP // 2 + below - 20},
        "template": None,
        "plot_bgcolor": "#fff",
        "paper_bgcolor": "#fff",
        "font": {"size": 12, "color": "#222"},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0.5, "xanchor": "center", "y": -55 / inner, "yanchor": "top"},
        "annotations": [],
        "shapes": [],
    }
    shown: set[str] = set()
    for number, panel in enumerate(picture.panels, start=1):
        frame = _frame(picture, number - 1)
        layout |= _axes(panel, number, frame)
        layout["annotations"].append(_title(panel.title, frame))
        drawn, notes = _layers(panel, number, frame, shown)
        traces += [_toned(trace) if trace["type"] == "heatmap" else trace for trace in drawn]
        layout["annotations"] += notes
    return {"data": traces, "layout": layout}


Traces = list[dict[str, Any]]


def _layers(
    panel: p.Panel, number: int, frame: tuple[list[float], list[float]], shown: set[str]
) -> tuple[Traces, Traces]:
    """The traces and the annotations of a panel; the names that are `shown` in the legend grow by its own."""
    # plotly draws no axes without a trace: an empty one for each panel
    traces: Traces = [{"type": "scatter", "x": [None], "y": [None], "showlegend": False, **_place(number)}]
    notes: Traces = []
    for layer in panel.layers:
        match layer:
            case p.Heat():
                traces.append(_heat(layer, number, frame))
            case p.Points():
                traces.append(_points(layer, number, first=layer.name not in shown))
                shown.add(layer.name)
            case p.Rules():
                traces += _rules(layer, panel, number, first=layer.name not in shown)
                shown.add(layer.name)
            case p.Note():
                notes.append(_note(layer, number))
    return traces, notes


def _frame(picture: p.Picture, number: int) -> tuple[list[float], list[float]]:
    """The shares of width and height between which a panel lies."""
    row, column = divmod(number, picture.columns)
    inner = picture.rows * PANEL + (picture.rows - 1) * GAP
    top = 1 - row * (PANEL + GAP) / inner
    across = 1 / picture.columns
    left = column * across + (0.04 if column else 0)
    return [left, (column + 1) * across - BAR - 0.04], [max(0.0, top - PANEL / inner), top]


def _axes(panel: p.Panel, number: int, frame: tuple[list[float], list[float]]) -> dict[str, Any]:
    axes = {}
    for letter, other, side, domain in (("x", "y", panel.x, frame[0]), ("y", "x", panel.y, frame[1])):
        log = side.scale is p.Scale.LOG
        ends = [float(np.log10(end)) if log else end for end in (side.low, side.high)]
        axes[f"{letter}axis{number}"] = {
            "title": {"text": _text(side.title), "standoff": 6},
            "type": side.scale.value,
            "range": ends,
            "domain": domain,
            "anchor": _axis(other, number),
            "exponentformat": "SI",
            "minexponent": 2,
            "tickformat": "" if log else "~s" if max(map(abs, ends)) >= 10 else "~r",  # SI would have 0.5 as 500m
            "showgrid": False,
            "zeroline": False,
            "showline": True,
            "mirror": True,
            "ticks": "outside",
            "linecolor": p.Hue.GREY.value,
        } | ({"dtick": 1} if (log and ends[1] - ends[0] > 2) or (side.whole and ends[1] - ends[0] < 12) else {})
    return axes


def _heat(heat: p.Heat, number: int, frame: tuple[list[float], list[float]]) -> dict[str, Any]:
    """Its counts, and a scale for their logarithms."""
    most = max(1.0, float(np.log10(max(1, heat.counts.max(initial=0)))))
    powers = range(int(most) + 1)
    middle, tall = sum(frame[1]) / 2, frame[1][1] - frame[1][0]
    return {
        "type": "heatmap",
        "x": heat.x.tolist(),
        "y": heat.y.tolist(),
        "z": heat.counts.T.tolist(),
        "hovertemplate": f"%{{text}} {_text(heat.unit)}<extra></extra>",
        "hoverongaps": False,
        "zmin": 0.0,
        "zmax": most,
        "colorscale": [[place / (len(p.HEAT) - 1), colour] for place, colour in enumerate(p.HEAT)],
        "colorbar": {
            "x": frame[0][1] + 0.004,
            "y": middle,
            "len": tall,
            "lenmode": "fraction",
            "thickness": 10,
            "outlinewidth": 0,
            "tickvals": list(powers),
            "ticktext": [p.si(10**power) for power in powers],
            "title": {"text": _text(heat.unit), "side": "right"},
        },
        **_place(number),
    }


def _toned(heat: dict[str, Any]) -> dict[str, Any]:
    """A heat map's counts as their logarithms, and in words."""
    logs = [[round(math.log10(count), 4) if count else None for count in row] for row in heat["z"]]
    return heat | {"z": logs, "text": [[f"{count:,}" if count else "" for count in row] for row in heat["z"]]}


def _points(points: p.Points, number: int, *, first: bool) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if points.joined else "markers",
        "x": list(points.x),
        "y": list(points.y),
        "marker": _mark(points),
        "line": {"color": points.hue.value, "width": 1.5, "shape": "hv" if points.stairs else "linear"},
        "error_y": _whiskers(points),
        "text": [_text(label) for label in points.labels] or None,
        "hovertemplate": "%{text}<extra></extra>" if points.labels else "%{x:,}, %{y:,}<extra></extra>",
        **_series(points.name, first=first),
        **_place(number),
    } | ({} if points.size else {"mode": "lines", "hoverinfo": "skip"})


def _mark(points: p.Points) -> dict[str, Any]:
    look = {"color": points.hue.value, "line": {"color": "#fff", "width": 0.5}}
    if points.mark in CORNERS:
        beside = {"angle": CORNERS[points.mark], "standoff": points.size * 0.45}
        return {"symbol": "triangle-up", "size": points.size, **beside, **look}
    return {"symbol": MARKS[points.mark], "size": points.size * 1.6, **look}


def _whiskers(points: p.Points) -> dict[str, Any] | None:
    """How far they reach above and below each point."""
    if not points.whiskers:
        return None
    ends = list(zip(points.y, points.whiskers, strict=True))
    reach = {"array": [high - y for y, (_, high) in ends], "arrayminus": [y - low for y, (low, _) in ends]}
    colour = f"rgba({', '.join(str(part) for part in bytes.fromhex(points.hue.value[1:]))}, 0.35)"
    return {"type": "data", "symmetric": False, **reach, "color": colour, "thickness": 1.5, "width": 0}


def _rules(rules: p.Rules, panel: p.Panel, number: int, *, first: bool) -> Iterator[dict[str, Any]]:
    """One trace with gaps, so that the legend switches all lines together."""
    x: list[float | None] = []
    y: list[float | None] = []
    for place in rules.x:
        x, y = [*x, place, place, None], [*y, panel.y.low, panel.y.high, None]
    for place in rules.y:
        x, y = [*x, panel.x.low, panel.x.high, None], [*y, place, place, None]
    yield {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": rules.hue.value, "width": 1, "dash": "dash" if rules.dashed else "solid"},
        "hoverinfo": "skip",
        **_series(rules.name, first=first),
        **_place(number),
    }


def _series(name: str, *, first: bool) -> dict[str, Any]:
    """One line of the legend for all series of a name; it switches them together."""
    return {"name": _text(name), "legendgroup": _text(name), "showlegend": bool(name) and first}


def _place(number: int) -> dict[str, str]:
    return {"xaxis": _axis("x", number), "yaxis": _axis("y", number)}


def _axis(letter: str, number: int) -> str:
    """The name of an axis of a panel; plotly leaves out a 1."""
    return letter if number == 1 else f"{letter}{number}"


def _title(text: str, frame: tuple[list[float], list[float]]) -> dict[str, Any]:
    return {
        "text": _text("\n".join(textwrap.wrap(text, 72))), "x": frame[0][0], "y": frame[1][1],
        "xref": "paper", "yref": "paper", "xanchor": "left",
        "yanchor": "bottom", "yshift": 4, "showarrow": False, "font": {"size": 14}, "align": "left",
    }  # fmt: skip


def _note(note: p.Note, number: int) -> dict[str, Any]:
    left, low = note.x < 0.5, note.y < 0.5
    return {
        "text": _text(note.text), "x": note.x, "y": note.y,
        "xref": f"{_axis('x', number)} domain", "yref": f"{_axis('y', number)} domain",
        "xanchor": "left" if left else "right", "yanchor": "bottom" if low else "top", "showarrow": False,
        "align": "left" if left else "right", "bgcolor": "rgba(255,255,255,0.75)", "font": {"size": 11},
    }  # fmt: skip


def _text(text: str) -> str:
    """Plain text for plotly.js, which reads tags, entities and line breaks."""
    return html(text).replace("\n", "<br>")
