"""A picture as PNG or SVG, drawn by matplotlib: the same bytes for the same picture, whatever matplotlibrc says."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from edgett.report import picture as p

WIDTH, DPI = 9.6, 150
"""Inches, of two panels; pixels an inch."""

PANEL, TITLE, LABELS, LEGEND, REMARK = 3.5, 0.4, 0.85, 0.22, 0.2
"""Inches: a panel's height, the band of the title, what stands around a panel, a line of the legend and of remarks."""

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.edgecolor": p.Hue.GREY.value,
    "axes.axisbelow": False,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "edgett",
}

MANY = 500
"""More points than this are an image in an SVG."""

FAINT = 0.35
"""How opaque whiskers are."""

MARKS = {
    p.Mark.DOT: "o",
    p.Mark.SQUARE: "s",
    p.Mark.DIAMOND: "D",
    p.Mark.STAR: "*",
    p.Mark.TRIANGLE: "^",
    p.Mark.CROSS: "X",
    p.Mark.PLUS: "P",
    p.Mark.ARROW: "v",
    p.Mark.LOWER_LEFT: [(0, 0), (-1, 0), (0, -1)],
    p.Mark.LOWER_RIGHT: [(0, 0), (1, 0), (0, -1)],
    p.Mark.UPPER_LEFT: [(0, 0), (-1, 0), (0, 1)],
    p.Mark.UPPER_RIGHT: [(0, 0), (1, 0), (0, 1)],
}


def png(picture: p.Picture) -> bytes:
    """The picture as PNG, 1440 pixels wide where it has two columns."""
    file = io.BytesIO()
    with _styled():
        FigureCanvasAgg(_figure(picture)).print_png(file, metadata={"Software": None})
    return file.getvalue()


def svg(picture: p.Picture) -> bytes:
    """The picture as SVG with its text as text; pixels of a density, and many points, are an image in it."""
    file = io.BytesIO()
    with _styled():
        FigureCanvasSVG(_figure(picture)).print_svg(file, metadata={"Date": None, "Creator": "edgett"})
    return file.getvalue()


@contextmanager
def _styled() -> Iterator[None]:
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def _figure(picture: p.Picture) -> Figure:
    width = WIDTH * max(1, picture.columns) / 2
    columns = max(1, int(width / 3.2))
    legend = -(-len(picture.legend) // columns) * LEGEND
    remarks = [line for remark in picture.remarks for line in textwrap.wrap(remark, int(width * 15))]
    below = legend + len(remarks) * REMARK + 0.12
    height = TITLE + picture.rows * (PANEL + LABELS) + below
    figure = Figure((width, height), dpi=DPI)
    figure.text(0.5, 1 - 0.22 / height, picture.title, ha="center", va="center", size=10, weight="bold")
    for number, panel in enumerate(picture.panels):
        row, column = divmod(number, picture.columns)
        left = (0.68 + column * WIDTH / 2) / width
        bottom = (below + 0.45 + (picture.rows - 1 - row) * (PANEL + LABELS)) / height
        _panel(figure.add_axes((left, bottom, (WIDTH / 2 - 1.35) / width, PANEL / height)), panel)
    if picture.legend:
        handles, anchor = [_handle(series) for series in picture.legend], (0.5, (below - 0.02) / height)
        figure.legend(
            handles=handles, ncols=columns, loc="upper center", bbox_to_anchor=anchor, frameon=False,
            handletextpad=0.4, columnspacing=1.6, borderaxespad=0.0,
        )  # fmt: skip
    for number, line in enumerate(reversed(remarks)):
        figure.text(0.02, (0.1 + number * REMARK) / height, line, va="bottom", color=p.Hue.GREY.value, size=7.5)
    return figure


def _panel(axes: Axes, panel: p.Panel) -> None:
    axes.set_title("\n".join(textwrap.wrap(panel.title, 62)), loc="left")
    axes.set(
        xscale=panel.x.scale.value, xlim=(panel.x.low, panel.x.high), xlabel=panel.x.title,
        yscale=panel.y.scale.value, ylim=(panel.y.low, panel.y.high), ylabel=panel.y.title,
    )  # fmt: skip
    _ticks(axes.xaxis, panel.x)
    _ticks(axes.yaxis, panel.y)
    for order, layer in enumerate(panel.layers, start=1):
        match layer:
            case p.Heat():
                _heat(axes, layer, order)
            case p.Points():
                if layer.whiskers:
                    low, high = zip(*layer.whiskers, strict=True)
                    axes.vlines(layer.x, low, high, colors=layer.hue.value, alpha=FAINT, linewidth=1.0, zorder=order)
                axes.add_line(_line(layer, order))
            case p.Rules():
                for rule in (*map(axes.axvline, layer.x), *map(axes.axhline, layer.y)):
                    rule.set(color=layer.hue.value, linestyle=_dash(layer), linewidth=0.7, zorder=order)
            case p.Note():
                _note(axes, layer, order)


def _ticks(axis: XAxis | YAxis, side: p.Axis) -> None:
    if side.scale is p.Scale.LOG:
        decades = np.log10(side.high / side.low)
        if decades > 1:
            axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 3 else (1.0, 2.0, 5.0), numticks=12))
        else:
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: p.si(value)))


def _heat(axes: Axes, heat: p.Heat, order: int) -> None:
    most = max(10, int(heat.counts.max(initial=0)))
    colours = LinearSegmentedColormap.from_list("heat", list(p.HEAT))
    mesh = axes.pcolormesh(
        heat.x,
        heat.y,
        np.ma.masked_equal(heat.counts.T, 0),
        cmap=colours,
        norm=LogNorm(1, most),
        rasterized=True,
        zorder=order,
        linewidth=0,
    )
    place = axes.inset_axes((1.02, 0, 0.025, 1))
    bar = axes.figure.colorbar(mesh, cax=place, format=FuncFormatter(lambda value, _: p.si(value)))
    bar.set_label(heat.unit, labelpad=2)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)


def _note(axes: Axes, note: p.Note, order: int) -> None:
    across, up = "left" if note.x < 0.5 else "right", "bottom" if note.y < 0.5 else "top"
    text = "\n".join(line for part in note.text.split("\n") for line in textwrap.wrap(part, 60))
    axes.text(
        note.x, note.y, text, transform=axes.transAxes, ha=across, va=up, size=7, linespacing=1.25, zorder=order + 10,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
    )  # fmt: skip


def _dash(layer: p.Rules) -> str:
    return "--" if layer.dashed else "-"


def _line(points: p.Points, order: int) -> Line2D:
    return Line2D(
        points.x,
        points.y,
        drawstyle="steps-post" if points.stairs else "default",
        rasterized=len(points.x) > MANY,
        marker=MARKS[points.mark],
        color=points.hue.value,
        markersize=points.size,
        markeredgecolor="white",
        markeredgewidth=0.3,
        linewidth=1.0 if points.joined else 0.0,
        zorder=order,
        label=_named(points.name),
    )


def _handle(series: p.Points | p.Rules) -> Line2D:
    """What stands for a series in the legend."""
    if isinstance(series, p.Rules):
        return Line2D([], [], color=series.hue.value, linestyle=_dash(series), linewidth=1.0, label=_named(series.name))
    line = _line(series, 0)
    line.set_data([], [])
    return line


def _named(name: str) -> str:
    """A leading underscore would keep a series out of the legend."""
    return f" {name}" if name.startswith("_") else name
