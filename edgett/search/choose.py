"""Step 7: which trials hold under the constraints, and which of those are picked; and, before, whom to fine-tune."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgett.forms.dominance import undominated
from edgett.search.constraints import (
    CONSTRAINTS,
    DROP,
    LOSSES,
    NAMED,
    Constraint,
    Constraints,
    Holding,
    Lost,
    Objective,
    worse,
)
from edgett.search.solution import Picks, Solution, Trial

NEAR = 0.1
"""By so much of the best in the objective a model may be behind that is the best in bytes and work together."""

DENSE = -1
"""The number of the solution that replaces nothing: the dense model."""


def spread(places: NDArray[np.float64], limit: int | None) -> list[int]:
    """The first `limit` rows of `places` (n, k) in farthest-point order, from the one of the smallest sum on.

    Ties go to the lower row, so that the order is always the same.
    """
    count = len(places) if limit is None else min(limit, len(places))
    if count == 0:
        return []
    chosen = [int(np.lexsort((np.arange(len(places)), places.sum(axis=1)))[0])]
    distance = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < count:
        distance[chosen[-1]] = -1.0
        chosen.append(int(distance.argmax()))
        nearer = np.linalg.norm(places - places[chosen[-1]], axis=1)
        distance = np.where(distance < 0, -1.0, np.minimum(distance, nearer))
    return chosen


def ranked(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column by rank, from 0 to 1."""
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in costs.T], axis=1).astype(np.float64)
    return _scaled(ranks)


