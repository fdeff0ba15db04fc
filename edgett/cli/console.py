"""The terminal: progress, messages, errors and exit codes. The only place that prints."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from edgett.errors import EdgettError


class Screen:
    """Draws on standard error what happens, and on standard output what came of it."""

    def __init__(self, *, json: bool = False, silent: bool = False) -> None:
        # A descriptor of its own: the converters' chatter is turned away from number 2 while progress is drawn.
        self._errors = Console(file=os.fdopen(os.dup(sys.stderr.fileno()), "w") if _has_descriptor() else sys.stderr)
        self._json, self._silent = json, silent

    @contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A piece of work of `total` units; inside, call the function with the units just done."""
        if self._silent:
            yield lambda units: None
            return
        if not self._errors.is_terminal:
            self.say(text)
            yield lambda units: None
            return
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
        columns += [MofNCompleteColumn(), TimeRemainingColumn()] if total else []
        with Progress(*columns, console=self._errors, transient=True) as progress:
            task = progress.add_task(text, total=total)
            yield lambda units: progress.advance(task, units)

    def say(self, text: str) -> None:
        """A line the user should read."""
        if not self._silent:
            self._errors.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, document: Mapping[str, Any], drawn: Callable[[Mapping[str, Any]], RenderableType]) -> None:
        """The result: the document itself with --json, else drawn."""
        if self._json:
            print(json.dumps(document, indent=2, allow_nan=False))
        else:
            Console().print(drawn(document))

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
        self.show({**document, "error": _described(problem)}, drawn)
        self._complain(problem)
        return problem.exit_code

    def fail(self, problem: EdgettError) -> None:
        """What went wrong and what to do; with --json as a document too."""
        if self._json:
            print(json.dumps({"schema": 1, "error": _described(problem)}, indent=2))
        self._complain(problem)

    def _complain(self, problem: EdgettError) -> None:
        self._errors.print(f"error: {problem.message}", markup=False, highlight=False, soft_wrap=True, style="red")
        if problem.cure:
            self._errors.print(problem.cure, markup=False, highlight=False, soft_wrap=True)


def _described(problem: EdgettError) -> dict[str, Any]:
    return {
        "code": problem.exit_code,
        "kind": type(problem).__name__,
        "message": problem.message,
        "cure": problem.cure,
    }


def _has_descriptor() -> bool:
    try:
        sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return False
    return True
