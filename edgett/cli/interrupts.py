"""Ctrl-C: heard once, however often it is pressed, and not forgotten where a library takes it for a fault."""

from __future__ import annotations

import signal
import sys
import time

IMPATIENCE = 5.0
"""Seconds in which a second Ctrl-C is no other one."""


class CtrlC:
    """A handler; more signals at once are the same wish, and must not break off the tidying up."""

    def __init__(self) -> None:
        self._heard: float | None = None

    def __call__(self, *_: object) -> None:
        now = time.monotonic()
        if self._heard is None or now - self._heard > IMPATIENCE:
            self._heard = now
            raise KeyboardInterrupt

    @property
    def heard(self) -> bool:
        """Whether it was pressed at all."""
        return self._heard is not None


def interrupted(error: BaseException) -> bool:
    """Whether an exception comes of Ctrl-C: C++ code that calls Python makes other exceptions of it."""
    handler = signal.getsignal(signal.SIGINT)
    return isinstance(error, KeyboardInterrupt) or (isinstance(handler, CtrlC) and handler.heard)


def recall() -> None:
    """Raise the Ctrl-C that was lost on its way, and nothing where none was pressed.

    Python cannot raise through a destructor, nor through C code that asks it something and clears what went wrong.
    """
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, CtrlC) and handler.heard:
        raise KeyboardInterrupt


def unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Tell what Python could not raise, but for Ctrl-C, which is recalled."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
