"""What commands that make a run say before they begin: which model it is, and which run is meant.

That they start, go on and start anew is in test_resume.py, that they are interrupted in test_interrupts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer, Finished

Call = Callable[..., Answer]
BUILT_IN = "No model is named: this is the built-in example:clock."


@pytest.mark.parametrize("command", ["compress", "deploy"])
def test_to_go_on_the_run_must_be_named(edgett: Call, command: str) -> None:
    answer = edgett(command, "--resume")

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == ["error: --resume needs to know the run.", "Add --out DIR."]


@pytest.mark.parametrize("more", [(), ("--fresh",)], ids=["", "fresh"])
def test_a_model_that_is_not_named_is_told_before_anything_else(
    edgett: Call, tmp_path: Path, more: tuple[str, ...]
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "notes.txt").write_text("mine")

    answer = edgett("compress", "--target", "host", "--out", "place", *more)

    assert answer.code == 2  # the place is taken, so that nothing is made
    assert answer.err.splitlines()[0] == BUILT_IN


def test_one_that_is_named_is_not(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    command = ("compress", "--target", "host", "--out", finished.path)
    assert BUILT_IN in edgett(*command).err
    assert "No model" not in edgett(*command[:1], "example:clock", *command[1:]).err
    (tmp_path / "edgett.toml").write_text('model = "example:clock"\n')
    assert "No model" not in edgett(*command).err


def test_nor_where_a_run_goes_on(edgett: Call, finished: Finished) -> None:
    answer = edgett("compress", "--out", finished.path, "--resume")
    assert answer.code == 0 and answer.err.splitlines() == [f"run: {finished.path}"]


def test_to_go_on_or_start_anew_where_there_is_nothing_is_to_start(edgett: Call, tmp_path: Path) -> None:
    """Nothing is loaded to find that out: the place is taken here."""
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "notes.txt").write_text("mine")

    for place in ((), ("--out", "place")):
        answer = edgett("compress", "none.keras", "--target", "host", "--resume", "--fresh", *place)
        assert answer.code in (2, 3) and "--resume needs" not in answer.err and "starting anew" not in answer.err
