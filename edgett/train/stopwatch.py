"""How long something takes."""

from __future__ import annotations

import time


class Stopwatch:
    """Runs from the moment it is made."""

    def __init__(self) -> None:
        """Start it."""
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Those that are over."""
        return time.monotonic() - self._started
