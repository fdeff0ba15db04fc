"""Accuracy under attack, as it is asked for on the command line and told in every report."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.cli import run
from edgett.run.directory import Run
from tests import schemas
from tests.conftest import EASY, Answer, Finished, Tiny

Call = Callable[..., Answer]
ATTACKED = ("--epsilon", "0.04", "--attack-steps", "3")


@pytest.fixture(scope="module")
def robust(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run that recovered adversarially; do not write into it."""
    path, out, err = tmp_path_factory.mktemp("robust") / "run", io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*map(str, asked(tiny)), "--out", str(path), "--json"])
    assert code == 0, err.getvalue()
    schemas.hold("compress", document := json.loads(out.getvalue()))
    return Finished(path, document, err.getvalue())


def asked(tiny: Tiny, *more: str) -> tuple[Any, ...]:
    hard = ("--recover", "adversarial", "--max-robust-drop", "100")
    return "compress", *tiny.arguments, *EASY, *ATTACKED, *hard, *more


def test_the_document_tells_drops_under_attack_of_dense_trials_and_picks(robust: Finished) -> None:
    document = robust.document
    attack = document["attack"]
    assert (attack["by"], attack["epsilon"], attack["steps"]) == ("pgd", 0.04, 3)
    (base,) = document["baseline"]["robust_accuracy"]
    assert base["metric"] == "accuracy" and base["value"] < document["baseline"]["accuracy"][0]["value"]
    assert document["baseline"]["robust_drop"] == 0
    picks = [pick for pick in document["picks"].values() if pick["solution"] >= 0]
    assert picks
    for model in (*document["trials"], *picks):
        (found,) = model["robust_accuracy"]
        assert found["value"] <= model["accuracy"][0]["value"]
        assert model["robust_drop"] == pytest.approx(100 * (base["value"] - found["value"]))
    (tested,) = document["baseline"]["test_robust_accuracy"]
    for pick in picks:
        lost = 100 * (tested["value"] - pick["test_robust_accuracy"][0]["value"])
        assert pick["test_robust_drop"] == pytest.approx(lost)
    (row,) = (row for row in document["constraints"] if row["name"] == "robust_drop_pp")
    assert row["limit"] == 100 and row["holds"] is True
    assert row["value"] == document["picks"]["recommended"]["robust_drop"]


def test_the_journal_keeps_them(robust: Finished) -> None:
    place = Run.resume(robust.path)
    try:
        trials = place.trials()
    finally:
        place.close()
    for told in robust.document["trials"]:
        trial = trials[told["solution"]]
        assert trial.robust_drop == told["robust_drop"]
        assert trial.quality.robust[0].value == told["robust_accuracy"][0]["value"]


def test_every_report_tells_of_it(edgett: Call, robust: Finished) -> None:
    value = robust.document["baseline"]["robust_accuracy"][0]["value"]
    told = edgett("compress", "--out", robust.path, "--resume")
    assert "accuracy under" in told.out and f"{value:.4f}" in told.out and "robust_drop_pp" in told.out
    page = (robust.path / "report.html").read_text()
    assert "accuracy under attack, validation" in page and "PGD, epsilon 0.04" in page
    assert "robust_drop_pp" in page
    report = edgett("report", robust.path, "--format", "json").document
    assert all(option["robust_drop_pp"] is not None for option in report["solutions"])


