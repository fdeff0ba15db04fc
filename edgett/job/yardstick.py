"""What `--metric` asks models to be judged by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgett.errors import UsageError

_DIRECTIONS = {"max": True, "min": False}
_TO_BE_LOW = ("error", "loss", "deviance", "distance", "divergence")


@dataclass(frozen=True)
class Yardstick:
    """A function `name` of a `module`, or without one a metric by its name. `up` None: as the metric says itself."""

    module: str | None
    name: str
    up: bool | None = None

    @property
    def spec(self) -> str:
        """The metric as it is named, without its direction."""
        return self.name if self.module is None else f"{self.module}:{self.name}"


def parse_metric(text: str) -> Yardstick:
    """`package.module:function` or a metric's name, and `:max` or `:min` behind it. Raises UsageError.

    A function of which that is not said is to be high, unless its name ends like that of an error or a loss, as
    scikit-learn names them.
    """
    parts = text.split(":")
    up = _DIRECTIONS[parts.pop()] if len(parts) > 1 and parts[-1] in _DIRECTIONS else None
    names = [*parts[0].split("."), *parts[1:]] if len(parts) == 2 else parts
    if len(parts) > 2 or not all(re.fullmatch(r"[^\W\d][\w ./-]*", name) for name in names):
        raise UsageError(
            f"--metric {text} is no metric.",
            "Give package.module:function or a metric's name, with :max or :min behind it where that is not known.",
        )
    if len(parts) == 1:
        return Yardstick(None, parts[0], up)
    module, name = parts
    return Yardstick(module, name, not name.endswith(_TO_BE_LOW) if up is None else up)
