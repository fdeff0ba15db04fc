"""Folders of edgett's own: the cache, and scratch ones, which are gone when their process is."""

from __future__ import annotations

import atexit
import errno
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import platformdirs

from edgett.errors import ToolError

_SCRATCH = "edgett-scratch-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LITTLE = 1 << 20


def cache() -> Path:
    """What is kept from run to run: the folder in EDGETT_CACHE_DIR, or the user's cache directory."""
    chosen = os.environ.get("EDGETT_CACHE_DIR")
    return Path(chosen) if chosen else platformdirs.user_cache_path("edgett")


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A temporary folder, there or in TMPDIR; what killed processes left beside it goes first.

    Raises ToolError, also for what happens inside, when the disk is full or nothing can be written.
    """
    try:
        place = parent or Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise ToolError(f"no temporary folder can be written: {error.strerror}.", _CURE) from error
    _sweep(place)
    cure = "Free some space there." if parent else _CURE
    with _full_told(place, cure), _own(place) as folder, _full_told(place, cure):
        yield folder


@functools.cache
def lasting() -> Path:
    """A scratch folder that is gone with this process, at its end or, after a kill, at the next start of another."""
    stack, process = ExitStack(), os.getpid()
    folder = stack.enter_context(scratch())
    atexit.register(lambda: stack.close() if os.getpid() == process else None)  # a fork is not its owner
    return folder


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """A scratch folder, whose files take their places in `folder` when all are written.

    What is in the way there is replaced, a link too: what it leads to stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with scratch(folder) as room:
        yield room
        for made in sorted(room.iterdir()):
            made.replace(folder / made.name)


_CURE = "Free some space there, or name another folder in TMPDIR."


@contextmanager
def _full_told(place: Path, cure: str) -> Iterator[None]:
    """Translate a full disk, where it is this one; what has been written so far has to be there still."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or (error.errno == errno.ENOSPC and shutil.disk_usage(place).free > _LITTLE):
            raise
        raise ToolError(f"the disk of {place} is full.", cure) from error


@contextmanager
def _own(place: Path) -> Iterator[Path]:
    """A new folder, locked as long as this process lives; it has its name from when it is locked."""
    made = Path(tempfile.mkdtemp(prefix=".edgett-", dir=place))
    folder = place / f"{_SCRATCH}{made.name.removeprefix('.edgett-')}"
    lock = os.open(made, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems of networks have no locks: there nothing is swept either
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        made.rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(place: Path) -> None:
    """Remove this user's folders that nobody holds."""
    for left in place.glob(f"{_SCRATCH}*/"):
        with suppress(OSError):  # held, gone meanwhile, or a link
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def put(content: bytes, path: Path, what: str) -> None:
    """Write a file whole or not at all; into what is none, a pipe or a device, it just goes.

    Raises ToolError, in which the file is called `what`, when it fails.
    """
    try:
        path = path.resolve()  # the link stays, and what it leads to is written
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        with scratch(path.parent) as folder:
            part = folder / path.name
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
    except (OSError, RuntimeError) as error:  # the latter for a link that leads to itself
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        cure = "Free some disk space." if full else "Choose another file or directory."
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise ToolError(f"the {what} {str(path)!r} cannot be written: {why}.", cure) from error
