"""The facts of a report and their renderings as text: golden files of real runs, and whatever may be wrong with one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.errors import ToolError, UsageError
from edgett.report import facts, markdown, reports, sections
from edgett.report.evidence import command
from edgett.report.facts import Cell, Column, Report, Section, Table
from edgett.report.stored import restored, stored
from edgett.report.words import PICKS
from edgett.search.constraints import DROP, FLOPS, Objective
from tests.conftest import Answer, Finished
from tools.regolden import FOLDER, rendered

IDLE = ("/shapes", "/artifacts", "/versions", "/digests", "/timed_here")
"""Whose keys are names, or which is null while something else is being timed here."""
RUNS = sorted(path.parent.name for path in FOLDER.glob("*/run.json"))
Call = Callable[..., Answer]
HOSTILE = "a|b*c_d`e<script>#&$@user\\ \x1b[31m\nline\u2028two [x](http://y)"


def asked(name: str = "run") -> Any:
    return json.loads((FOLDER / name / "run.json").read_text())


def told(content: Any) -> Report:
    return sections.report("runs/it", content, None, [])


def part(report: Report, name: str) -> Section:
    return next(section for section in report.sections if section.name == name)


@pytest.mark.parametrize("name", RUNS)
def test_the_texts_are_the_golden_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)

    for file, text in rendered(Path(name)).items():
        assert text == (FOLDER / name / file).read_text(), f"{name}/{file}: python tools/regolden.py, and read the diff"


def test_the_golden_runs_have_the_keys_of_a_real_one(finished: Finished) -> None:
    """Or the golden files would speak of a document that nobody writes any more."""

    def keys(value: Any, path: str = "") -> set[str]:
        if isinstance(value, dict) and not path.endswith(IDLE):
            return {f"{path}/{key}" for key in value}.union(*(keys(value[key], f"{path}/{key}") for key in value))
        if isinstance(value, list):
            return set().union(*(keys(item, path) for item in value))
        return set()

    real = json.loads((finished.path / "run.json").read_text())
    assert keys(real) == keys(asked())


def test_a_real_run_has_its_page_and_its_picture(finished: Finished) -> None:
    report = reports.report(finished.path)

    picture = part(report, "space").picture
    assert picture is not None and len(picture.panels) == 4
    assert {series.name for series in picture.legend} >= {"pick: recommended", "dense layer"}
    assert (finished.path / "report.html").stat().st_size < 8 << 20


def test_what_is_told_is_what_the_run_came_to(finished: Finished) -> None:
    report, document = reports.report(finished.path), finished.document

    pick = document["picks"]["recommended"]
    (recommended,) = [option for option in report.options if "recommended" in option.roles]
    assert (recommended.solution, recommended.params, recommended[FLOPS]) == (
        pick["solution"], pick["params"], pick["flops"],
    )  # fmt: skip
    assert recommended.command == f"edgett export {finished.path} --solution {pick['solution']}"
    assert {row.name: limit for row, limit in report.limits.items() if limit is not None} == {
        item["name"]: item["limit"] for item in document["constraints"]
    }
    rows = part(report, "layers").tables[0].rows
    found = document["check"]["artifacts"][pick["artifacts"]["tflite"]["path"]]["layers"]
    counted = {row["name"]: (row["params"]["found"], row["flops"]["found"]) for row in found}
    for row in rows:
        if row[1].value != "dense":
            assert counted[row[0].value] == (row[2].value, row[3].value)


def test_json_holds_every_table_of_the_markdown(finished: Finished) -> None:
    report = reports.report(finished.path)

    told, document = markdown.document(report), facts.document(report)
    json.dumps(document, allow_nan=False)
    for section, given in zip(report.sections, document["sections"], strict=True):
        assert [table.title for table in section.tables] == [table["title"] for table in given["tables"]]
        for table, values in zip(section.tables, given["tables"], strict=True):
            assert [[cell.value for cell in row] for row in table.rows] == values["rows"]
            for cell in (cell for row in table.rows for cell in row if isinstance(cell.value, int)):
                assert f"{cell.text}" in told or cell.mood is not facts.Mood.PLAIN


def test_a_run_in_which_nothing_holds_says_what_binds() -> None:
    verdict = part(told(asked("miss")), "verdict")

    assert verdict.words[0] == "No solution meets the constraints of cortex-m4: FLOPs binds."
    assert [cell.text for row in verdict.tables[-1].rows for cell in row if cell.mood is facts.Mood.BAD] == ["broken"]
    assert not {"solutions", "layers", "training"} & {section.name for section in told(asked("miss")).sections}


def test_a_failed_cross_check_is_no_good_news() -> None:
    content = asked()
    check = content["outcome"]["check"]
    check["ok"] = False
    (path, item), *_ = check["artifacts"].items()
    item |= {
        "ok": False,
        "verdict": "differs",
        "mismatches": ["parameters: predicted 1, found 2"],
        "partial": ["CUMSUM"],
    }
    item["params"]["found"] += 1

    section = part(told(content), "check")
    assert "do not deploy" in section.words[0] and "predicted 1, found 2" in section.words[1]
    assert "CUMSUM" in section.words[2]
    (row,) = [row for row in section.tables[0].rows if row[0].value == path.removeprefix("artifacts/")]
    assert row[1].mood is row[-1].mood is facts.Mood.BAD and "predicted" in row[1].text


def test_what_no_rule_counts_comes_first_in_every_rendering() -> None:
    content = asked()
    outcome = content["outcome"]
    outcome["partial"] = ["LSTM (rnn)"]
    for model in (outcome["baseline"], *outcome["picks"].values()):
        model["at_least"] = ["flops"]

    report = told(content)

    verdict = part(report, "verdict")
    assert verdict.words[0].startswith("Partial: no rule counts LSTM (rnn).")
    assert "FLOPs not known" in verdict.words[1]
    (figure,) = [figure for figure in report.figures if figure.title == "FLOPs"]
    assert (figure.mood, figure.share, figure.change) == (facts.Mood.OPEN, None, "not known")
    (row,) = [row for row in verdict.tables[0].rows if row[0].value == "FLOPs"]
    assert all(cell.text.startswith("at least ") for cell in row[1:])
    assert "no rule counts LSTM" in markdown.document(report).split("## ")[1]
    assert facts.document(report)["sections"][0]["words"][0] == verdict.words[0]


def test_failed_and_unfinished_trials_are_told() -> None:
    content = asked()
    first, second, *_ = content["outcome"]["trials"]
    first |= {"failure": "its process died", "drop": None, "loss": None, "losses": [], "feasible": False}
    second |= {"complete": False}

    report = told(content)
    assert f"Solution {first['solution']} failed: its process died" in part(report, "funnel").words
    assert report.options[0][DROP] is None
    assert f"Put away before their last epoch: solutions {second['solution']}." in part(report, "training").words


def test_the_command_asks_for_what_was_asked() -> None:
    options = {
        "target": {"value": "my target.toml", "from": "command line"},
        "model": {"value": "it's.keras", "from": "edgett.toml"},
        "only_layer": {"value": ["a", "b c"], "from": "command line"},
        "limit": {"value": None, "from": "command line"},
        "seed": {"value": 3, "from": "edgett.toml"},
        "grid": {"value": 8, "from": "default"},
    }

    assert command({"options": options}) == (
        "edgett compress 'it'\"'\"'s.keras' --target 'my target.toml' --only-layer a --only-layer 'b c' --limit all"
        " --seed 3"
    )
    assert command({"command": "deploy", "options": options}).startswith("edgett deploy ")


def test_names_are_no_markdown() -> None:
    table = Table(HOSTILE, (Column(HOSTILE, False),), ((Cell(HOSTILE, HOSTILE),),))
    section = Section("s", HOSTILE, (HOSTILE, "1. first", "- item", "+1"), (table,), code=("echo ```",))
    option = told(asked()).dense

    text = markdown.document(Report(HOSTILE, (section,), option, (), (), Objective.MEMORY))
    assert "\x1b" not in text and "\u2028" not in text and "<script>" not in text.replace("\\<script\\>", "")
    assert all(line.startswith(("#", "|", "a\\|b", "`", "echo", "\\")) for line in text.splitlines() if line)
    assert [line for line in text.splitlines() if line.startswith("\\")] == ["\\1. first", "\\- item", "\\+1"]
    assert "````sh\necho ```\n````" in text
    assert [line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")] == [2, 2, 2]


def test_a_table_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="it: 1 cells under 2 columns"):
        Table("it", (Column("a"), Column("b")), ((Cell(1, "1"),),))


def test_a_picture_is_the_same_from_its_file(finished: Finished) -> None:
    picture = part(reports.report(finished.path), "space").picture
    assert picture is not None

    again = restored(json.loads(json.dumps(stored(picture))))
    assert stored(again) == stored(picture)
    for panel, other in zip(picture.panels, again.panels, strict=True):
        assert (panel.title, panel.x, panel.y) == (other.title, other.x, other.y)
        np.testing.assert_array_equal(panel.layers[0].counts, other.layers[0].counts)
        assert panel.layers[1:] == other.layers[1:]


def test_reports_go_where_they_are_sent(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    text = edgett("report", finished.path, "--format", "md")
    assert text.code == 0 and text.out.startswith("# ") and text.err == "writing the report\n"
    document = edgett("report", finished.path, "--format", "json", "--quiet")
    assert document.document["schema"] == 2 and document.err == ""
    for name, form in (("r.md", "md"), ("r.json", "json"), ("r.html", "html")):
        answer = edgett("report", finished.path, "--format", form, "--out", name)
        assert answer.code == 0 and answer.out == "" and f"written: {name}" in answer.err
    assert (tmp_path / "r.md").read_text() == text.out.removesuffix("\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.md"]


def test_an_old_run_without_its_picture_is_told_all_the_same(finished: Finished, tmp_path: Path) -> None:
    shutil.copy(finished.path / "run.json", tmp_path)

    assert part(reports.report(tmp_path), "space").picture is None


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("space.json", "{", "space.json cannot be read"),
        (
            "space.json",
            '{"schema": 2, "picture": {"title": 3}}',
            r"space\.json is damaged.*picture\.title is 3: it must be a valid string",
        ),
        ("space.json", '{"schema": 99}', r"space\.json has schema 99; this edgett reads schema 2"),
        ("bench-local.json", "[" * 100_000, "bench-local.json cannot be read"),
        ("bench-notes.json", '{"note": "mine"}', r"bench-notes\.json has schema None"),
        ("bench-local.json", '{"schema": 2}', r"bench-local\.json is damaged.*device is missing"),
        ("bench-local.json", "[]", r"bench-local\.json has schema None"),
        ("run.json", '{"schema": 2, "outcome": {"drop": NaN}}', "NaN is no number"),
        ("run.json", '{"schema": 2}', "is not finished"),
        ("run.json", '{"schema": 9}', "schema 9"),
    ],
)
def test_damaged_runs_are_refused(file: str, content: str, words: str, finished: Finished, tmp_path: Path) -> None:
    shutil.copy(finished.path / "run.json", tmp_path)
    (tmp_path / file).write_text(content)

    with pytest.raises(UsageError, match=words) as caught:
        reports.report(tmp_path)
    assert caught.value.cure


def test_a_report_goes_through_links_and_into_pipes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    reports.write("new", tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"

    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    reports.write("through", tmp_path / "pipe")
    assert reader.communicate(timeout=20)[0] == b"through"
    assert (tmp_path / "pipe").is_fifo()


def test_bytes_that_are_no_text_are_told(finished: Finished, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "q\udcff")
    reports.write(reports.told(run, lambda report: report.options[0].command), tmp_path / "command")
    assert "q\\udcff" in (tmp_path / "command").read_text()


def test_a_run_that_was_moved_is_where_it_is(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "moved")
    told = edgett("compress", "--out", run, "--resume").out.replace("\n", "")
    assert f"{run}/artifacts/" in told and f"{finished.path}/artifacts/" not in told


def test_picks_come_first_then_what_holds() -> None:
    content = asked()
    outcome = content["outcome"]
    outcome["trials"] = [outcome["trials"][0] | {"solution": number, "feasible": number != 0} for number in range(6)]
    picks = zip(PICKS, (5, 3, 5, 3), strict=True)
    outcome["picks"] = {name: outcome["picks"]["recommended"] | {"solution": number} for name, number in picks}
    report = told(content)
    assert [option.solution for option in report.options] == [5, 3, 1, 2, 4, 0]
    rows = part(report, "solutions").tables[0].rows
    assert [row[0].value for row in rows] == [5, 3, 1, 2, 4, 0]


def test_limits_and_values_are_told_apart() -> None:
    content = asked()
    for item in content["outcome"]["constraints"]:
        if item["name"] == "accuracy_drop_pp":
            item |= {"limit": 1.5, "value": 1.5004, "holds": False}
    (row,) = (row for row in part(told(content), "verdict").tables[-1].rows if row[0].value == "accuracy_drop_pp")
    assert [cell.text for cell in row[1:3]] == ["1.5", "1.5004"]


def test_no_run_and_no_place(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    absent = edgett("report", "nowhere")
    assert absent.code == 2 and "there is no run in 'nowhere'" in absent.err
    lost = edgett("report", finished.path, "--out", "no/such/place.html")
    assert lost.code == 6 and "cannot be written" in lost.err
    with pytest.raises(ToolError, match=r"[Ii]s a directory"):
        reports.write("text", tmp_path)


def test_a_finished_run_gets_its_page_when_it_is_resumed(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    (run / "report.html").unlink()

    assert f"report: {run / 'report.html'}" in edgett("compress", "--out", run, "--resume").err
    assert "report:" not in edgett("compress", "--out", run, "--resume").err


def test_a_run_whose_report_cannot_be_written_is_a_run_all_the_same(
    edgett: Call, finished: Finished, tmp_path: Path
) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    (run / "report.html").unlink()
    (run / "space.json").write_text("{")

    answer = edgett("compress", "--out", run, "--resume", "--json")
    assert answer.code == 0 and answer.document["picks"] == finished.document["picks"]
    assert "no report:" in answer.err and "space.json cannot be read" in answer.err


def test_a_test_drop_over_the_budget_is_in_the_verdict() -> None:
    content = asked()
    outcome = content["outcome"]
    (item,) = [item for item in outcome["constraints"] if item["name"] == "accuracy_drop_pp"]
    item["limit"] = 1.5
    for pick in outcome["picks"].values():
        pick["test_holds"] = pick["test_drop"] <= 1.5
    outcome["remarks"] = ["the validation data are few"]

    report = told(content)

    broken = [words for words in part(report, "verdict").words if "over the budget of 1.5" in words]
    assert {pick["solution"] for pick in outcome["picks"].values() if not pick["test_holds"]} == {
        int(words.split("solution ")[1].split()[0]) for words in broken
    }
    assert broken and "the validation data are few" in part(report, "verdict").words
    assert "over the budget of 1.5" in markdown.document(report) and broken[0] in str(facts.document(report))
