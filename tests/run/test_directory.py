"""The run directory: journal, lock, whole files or none, and every way in which it can be in the way."""

from __future__ import annotations

import errno
import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edgett.errors import ToolError, UsageError
from edgett.forms.site import Cost
from edgett.forms.tt.shape import TTShape
from edgett.run.directory import Run, file_digest, new_path
from edgett.search.quality import Quality, Score
from edgett.search.solution import Solution, Trial


def trial(number: int, drop: float = 0.25) -> Trial:
    shapes = {"fc": TTShape((4, 2), (3, 5), (1, 7, 1))}
    quality = Quality((Score("out", "accuracy", 0.9),), 0.3)
    return Trial(Solution(number, shapes, Cost(2**60 + 1, 20, 30, 40, 5), 60), quality, drop, 3, 7, 1.5)


def test_trials_and_weights_come_back_after_closing(tmp_path: Path) -> None:
    with closing(Run.start(tmp_path / "run", {"versions": {"a": "1"}})) as run:
        run.record(trial(5), b"five")
        run.record(trial(3, math.inf), b"three")

    with closing(Run.resume(tmp_path / "run")) as run:
        assert run.trials() == {3: trial(3, math.inf), 5: trial(5)}
        assert list(run.trials()) == [3, 5]
        assert run.weights(5) == b"five"
        assert run.asked == {"schema": 2, "versions": {"a": "1"}}


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

    with closing(Run.start(place, {})):
        assert not list(place.glob(".part-*"))


def test_kill_before_the_journal_is_no_obstacle(tmp_path: Path) -> None:
    Run.start(tmp_path / "run", {"digests": {"code": "1"}}).close()
    (tmp_path / "run" / "journal.sqlite").unlink()

    with closing(Run.resume(tmp_path / "run")) as run:
        assert run.trials() == {}


def test_journal_that_is_gone_is_not_made_anew_once_something_may_be_trained(tmp_path: Path) -> None:
    with closing(Run.start(tmp_path / "run", {"digests": {"model": "1"}})) as run:
        run.record(trial(1), b"one")
    (tmp_path / "run" / "journal.sqlite").rename(tmp_path / "aside")

    for _ in range(2):
        with pytest.raises(ToolError, match=r"journal\.sqlite is missing\. Put a copy .* --fresh"):
            Run.resume(tmp_path / "run")
    (tmp_path / "aside").rename(tmp_path / "run" / "journal.sqlite")
    with closing(Run.resume(tmp_path / "run")) as run:
        assert run.weights(1) == b"one"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["run.json"], "there is a run in .* already.*--resume.*--fresh"),
        (["notes.txt"], "not empty and no run"),
        (["journal.sqlite"], "not empty and no run"),
    ],
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", r"run\.json cannot be read: .*--fresh"),
        ("[]", r"run\.json has schema None; this edgett reads schema 2\. .*--fresh"),
        ('{"schema": 1}', r"run\.json has schema 1; this edgett reads schema 2\. .*version.*--fresh"),
    ],
)
def test_damage_is_told(tmp_path: Path, text: str, told: str) -> None:
    Run.start(tmp_path / "run", {}).close()
    (tmp_path / "run" / "run.json").write_text(text)
    for _ in range(2):  # the lock is let go
        with pytest.raises(UsageError, match=told):
            Run.resume(tmp_path / "run")


def an_old_run(path: Path) -> None:
    with closing(Run.start(path, {"versions": {"edgett": "0"}, "digests": {"model": "m"}, "outcome": {}})) as run:
        run.record(trial(1), b"one")
        for name in ("artifacts/recommended.tflite", "artifacts/samples.npz", "exports/solution-1.onnx", "check.json"):
            run.write_json(name, {})


def fresh(path: Path) -> Run:
    return Run.start(path, {"versions": {"edgett": "1"}}, fresh=True)


def test_fresh_one_takes_the_place_of_a_run_and_leaves_what_is_not_edgetts(tmp_path: Path) -> None:
    an_old_run(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "exports" / "board.bin").write_text("mine")

    with closing(fresh(tmp_path)) as run:
        assert run.trials() == {}
        assert run.asked == {"schema": 2, "versions": {"edgett": "1"}}
        names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names - {"journal.sqlite-wal", "journal.sqlite-shm"} == {
        ".lock", "run.json", "journal.sqlite", "notes.txt", "exports/board.bin",
    }  # fmt: skip


@pytest.mark.parametrize("damage", ["run.json", "journal.sqlite"])
def test_fresh_one_takes_the_place_of_a_damaged_run(tmp_path: Path, damage: str) -> None:
    an_old_run(tmp_path)
    (tmp_path / damage).write_text("{")
    fresh(tmp_path).close()
    Run.resume(tmp_path).close()


def test_fresh_one_where_nothing_is(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        fresh(path).close()
        assert (path / "run.json").is_file()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", "mine"),
        ("run.json", "{}"),
        ("run.json", '{"versions": {"other": "1"}}'),
        ("run.json", '{"versions": null}'),
        ("run.json", "[]"),
        ("run.json", "{"),
        ("journal.sqlite", "mine"),
    ],
)
def test_fresh_one_refuses_a_directory_that_is_no_run(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="no run of edgett's: --fresh leaves it alone"):
        fresh(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == text


def test_fresh_one_refuses_a_file_a_foreign_database_and_a_run_under_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        fresh(tmp_path / "file")

    an_old_run(tmp_path / "run")
    with closing(Run.resume(tmp_path / "run")) as run:
        with pytest.raises(UsageError, match="under way"):
            fresh(tmp_path / "run")
        assert run.weights(1) == b"one"

    (tmp_path / "run" / "journal.sqlite").unlink()
    with closing(sqlite3.connect(tmp_path / "run" / "journal.sqlite")) as sql:
        sql.execute("CREATE TABLE songs (a)")
    with pytest.raises(UsageError, match=r"songs.*--fresh leaves it alone"):
        fresh(tmp_path / "run")
    assert (tmp_path / "run" / "check.json").exists()


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
    run.write_json("artifacts/x.keras", {})
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
