"""The command line: argv -> options -> the pipeline -> text. The only place that prints, catches and exits."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgett.errors import EdgettError

IMPATIENCE = 5.0
"""Seconds in which a second Ctrl-C is no other one."""


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGINT, _CtrlC())
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # outside of any command
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said, and libraries that take leave would complain
    sys.exit(code)


class _CtrlC:
    """Ctrl-C; more of them at once are the same wish, and must not break off the tidying up."""

    def __init__(self) -> None:
        self._heard = -IMPATIENCE

    def __call__(self, *_: object) -> None:
        now = time.monotonic()
        if now - self._heard > IMPATIENCE:
            self._heard = now
            raise KeyboardInterrupt


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line; the exit code."""
    import typer

    from edgett.cli.app import app
    from edgett.cli.console import Screen
    from edgett.errors import Interrupted

    try:
        code = app(list(arguments), prog_name="edgett", standalone_mode=False)
        if code == Interrupted.exit_code:  # Typer catches Ctrl-C
            raise Interrupted("interrupted.")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.Exit as leave:
        return leave.exit_code
    except BrokenPipeError:
        # Whoever read has left; what is still to be written at exit has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:  # noqa: BLE001
        if "--debug" in arguments:
            import traceback

            traceback.print_exception(error)
        problem = _told(error)
    Screen(json="--json" in arguments).fail(problem)
    return problem.exit_code


def _told(error: Exception) -> EdgettError:
    """Whatever was raised in the user's words."""
    import typer

    from edgett.errors import EdgettError, ToolError, UsageError

    match error:
        case EdgettError():
            return error
        case typer.TyperException():
            context = getattr(error, "ctx", None)
            where = context.command_path if context else "edgett"
            return UsageError(error.format_message(), f"See '{where} --help'.")
        case MemoryError():
            return ToolError("the memory does not suffice.", "Explore fewer --ranks, or use a machine with more.")
        case OSError():
            return ToolError(f"{error.filename}: {error.strerror}." if error.filename else f"{error}.")
    return EdgettError(
        f"this is a bug in edgett: {type(error).__name__}: {error}", "Run it again with --debug, and report all of it."
    )
