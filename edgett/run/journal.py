"""The journal of a run: an SQLite file that has every trial the moment it ends; no kill, no power cut takes one away.

It is a row a trial and the epoch it was put away after, with its weights and, where epochs are left, the state it goes
on from. A file that is not as it should be is left as it is.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgett.errors import ToolError, UsageError
from edgett.search.solution import Trial

SCHEMA = 4
_OURS = 0x65646774
"""The application id: "edgt"."""
_COLUMNS = ("number", "epochs", "trial", "weights", "state")
_CREATE = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {_OURS};
PRAGMA user_version = {SCHEMA};
CREATE TABLE trials (
    number INTEGER, epochs REAL, trial TEXT NOT NULL, weights BLOB NOT NULL, state BLOB,
    PRIMARY KEY (number, epochs)
);
COMMIT;
"""
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite's files beside a database end with."""
_MAGIC = b"SQLite format 3\0"
_ANEW = "Start anew with --fresh."
_ROOM = "Free some disk space and go on with --resume."
_LOST = "Put a copy of it in its place, or start anew with --fresh."
_DAMAGED = f"It is left as it is. {_LOST}"
_CURES = {
    sqlite3.SQLITE_FULL: _ROOM,
    sqlite3.SQLITE_IOERR: _ROOM,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_BUSY: "Close the other program that has it open, and go on with --resume.",
}


class Journal:
    """The trials of a run, committed one by one."""

    def __init__(self, path: Path, *, new: bool) -> None:
        """Open it, or make one where there is none yet if it may be `new`.

        Raises UsageError for a file of another program or another schema, ToolError for one that is damaged.
        """
        self._path = path
        if not (new and _unmade(path)):
            _refuse_other(path)
            _refuse_damaged(path)
        with _told(path):
            self._sql = sqlite3.connect(path)
            try:
                if new and not self._sql.execute("PRAGMA application_id").fetchone()[0]:
                    self._sql.executescript(_CREATE)  # before the WAL is, so that the file itself says what it is
                self._sql.execute("PRAGMA journal_mode = WAL")
                self._sql.execute("PRAGMA synchronous = FULL")
            except BaseException:
                self._sql.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._sql.close()

    def record(self, trial: Trial, weights: bytes, state: bytes | None = None) -> None:
        """Commit a trial and its weights together; with the state from which it can go on, if epochs are left."""
        number, epochs = trial.solution.number, trial.epochs
        row = number, epochs, json.dumps(_codec().dump_python(trial, mode="json")), weights, state
        with _told(self._path), self._sql:
            self._sql.execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?)", row)
            earlier = "UPDATE trials SET weights = x'', state = NULL WHERE number = ? AND epochs < ?"
            self._sql.execute(earlier, (number, epochs))

    def trials(self, epochs: float | None = None) -> dict[int, Trial]:
        """Every trial committed, by the number of its solution; as it was after so many epochs at most, if given."""
        with _told(self._path):
            rows = self._sql.execute("SELECT number, epochs, trial FROM trials ORDER BY number, epochs").fetchall()
        return {number: self._trial(number, text) for number, ran, text in rows if epochs is None or ran <= epochs}

    def latest(self, number: int, column: str) -> Any:
        """The weights or the state of a trial. Raises UsageError when there is no such trial."""
        query = f"SELECT {column} FROM trials WHERE number = ? ORDER BY epochs DESC LIMIT 1"
        with _told(self._path):
            row = self._sql.execute(query, (number,)).fetchone()
        if row is None:
            known = ", ".join(map(str, self.trials())) or "none"
            raise UsageError(f"the run has no solution {number}.", f"It has: {known}.")
        return row[0]

    def _trial(self, number: int, text: str) -> Trial:
        try:
            return _codec().validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "its JSON"
            raise UsageError(
                f"{self._path}: trial {number} is not of this version of edgett ({where}: {first['msg']}).", _ANEW
            ) from error


