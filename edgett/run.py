"""The run directory: what a run was asked, every trial the moment it ends, the artefacts; locked, resumable.

run.json        what was asked and, at the end, what came of it
journal.sqlite  a row a trial and the epoch it was put away after, with its weights
artifacts/      the exported models
check.json      the cross-check
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgett.errors import ToolError, UsageError
from edgett.values import Trial

_MARK = "run.json"
_LOCK, _JOURNAL, _PART = ".lock", "journal.sqlite", ".part-"


class Run:
    """An open run directory; nobody else can open it until it is closed or its process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _told(path):
            self._lock = (path / _LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._journal = self._open_journal()
        except BlockingIOError as error:
            self._lock.close()
            raise UsageError(
                f"the run in {path} is under way in another process.", "Wait for it, or choose another --out."
            ) from error
        except BaseException:
            self._lock.close()
            raise
        for leftover in path.glob(f"{_PART}*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)

    @classmethod
    def start(cls, path: Path, asked: Mapping[str, Any]) -> Run:
        """Make a run directory. Raises UsageError when there is something in the way."""
        if path.exists() and not path.is_dir():
            raise UsageError(f"--out {path} is a file.", "Name a directory that does not exist yet.")
        if path.is_dir() and not all(item.name.startswith((_LOCK, _JOURNAL, _PART)) for item in path.iterdir()):
            if (path / _MARK).is_file():
                raise UsageError(f"there is a run in {path} already.", "Add --resume to go on with it.")
            raise UsageError(
                f"--out {path} is not empty and no run of edgett's.", "Name a directory that does not exist yet."
            )
        with _told(path):
            path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        try:
            run.write_json(_MARK, {"schema": 1, **asked})
        except BaseException:
            run.discard()
            raise
        return run

    @classmethod
    def resume(cls, path: Path) -> Run:
        """Open an existing run. Raises UsageError when there is none."""
        if not (path / _MARK).is_file():
            raise UsageError(f"there is no run in {path}.", "Leave out --resume to start one there.")
        return cls(path)

    def close(self) -> None:
        """Let others open the directory."""
        self._journal.close()
        self._lock.close()

    def discard(self) -> None:
        """Take away everything that was written, and close."""
        self.close()
        for item in self.path.iterdir():
            if item.is_dir():
                shutil.rmtree(item)
            else:
                item.unlink()
        with suppress(OSError):  # it is the working directory, or a mount point
            self.path.rmdir()

    @property
    def asked(self) -> dict[str, Any]:
        """The content of run.json. Raises UsageError when it is damaged."""
        try:
            content: dict[str, Any] = json.loads((self.path / _MARK).read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path / _MARK} cannot be read: {error}.", "Start a new run.") from error
        return content

    def record(self, trial: Trial, weights: bytes, state: bytes | None = None) -> None:
        """Commit a trial and its weights together; with the state from which it can go on, if epochs are left."""
        number, epochs = trial.solution.number, trial.epochs
        row = number, epochs, json.dumps(_codec().dump_python(trial, mode="json")), weights, state
        with _told(self.path), self._journal:
            self._journal.execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?)", row)
            earlier = "UPDATE trials SET weights = x'', state = NULL WHERE number = ? AND epochs < ?"
            self._journal.execute(earlier, (number, epochs))

    def trials(self, epochs: int | None = None) -> dict[int, Trial]:
        """Every trial committed, by the number of its solution; as it was after so many epochs at most, if given."""
        with _told(self.path):
            rows = self._journal.execute("SELECT number, epochs, trial FROM trials ORDER BY number, epochs").fetchall()
        return {number: _codec().validate_json(text) for number, ran, text in rows if epochs is None or ran <= epochs}

    def weights(self, number: int) -> bytes:
        """The weights of a trial. Raises UsageError when there is no such trial."""
        return bytes(self._latest(number, "weights"))

    def state(self, number: int) -> bytes | None:
        """What a trial goes on from, None when it is over. Raises UsageError when there is no such trial."""
        state: bytes | None = self._latest(number, "state")
        return state

    def _latest(self, number: int, column: str) -> Any:
        query = f"SELECT {column} FROM trials WHERE number = ? ORDER BY epochs DESC LIMIT 1"
        with _told(self.path):
            row = self._journal.execute(query, (number,)).fetchone()
        if row is None:
            known = ", ".join(map(str, self.trials())) or "none"
            raise UsageError(f"the run has no solution {number}.", f"It has: {known}.")
        return row[0]

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a document whole or not at all."""
        with self.writing(name) as part:
            part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path to write to, which takes its name in the run only when all is written."""
        target = self.path / name
        with _told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.staging() as folder:
                part = folder / target.name
                yield part
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                part.replace(target)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder for files that `adopt` moves to their places when they are whole."""
        with _told(self.path), tempfile.TemporaryDirectory(prefix=_PART, dir=self.path) as folder:
            yield Path(folder)

    def adopt(self, part: Path, name: Path) -> None:
        """Move a file that is written whole to its place in the run."""
        target = self.path / name
        with _told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)

    def _open_journal(self) -> sqlite3.Connection:
        with _told(self.path):
            journal = sqlite3.connect(self.path / _JOURNAL)
            try:
                journal.execute("PRAGMA journal_mode=WAL")
                journal.execute(
                    "CREATE TABLE IF NOT EXISTS trials"
                    " (number INTEGER, epochs INTEGER, trial TEXT NOT NULL, weights BLOB NOT NULL, state BLOB,"
                    " PRIMARY KEY (number, epochs))"
                )
                journal.commit()
            except BaseException:
                journal.close()
                raise
        return journal


def new_path(model: str, target: str, parent: Path = Path("runs")) -> Path:
    """The default directory of a run: runs/<model>-<target>-<n>, n counting up."""
    number = 1
    while (path := parent / f"{model}-{target}-{number}").exists():
        number += 1
    return path


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _codec() -> TypeAdapter[Trial]:
    return TypeAdapter(Trial)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Failures of the file system and of SQLite in the user's words."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise ToolError(
            f"the journal in {path} cannot be used: {error}.", "Free some disk space, or start a new run elsewhere."
        ) from error
    except OSError as error:
        cure = {
            errno.ENOSPC: "Free some disk space and go on with --resume.",
            errno.EACCES: "Choose a directory you may write to with --out.",
            errno.EROFS: "Choose a directory you may write to with --out.",
        }.get(error.errno or 0, "Choose another directory with --out.")
        raise ToolError(f"{path} cannot be written: {error.strerror or error}.", cure) from error
