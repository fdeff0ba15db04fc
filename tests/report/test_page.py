"""The page of a report as text: what it holds, what it escapes and how large it is. In a browser: test_browser.py."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgett.escape import one_line
from edgett.report import draw_page, markdown, page, reports
from edgett.report.facts import Cell, Column, Report, Section, Table
from edgett.report.picture import Axis, Heat, Hue, Mark, Panel, Picture, Points
from tests.conftest import Finished
from tests.readme import ROOT
from tests.report.pages import HOSTILE, hostile, planted
from tools.regolden import FOLDER

pytestmark = pytest.mark.slow

RUNS = sorted(path.parent.name for path in FOLDER.glob("*/run.json"))
VOID = {"meta", "input", "img", "br", "link"}


class Read(HTMLParser):
    """A page as a list of elements with their attributes, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open and self._open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module", params=[*RUNS, "planted", "hostile"])
def read(request: pytest.FixtureRequest) -> Read:
    planted_ones = {"planted": planted, "hostile": hostile}
    make = planted_ones.get(request.param, lambda: reports.report(FOLDER / request.param))
    return Read(page.document(make()))


def test_headings_are_in_order_and_ids_are_unique(read: Read) -> None:
    levels = [int(tag[1]) for tag, _ in read.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))

    ids = Counter(attributes["id"] for _, attributes in read.elements if "id" in attributes)
    assert ids.most_common(1)[0][1] == 1
    for _, attributes in read.elements:
        for name in ("aria-labelledby", "for"):
            assert attributes.get(name) is None or attributes[name] in ids
    assert {"html", "header", "nav", "main", "footer"} <= {tag for tag, _ in read.elements}


def test_nothing_comes_from_elsewhere(read: Read) -> None:
    for tag, attributes in read.elements:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        for name in ("src", "srcset", "action", "data", "poster"):
            assert name not in attributes
        assert attributes.get("href", "#").startswith("#")
    (policy,) = (each["content"] for each in read.all("meta") if "http-equiv" in each)
    assert policy is not None and policy.startswith("default-src 'none'")


def test_plotly_is_there_once_and_the_rest_is_small(read: Read) -> None:
    data, plotly, own = read.scripts
    assert plotly == draw_page.script()
    assert json.loads(data)["options"] is not None
    assert len(own) < 40_000


def test_every_picture_has_words_and_every_field_a_label(read: Read) -> None:
    labels = {attributes["for"] for attributes in read.all("label")}
    for attributes in read.all("div"):
        if "plot" in (attributes.get("class") or "").split():
            assert attributes["role"] == "img" and attributes["aria-label"]
    for tag in ("input", "select"):
        assert all(attributes["id"] in labels for attributes in read.all(tag))


@pytest.mark.parametrize("name", RUNS)
def test_it_has_what_the_other_renderings_have(name: str) -> None:
    report = reports.report(FOLDER / name)
    words = " ".join("".join(Read(page.document(report)).words).split())

    for section in report.sections:
        for said in (section.title, *section.words, *section.code):
            assert " ".join(said.split()) in words
        for table in section.tables:
            for cell in (cell for row in table.rows for cell in row):
                assert all(part in words for part in cell.text.split("; "))


def test_without_a_pick_the_verdict_says_so() -> None:
    words = Read(page.document(reports.report(FOLDER / "miss"))).words

    assert "No solution meets the constraints" in words
    assert "broken" in words


def test_budgets_are_summed_up_in_words() -> None:
    assert "Every budget holds" in Read(page.document(reports.report(FOLDER / "run"))).words


def test_hostile_text_stays_text() -> None:
    text = page.document(hostile())

    read = Read(text)
    assert not read.all("img") and "49" not in "".join(read.words)
    assert not {"\u202e", "\u2028"} & set("".join(read.words)) and "\u2028" not in "".join(read.scripts)
    assert text.count(HOSTILE) == 0
    data = json.loads(read.scripts[0])
    assert data["options"][0]["command"] == one_line(HOSTILE, len(HOSTILE))  # what is copied is whole, and shows
    assert "<img" not in json.dumps(data["figures"]) and "<img" not in data["options"][0]["shapes"]
    assert "</script>" not in text.partition('id="data">')[2].partition("</script>")[0]


