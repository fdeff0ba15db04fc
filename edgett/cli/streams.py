"""What a process is started with, put right before anything stands on it: standard streams, the terminal's size."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TextIO

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
    return _Lossy(stream, os.dup(stream.fileno()), OSError)


def _mended(stream: TextIO | None, lost: type[OSError]) -> TextIO:
    if stream is None:
        return open(_nowhere(), "w", closefd=False)
    return _Lossy(stream, stream.fileno(), lost, closefd=False)


def _nowhere() -> int:
    """A descriptor for what was closed, which processes that are started inherit as they would the real one."""
    number = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(number, True)
    return number


class _Lossy(io.TextIOWrapper):
    """Writes like another stream; from the first error of the kind that may be `lost`, it writes to nowhere.

    What writes to the descriptor is not in Python: there Ctrl-C would come between a write and its end, and the same
    would be written again.
    """

    def __init__(self, like: TextIO, descriptor: int, lost: type[OSError], *, closefd: bool = True) -> None:
        raw = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=closefd))
        super().__init__(raw, encoding=like.encoding, errors="replace", line_buffering=bool(like.line_buffering))
        self._lost = lost

    def write(self, text: str, /) -> int:
        """The number of characters."""
        try:
            return super().write(text)
        except self._lost:
            self._lose()
            return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        try:
            super().flush()
        except self._lost:
            self._lose()

    def _lose(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        super().flush()
