"""What a picture holds, and a picture as a file."""

from __future__ import annotations

import html
import json
import os
import re
import resource
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.errors import ToolError, UsageError
from edgett.escape import one_line
from edgett.report import draw
from edgett.report.draw import PictureFormat
from edgett.report.picture import Axis, Heat, Hue, Mark, Note, Panel, Picture, Points, Rules, Scale, listed, si

NASTY = '</script><script>alert(1)</script> $x^2$ $\\frac{$ & "q" 層 \x07\n_'


def picture(name: str = "a series") -> Picture:
    """Every kind of layer, on both scales, with `name` wherever text can be."""
    name = one_line(name)
    series = [
        Points(name, (1.0, 2.0), (3.0, 400.0), mark, Hue.BLUE, (f"{name}\nfirst", "second"), joined=mark is Mark.DOT)
        for mark in Mark
    ]
    heat = Heat(np.array([1, 2, 4]), np.array([1, 10, 1000]), np.array([[1, 0], [7, 20_000]]), name)
    panel = Panel(
        name,
        Axis(name, 0, 5),
        Axis(name, 0.5, 2000, Scale.LOG),
        (heat, Rules(f"_{name}", (1.5,), (20.0,), Hue.PALE, dashed=True), *series, Note(f"{name}\nmore", 0.1, 0.9)),
    )
    empty = Panel("nothing", Axis("x", 3, 4, Scale.LOG), Axis("y", -1, 1), ())
    return Picture(name, (panel, empty, panel), columns=2, remarks=(name, "a remark " * 60))


def shown(svg: bytes) -> str:
    """The text of an SVG."""
    return "\n".join(element.text or "" for element in ElementTree.fromstring(svg).iter() if "text" in element.tag)


