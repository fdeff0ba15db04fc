"""The command line: argv -> options -> a job -> text. The only place that prints, catches and exits."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgett.cli import streams
from edgett.cli.interrupts import CtrlC, interrupted, unraisable

if TYPE_CHECKING:
    from edgett.errors import EdgettError


def main() -> None:
    """The console script."""
    streams.mend()
    handler = CtrlC()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as after nohup
            signal.signal(number, handler)
    sys.unraisablehook = unraisable
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # outside of any command
        code = 130
    except ModuleNotFoundError as missing:  # one without which nothing can be told in any other way
        name = (missing.name or "a library").partition(".")[0]
        print(f"error: {name} is not installed.\nInstall edgett again: pip install edgett", file=sys.stderr)
        code = 6
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said, and libraries that take leave would complain
    # `python -m` ends by SIGINT itself where Ctrl-C came while a text was executed, as libraries have dataclasses made:
    # CPython notes it then, whoever catches it, until another text is executed.
    exec("")
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line; the exit code."""
    import typer

    from edgett.cli import complete
    from edgett.cli.app import app
    from edgett.cli.console import Screen
    from edgett.errors import Interrupted

    try:
        with complete.answering():
            code = app(list(arguments), prog_name="edgett", standalone_mode=False)
        if code == Interrupted.exit_code:  # Typer catches Ctrl-C
            raise Interrupted("interrupted.")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.Exit as leave:
        return leave.exit_code
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

    from edgett.errors import EdgettError, Interrupted, ToolError, UsageError

    notes = getattr(error, "__notes__", ())  # where the log is
    if interrupted(error) and not isinstance(error, Interrupted):
        return Interrupted("interrupted.")
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
        f"this is a bug in edgett: {type(error).__name__}: {error}",
        " ".join(("Run it again with --debug, and report all of it.", *notes)),
    )