def logarithmic(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column, of positive numbers, by its logarithm, from 0 to 1."""
    return _scaled(np.log(costs))


def _scaled(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = columns.min(axis=0, initial=np.inf), columns.max(axis=0, initial=-np.inf)
    return (columns - low) / np.where(high > low, high - low, 1.0)


def tradeoffs(costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """The rows of (bytes, FLOPs, loss) that none beats in the loss and in bytes, in FLOPs, or in their product."""
    columns = (*costs.T, costs[:, 0] * costs[:, 1])
    size, work, loss, both = (np.unique(column, return_inverse=True)[1] for column in columns)
    return np.unique(np.concatenate([undominated([one, loss]) for one in (size, work, both)]))


def holdings(solution: Solution, lost: Lost, limits: Constraints) -> tuple[Holding, ...]:
    """Every constraint that the target sets and what a model makes of it that costs and loses so much.

    A drop that is not known yet, the latency on a target that nobody has measured, and what some operator
    without a rule adds to are not checked.
    """
    return tuple(
        _held(row, solution, lost, limits) for row in CONSTRAINTS if limits[row] is not None or row in limits.untold
    )


def _held(row: Constraint, solution: Solution, lost: Lost, limits: Constraints) -> Holding:
    """A share of what is not known is at most what there is room for."""
    untold, at_least = row in limits.untold, row in solution.at_least
    holding = row.judge(limits[row], row.value(solution, lost), at_least=untold or at_least)
    known = None if untold and holding.holds is None else holding.limit
    return replace(holding, limit=known, at_least=at_least)


def feasible(trial: Trial, limits: Constraints) -> bool:
    """Whether no constraint is broken, and any layer is still replaced."""
    if trial.too_slow or not math.isfinite(trial.drop):
        return False
    return all(holding.holds is not False for holding in holdings(trial.solution, trial.lost, limits))


def choose(trials: Sequence[Trial], limits: Constraints, dense: Trial | None = None) -> Picks | None:
    """The picks among the trials within the constraints; None when there is none.

    Recommended is the best in the objective or, where that is memory, FLOPs or latency, what is the best in bytes times
    work of those that are nearly as good (`NEAR`): a little memory may buy many FLOPs, and the other way round.

    The `dense` model is a solution like the others where it holds the constraints, and of those that are equal in the
    objective it is the recommended one: nothing was done to it. Where the objective is accuracy that is often so, for
    drops are measured by it, and then no budget asks for less. Lowest memory and lowest FLOPs are never above it
    either. Highest accuracy is that of the others, as long as one holds: how near they come to the dense model is what
    it tells. What takes no fewer bytes than a dense model that holds is no pick, nor what became that model again.
    """
    able = [trial for trial in trials if feasible(trial, limits)]
    every = able
    if dense is not None and feasible(dense, limits):
        size = dense.solution.file_bytes
        able = [trial for trial in able if trial.solution.file_bytes < size and not trial.emptied]
        every = [*able, dense]
    if not every:
        return None

    def best(objective: Objective, among: Sequence[Trial]) -> Trial:
        return min(among, key=lambda trial: _rank(trial, objective))

    return Picks(
        _balanced(best(limits.objective, every), every, limits.objective),
        best(Objective.ACCURACY, able or every),
        best(Objective.MEMORY, every),
        best(Objective.FLOPS, every),
    )


def _balanced(best: Trial, among: Sequence[Trial], objective: Objective) -> Trial:
    """What is best in bytes times work and nearly as good as the best in the objective, and better than dense there."""
    if objective is Objective.ACCURACY or best.solution.number == DENSE:
        return best
    most = (1 + NEAR) * worth(best, objective)
    dense = [worth(trial, objective) for trial in among if trial.solution.number == DENSE]
    near = [
        trial for trial in among if worth(trial, objective) <= most and all(worth(trial, objective) < d for d in dense)
    ]
    return min(near, key=lambda trial: (trial.solution.file_bytes * trial.solution.work, *_rank(trial, objective)))


def worth(trial: Trial, objective: Objective) -> float:
    """What is to be small in the objective."""
    solution = trial.solution
    return {
        Objective.ACCURACY: trial.drop, Objective.MEMORY: solution.file_bytes, Objective.FLOPS: solution.cost.flops,
        Objective.LATENCY: solution.work,
    }[objective]  # fmt: skip


def _rank(trial: Trial, objective: Objective) -> tuple[float, bool, float, int]:
    """The order among trials: by the objective, the dense model before what is no better, then by what else counts."""
    other = trial.solution.file_bytes if objective is Objective.ACCURACY else trial.drop
    return worth(trial, objective), trial.solution.number != DENSE, other, trial.solution.number


GOING_ON = 1 / 4
"""The share of the candidates that halving trains on after the first rung, for a start."""

LEFT = 0.25
"""The share of a drop that may be left in the end, as long as none near the limit is known.

Of a ResNet-8's candidates 0.24 to 0.40 were left after 3 epochs.
"""


def promoted(trials: Sequence[Trial], limits: Constraints) -> list[Solution]:
    """Who goes on after the first rung: in turn the next smallest, cheapest, best in both; and the most accurate.

    Small and cheap only count where the drop may yet come within its limit; where it may nowhere, the most accurate go.
    """
    going = [trial for trial in trials if math.isfinite(trial.drop) and not trial.complete]
    hopeful = [trial for trial in going if _loses_within(_expected(trial, LEFT), limits)]
    orders = [
        sorted(hopeful, key=lambda trial: (trial.solution.file_bytes, trial.solution.number)),
        sorted(hopeful, key=lambda trial: (trial.solution.work, trial.solution.number)),
        sorted(hopeful, key=lambda trial: (trial.solution.file_bytes * trial.solution.work, trial.solution.number)),
        sorted(going, key=lambda trial: (trial.drop, trial.solution.number))[: 1 if hopeful else None],
    ]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*orders))
    chosen = {trial.solution.number: trial.solution for trial in turns if trial is not None}
    return list(chosen.values())[: max(len(orders), math.ceil(GOING_ON * len(trials)))]


def contenders(paths: Sequence[Sequence[Trial]], limits: Constraints) -> list[Solution]:
    """Who would be picked if their drops fell as those of finished trials have: the solutions to train on next.

    `paths` has, for every solution, its trials after each rung that it has reached. What counts are finished trials
    that were above the limit at the same rung: of what is left of their drops, the lower quartile. Where nobody would
    be picked the most accurate go on, so that only full training may come to nothing.
    """
    finished = [path for path in paths if path[-1].complete and math.isfinite(path[-1].drop)]
    least = max(0.0, min(limits.most(DROP), 100.0))

    def expected(path: Sequence[Trial]) -> Trial:
        rung = len(path) - 1
        shares = [other[-1].drop / other[rung].drop for other in finished if other[rung].drop > least]
        return _expected(path[-1], float(np.clip(np.quantile(shares, 0.25), 0, 1)) if shares else LEFT)

    hoped = [path[-1] if path[-1].complete else expected(path) for path in paths]
    if (picks := choose(hoped, limits)) is None:
        going = [trial for trial in hoped if not trial.complete]
        return [trial.solution for trial in sorted(going, key=lambda trial: (trial.drop, trial.solution.number))[:3]]
    picked = {trial.solution.number: trial for trial in picks.named().values()}
    return [trial.solution for trial in picked.values() if not trial.complete]


def _expected(trial: Trial, left: float) -> Trial:
    """The trial as it may end, when that share of its drops is left."""
    robust = trial.robust_drop
    return replace(
        trial,
        drop=min(trial.drop, left * trial.drop),
        robust_drop=None if robust is None else min(robust, left * robust),
    )


def _loses_within(trial: Trial, limits: Constraints) -> bool:
    """Whether it loses no more than it may, as far as that is known."""
    lost = (row.value(trial.solution, trial.lost) for row in LOSSES)
    return all(value is None or value <= limits.most(row) for row, value in zip(LOSSES, lost, strict=True))


def nearest_miss(tried: Sequence[tuple[Solution, Lost]], limits: Constraints) -> tuple[Solution, Lost, Holding]:
    """Of solutions, with what they lose, that all break a constraint: whose worst break is least, and what breaks."""
    misses = [(solution, lost, max(broken(solution, lost, limits), key=_excess)) for solution, lost in tried]
    return min(misses, key=lambda miss: (_excess(miss[2]), miss[0].number))


def broken(solution: Solution, lost: Lost, limits: Constraints) -> list[Holding]:
    """The constraints that are broken. A model that diverged breaks whatever limit its drop might have."""
    found = [item for item in holdings(solution, lost, limits) if item.holds is False]
    if lost.plain == math.inf and limits[DROP] is None:
        found.append(Holding(DROP.name, 100.0, lost.plain, False))
    return found


def _excess(holding: Holding) -> float:
    """By what share of the limit it is broken."""
    value, limit = (0.0 if number is None else number for number in (holding.value, holding.limit))
    return worse(value, limit, higher_is_better=NAMED[holding.name].higher_is_better) / max(limit, 1e-9)