def plotted(page: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The traces and the layout that a page gives to plotly.js."""
    decoder = json.JSONDecoder()
    rest = page[re.search(r"Plotly\.newPlot\(\s*\"[\w-]+\",\s*", page).end() :]  # type: ignore[union-attr]
    traces, end = decoder.raw_decode(rest)
    return traces, decoder.raw_decode(rest[end:].lstrip(", \n"))[0]


@pytest.mark.parametrize("name", [NASTY, "_hidden"])
def test_svg(name: str) -> None:
    svg = draw.drawn(picture(name), PictureFormat.SVG)

    text = shown(svg)
    for word in ("nothing", "more", "10", "1k", "a remark", *([name] if name.isprintable() else ["$x^2$", "alert(1)"])):
        assert word in text
    assert b"<script" not in svg and b"dc:date" not in svg


def test_png() -> None:
    png = draw.drawn(picture(NASTY), PictureFormat.PNG)

    assert png.startswith(b"\x89PNG") and png == draw.drawn(picture(NASTY), PictureFormat.PNG)
    assert int.from_bytes(png[16:20]) == 1440
    assert b"matplotlib" not in png.lower()


@pytest.mark.parametrize("name", ["a series", NASTY])
def test_page(name: str) -> None:
    page = draw.drawn(picture(name), PictureFormat.HTML).decode()

    assert page.encode() == draw.drawn(picture(name), PictureFormat.HTML)
    scripts = re.findall(r"<script[^>]*>", page.lower())
    assert len(scripts) <= 4 and not any("src=" in script for script in scripts)
    assert "alert(1)</script>" not in page
    assert page.count("plotly.js v") == 1
    assert f"<title>{html.escape(one_line(name), quote=False)}</title>" in page
    traces, layout = plotted(page)
    legend = [trace["name"] for trace in traces if trace.get("showlegend")]
    assert legend == [html.escape(text, quote=False) for text in (f"_{one_line(name)}", one_line(name))]
    assert {trace["type"] for trace in traces} == {"heatmap", "scatter"}
    (heat, _) = (trace for trace in traces if trace["type"] == "heatmap")
    assert heat["text"] == [["1", "7"], ["", "20,000"]]
    assert next(trace["text"] for trace in traces if trace.get("text") and trace["type"] == "scatter") == [
        f"{html.escape(one_line(name), quote=False)}<br>first",
        "second",
    ]
    assert layout["yaxis"]["type"] == "log" and layout["yaxis3"]["range"] == pytest.approx(np.log10([0.5, 2000]))


def test_stairs_and_whiskers() -> None:
    line = Points("line", (1.0, 2.0), (3.0, 1.0), Mark.DOT, Hue.BLUE, joined=True, stairs=True, size=0.0)
    dots = Points("dots", (1.0, 2.0), (3.0, 1.0), Mark.DOT, Hue.BLUE, whiskers=((2.5, 4.0), (1.0, 1.0)))
    drawn = one_panel(line, dots)

    found, layout = plotted(draw.drawn(drawn, PictureFormat.HTML).decode())
    traces = {trace["name"]: trace for trace in found if "name" in trace}
    assert layout["xaxis"]["tickformat"] == "~r"
    assert (traces["line"]["mode"], traces["line"]["line"]["shape"]) == ("lines", "hv")
    assert traces["line"]["hoverinfo"] == "skip" and "error_y" not in traces["line"]
    reach = traces["dots"]["error_y"]
    assert (reach["array"], reach["arrayminus"], reach["color"]) == ([1.0, 0.0], [0.5, 0.0], "rgba(0, 114, 178, 0.35)")
    paths = [path.get("d", "").split() for path in ElementTree.fromstring(draw.drawn(drawn, PictureFormat.SVG)).iter()]
    stairs = [path[1::3] + path[2::3] for path in paths if path.count("L") == 2]
    assert [x1 == x2 and y0 == y1 for x0, x1, x2, y0, y1, y2 in stairs if x0 != x2 and y0 != y2] == [True]
    assert draw.drawn(drawn, PictureFormat.SVG) != draw.drawn(
        one_panel(line, replace(dots, whiskers=())), PictureFormat.SVG
    )


@pytest.mark.parametrize(("count", "images"), [(500, 0), (501, 1)])
def test_many_points_are_an_image_in_an_svg(count: int, images: int) -> None:
    places = tuple(np.linspace(0, 4, count).tolist())
    svg = draw.drawn(one_panel(Points("many", places, places, Mark.DOT, Hue.SKY)), PictureFormat.SVG)
    assert svg.count(b"<image") == images


def one_panel(*layers: Points) -> Picture:
    return Picture("", (Panel("", Axis("x", 0, 5), Axis("y", 0, 5), layers),))


def test_picture_of_nothing() -> None:
    for form in PictureFormat:
        assert draw.drawn(Picture("nothing", (), remarks=("left alone",)), form)


def test_matplotlibrc_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 20\ntext.usetex: True\nsvg.fonttype: path\n")
    root = Path(__file__).parents[2]
    code = "import sys\nfrom tests.report import test_picture as t\n"
    code += "sys.stdout.buffer.write(t.draw.drawn(t.picture(), t.PictureFormat.SVG))"
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True)

    assert done.stdout == draw.drawn(picture(), PictureFormat.SVG)


def test_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "Plot.SVG"
    path.write_text("before")
    draw.write(picture(), path)

    assert path.read_bytes() == draw.drawn(picture(), PictureFormat.SVG)
    assert [item.name for item in tmp_path.iterdir()] == ["Plot.SVG"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("plot.pdf", "ends in '.pdf': .png, .svg, .html"),
        ("plot", "has no suffix"),
        (".svg", "has no suffix"),
        ("nowhere/plot.svg", "No such file"),
        ("file/plot.svg", "Not a directory"),
        ("folder.png", "is a directory"),
        (f"{'n' * 252}.svg", "name too long"),
    ],
)
def test_places_that_cannot_be_written(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=told) as caught:
        draw.check_place(tmp_path / name)
    assert caught.value.cure


def test_a_write_that_fails(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(ToolError, match="cannot be written: File too large") as caught:
            draw.write(Picture("", ()), tmp_path / "plot.html")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.cure == "Choose another file or directory."
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (250, "250"), (999.9, "999.9"), (1000, "1k"), (1500, "1.5k"), (999_999, "1M"), (16_777_216, "16.78M"),
        (2e9, "2G"), (3e12, "3T"), (4e15, "4P"), (-2500, "-2.5k"), (0.25, "0.25"),
    ],
)  # fmt: skip
def test_si(number: float, text: str) -> None:
    assert si(number) == text


def test_plain_and_listed() -> None:
    assert one_line("a\tb\x00c") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert one_line("abcdefgh", 5) == "ab…gh" and len(one_line("a" * 99, 10)) == 10
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b and 3 more"


def test_values_check_themselves() -> None:
    for wrong in (
        lambda: Axis("x", 1, 1),
        lambda: Axis("x", 0, 1, Scale.LOG),
        lambda: Heat(np.arange(3), np.arange(4), np.zeros((3, 2), np.int64), ""),
        lambda: Points("p", (1.0,), (), Mark.DOT, Hue.BLUE),
        lambda: Points("p", (1.0,), (1.0,), Mark.DOT, Hue.BLUE, ("a", "b")),
        lambda: Points("p", (1.0,), (1.0,), Mark.DOT, Hue.BLUE, whiskers=((0.0, 2.0), (0.0, 2.0))),
    ):
        with pytest.raises(ValueError, match=r"."):
            wrong()


def test_legend_and_rows() -> None:
    assert [series.name for series in picture().legend] == ["_a series", "a series"]
    assert (picture().rows, Picture("", ()).rows) == (2, 1)