def test_a_real_run_has_its_pictures(finished: Finished) -> None:
    report = reports.report(finished.path)
    text = page.document(report)

    assert text == (finished.path / "report.html").read_text()
    assert len(text.encode()) < 8 << 20
    assert len(text.encode()) - len(draw_page.script().encode()) < 1 << 20
    figures = json.loads(Read(text).scripts[0])["figures"]
    assert list(figures)[:4] == [f"space-{number}" for number in range(4)]
    (heat,) = (trace for trace in figures["space-0"]["data"] if trace["type"] == "heatmap")
    assert sum(map(sum, heat["z"])) == finished.document["layers"][0]["solutions"]


def pictured(*panels: Panel) -> Report:
    report = planted(3)
    return replace(report, sections=(*report.sections, Section("space", "Space", picture=Picture("all", panels))))


def test_clouds_of_points_do_not_grow_the_page() -> None:
    """Sixteen panels of 5,000 labelled points, as many as a search through a whole space can draw."""
    many = np.linspace(1, 2, 5000).round(5).tolist()
    points = Points("all", tuple(many), tuple(many), Mark.DOT, Hue.BLUE, ("x" * 120,) * 5000)
    few = Points("few", (1.0, 2.0), (1.0, 2.0), Mark.STAR, Hue.GREEN, ("one", "two"))
    counts = np.full((120, 90), 123_456)
    heat = Heat(np.arange(121), np.arange(91), counts, "solutions")
    panel = Panel("panel", Axis("x", 0, 3), Axis("y", 0, 3), (heat, points, few))

    text = page.document(pictured(*[panel] * 16))

    assert len(text) - len(draw_page.script()) < 2_000_000
    traces = json.loads(Read(text).scripts[0])["figures"]["space-0"]["data"]
    (kept,) = (trace for trace in traces if trace.get("name") == "few")
    assert kept["text"] == ["one", "two"]


def test_many_solutions_do_not_grow_the_page() -> None:
    report = planted(3000)

    text = page.document(report)

    assert len(text) - len(draw_page.script()) < 2_000_000
    read = Read(text)
    assert len(json.loads(read.scripts[0])["options"]) == 3000
    assert sum("data-solution" in attributes for attributes in read.all("tr")) == page.MOST
    assert f"{3000 - page.MOST} more solutions" in text


def test_what_is_all_dense_again_is_no_broken_constraint() -> None:
    report = planted(24)
    kept = tuple(option for option in report.options if option.shapes)
    assert len(kept) < len(report.options)

    assert "No solution can be recommended" in Read(page.document(report)).words
    (first, solutions, last), rows = report.sections, report.sections[1].tables[0].rows
    table = replace(solutions.tables[0], rows=tuple(rows[option.solution] for option in kept))
    sections = first, replace(solutions, tables=(table,)), last
    assert (
        "No solution meets the constraints"
        in Read(page.document(replace(report, sections=sections, options=kept))).words
    )


@pytest.mark.parametrize("timed", [True, False])
def test_latency_can_be_made_small_where_it_is_known(timed: bool) -> None:
    offered = [attributes["value"] for attributes in Read(page.document(planted(6, timed=timed))).all("option")]

    assert offered == ["accuracy", "memory", "flops", *(["latency"] if timed else [])]


def test_nothing_leaves_no_bar_and_codes_of_terminals_stay_out() -> None:
    cells = tuple((Cell(share, "many", share=share),) for share in (0.0, 0.01, 1.0))
    code = "edgett \x1b]0;title\x07 ```"
    section = Section("one", "One", tables=(Table("t", (Column("c"),), cells),), code=(code,))
    report = replace(planted(1), sections=(planted(1).sections[0], section), options=())

    text = markdown.document(report)

    assert [line for line in text.splitlines() if "many" in line] == ["| many |", "| many █ |", f"| many {'█' * 8} |"]
    assert text.replace("\n", "").isprintable()
    (button,) = (each for each in Read(page.document(report)).all("button") if "data-copy" in each)
    assert button["data-copy"] == one_line(code, len(code)) and "\x1b" not in page.document(report)


def test_the_same_report_gives_the_same_bytes() -> None:
    """In another process too, where sets have another order."""
    code = "import hashlib; from tests.report.test_page import page, planted;"
    code += "print(hashlib.sha256(page.document(planted()).encode()).hexdigest())"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [hashlib.sha256(page.document(planted()).encode()).hexdigest()], done.stderr


def test_the_templates_are_in_the_package() -> None:
    names = {"page.html", "parts.html", "page.js", "replay.js", "style.css"}
    assert {path.name for path in page.TEMPLATES.iterdir()} == names
    assert page.TEMPLATES.is_relative_to(Path(page.__file__).parent)
