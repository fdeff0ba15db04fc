"""A report as one HTML page that needs nothing else: no network, no file beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edgett.escape import html, one_line
from edgett.report import draw_page
from edgett.report.facts import Cell, Mood, Option, Report, Section, Table
from edgett.report.picture import Panel, Picture, Points
from edgett.search.choose import NEAR
from edgett.search.constraints import CONSTRAINTS, DROP, FLOPS, LATENCY, MODEL_BYTES, Constraint, Objective

TEMPLATES = Path(__file__).parent / "templates"
LONG = 12
"""Rows of a table that is shown at once; a longer one opens on demand."""
MOST = 1000
"""Solutions that the table lists."""
LABELS, DOTS = 400_000, 1_000_000
"""Bytes that the labels of all points may take, and those that points may take."""


@dataclass(frozen=True)
class Slider:
    """A limit that can be moved between what the solutions have; by its logarithm where they span decades.

    `power` bends a scale that is not logarithmic, so that low values have more room.
    """

    row: Constraint
    low: float
    high: float
    log: bool
    power: int


@dataclass(frozen=True)
class Plot:
    """A panel on the page: where it is drawn, and what stands beneath."""

    name: str
    caption: str
    words: str


def document(report: Report) -> str:
    """The page. The same report gives the same bytes."""
    pictures = {section.name: _light(section.picture) for section in report.sections if section.picture is not None}
    sliders = tuple(_sliders(report))
    data = {
        "figures": {
            plot.name: figure
            for name, picture in pictures.items()
            for plot, figure in zip(_plots(name, picture), draw_page.figures(picture), strict=True)
        },
        "dense": _told(report.dense),
        "options": [_told(option) for option in report.options],
        "constraints": {row.name: _row(row) for row in CONSTRAINTS},
        "named": {"drop": DROP.name, "latency": LATENCY.name, "flops": FLOPS.name, "bytes": MODEL_BYTES.name},
        "near": NEAR,
        "sliders": {slider.row.name: _scale(slider) for slider in sliders},
        "limits": {row.name: limit for row, limit in report.limits.items()},
        "objective": report.objective.value,
    }
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            verdict=report.sections[0],
            sections=report.sections[1:],
            headline=_headline(report),
            listed=_listed(report),
            left_out=max(0, len(report.options) - MOST),
            plots={name: list(_plots(name, picture)) for name, picture in pictures.items()},
            remarks={name: picture.remarks for name, picture in pictures.items()},
            sliders=sliders,
            objectives=_objectives(report.options),
            data=data,
            plotly=draw_page.script(),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {
        "plain": lambda text: one_line(text, 400),
        "command": lambda text: one_line(text, 4000),
        "copied": lambda text: one_line(text, len(text)),
    }
    environment.filters["words"] = _words
    environment.tests["long"] = lambda table: len(table.rows) > LONG
    return environment


def _headline(report: Report) -> tuple[Mood, str]:
    """Whether every budget holds, in a few words."""
    moods = [cell.mood for cell in _cells(report.sections[0].tables[-1:]) if cell.mood is not Mood.PLAIN]
    broken, open_ = moods.count(Mood.BAD), moods.count(Mood.OPEN)
    if not report.figures:
        slow = any(_slow(option) for option in report.options)
        return Mood.BAD, "No solution can be recommended" if slow else "No solution meets the constraints"
    if broken:
        return Mood.BAD, f"{broken} of {len(moods)} budgets broken"
    if open_:
        return Mood.OPEN, f"{len(moods) - open_} of {len(moods)} budgets hold, {open_} not checked"
    return Mood.GOOD, "Every budget holds"


def _cells(tables: Sequence[Table]) -> Iterator[Any]:
    return (cell for table in tables for row in table.rows for cell in row)


def _words(section: Section) -> list[str]:
    """What a section says, without what stands beside its pictures anyway."""
    if section.picture is None:
        return list(section.words)
    beside = {f"Picture: {panel.title}." for panel in section.picture.panels} | set(section.picture.remarks)
    return [words for words in section.words if words not in beside]


def _plots(name: str, picture: Picture) -> Iterator[Plot]:
    for number, panel in enumerate(picture.panels):
        yield Plot(f"{name}-{number}", panel.title, f"{panel.title}: {panel.y.title} against {panel.x.title}")


def _listed(report: Report) -> list[tuple[Option, tuple[Cell, ...]]]:
    """At most so many solutions with their rows."""
    rows = next((section.tables[0].rows for section in report.sections if section.name == "solutions"), ())
    return list(zip(report.options, rows, strict=True))[:MOST]


def _objectives(options: Sequence[Option]) -> dict[Objective, str]:
    """What can be made small, in words: times, or else instructions, only where every one is known."""
    words = {
        Objective.ACCURACY: "highest accuracy", Objective.MEMORY: "least memory", Objective.FLOPS: "fewest FLOPs",
    }  # fmt: skip
    if all(option[LATENCY] is not None for option in options):
        words[Objective.LATENCY] = "shortest latency"
    elif all(option.instructions is not None for option in options):
        words[Objective.LATENCY] = "fewest instructions"
    return words


def _slow(option: Option) -> bool:
    """Whether it is all dense again for being slow; layers go back only in what was trained to the end."""
    return not option.shapes and not option.eligible


def _told(option: Option) -> dict[str, Any]:
    """An option for the page's script: its numbers, its command, and what the pointer tells of its shapes."""
    shapes = [f"{one_line(name, 28)}: {one_line(shape, 80)}" for name, shape in option.shapes]
    return {
        **{name: value for name, value in option.document().items() if name != "feasible"},
        "slow": _slow(option),
        "shapes": "<br>".join(html(line) for line in shapes),
        "command": one_line(option.command, len(option.command)),
    }


