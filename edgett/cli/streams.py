"""What a process is started with, put right before anything stands on it: standard streams, the terminal's size."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import Any, TextIO

_SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
"""What Rich and Typer believe of the terminal's size, unseen."""


def mend() -> None:
    """Forget sizes that no terminal has; open what is closed, and lose what nobody reads or no character stands for."""
    for name in _SIZES:
        if not re.fullmatch("0*[1-9][0-9]{0,3}", os.environ.get(name, "80")):
            del os.environ[name]
    # In the order of their numbers, for what is opened gets the lowest one: no file of ours must be among them.
    sys.stdin = sys.stdin or open(_nowhere(), closefd=False)  # noqa: SIM115
    sys.stdout = _mended(sys.stdout, BrokenPipeError)
    sys.stderr = _mended(sys.stderr, OSError)


def twin(stream: TextIO) -> TextIO:
    """Another stream for messages to the same place, by a descriptor of its own."""
    return _writer(stream, _Lossy(os.dup(stream.fileno()), OSError))


def _mended(stream: TextIO | None, lost: type[OSError]) -> TextIO:
    if stream is None:
        return open(_nowhere(), "w", closefd=False)
    return _writer(stream, _Lossy(stream.fileno(), lost, closefd=False))


def _writer(like: TextIO, raw: _Lossy) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        errors="replace",
        line_buffering=bool(like.line_buffering),
    )


def _nowhere() -> int:
    """A descriptor for what was closed, which processes that are started inherit as they would the real one."""
    number = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(number, True)
    return number


class _Lossy(io.FileIO):
    """Writes; what fails with an error of the kind that may be `lost` counts as written."""

    def __init__(self, descriptor: int, lost: type[OSError], *, closefd: bool = True) -> None:
        super().__init__(descriptor, "w", closefd=closefd)
        self._lost = lost

    def write(self, content: Any, /) -> int:
        """The number of bytes."""
        try:
            return super().write(content)
        except self._lost:
            return len(content)
