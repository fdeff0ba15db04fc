"""run.log: said, done, turned away from the screen, gone wrong; each line has its time."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgett.errors import ToolError
from edgett.meter import Silent
from edgett.run.log import NAME, Log, logged
from edgett.system.quiet import quiet
from tests.conftest import EASY, Answer, Finished, Tiny

Call = Callable[..., Answer]
STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d ")


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def lines(run: Path) -> list[str]:
    """Without their times, which every line has."""
    found = (run / NAME).read_text().splitlines()
    assert all(STAMP.match(line) for line in found)
    return [STAMP.sub("", line, count=1) for line in found]


def test_what_is_said_is_written_and_said(tmp_path: Path) -> None:
    heard = Heard()
    with logged(tmp_path, heard) as meter:
        meter.say("one\ntwo \x1b[31m")
        meter.note("three")

    assert heard.said == ["one\ntwo \x1b[31m"]
    assert lines(tmp_path)[0].startswith("edgett ")
    assert lines(tmp_path)[1:] == ["one", "two ?[31m", "three"]


def test_stages_have_their_beginning_end_and_duration(tmp_path: Path) -> None:
    with logged(tmp_path, Silent()) as meter:
        with meter.stage("counting", 1200) as advance:
            advance(1200)
        with pytest.raises(ToolError), meter.stage("breaking"):
            raise ToolError("no.")

    told = lines(tmp_path)[1:]
    assert told[0] == "begin: counting (1,200)"
    assert re.fullmatch(r"end: counting, \d+\.\d\d s", told[1])
    assert told[2] == "begin: breaking"
    assert re.fullmatch(r"broken off: breaking, \d+\.\d\d s", told[3])


def test_what_is_turned_away_from_the_screen_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with logged(tmp_path, Silent()):
        with quiet():
            print("from Python")
            os.write(2, b"from C\n")
            os.system("echo from a child")
            logging.getLogger("converter").warning("from a logger")
            warnings.warn("from a library", DeprecationWarning, stacklevel=1)
            with quiet():
                os.write(1, b"deeper\n\n")
        with quiet():
            pass

    told = lines(tmp_path)[1:]
    assert {"| from Python", "| from C", "| from a child", "| deeper"} <= set(told)
    assert "DeprecationWarning: from a library" in told
    assert sum("from a logger" in line for line in told) <= 1  # pytest may have handlers of its own
    assert capfd.readouterr() == ("", "")
    sys.stdout.write("")  # the streams are back


def test_warnings_are_kept_off_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with logged(tmp_path, Silent()):
        warnings.simplefilter("default")
        warnings.warn("old", FutureWarning, stacklevel=1)

    assert lines(tmp_path)[1:] == ["FutureWarning: old"]
    assert capfd.readouterr().err == ""


def test_unexpected_error_is_written_and_tells_where(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught, logged(tmp_path, Silent()):
        _ = 1 / 0

    assert caught.value.__notes__ == [f"The log is {tmp_path / NAME}."]
    told = lines(tmp_path)
    assert told[1] == "Traceback (most recent call last):" and told[-1].startswith("ZeroDivisionError")


def test_errors_of_our_own_are_written_with_their_causes(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught, logged(tmp_path, Silent()):
        raise ToolError("the tool failed.") from OSError("the cause")

    assert not hasattr(caught.value, "__notes__")
    assert any("the cause" in line for line in lines(tmp_path)) and "the tool failed." in lines(tmp_path)[-1]


def test_a_full_disk_does_not_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    log = Log(tmp_path / NAME, heard)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.say("all the same")
    monkeypatch.undo()
    log.close()

    assert heard.said == ["all the same"]


def test_run_has_a_log_of_its_stages_and_trials(finished: Finished) -> None:
    told = lines(finished.path)

    assert told[1].startswith("tiny.keras: a .keras archive, written by Keras 3.")
    assert told[2] == f"run: {finished.path}"
    (command,) = (line for line in told if line.startswith("edgett compress "))
    assert "--limit 2" in command and "--max-drop 100.0" in command
    for stage in ("loading TensorFlow", "exploring the design space", "fine-tuning 2 solutions", "exporting"):
        assert any(line.startswith(f"begin: {stage}") for line in told)
        assert any(re.match(rf"end: {stage}, \d+\.\d\d s", line) for line in told)
    for trial in finished.document["trials"]:
        assert any(line.startswith(f"solution {trial['solution']}: 1 epoch in ") for line in told)
    assert told[-1].startswith(f"recommended: solution {finished.document['picks']['recommended']['solution']}, ")
    assert NAME not in json.dumps(finished.document)


@pytest.mark.slow
def test_resume_appends_and_fresh_begins_anew(edgett: Call, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgett.report import reports

    def broken(*_: object) -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patched:
        patched.setattr(reports, "conclude", broken)
        answer = edgett("compress", *tiny.arguments, *EASY, "--out", "run", "--json")
    assert answer.code == 1
    assert answer.document["error"]["message"] == "this is a bug in edgett: RuntimeError: planted"
    assert answer.document["error"]["cure"].endswith("The log is run/run.log.")
    first = lines(Path("run"))
    assert first[-1] == "RuntimeError: planted"

    assert edgett("compress", "--resume", "--out", "run").code == 0
    assert lines(Path("run"))[: len(first)] == first
    assert sum(", Python " in line for line in lines(Path("run"))) == 2

    assert edgett("compress", *tiny.arguments, *EASY, "--limit", "1", "--out", "run", "--fresh").code == 0
    assert sum(", Python " in line for line in lines(Path("run"))) == 1


def test_unusable_input_leaves_nothing(edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
    """Found after the first stages, when a log of them has been begun."""
    x, y = np.zeros((20, 63), "float32"), np.zeros(20, "int32")
    np.savez("narrow.npz", x_train=x, y_train=y, x_test=x, y_test=y)

    answer = edgett("compress", tiny.model, "--data", "narrow.npz", "-t", "cortex-a53", *EASY, "--out", "run")

    assert answer.code == 3 and "63" in answer.err
    assert not (tmp_path / "run").exists()
