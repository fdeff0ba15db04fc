"""Picks that learn with the numbers of int8: in a run, resumed, exported again."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgett.cli import run
from edgett.run.directory import file_digest
from edgett.train import aware
from edgett.train.aware import School
from edgett.workflow.tutor import Tutor, learnt_file
from tests.conftest import EASY, Answer, Tiny

pytestmark = pytest.mark.slow

Call = Callable[..., Answer]


@pytest.fixture(scope="module")
def learnt(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose picks learn, however little int8 takes of them."""
    path = tmp_path_factory.mktemp("learnt") / "run"
    asked = ["compress", *tiny.arguments, *EASY, "--dtype", "int8", "--int8-epochs", "2", "--out", str(path)]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
        patch.setattr(Tutor, "least", -100.0)
        patch.setattr(aware, "GENTLE", 1.0)  # candidates have trained for a moment only, and go on
        with contextlib.redirect_stdout(io.StringIO()):
            assert run([*asked, "--json"]) == 0
    assert "learns with the numbers of int8" in said.getvalue()
    return path


def test_what_was_learnt_stays_beside_the_artefacts(learnt: Path) -> None:
    outcome = json.loads((learnt / "run.json").read_text())["outcome"]
    picks = [pick for pick in outcome["picks"].values() if pick and pick["solution"] >= 0]
    assert picks and all((learnt / learnt_file(pick["solution"])).is_file() for pick in picks)
    for told in (pick["int8"] for pick in picks if pick["int8"]):
        assert told["epochs"] == 2
        assert told["drop_after"] < told["drop_before"], "what does not help is not kept"


def test_a_resumed_run_does_not_train_again(
    learnt: Path, tiny: Tiny, edgett: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after a kill before the outcome was written down: the same files come out."""
    content = json.loads((learnt / "run.json").read_text())
    before = {path.name: file_digest(path) for path in (learnt / "artifacts").iterdir()}
    (learnt / "run.json").write_text(json.dumps(content | {"outcome": None}))
    monkeypatch.setattr(Tutor, "least", -100.0)
    monkeypatch.setattr(School, "learnt", lambda *_: pytest.fail("trained again"))
    try:
        assert edgett("compress", "--out", str(learnt), "--resume").code == 0
        after = {path.name: file_digest(path) for path in (learnt / "artifacts").iterdir()}
        assert after == before
    finally:
        (learnt / "run.json").write_text(json.dumps(content))


def test_a_solution_that_learnt_is_exported_as_it_is(learnt: Path, edgett: Call, tmp_path: Path) -> None:
    outcome = json.loads((learnt / "run.json").read_text())["outcome"]
    pick = outcome["picks"]["recommended"]
    number = str(pick["solution"])
    out = edgett("export", str(learnt), "--solution", number, "--format", "tflite", "--out", str(tmp_path / "again"))
    assert out.code == 0, out.err
    (again,) = (tmp_path / "again").glob("*.tflite")
    assert file_digest(again) == pick["artifacts"]["tflite"]["sha256"]


def test_weights_that_are_damaged_are_told(learnt: Path, edgett: Call, tmp_path: Path) -> None:
    outcome = json.loads((learnt / "run.json").read_text())["outcome"]
    told = [trial["solution"] for trial in outcome["trials"] if trial["int8"]]
    assert told, "having learnt they are better"
    place = learnt / learnt_file(told[0])
    content = place.read_bytes()
    place.write_bytes(content[: len(content) // 2])
    try:
        found = edgett("export", str(learnt), "--solution", str(told[0]), "--out", str(tmp_path / "out"))
    finally:
        place.write_bytes(content)
    assert found.code == 2 and "cannot be read" in found.err


def test_without_epochs_nobody_learns(tiny: Tiny, edgett: Call, tmp_path: Path) -> None:
    found = edgett(
        "compress", *tiny.arguments, *EASY, "--dtype", "int8", "--int8-epochs", "0", "--out", str(tmp_path / "run")
    )
    assert found.code == 0
    assert not list((tmp_path / "run" / "artifacts").glob("int8-*"))


def test_fewer_than_no_epochs_are_refused(tiny: Tiny, edgett: Call, tmp_path: Path) -> None:
    found = edgett("compress", *tiny.arguments, "--int8-epochs", "-1", "--out", str(tmp_path / "run"))
    assert found.code == 2 and "--int8-epochs" in found.err