def _row(row: Constraint) -> dict[str, Any]:
    """A constraint for the page's script."""
    told = ("name", "title", "heading", "unit", "whole", "higher_is_better")
    return {name: getattr(row, name) for name in told}


def _scale(slider: Slider) -> dict[str, Any]:
    """A slider for the page's script."""
    return {"low": slider.low, "high": slider.high, "log": slider.log, "power": slider.power}


def _sliders(report: Report) -> Iterator[Slider]:
    """One for each limit that something is known of."""
    for row in report.limits:
        values = [value for option in report.options if (value := option[row]) is not None]
        if not values:
            continue
        ends = [*values, report.dense[row]]
        known = [value for value in ends if value is not None]
        low, high = min(known), max(known)
        log = low > 0 and high / low > 10
        if log:
            yield Slider(row, low / 1.1, high * 1.1, log, 1)
        else:
            room = max((high - low) * 0.02, abs(high) * 0.01, 1e-3)
            yield Slider(row, low - room, high + room, log, 3 if high - low > 10 and low <= 0 else 1)


def _light(picture: Picture) -> Picture:
    """The picture with no more than the page can carry: the longest series lose their labels, then dots."""
    series = [layer for panel in picture.panels for layer in panel.layers if isinstance(layer, Points)]
    bare, left = set(), LABELS
    for points in sorted(series, key=lambda points: len(points.x)):
        left -= sum(map(len, points.labels)) + 3 * len(points.labels)
        if left < 0:
            bare.add(id(points))
    step = 1 + sum(len(points.x) for points in series) * 24 // DOTS
    return replace(picture, panels=tuple(_bare(panel, bare, step) for panel in picture.panels))


def _bare(panel: Panel, bare: set[int], step: int) -> Panel:
    layers = []
    for layer in panel.layers:
        if isinstance(layer, Points):
            layer = replace(layer, labels=()) if id(layer) in bare else layer
            if step > 1 and len(layer.x) > 100:
                parts = {name: getattr(layer, name)[::step] for name in ("x", "y", "labels", "whiskers")}
                layer = replace(layer, **parts)
        layers.append(layer)
    return replace(panel, layers=tuple(layers))
