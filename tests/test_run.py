"""The run directory: journal, lock, whole files or none, and every way in which it can be in the way."""

from __future__ import annotations

import errno
import json
import math
from contextlib import closing
from pathlib import Path

import pytest

from edgett.errors import ToolError, UsageError
from edgett.run import Run, file_digest, new_path
from edgett.values import Cost, Quality, Score, Solution, Trial, TTShape


def trial(number: int, drop: float = 0.25) -> Trial:
    shapes = {"fc": TTShape((4, 2), (3, 5), (1, 7, 1))}
    quality = Quality((Score("out", "accuracy", 0.9),), 0.3)
    return Trial(Solution(number, shapes, Cost(2**60 + 1, 20, 30, 40, 5), 60), quality, drop, 3, 7, 1.5)


def test_trials_and_weights_come_back_after_closing(tmp_path: Path) -> None:
    with closing(Run.start(tmp_path / "run", {"a": 1})) as run:
        run.record(trial(5), b"five")
        run.record(trial(3, math.inf), b"three")

    with closing(Run.resume(tmp_path / "run")) as run:
        assert run.trials() == {3: trial(3, math.inf), 5: trial(5)}
        assert list(run.trials()) == [3, 5]
        assert run.weights(5) == b"five"
        assert run.asked == {"schema": 1, "a": 1}


def test_unknown_solution_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with closing(Run.start(tmp_path / "run", {})) as run:
        with pytest.raises(UsageError, match=r"no solution 4\. It has: none\."):
            run.weights(4)
        run.record(trial(5), b"")
        with pytest.raises(UsageError, match=r"It has: 5\."):
            run.weights(4)


def test_second_one_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    with closing(Run.start(tmp_path / "run", {})), pytest.raises(UsageError, match="under way in another process"):
        Run.resume(tmp_path / "run")

    Run.resume(tmp_path / "run").close()


def test_leftovers_of_a_kill_are_no_obstacle(tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir()
    (place / ".lock").write_text("")
    (place / ".part-x").mkdir()
    (place / ".part-x" / "half").write_text("half")
    (place / "journal.sqlite").write_bytes(b"")

    with closing(Run.start(place, {})):
        assert not list(place.glob(".part-*"))


@pytest.mark.parametrize(
    ("names", "told"), [(["run.json"], "there is a run in .* already"), (["notes.txt"], "not empty and no run")]
)
def test_start_leaves_alone_what_is_there(tmp_path: Path, names: list[str], told: str) -> None:
    for name in names:
        (tmp_path / name).write_text("mine")

    with pytest.raises(UsageError, match=told):
        Run.start(tmp_path, {})

    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / names[0]).read_text() == "mine"


def test_start_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(UsageError, match="is a file"):
        Run.start(tmp_path / "file", {})
    with pytest.raises(ToolError, match="cannot be written"):
        Run.start(tmp_path / "file" / "below", {})


def test_empty_directory_will_do(tmp_path: Path) -> None:
    Run.start(tmp_path, {}).close()

    assert (tmp_path / "run.json").is_file()


def test_resume_refuses_where_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run"):
        Run.resume(tmp_path)
    assert not list(tmp_path.iterdir())


def test_damage_is_told(tmp_path: Path) -> None:
    Run.start(tmp_path / "run", {}).close()
    (tmp_path / "run" / "run.json").write_text("{")
    with closing(Run.resume(tmp_path / "run")) as run, pytest.raises(UsageError, match=r"run\.json cannot be read"):
        _ = run.asked

    for path in (tmp_path / "run").glob("journal*"):
        path.write_bytes(b"no database " * 100)
    for _ in range(2):  # the lock is let go
        with pytest.raises(ToolError, match="not a database"):
            Run.resume(tmp_path / "run")


def test_file_takes_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    with closing(Run.start(tmp_path / "run", {})) as run:
        with pytest.raises(ZeroDivisionError), run.writing("check.json") as part:
            part.write_text(f"half {1 // 0}")
        with pytest.raises(ValueError, match="not JSON compliant"):
            run.write_json("check.json", {"nan": math.nan})
        assert not (run.path / "check.json").exists()
        run.write_json("check.json", {"ok": True})
        with pytest.raises(ToolError, match="No space left"), run.staging():
            raise OSError(errno.ENOSPC, "No space left on device")
        assert json.loads((run.path / "check.json").read_text()) == {"ok": True}
        assert not list(run.path.glob(".part-*"))


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "Free some disk space and go on with --resume"),
        (errno.EACCES, "a directory you may write to"),
        (errno.EROFS, "a directory you may write to"),
        (errno.EIO, "Choose another directory"),
    ],
)
def test_failure_of_the_file_system_has_a_cure(tmp_path: Path, number: int, cure: str) -> None:
    with (
        closing(Run.start(tmp_path / "run", {})) as run,
        pytest.raises(ToolError, match=cure),
        run.writing("artifacts/a.tflite"),
    ):
        raise OSError(number, "it broke")


def test_adopted_file_is_moved(tmp_path: Path) -> None:
    with closing(Run.start(tmp_path / "run", {})) as run:
        (run.path / "staged").write_bytes(b"abc")
        run.adopt(run.path / "staged", Path("artifacts/a.tflite"))

        assert (run.path / "artifacts" / "a.tflite").read_bytes() == b"abc"
        assert not (run.path / "staged").exists()


def test_discarded_run_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.start(tmp_path / "run", {})
    run.write_json("artifacts/x.json", {})
    run.discard()
    assert not (tmp_path / "run").exists()

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Run.start(Path(), {}).discard()
    assert list((tmp_path / "here").iterdir()) == []


def test_default_path_counts_up(tmp_path: Path) -> None:
    assert new_path("clock", "host", tmp_path) == tmp_path / "clock-host-1"
    (tmp_path / "clock-host-1").mkdir()
    (tmp_path / "clock-host-2").write_text("")
    assert new_path("clock", "host", tmp_path) == tmp_path / "clock-host-3"


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
