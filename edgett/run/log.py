"""run.log: everything that is said in a run and what the screen does not show, each line with its time."""

from __future__ import annotations

import os
import platform
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from edgett.errors import EdgettError
from edgett.escape import terminal
from edgett.meter import Meter
from edgett.system.quiet import kept

NAME = "run.log"


@contextmanager
def logged(run: Path, meter: Meter) -> Iterator[Meter]:
    """A meter that also writes into the log of a run; there too: warnings, what `quiet` turns away, tracebacks.

    An error that is none of edgett's own gets a note of where the log is.
    """
    path = run / NAME
    with ExitStack() as stack:
        log = Log(path, meter)
        stack.callback(log.close)
        stack.enter_context(kept(log.overhear))
        stack.enter_context(warnings.catch_warnings())
        warnings.showwarning = lambda message, kind, *_: log.note(f"{kind.__name__}: {message}")
        log.note(f"edgett {version('edgett')}, Python {platform.python_version()}, {platform.platform()}")
        try:
            yield log
        except BaseException as error:
            log.note("".join(traceback.format_exception(error)))
            if isinstance(error, Exception) and not isinstance(error, EdgettError):
                error.add_note(f"The log is {path}.")
            raise


class Log:
    """A `Meter` that appends to a file what it hands on to another meter. What cannot be written is lost in silence."""

    def __init__(self, path: Path, meter: Meter) -> None:
        self._meter = meter
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)

    @contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A piece of work: when it began, when it ended, how long it took."""
        began, end = time.monotonic(), "broken off"
        self.note(f"begin: {text}" if total is None else f"begin: {text} ({total:,})")
        try:
            with self._meter.stage(text, total) as advance:
                yield advance
            end = "end"
        finally:
            self.note(f"{end}: {text}, {time.monotonic() - began:.2f} s")

    def say(self, text: str) -> None:
        """A line the user should read."""
        self.note(text)
        self._meter.say(text)

    def note(self, text: str) -> None:
        """Lines for the log alone."""
        now = datetime.now().astimezone().isoformat(" ", "milliseconds")
        lines = (terminal(line) for line in text.splitlines() if line.strip())
        content = "".join(f"{now} {line}\n" for line in lines).encode(errors="backslashreplace")
        with suppress(OSError):  # the disk is full: the journal will say so
            os.write(self._file, content)

    def overhear(self, text: str) -> None:
        """What a library printed."""
        self.note("".join(f"| {line}\n" for line in text.splitlines() if line.strip()))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
