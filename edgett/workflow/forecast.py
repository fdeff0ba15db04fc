"""What fine-tuning is about to do, and how long that will take: from a few batches of it, tried first."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgett.search.choose import GOING_ON
from edgett.search.solution import Solution

if TYPE_CHECKING:
    from edgett.train.finetune import TrainingPace
    from edgett.train.workers import Crew

FINALISTS = 3
"""Solutions that halving usually trains on from the second judgement to the third, and so on: the picks."""

AFTERWARDS = 2
"""Where halving judges but once, so many more are trained to the end then, at once, where no pick is among the others:
about every other time."""

MIDDLE, SIDES = 1 / 2, (1 / 4, 3 / 4)
"""Where a worker's part of the solutions, ordered by what they cost, is tried first, and where then."""

TENTH = 1 / 10
"""The share of a run that trying may take."""

LATER = 2 / 3
"""How long a later round takes, of the first, in which each process does some things for the only time."""


@dataclass(frozen=True)
class Leg:
    """Tasks of so many batches each, done at once by as many workers as there are; or going on with earlier ones.

    `share`: how often it comes to them.
    """

    tasks: int
    batches: int
    begins: bool
    share: float = 1.0


def legs(rungs: Sequence[float], batches: int, reached: Sequence[float]) -> tuple[Leg, ...]:
    """What is left of a course, as it probably goes: `reached` are the epochs that each solution has behind it."""
    count, found = len(reached), []
    usual = [count, max(FINALISTS, math.ceil(GOING_ON * count))] + [FINALISTS] * len(rungs)
    for index, until in enumerate(rungs):
        left = min(count, usual[index]) - sum(epochs >= until for epochs in reached)
        length = until - (rungs[index - 1] if index else 0)
        found.append(Leg(max(left, 0), round(length * batches), index == 0))
    if len(rungs) == 2:
        ended = max(sum(epochs >= rungs[-1] for epochs in reached), usual[1])
        found.append(replace(found[-1], tasks=max(min(usual[1] + AFTERWARDS, count) - ended, 0), share=1 / 2))
    return tuple(found)


def seconds(left: Sequence[Leg], rounds: Sequence[Sequence[TrainingPace]], workers: int) -> float:
    """How long so many workers take from now on: every solution at the mean of the paces.

    The first round of paces has in it what a process does but once: others, where there are some, tell better how long
    it takes to begin and to judge. Solutions whose paces are known have begun.
    """
    paces = [pace for each in rounds for pace in each]
    settled = [pace for each in rounds[1:] for pace in each] or paces
    begin, judge = (statistics.fmean(getattr(pace, name) for pace in settled) for name in ("begin", "judge"))
    batch = statistics.fmean(pace.batch for pace in paces)
    begun = len(paces)
    return sum(
        leg.share * math.ceil(leg.tasks / workers) * (leg.batches * batch + judge)
        + (math.ceil(max(leg.tasks - begun, 0) / workers) * begin if leg.begins else 0.0)
        for leg in left
    )


def tried(
    solutions: Sequence[Solution], crew: Crew, rows: Mapping[str, int], left: Sequence[Leg]
) -> tuple[tuple[TrainingPace, ...], ...]:
    """The paces of solutions, spread over what a training step costs, in rounds of one a worker.

    `rows`: how many a batch brings to each layer.
    There is more than one round where all of them take no more than a TENTH of what is left; none where a worker died.
    """
    from edgett.train.workers import WorkerDied

    ordered = sorted(solutions, key=lambda one: sum(spec.training_work(rows[name]) for name, spec in one.edits.items()))
    began, rounds = time.monotonic(), []
    try:
        rounds.append(_round(ordered, crew, MIDDLE))
        enough = len(ordered) < (1 + len(SIDES)) * crew.size
        spent = time.monotonic() - began
        if not enough and spent * (1 + LATER * len(SIDES)) < TENTH * seconds(left, rounds, crew.size):
            rounds += [_round(ordered, crew, side) for side in SIDES]
    except WorkerDied:  # it is heard of again when it matters
        return ()
    return tuple(rounds)


def _round(ordered: Sequence[Solution], crew: Crew, place: float) -> tuple[TrainingPace, ...]:
    """Each worker tries a solution of its own part, that at this place of it."""
    from edgett.train.finetune import Task

    count = min(crew.size, len(ordered))
    places = (int((index + place) * len(ordered) / count) for index in range(count))
    futures = [crew.submit(Task(ordered[place], 0)) for place in places]
    return tuple(pace for pace in (future.result().pace for future in futures) if pace is not None)


def lasting(seconds: float) -> str:
    """Seconds in words, as exact as a forecast is."""
    for unit, worth, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 48 * 3600)):
        if seconds < until:
            value = seconds / worth
            return f"about {math.ceil(value / 10) * 10 if unit == 's' else round(value)} {unit}"
    return f"about {round(seconds / 86400)} days"