def test_a_run_that_was_cut_comes_to_the_same(
    edgett: Call, robust: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, lost = tmp_path / "cut", robust.document["trials"][1]["solution"]
    shutil.copytree(robust.path, place)
    content = json.loads((place / "run.json").read_text())
    del content["outcome"]
    (place / "run.json").write_text(json.dumps(content))
    shutil.rmtree(place / "artifacts")
    with closing(sqlite3.connect(place / "journal.sqlite")) as journal, journal:
        journal.execute("DELETE FROM trials WHERE number = ?", (lost,))
    answer = edgett("compress", "--out", place, "--resume", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["picks"] == robust.document["picks"]
    again = {trial["solution"]: trial for trial in answer.document["trials"]}
    for trial in robust.document["trials"]:
        assert trial | {"seconds": 0} == again[trial["solution"]] | {"seconds": 0}


def test_the_constraint_rejects(edgett: Call, tiny: Tiny, robust: Finished, tmp_path: Path) -> None:
    """Without the budget some solutions lose more than it allows, and with it they are not feasible."""
    given = ("compress", *tiny.arguments, *EASY, *ATTACKED)
    free = edgett(*given, "--out", tmp_path / "free", "--json").document
    drops = {trial["solution"]: trial["robust_drop"] for trial in free["trials"]}
    assert all(trial["feasible"] for trial in free["trials"]) and max(drops.values()) > min(drops.values())
    limit = max(max(drops.values()) - 0.1, 0.0)
    held = edgett(*given, "--max-robust-drop", limit, "--out", tmp_path / "held", "--json").document
    for trial in held["trials"]:
        assert trial["robust_drop"] == drops[trial["solution"]]
        assert trial["feasible"] == (trial["robust_drop"] <= limit)
    assert not all(trial["feasible"] for trial in held["trials"])


@pytest.mark.slow
def test_an_int8_file_is_attacked_with_what_moves_its_float_model(edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
    arguments = (tiny.model, "--data", tiny.data, "--target", "cortex-a53", "--dtype", "int8", *ATTACKED)
    answer = edgett("deploy", *arguments, *EASY, "--out", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    dense = answer.document["baseline"]
    (found,), (original,) = dense["robust_accuracy"], dense["original"]["robust_accuracy"]
    assert found["value"] < dense["accuracy"][0]["value"]
    assert dense["robust_drop"] == pytest.approx(100 * (original["value"] - found["value"]))
    assert abs(dense["robust_drop"]) < 10  # int8 changes little, and so does it here
    told = edgett("deploy", "--out", tmp_path / "run", "--resume")
    assert "made for the float32 models" in " ".join(told.out.split())


def test_an_attack_goes_through_the_trunk(edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
    """Features of a frozen one would be moved in its inputs' place."""
    given = ("compress", *tiny.arguments, *EASY, *ATTACKED, "--trunk", "frozen", "--only-layer", "dense")
    answer = edgett(*given, "--out", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    assert "No trunk is frozen: an attack goes through it" in answer.err
    assert all(trial["robust_accuracy"] for trial in answer.document["trials"])


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (("--epsilon", "1.5"), "--epsilon 1.5 is not above 0 and at most 1"),
            (("--epsilon", "0"), "--epsilon 0 is not above 0 and at most 1"),
            (("--attack", "pgd", "--attack-steps", "0"), "--attack-steps 0 is not from 1 to 1,000"),
            (("--attack", "fgsm", "--attack-steps", "4"), "--attack-steps 4 means nothing to --attack fgsm"),
            (("--max-robust-drop", "101"), "--max-robust-drop 101 is not from 0 to 100"),
        ],
    )
    def test_options_out_of_range(
        self, edgett: Call, tiny: Tiny, tmp_path: Path, options: tuple[str, ...], says: str
    ) -> None:
        answer = edgett("compress", *tiny.arguments, *options, "--out", tmp_path / "run")
        assert answer.code == 2 and says in answer.err
        assert not (tmp_path / "run").exists()

    def test_data_without_labels(self, edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
        np.savez(tmp_path / "bare.npz", x_train=tiny.arrays()["x_train"])
        arguments = (tiny.model, "--data", tmp_path / "bare.npz", "--target", "cortex-a53")
        answer = edgett("compress", *arguments, "--recover", "adversarial", "--out", tmp_path / "run")
        assert answer.code == 3 and "no labels" in answer.err and "y_train" in answer.err

    def test_a_model_of_tokens(self, edgett: Call, tmp_path: Path) -> None:
        words = keras.Input((5,), dtype="int32", name="words")
        flat = keras.layers.Flatten()(keras.layers.Embedding(9, 4)(words))
        model = keras.Model(words, keras.layers.Dense(3, "softmax")(flat))
        model.save(tmp_path / "tokens.keras")
        x, y = np.arange(200).reshape(40, 5) % 9, np.arange(40) % 3
        np.savez(tmp_path / "tokens.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        arguments = (tmp_path / "tokens.keras", "--data", tmp_path / "tokens.npz", "--target", "cortex-a53")
        answer = edgett("compress", *arguments, "--attack", "fgsm", "--out", tmp_path / "run")
        assert answer.code == 3 and "'words' takes int32" in answer.err and "Leave out --attack" in answer.err

    def test_a_model_that_comes_alone(self, edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
        answer = edgett("deploy", tiny.model, "--target", "cortex-a53", "--attack", "pgd", "--out", tmp_path / "run")
        assert answer.code == 3 and "there are no data" in answer.err and "--data" in answer.err
