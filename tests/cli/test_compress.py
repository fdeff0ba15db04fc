"""`edgett compress`, from a model to what is on the screen, in the JSON document and in the run directory."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import EASY, Answer, Finished, Tiny

Call = Callable[..., Answer]
PICKS = ("highest_accuracy", "lowest_memory", "lowest_flops", "recommended")


def test_screen_shows_funnel_models_budgets_check_and_files(edgett: Call, finished: Finished) -> None:
    answer = edgett("compress", "--out", finished.path, "--resume")

    flat = " ".join(answer.out.split())
    assert answer.code == 0
    for words in (
        "How many each step left",
        "distinct joint candidates",
        "6 fine-tuned",
        "--limit all takes every one",
        "dense",
        "recommended",
        "highest accuracy",
        "lowest memory",
        "lowest FLOPs",
        "parameters",
        "FLOPs",
        "MACs",
        "bytes, .tflite",
        "accuracy, val.",
        "accuracy, test",
        "drop, val.",
        "drop in percentage points",
        "Budgets of cortex-a53",
        "model_bytes",
        "holds",
        "Cross-check",
        "L2 error",
        "left alone: digit (36x10)",
    ):
        assert words in flat
    assert finished.document["picks"]["recommended"]["artifacts"]["tflite"]["path"] in flat.replace(" ", "")
    assert "error" not in answer.err


def test_json_has_what_the_readme_documents(finished: Finished) -> None:
    document = finished.document

    assert document["schema"] == 2
    assert set(document) >= {
        "cost_model", "ranks", "grid", "empty_tiles", "layers", "totals",
        "baseline", "trials", "picks", "constraints", "artifacts", "check",
    }  # fmt: skip
    assert set(document["picks"]) == set(PICKS)
    assert len(document["trials"]) == 2
    assert document["baseline"]["params"] == 64 * 48 + 48 + 48 * 36 + 36 + 36 * 10 + 10
    assert document["baseline"]["flops"] == 2 * (64 * 48 + 48 * 36 + 36 * 10) + 48 + 36 + 10
    assert document["baseline"]["macs"] == 64 * 48 + 48 * 36 + 36 * 10
    for item in document["constraints"]:
        assert set(item) == {"name", "limit", "value", "holds"}
        assert item["holds"] is True
    assert document["check"]["ok"] is True
    for path, item in document["check"]["artifacts"].items():
        assert not Path(path).is_absolute()
        for name in ("params", "flops"):
            assert item[name]["predicted"] == item[name]["found"]
        assert item["peak_bytes"]["found"] <= item["peak_bytes"]["predicted"]
        assert item["numerics"]["l2_relative"] < 1e-4
        assert sum(row["params"]["found"] for row in item["layers"]) == item["params"]["found"]


def test_picks_hold_neither_times_nor_absolute_paths(finished: Finished) -> None:
    text = json.dumps(finished.document["picks"])

    assert "second" not in text and "time" not in text
    assert '"/' not in text and str(finished.path) not in text


def test_picks_are_the_best_of_the_trials(finished: Finished) -> None:
    trials, picks = finished.document["trials"], finished.document["picks"]

    assert picks["highest_accuracy"]["drop"] == min(trial["drop"] for trial in trials)
    assert picks["lowest_memory"]["params"] == min(trial["params"] for trial in trials)
    assert picks["lowest_flops"]["flops"] == min(trial["flops"] for trial in trials)
    assert picks["recommended"] == picks["lowest_flops"]  # the objective of cortex-a53


def test_artefacts_are_there_as_recorded_and_equal_picks_are_written_once(finished: Finished) -> None:
    models = [finished.document["baseline"], *finished.document["picks"].values()]
    files = {file["path"]: file for model in models for file in model["artifacts"].values()}

    for path, file in files.items():
        content = (finished.path / path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    solutions = {pick["solution"] for pick in finished.document["picks"].values()}
    written = {path.name for path in (finished.path / "artifacts").iterdir() if path.suffix != ".npz"}
    assert len(written) == len(files) == 3 * (1 + len(solutions))
    assert {Path(path).name for path in files} == written


def test_nothing_temporary_is_left(finished: Finished) -> None:
    names = {path.name for path in finished.path.iterdir()}

    assert names - {"journal.sqlite-wal", "journal.sqlite-shm"} == {
        ".lock", "run.json", "journal.sqlite", "artifacts", "check.json", "space.json", "report.html",
        "times.json", "run.log",
    }  # fmt: skip
    assert json.loads((finished.path / "check.json").read_text()) == finished.document["check"]


def test_run_records_options_with_their_origin_versions_and_digests(finished: Finished) -> None:
    asked = json.loads((finished.path / "run.json").read_text())

    assert asked["options"]["limit"] == {"value": 2, "from": "command line"}
    assert asked["options"]["grid"] == {"value": 8, "from": "default"}
    assert asked["options"]["flops"] == {"value": None, "from": "profile"}
    assert {"edgett", "tensorflow", "keras", "python"} <= set(asked["versions"])
    assert set(asked["digests"]) == {"code", "target", "model", "data"}


def test_first_lines_say_where_the_run_is_and_for_what(finished: Finished) -> None:
    wrote, run, target = finished.remarks.splitlines()[:3]
    assert wrote.startswith("tiny.keras: a .keras archive, written by Keras 3.")
    assert run == f"run: {finished.path}"
    assert target.startswith("target: cortex-a53, ")


@pytest.mark.slow
def test_another_process_makes_the_same_bytes_and_keeps_the_screen_clean(
    finished: Finished, tiny: Tiny, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "edgett", "compress", *tiny.arguments, *EASY, "--out", "again", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["picks"] == finished.document["picks"]
    for path in (finished.path / "artifacts").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / "artifacts" / path.name).read_bytes(), path.name
    lines = done.stderr.splitlines()
    assert lines[0].startswith("tiny.keras: ") and lines[1] == "run: again"
    assert [line.split()[0] for line in lines[2:]] == [
        "target:", "loading", "looking", "converting", "exploring", "costing", "making", "trying", "2", "fine-tuning",
        "exporting", "timing", "checking", "counting", "writing", "report:",
    ]  # fmt: skip


def test_resume_of_a_finished_run_prints_its_outcome(edgett: Call, finished: Finished) -> None:
    answer = edgett("compress", "--out", finished.path, "--resume", "--json", "--limit", "2")

    assert answer.code == 0
    assert answer.document == finished.document


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--epochs", "2"), "epochs was 1, now 2"),
        (("--limit", "all"), "limit was 2, now all"),
        (("--empty-tiles", "nearest"), "empty_tiles was skip, now nearest"),
        (("--skip-layer", "wide"), "skip_layer"),
        (("--target", "host"), "target was cortex-a53, now host"),
        (("--max-drop", "1"), "max_drop was 100.0, now 1.0"),
    ],
)
def test_resume_refuses_other_options(edgett: Call, finished: Finished, option: tuple[str, ...], told: str) -> None:
    answer = edgett("compress", "--out", finished.path, "--resume", *option)

    assert answer.code == 2
    assert told in answer.err


def test_resume_needs_out_and_a_run(edgett: Call, tmp_path: Path) -> None:
    assert "--out" in edgett("compress", "--resume").err
    answer = edgett("compress", "--resume", "--out", "nowhere")
    assert answer.code == 2
    assert "there is no run in 'nowhere'" in answer.err
    assert not (tmp_path / "nowhere").exists()


def unfinished(finished: Finished, place: Path, number: int | None = None) -> Path:
    """A copy of the run as a kill leaves it: no outcome, maybe without one of the trials."""
    import sqlite3

    shutil.copytree(finished.path, place)
    asked = json.loads((place / "run.json").read_text())
    del asked["outcome"]
    (place / "run.json").write_text(json.dumps(asked))
    shutil.rmtree(place / "artifacts")
    if number is not None:
        with sqlite3.connect(place / "journal.sqlite") as journal:
            journal.execute("DELETE FROM trials WHERE number = ?", (number,))
        journal.close()
    return place


def test_resume_trains_only_what_is_missing_and_comes_to_the_same(
    edgett: Call, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgett.train import finetune

    lost = finished.document["trials"][1]["solution"]
    place = unfinished(finished, tmp_path / "cut", lost)
    (place / ".part-left").mkdir()
    trained = []
    train = finetune.Tuner.run

    def run(self: finetune.Tuner, task: finetune.Task, advance: Callable[[int], None]) -> finetune.Tuned:
        trained.extend([task.solution.number] if task.until else [])  # up to 0 epochs it is only timed
        return train(self, task, advance)

    monkeypatch.setattr(finetune.Tuner, "run", run)

    answer = edgett("compress", "--out", place, "--resume", "--json")

    assert answer.code == 0
    assert trained == [lost]
    assert answer.document["picks"] == finished.document["picks"]
    for path in (finished.path / "artifacts").iterdir():
        assert path.read_bytes() == (place / "artifacts" / path.name).read_bytes(), path.name
    assert not list(place.glob(".part-*"))


@pytest.mark.parametrize("what", ["model", "data"])
def test_resume_refuses_another_model_or_data(
    edgett: Call, finished: Finished, tiny: Tiny, tmp_path: Path, what: str
) -> None:
    place = unfinished(finished, tmp_path / "cut")
    asked = json.loads((place / "run.json").read_text())
    asked["digests"][what] = "0" * 64
    (place / "run.json").write_text(json.dumps(asked))

    answer = edgett("compress", "--out", place, "--resume")

    assert answer.code == 2
    assert f"{what} changed since it began" in answer.err
    assert (place / "run.json").exists()


@pytest.mark.slow
def test_infeasible_names_the_nearest_miss_and_writes_the_run(edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
    answer = edgett(
        "compress", *tiny.arguments, "--limit", "1", "--max-drop", "0", "--model-bytes", "99 %",
        "--out", "run", "--json", "--quiet",
    )  # fmt: skip

    assert answer.code == 4
    document = answer.document
    assert document["error"]["code"] == 4
    assert "accuracy_drop_pp binds" in document["error"]["message"]
    assert document["picks"] == dict.fromkeys(PICKS)
    assert document["nearest_miss"]["constraint"] == "accuracy_drop_pp"
    assert [item["holds"] for item in document["constraints"] if item["name"] == "accuracy_drop_pp"] == [False]
    assert "no solution meets the constraints of cortex-a53" in answer.err  # even with --quiet
    assert len(answer.err.splitlines()) == 2
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["nearest_miss"]
    assert json.loads((tmp_path / "run" / "check.json").read_text())["ok"] is True
    again = edgett("compress", "--out", "run", "--resume")
    assert "broken" in again.out and "accuracy_drop_pp binds" in again.out
    assert again.code == 4 and answer.document["error"]["message"] in again.err
    assert edgett("compress", "--out", "run", "--resume", "--json").document == answer.document


@pytest.mark.slow
def test_infeasible_before_training_trains_nothing(edgett: Call, tiny: Tiny) -> None:
    answer = edgett("compress", *tiny.arguments, "--model-bytes", "1 KiB", "--out", "run", "--json")

    assert answer.code == 4
    assert answer.document["trials"] == []
    assert "model_bytes binds" in answer.document["error"]["message"]
    assert answer.document["nearest_miss"]["drop"] is None


@pytest.mark.slow
def test_planted_fault_in_the_prediction_fails_the_cross_check(
    edgett: Call, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgett.graph.graph import Graph
    from edgett.model import predict as module

    place = unfinished(finished, tmp_path / "cut")
    predict = module.predict

    def fewer(form: object, batch: int, **how: bool) -> Graph:
        graph = predict(form, batch, **how)
        first = next(step for step in graph.steps if step.flops)
        return replace(graph, steps=tuple(replace(s, flops=s.flops - 1) if s is first else s for s in graph.steps))

    monkeypatch.setattr(module, "predict", fewer)

    answer = edgett("compress", "--out", place, "--resume", "--json")

    assert answer.code == 5
    assert answer.document["error"]["code"] == 5
    assert answer.document["check"]["ok"] is False
    assert "the cross-check failed" in answer.err
    assert json.loads((place / "check.json").read_text())["ok"] is False

    monkeypatch.undo()  # the outcome is the run's, whoever looks at it
    monkeypatch.chdir(tmp_path)
    again = edgett("compress", "--out", place, "--resume")
    assert again.code == 5 and answer.document["error"]["message"] in again.err
    for command in (("firmware", "pack", place, "--out", "package"), ("bench", place)):
        refused = edgett(*command)
        assert refused.code == 5
        assert f"the run in {place} failed its cross-check, by artifacts/baseline.tflite" in refused.err
    assert not (tmp_path / "package").exists()


@pytest.mark.slow
def test_default_run_directory_counts_up(edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "runs" / "tiny-cortex-a53-1").mkdir(parents=True)

    answer = edgett("compress", *tiny.arguments, *EASY, "--limit", "1", "--only-layer", "wide", "-q")

    assert answer.code == 0
    assert answer.err == ""
    assert (tmp_path / "runs" / "tiny-cortex-a53-2" / "run.json").is_file()
    assert "--only-layer names others" in answer.out


def test_drop_of_a_pick_is_that_of_its_accuracy(finished: Finished) -> None:
    dense = finished.document["baseline"]["accuracy"][0]["value"]

    assert len(finished.document["trials"]) == 2
    for trial in finished.document["trials"]:
        assert math.isclose(trial["drop"], 100 * (dense - trial["accuracy"][0]["value"]), abs_tol=1e-9)
