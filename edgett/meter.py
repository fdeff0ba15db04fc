"""How a long piece of work tells how far it has come, whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Meter(Protocol):
    """Draws how far a long piece of work has come. `cli` has the real one; `Silent` draws nothing."""

    def stage(self, text: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """A piece of work of `total` units (None: unknown); inside, call the function with the units just done."""

    def say(self, text: str) -> None:
        """A line the user should read."""

    def note(self, text: str) -> None:
        """A line for a log, where there is one."""


class Silent:
    """A `Meter` for scripts and tests."""

    def stage(self, text: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda units: None)

    def say(self, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass
