"""What a model is held to: limits of the whole model, and whether they hold."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Objective(enum.Enum):
    """Which of the feasible solutions is recommended."""

    ACCURACY = "accuracy"
    MEMORY = "memory"
    FLOPS = "flops"
    LATENCY = "latency"


@dataclass(frozen=True)
class Constraints:
    """Limits of the whole model, absolute; None is no limit. `untold`: those that are a share of what nobody knows."""

    model_bytes: int | None
    peak_activation_bytes: int | None
    flops: int | None
    latency_ms: float | None
    accuracy_drop_pp: float | None
    objective: Objective
    untold: tuple[str, ...] = ()


@dataclass(frozen=True)
class Holding:
    """One constraint and what a model makes of it; `holds` is None where nothing can check it yet.

    A `limit` of None is a share of what is not known; a value may only be known to be `at_least` so much.
    """

    name: str
    limit: float | None
    value: float | None
    holds: bool | None
    at_least: bool = False


def judged(name: str, limit: float | None, value: float | None, *, at_least: bool = False) -> Holding:
    """A constraint and a value; one that is `at_least` so much, perhaps more, can break a limit and never hold it."""
    holds = None if limit is None or value is None else value <= limit
    return Holding(name, limit, value, None if holds and at_least else holds, at_least)
