"""A real `edgett compress` in a session of its own, which can be watched, killed and interrupted."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 240
"""Seconds; a loaded machine is slow, not wrong."""

Row = tuple[int, int]
"""A solution's number, and the epochs after which its trial was put away."""


@dataclass(frozen=True)
class Written:
    """A row of the journal: which one it was of all that were ever written, and what it holds."""

    rowid: int
    trial: str
    weights: str
    state: str | None

    @property
    def emptied(self) -> bool:
        return self.state is None and self.weights == hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Living:
    """A process, what it says on standard error, and the run it works on."""

    process: subprocess.Popen[str]
    log: Path
    run: Path

    def said(self, word: str) -> bool:
        return word in self.log.read_text()

    def wait_for(self, true: Callable[[], bool]) -> bool:
        """Until it is true, or the process is at its end: whether it is still there."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return self.process.poll() is None

    def end(self, number: signal.Signals) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def others(self) -> list[str]:
        """The command lines of the processes that it has started and that live."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                command = (place / "cmdline").read_text().replace("\0", " ")
            except OSError:  # gone meanwhile
                continue
            if fields[0] != "Z" and int(fields[3]) == self.process.pid != int(place.name):
                found.append(command)
        return found


@contextmanager
def living(folder: Path, *arguments: str) -> Iterator[Living]:
    """Start `edgett compress`; it is gone in the end, and so is all that it has started."""
    run = folder / arguments[arguments.index("--out") + 1]
    log = folder / "log"
    command = [sys.executable, "-m", "edgett", "compress", *arguments]
    with log.open("w") as errors, (folder / "out").open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=errors, text=True, start_new_session=True,
        )  # fmt: skip
    with process:
        try:
            yield Living(process, log, run)
        finally:
            process.kill()
            process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def written(run: Path) -> dict[Row, Written]:
    """The rows of a run's journal, none where there is none yet."""
    if not (run / "journal.sqlite").exists():
        return {}
    query = "SELECT rowid, number, epochs, trial, weights, state FROM trials"
    try:
        with closing(sqlite3.connect(f"file:{run / 'journal.sqlite'}?mode=ro", uri=True)) as sql:
            rows = sql.execute(query).fetchall()
    except sqlite3.OperationalError:  # it is just being made
        return {}
    return {
        (number, ran): Written(rowid, text, _digest(weights), state and _digest(state))
        for rowid, number, ran, text, weights, state in rows
    }


def assert_grown(before: dict[Row, Written], now: dict[Row, Written]) -> None:
    """What was there is there as it was, except that only the last row of a solution keeps weights and state."""
    for row, was in before.items():
        later = any(number == row[0] and ran > row[1] for number, ran in now)
        assert (now[row].rowid, now[row].trial) == (was.rowid, was.trial), row
        assert now[row].emptied if later else now[row] == was, row


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