def foreign(path: Path) -> str | None:
    """What a file is if it is certainly no journal of any edgett's."""
    head = _head(path)
    if not head.startswith(_MAGIC):
        return None
    if mark := _number(head, 68):
        return None if mark == _OURS else f"a database of another program (application id {mark:#010x})"
    tables = _tables(path)
    if "trials" in tables or (not tables and _wal(path)):
        return None
    return f"a database of another program (tables: {', '.join(tables) or 'none'})"


def ours(path: Path) -> bool:
    """Whether a file says of itself that it is a journal of edgett's."""
    head = _head(path)
    return head.startswith(_MAGIC) and _number(head, 68) == _OURS


def _unmade(path: Path) -> bool:
    """Whether there is nothing yet, or what a kill in the middle of its making has left, which SQLite undoes."""
    return (not _head(path) and not _wal(path)) or path.with_name(f"{path.name}-journal").exists()


def _refuse_other(path: Path) -> None:
    """By what the first bytes say, since SQLite might write when it opens the file."""
    head = _head(path)
    if not head:
        found = "is empty, though a write-ahead log lies beside it" if _wal(path) else "is empty"
        raise ToolError(f"{path} {found if path.exists() else 'is missing'}.", _LOST)
    if len(head) < 100 or not head.startswith(_MAGIC):
        raise ToolError(f"{path} is not a database: it begins with {head[:16]!r}.", _DAMAGED)
    if what := foreign(path):
        raise UsageError(f"{path} is {what}, no journal of a run.", "Move it elsewhere, then start anew with --fresh.")
    schema = _number(head, 60)
    if schema != SCHEMA:
        other = "a newer" if schema > SCHEMA else "an older"
        raise UsageError(
            f"{path} has schema {schema}, of {other} edgett; this one reads schema {SCHEMA}.",
            "Go on with the version of edgett that run.json names, or start anew with --fresh.",
        )


def _refuse_damaged(path: Path) -> None:
    """Read-only: whoever may write folds the write-ahead log into the file when he closes it."""
    with _told(path), _looked_at(path) as sql:
        verdict = str(sql.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            raise ToolError(f"{path} is damaged: {' '.join(verdict.split())}.", _DAMAGED)
        columns = tuple(row[1] for row in sql.execute("PRAGMA table_info(trials)"))
    if columns != _COLUMNS:
        raise UsageError(
            f"{path} has a table with the columns {', '.join(columns) or '(none)'}, not {', '.join(_COLUMNS)}.", _ANEW
        )


def _tables(path: Path) -> list[str]:
    with _told(path), closing(_opened(path, "immutable=1")) as sql:
        return [row[0] for row in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


@contextmanager
def _looked_at(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that leaves nothing behind: SQLite makes files beside a database that it may only read."""
    alone = not any(path.with_name(f"{path.name}{end}").exists() for end in BESIDE)
    index = path.with_name(f"{path.name}-shm")
    ours = not alone and not index.exists()
    try:
        with closing(_opened(path, "immutable=1" if alone else "mode=ro")) as sql:
            yield sql
    finally:
        if ours:
            index.unlink(missing_ok=True)


def _opened(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)


def _head(path: Path) -> bytes:
    """The header of an SQLite file, which it is described under: https://sqlite.org/fileformat.html#the_database_header"""
    try:
        with path.open("rb") as file:
            return file.read(100)
    except FileNotFoundError:
        return b""


def _number(head: bytes, offset: int) -> int:
    return int.from_bytes(head[offset : offset + 4], "big")


def _wal(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


@functools.cache
def _codec() -> TypeAdapter[Trial]:
    return TypeAdapter(Trial)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Failures of SQLite in the user's words."""
    try:
        yield
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more of the same
        cure = _CURES.get(kind, "Choose a directory you may write to with --out.")
        raise ToolError(f"the journal {path} cannot be used: {error}.", cure) from error
