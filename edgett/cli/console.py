"""The terminal: progress, messages, errors and exit codes. The only place that prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgett.cli.interrupts import recall
from edgett.cli.streams import twin
from edgett.errors import EdgettError, described
from edgett.schema import SCHEMA

if TYPE_CHECKING:  # completion is waited for, and draws nothing
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.progress import Progress, ProgressColumn

ROOM, LEAST_BAR = 56, 8
"""Characters that a stage's words and numbers take, and those of the shortest bar worth drawing."""

SPEED_OF = 600.0
"""Seconds over which the speed is taken: reports of large batches come minutes apart."""


class Screen:
    """Draws on standard error what happens, and on standard output what came of it."""

    def __init__(self, *, json: bool = False, silent: bool = False) -> None:
        from rich.console import Console

        # A descriptor of its own: the converters' chatter is turned away from number 2 while progress is drawn.
        # No emoji: a metric a:b:max is no name of one.
        self._errors = Console(file=twin(sys.stderr) if _has_descriptor() else sys.stderr, emoji=False)
        self._json, self._silent = json, silent
        # Colours may be forced where there is no terminal; what moves may not.
        self._moves = self._errors.file.isatty() and self._errors.is_interactive

    @contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A piece of work of `total` units; inside, call the function with the units just done.

        A Ctrl-C that was lost in a library is raised when it begins, goes on and ends.
        """
        recall()
        with self._drawn(text, total) as draw:

            def advance(units: int) -> None:
                recall()
                draw(units)

            yield advance
        recall()

    @contextmanager
    def _drawn(self, text: str, total: int | None) -> Iterator[Callable[[int], None]]:
        if self._silent or not self._moves:
            self.say(text)
            yield lambda units: None
            return
        from rich.markup import escape

        from edgett.escape import terminal

        with self._progress(counted=bool(total)) as progress:
            task = progress.add_task(escape(terminal(text)), total=total)
            # Units of nothing would count as samples of the speed, and crowd out the real ones.
            yield lambda units: progress.advance(task, units) if units else None

    def _progress(self, *, counted: bool) -> Progress:
        """What fits into the terminal; the time left comes of the speed of the last minutes."""
        from rich import progress as bars

        columns: list[ProgressColumn] = [bars.SpinnerColumn(), bars.TextColumn("{task.description}")]
        if (room := self._errors.width - ROOM) >= LEAST_BAR:
            columns.append(bars.BarColumn(min(40, room)))
        columns += [bars.MofNCompleteColumn(), bars.TimeRemainingColumn(compact=True)] if counted else []
        return bars.Progress(*columns, console=self._errors, transient=True, speed_estimate_period=SPEED_OF)

    def say(self, text: str) -> None:
        """A line the user should read."""
        from edgett.escape import terminal

        if not self._silent:
            self._errors.print(terminal(text), markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line for a log, which is not here."""

    def show(self, document: Mapping[str, Any], drawn: Callable[[Mapping[str, Any]], RenderableType]) -> None:
        """The result: the document itself with --json, else drawn."""
        recall()
        if self._json:
            print(json.dumps(document, indent=2, allow_nan=False))
        else:
            from rich.console import Console

            Console(emoji=False).print(_Printable(drawn(document)))

    def conclude(
        self,
        document: Mapping[str, Any],
        drawn: Callable[[Mapping[str, Any]], RenderableType],
        problem: EdgettError | None,
    ) -> int:
        """The result and, where it is not what was asked for, what is wrong with it; the exit code."""
        if problem is None:
            self.show(document, drawn)
            return 0
        self.show({**document, "error": described(problem)}, drawn)
        self._complain(problem)
        return problem.exit_code

    def fail(self, problem: EdgettError) -> None:
        """What went wrong and what to do; with --json as a document too."""
        if self._json:
            print(json.dumps({"schema": SCHEMA, "error": described(problem)}, indent=2))
        self._complain(problem)

    def _complain(self, problem: EdgettError) -> None:
        from edgett.escape import terminal

        self._errors.print(
            f"error: {terminal(problem.message)}", markup=False, highlight=False, soft_wrap=True, style="red"
        )
        if problem.cure:
            self._errors.print(terminal(problem.cure), markup=False, highlight=False, soft_wrap=True)


class _Printable:
    """Something drawn, without what a terminal would obey."""

    def __init__(self, drawn: RenderableType) -> None:
        self._drawn = drawn

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from edgett.escape import terminal

        for part in console.render(self._drawn, options):
            yield part if part.control else part._replace(text=terminal(part.text))


def _has_descriptor() -> bool:
    try:
        sys.stderr.fileno()
    except (OSError, ValueError):
        return False
    return True
