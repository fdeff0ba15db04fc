"""The run directory: what a run was asked, every trial the moment it ends, the artefacts; locked, resumable.

run.json        what was asked and, at the end, what came of it
journal.sqlite  every trial with its weights (see `journal`)
artifacts/      the exported models
times.json      what was timed on this machine on the way, by which layers were left dense
check.json      the cross-check
space.json      the design spaces, to be drawn
bench-*.json    what `edgett bench` measured on a device
report.html     all of it as a page
run.log         what was said and done, and what the screen does not show (see `log`)
exports/        what `edgett export` adds
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgett.errors import ToolError, UsageError
from edgett.run import journal, record
from edgett.schema import SCHEMA
from edgett.search.solution import Trial

TIMES = "times.json"
_MARK = "run.json"
_NO_LINK = os.O_NOFOLLOW | os.O_NONBLOCK
_LOCK, _JOURNAL, _PART = ".lock", "journal.sqlite", ".part-"
_WRITTEN = (
    *(f"{_JOURNAL}{end}" for end in ("", *journal.BESIDE)),
    TIMES,
    "check.json",
    "space.json",
    "report.html",
    "bench-*.json",
    "run.log",
    *(f"artifacts/*{end}" for end in (".keras", ".tflite", ".onnx", ".npz")),
    *(f"exports/{name}{end}" for name in ("solution-*", "baseline") for end in (".keras", ".tflite", ".onnx")),
    *(f"exports/{name}{end}" for name in ("solution_*", "baseline*") for end in (".c", ".h")),
)
"""Files of a run, the journal first: without it the rest is of no use to anybody."""


class Run:
    """An open run directory; nobody else can open it until it is closed or its process ends.

    Raises ToolError from whatever writes where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """Lock a directory; `start` and `resume` make a run of it.

        Args:
            path: the directory, which is there.

        Raises:
            UsageError: when another process has it, or a link leads out of it.
        """
        self.path = path
        self._journal: journal.Journal | None = None
        _refuse_links(path)
        with _told(path):
            self._lock = os.fdopen(os.open(path / _LOCK, os.O_WRONLY | os.O_CREAT | _NO_LINK, 0o666), "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise UsageError(
                f"the run in {path} is under way in another process.", "Wait until it is over, or name another."
            ) from error
        for leftover in path.glob(f"{_PART}*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)  # a worker of its that is dying may still write there

    @classmethod
    def start(cls, path: Path, asked: Mapping[str, Any], *, fresh: bool = False) -> Run:
        """Make a run directory.

        Args:
            path: where.
            asked: what goes into run.json: the job, versions.
            fresh: whether it takes the place of the run that is there.

        Returns:
            The open run.

        Raises:
            UsageError: when there is anything else in the way.
        """
        refuse_occupied(path, fresh=fresh)
        with _told(path):
            path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        try:
            refuse_occupied(path, fresh=fresh)  # somebody else's run may have come and gone
            if fresh:
                run._clear()
            run.write_json(_MARK, {"schema": SCHEMA, **asked})
            run._open_journal(new=True)
        except BaseException:
            run.close() if fresh else run.discard()
            raise
        return run

    @classmethod
    def resume(cls, path: Path) -> Run:
        """Open an existing run to go on with it.

        Args:
            path: its directory.

        Raises:
            UsageError: when there is none, and for a journal that cannot be gone on with.
        """
        if not (path / _MARK).is_file():
            raise UsageError(f"there is no run in {str(path)!r}.", "Leave out --resume to start one there.")
        run = cls(path)
        try:
            # Before the inputs are known nothing is trained, and a kill may have come before the journal.
            run._open_journal(new="model" not in run.asked.get("digests", {}))
        except BaseException:
            run.close()
            raise
        return run

    def close(self) -> None:
        """Close the run, so that others can open it."""
        if self._journal is not None:
            self._journal.close()
        self._lock.close()

    def discard(self) -> None:
        """Take away everything that was written, and close."""
        self._clear()
        with _told(self.path):
            (self.path / _MARK).unlink(missing_ok=True)
            (self.path / _LOCK).unlink()
        self.close()
        with suppress(OSError):  # it is the working directory, a mount point, or not empty
            self.path.rmdir()

    @property
    def asked(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            UsageError: when it is damaged, or of another schema.
        """
        return read_asked(self.path)

    def record(self, trial: Trial, weights: bytes, state: bytes | None = None) -> None:
        """Commit a trial to the journal, together with its weights.

        Args:
            trial: the solution, and what it is worth by now.
            weights: the bytes of `pack_weights`.
            state: what it can go on from, if epochs are left; None: it is over.
        """
        self._open.record(trial, weights, state)

    def trials(self, epochs: float | None = None) -> dict[int, Trial]:
        """Every trial committed, by the number of its solution.

        Args:
            epochs: as each was after so many epochs at most; None: as it is now.
        """
        return self._open.trials(epochs)

    def weights(self, number: int) -> bytes:
        """The weights of a trial, in bytes as `pack_weights` makes them.

        Args:
            number: that of its solution.

        Raises:
            UsageError: when there is no such trial.
        """
        return bytes(self._open.latest(number, "weights"))

    def state(self, number: int) -> bytes | None:
        """What a trial goes on from, in bytes; None when it is over.

        Args:
            number: that of its solution.

        Raises:
            UsageError: when there is no such trial.
        """
        state: bytes | None = self._open.latest(number, "state")
        return state

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a document whole or not at all.

        Args:
            name: of the file in the run.
            content: what JSON can hold, no NaN or infinity.
        """
        with self.writing(name) as part:
            part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Lend a path to write to, which takes its name in the run only when all is written.

        Args:
            name: of the file in the run.

        Yields:
            The path, in a folder of its own.
        """
        with _told(self.path / name), self.staging() as folder:
            part = folder / Path(name).name
            yield part
            self.adopt(part, Path(name))

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Lend a folder for files that `adopt` moves to their places when they are whole; it is gone at the end."""
        with _told(self.path), tempfile.TemporaryDirectory(prefix=_PART, dir=self.path) as folder:
            yield Path(folder)

    def adopt(self, part: Path, name: Path) -> None:
        """Move a file that is written whole to its place in the run; a power cut does not take it away again.

        Args:
            part: the file, in a `staging` folder.
            name: its path in the run.
        """
        target = self.path / name
        with _told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(part)
            part.replace(target)
            _sync(target.parent)
            _sync(self.path)

    @property
    def _open(self) -> journal.Journal:
        assert self._journal is not None, "a run is opened by start or resume"
        return self._journal

    def _open_journal(self, *, new: bool) -> None:
        self._journal = journal.Journal(self.path / _JOURNAL, new=new)
        with _told(self.path):
            _sync(self.path)
            _sync(self.path.parent)

    def _clear(self) -> None:
        """Take away what a run has written but for run.json, by which --fresh knows it after a kill in the middle."""
        if self._journal is not None:
            self._journal.close()
        with _told(self.path):
            for pattern in _WRITTEN:
                for file in self.path.glob(pattern):
                    file.unlink()
            for name in ("artifacts", "exports"):
                with suppress(OSError):  # it is not there, or has something of somebody else's
                    (self.path / name).rmdir()


def read_asked(path: Path) -> dict[str, Any]:
    """Read a run's run.json, also while somebody else has it open, and where nothing can be written.

    Args:
        path: the run directory.

    Raises:
        UsageError: when there is none, and when it is damaged or of another schema.
    """
    if not (path / _MARK).is_file():
        raise UsageError(f"there is no run in {str(path)!r}.", "Name the directory of one: 'edgett compress' tells it.")
    return record.begun(path)


def refuse_occupied(path: Path, *, fresh: bool) -> None:
    """Check that a run can be started in a directory.

    Args:
        path: the directory, which need not be there.
        fresh: whether a run may be there, whose place is taken.

    Raises:
        UsageError: for what is there already, or for a name that is no UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{str(path)!r} is no text in UTF-8, and the converters take no other name.", "Name another with --out."
        ) from error
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path} is a file.", "Name a directory that does not exist yet.")
    if not path.is_dir() or all(item.name.startswith((_LOCK, _PART)) for item in path.iterdir()):
        return
    if fresh:
        _refuse_no_run(path)
    elif (path / _MARK).is_file():
        raise UsageError(
            f"there is a run in {path} already.",
            "Add --resume to go on with it, --fresh to start anew, or name another --out.",
        )
    else:
        raise UsageError(
            f"--out {path} is not empty and no run of edgett's.", "Name a directory that does not exist yet."
        )


def new_path(model: str, target: str, parent: Path = Path("runs")) -> Path:
    """The first free one of the default directories of a run: runs/<model>-<target>-<n>, n counting up.

    Args:
        model: its name.
        target: the name of the target.
        parent: where runs are.
    """
    number = 1
    while (path := parent / f"{model}-{target}-{number}").exists():
        number += 1
    return path


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_no_run(path: Path) -> None:
    """What --fresh must not take away."""
    if not journal.ours(path / _JOURNAL):
        try:
            mine = "edgett" in json.loads((path / _MARK).read_text())["versions"]
        except (OSError, ValueError, KeyError, TypeError):
            mine = False
        if not mine:
            raise UsageError(
                f"--out {path} is no run of edgett's: --fresh leaves it alone.",
                "Name a run, or a directory that does not exist yet.",
            )
    if what := journal.foreign(path / _JOURNAL):
        raise UsageError(f"{path / _JOURNAL} is {what}: --fresh leaves it alone.", "Move it elsewhere.")


def _refuse_links(path: Path) -> None:
    """Raise UsageError where what a run reads, writes or takes away would be somewhere else."""
    for pattern in (_MARK, _LOCK, "artifacts", "exports", *_WRITTEN):
        for place in path.glob(pattern):
            if place.is_symlink():
                raise UsageError(
                    f"{place} is a link to {place.readlink()}: a run has its own files, and no links.",
                    "Copy the run as a whole, or name another.",
                )


def _sync(path: Path) -> None:
    """Have a file, or the names in a directory, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some file systems cannot for directories
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Failures of the file system in the user's words."""
    try:
        yield
    except OSError as error:
        cure = {
            errno.ENOSPC: "Free some disk space and go on with --resume.",
            errno.EDQUOT: "Free some disk space and go on with --resume.",
            errno.EFBIG: "Allow larger files and go on with --resume.",
            errno.EACCES: "Choose a directory you may write to with --out.",
            errno.EROFS: "Choose a directory you may write to with --out.",
        }.get(error.errno or 0, "Choose another directory with --out.")
        raise ToolError(f"{path} cannot be written: {error.strerror or error}.", cure) from error
