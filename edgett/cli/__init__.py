"""The command line: argv -> one value of options -> the pipeline -> text. The only place that prints, catches, exits."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line; the exit code."""
    import typer

    from edgett.cli.app import app
    from edgett.cli.console import Screen
    from edgett.errors import EdgettError, Interrupted, ToolError, UsageError

    debug, screen = "--debug" in arguments, Screen(json="--json" in arguments)
    try:
        code = app(list(arguments), prog_name="edgett", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Exit as leave:
        return leave.exit_code
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "edgett"
        problem: EdgettError = UsageError(error.format_message(), f"See '{where} --help'.")
    except EdgettError as error:
        if debug:
            raise
        problem = error
    except (KeyboardInterrupt, typer.Abort):
        problem = Interrupted("interrupted.")
    except BrokenPipeError:
        return 0
    except OSError as error:
        if debug:
            raise
        problem = ToolError(f"{error.filename or 'a file'}: {error.strerror or error}.", "")
    screen.fail(problem)
    return problem.exit_code
