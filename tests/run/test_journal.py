"""The journal: what it takes, what it refuses, and that what it refuses stays as it is."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edgett.errors import EdgettError, ToolError, UsageError
from edgett.run.journal import SCHEMA, Journal, foreign, ours
from tests.run.test_directory import trial


def content(folder: Path) -> dict[str, bytes]:
    """A journal and the files beside it, of which the index is written anew whenever one looks."""
    return {path.name: b"" if path.name.endswith("-shm") else path.read_bytes() for path in folder.iterdir()}


def committed(path: Path, count: int = 3) -> None:
    with closing(Journal(path, new=True)) as journal:
        for number in range(count):
            journal.record(trial(number), bytes([number]) * 30_000)


def killed(path: Path) -> None:
    """A journal as a kill leaves it: the trials are in the log beside it."""
    code = "import sys; sys.path.insert(0, sys.argv[2]); from tests.run import test_journal as t; t.die(sys.argv)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(path), str(root)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL


def die(arguments: list[str]) -> None:
    journal = Journal(Path(arguments[1]), new=True)
    for number in range(3):
        journal.record(trial(number), bytes([number]) * 30_000)
    os.kill(os.getpid(), signal.SIGKILL)


def test_new_one_says_what_it_is_and_syncs_every_commit(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(Journal(path, new=True)) as journal:
        head = path.read_bytes()[:100]  # not only in the log
        assert journal._sql.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert journal._sql.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (head[60:64], head[68:72]) == (SCHEMA.to_bytes(4, "big"), b"edgt")
    assert ours(path) and foreign(path) is None
    assert not ours(tmp_path / "none") and foreign(tmp_path / "none") is None


def test_killed_process_has_lost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    killed(path)
    with closing(Journal(path, new=False)) as journal:
        assert journal.trials() == {number: trial(number) for number in range(3)}


def test_making_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"")
    Journal(path, new=True).close()
    # A rollback journal: what SQLite leaves when it is killed while it writes the first pages.
    code = "import os, sqlite3, sys; sql = sqlite3.connect(sys.argv[1]); sql.execute('PRAGMA cache_spill = 1');"
    code += "sql.executescript('PRAGMA cache_size = 1; BEGIN; PRAGMA application_id = 7; CREATE TABLE a (b);"
    code += " INSERT INTO a SELECT randomblob(90000)'); os.kill(os.getpid(), 9)"
    path.unlink()
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert (tmp_path / "journal.sqlite-journal").stat().st_size and path.stat().st_size

    with closing(Journal(path, new=True)) as journal:
        assert journal.trials() == {}
    Journal(path, new=False).close()


def empty_beside_log(path: Path) -> None:
    killed(path)
    os.truncate(path, 0)


def cut(path: Path) -> None:
    committed(path)
    os.truncate(path, path.stat().st_size // 2)


def cut_beside_log(path: Path) -> None:
    committed(path)
    code = "from tests.run.test_journal import *; journal = Journal(Path({0!r}), new=False);"
    code += "journal.record(trial(9), b'x'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code.format(str(path))], cwd=Path(__file__).parents[2], check=False)
    os.truncate(path, 60_000)


def garbage(path: Path) -> None:
    committed(path)
    path.write_bytes(b"<html>not found" + path.read_bytes()[15:])


def garbage_inside(path: Path) -> None:
    committed(path)
    data = bytearray(path.read_bytes())
    data[100:140] = bytes(40)
    path.write_bytes(data)


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript("PRAGMA application_id = 1196444487; CREATE TABLE gpkg (a)")


def of_an_unmarked_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript("CREATE TABLE songs (a); CREATE TABLE bands (a)")


def of_an_older_edgett(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript("CREATE TABLE trials (number INTEGER PRIMARY KEY, trial TEXT, weights BLOB)")


def of_a_newer_edgett(path: Path) -> None:
    committed(path)
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript(f"PRAGMA user_version = {SCHEMA + 1}")


def with_other_columns(path: Path) -> None:
    committed(path)
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript("ALTER TABLE trials DROP COLUMN state")


@pytest.mark.parametrize(
    ("damage", "kind", "told", "cure"),
    [
        (lambda path: None, ToolError, "is missing", "--fresh"),
        (lambda path: path.touch(), ToolError, "is empty", "--fresh"),
        (empty_beside_log, ToolError, "is empty, though a write-ahead log", "--fresh"),
        (cut, ToolError, "is damaged|malformed", "left as it is.*--fresh"),
        (cut_beside_log, ToolError, "is damaged|malformed", "left as it is.*--fresh"),
        (garbage, ToolError, "not a database: it begins with b'<html>not found", "left as it is.*--fresh"),
        (garbage_inside, ToolError, "is damaged|malformed", "left as it is.*--fresh"),
        (of_another_program, UsageError, "another program .application id 0x47504b47", "Move it elsewhere"),
        (of_an_unmarked_program, UsageError, r"another program .tables: bands, songs", "Move it elsewhere"),
        (
            of_an_older_edgett,
            UsageError,
            f"schema 0, of an older edgett; this one reads schema {SCHEMA}",
            "version.*--fresh",
        ),
        (
            of_a_newer_edgett,
            UsageError,
            f"schema {SCHEMA + 1}, of a newer edgett; this one reads schema {SCHEMA}",
            "version.*--fresh",
        ),
        (with_other_columns, UsageError, "columns number, epochs, trial, weights, not", "--fresh"),
    ],
)
def test_what_cannot_be_gone_on_with_is_told_and_left_alone(
    tmp_path: Path, damage: Callable[[Path], None], kind: type[EdgettError], told: str, cure: str
) -> None:
    path = tmp_path / "journal.sqlite"
    damage(path)
    before = content(tmp_path)
    for _ in range(2):
        with pytest.raises(kind, match=f"(?:{told}).*{cure}") as caught:
            Journal(path, new=False)
        assert str(path) in caught.value.message
    assert content(tmp_path) == before


@pytest.mark.parametrize("make", [of_another_program, of_an_unmarked_program])
def test_new_run_does_not_take_over_a_database_of_others(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "journal.sqlite"
    make(path)
    assert foreign(path)
    with pytest.raises(UsageError, match="another program"):
        Journal(path, new=True)


@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON", '{"solution": {"number": 1}}'])
def test_trial_of_another_shape_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "journal.sqlite"
    committed(path)
    with closing(sqlite3.connect(path)) as sql, sql:
        sql.execute("UPDATE trials SET trial = ? WHERE number = 1", (text,))
    with (
        closing(Journal(path, new=False)) as journal,
        pytest.raises(UsageError, match=r"journal.sqlite: trial 1 is not of this version of edgett \(.*--fresh"),
    ):
        journal.trials()


def test_full_disk_is_told_and_what_was_committed_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(Journal(path, new=True)) as journal:
        journal.record(trial(0), b"0" * 30_000, b"state")
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            with pytest.raises(ToolError, match=r"journal.sqlite cannot be used: .*Free some disk space.*--resume"):
                journal.record(trial(1), b"1" * 90_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert journal.trials() == {0: trial(0)}
        journal.record(trial(1), b"1" * 90_000)
    with closing(Journal(path, new=False)) as journal:
        assert journal.trials() == {0: trial(0), 1: trial(1)}
        assert journal.latest(1, "weights") == b"1" * 90_000
        assert journal.latest(0, "state") == b"state"


def test_another_program_that_holds_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(Journal(path, new=True)) as journal, closing(sqlite3.connect(path)) as other:
        journal._sql.execute("PRAGMA busy_timeout = 10")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ToolError, match=r"is locked.*Close the other program"):
            journal.record(trial(0), b"")


def test_earlier_rows_of_a_trial_stay_without_their_weights(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "journal.sqlite", new=True)) as journal:
        journal.record(replace(trial(4), epochs=1, complete=False), b"early", b"state")
        journal.record(trial(4), b"late")
        assert (journal.trials(1)[4].epochs, journal.trials()[4].epochs) == (1, 3)
        assert journal.latest(4, "weights") == b"late"
        assert journal.latest(4, "state") is None
        rows = journal._sql.execute("SELECT epochs, weights, state FROM trials ORDER BY epochs").fetchall()
        assert rows == [(1, b"", None), (3, b"late", None)]
