"""What fine-tuning is about to do, and how long that will take: from a few batches of it, tried first."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgett.space.choose import GOING_ON
from edgett.space.cost import training_work
from edgett.values import Solution

if TYPE_CHECKING:
    from edgett.nn.finetune import Pace
    from edgett.nn.workers import Crew

FINALISTS = 3
"""Solutions that halving usually trains on from the second judgement to the third, and so on: the picks."""


@dataclass(frozen=True)
class Leg:
    """Tasks of so many batches each, done at once by as many workers as there are; or going on with earlier ones."""

    tasks: int
    batches: int
    begins: bool


def legs(rungs: Sequence[float], batches: int, reached: Sequence[float]) -> tuple[Leg, ...]:
    """What is left of a course, as it probably goes: `reached` are the epochs that each solution has behind it."""
    count, found = len(reached), []
    usual = [count, max(FINALISTS, math.ceil(GOING_ON * count))] + [FINALISTS] * len(rungs)
    for index, until in enumerate(rungs):
        left = min(count, usual[index]) - sum(epochs >= until for epochs in reached)
        length = until - (rungs[index - 1] if index else 0)
        found.append(Leg(max(left, 0), round(length * batches), index == 0))
    return tuple(found)


def seconds(left: Sequence[Leg], paces: Sequence[Pace], workers: int) -> float:
    """How long so many workers take: every solution at the mean of the paces."""
    begin, batch, judge = (
        statistics.fmean(getattr(pace, name) for pace in paces) for name in ("begin", "batch", "judge")
    )
    return sum(
        math.ceil(leg.tasks / workers) * (leg.batches * batch + judge + (begin if leg.begins else 0.0)) for leg in left
    )


def tried(solutions: Sequence[Solution], crew: Crew, rows: int) -> tuple[Pace, ...]:
    """The paces of solutions, one a worker, spread over what a training step costs; none where a worker died."""
    from edgett.nn.finetune import Task
    from edgett.nn.workers import WorkerDied

    ordered = sorted(solutions, key=lambda one: sum(training_work(shape, rows) for shape in one.shapes.values()))
    count = min(crew.size, len(ordered))
    places = (int((index + 0.5) * len(ordered) / count) for index in range(count))
    futures = [crew.submit(Task(ordered[place], 0)) for place in places]
    try:
        found = [future.result().pace for future in futures]
    except WorkerDied:  # it is heard of again when it matters
        return ()
    return tuple(pace for pace in found if pace is not None)


def lasting(time: float) -> str:
    """Seconds in words, as exact as a forecast is."""
    for unit, worth, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 48 * 3600)):
        if time < until:
            value = time / worth
            return f"about {math.ceil(value / 10) * 10 if unit == 's' else round(value)} {unit}"
    return f"about {round(time / 86400)} days"
