"""What is said where a run comes to nothing: why, and which options would help, each of them tried or computed."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgett.errors import EdgettError, Infeasible
from edgett.graph.dtype import DType
from edgett.graph.memory import busiest
from edgett.job.job import Job, target_of
from edgett.meter import Meter, Silent
from edgett.search import choose
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.constraints import (
    DROP,
    FLOPS,
    LATENCY,
    LOSSES,
    MODEL_BYTES,
    NAMED,
    PEAK,
    UNKNOWN,
    Constraint,
    Constraints,
    Holding,
    Objective,
    in_words,
)
from edgett.search.replaced import with_edits
from edgett.search.solution import Solution, Trial
from edgett.target.profile import Target, constraints
from edgett.target.units import SIZE, WORK
from edgett.workflow.inputs import Inputs
from edgett.workflow.proposal import proposed
from edgett.workflow.reasons import not_smaller, predicted_slower, unworthy
from edgett.workflow.survey import Room, graphs
from edgett.workflow.terms import baseline, costing_of

if TYPE_CHECKING:
    from edgett.workflow.outcome import Outcome

SHARES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0)
"""What a share of the parameters may be lowered to."""

ENOUGH = 3
"""Pairs of options that are told."""

MARGIN = 0.03
"""The share by which a file may come out larger than predicted."""


@dataclass(frozen=True)
class Cure:
    """Options with which a solution would be there: fields of a `Job` and their values."""

    options: Mapping[str, Any]

    def of(self, job: Job) -> Job:
        """The job with these options."""
        return replace(job, **self.options)

    def __str__(self) -> str:
        return " ".join(_option(name, value) for name, value in self.options.items())


def _option(name: str, value: object) -> str:
    option = f"--{name.replace('_', '-')}"
    if value == ():
        return f"no {option}"
    if isinstance(value, float):
        return f"{option} {value:g}"
    return f"{option} {shlex.quote(str(getattr(value, 'value', value)))}"


@dataclass(frozen=True)
class Advice:
    """What would help, and of a peak that is too high the layer that sets it and its operator.

    `compress`: the model does not hold as it is, and may when it is compressed.
    """

    cures: tuple[Cure, ...]
    peak: tuple[str, str] | None = None
    compress: bool = False


NEEDLESS = Advice(())

MEMORY = Cure({"objective": Objective.MEMORY})
"""No layer goes back to dense for being slow."""


def advised(outcome: Outcome, inputs: Inputs, meter: Meter) -> Outcome:
    """The outcome; without a feasible solution, with what would help."""
    job, limits = outcome.job, outcome.limits
    if outcome.picks:
        return outcome
    if outcome.miss is None:
        return replace(outcome, advice=Advice((MEMORY,)))
    solution, lost, _ = outcome.miss
    broken = choose.broken(solution, lost, limits)
    found: tuple[Cure, ...] = ()
    # Once something is trained its drop is known, and none of what would have to be trained instead.
    if not outcome.trials:
        found = looked_for(job, inputs, meter, as_it_is=outcome.exploration is None)
    elif any(_held_before(trial, limits) for trial in outcome.trials):
        found = (MEMORY,)
    more = raised(broken, job)
    peak = any(item.name == PEAK.name for item in broken)
    busy = _busiest(job, inputs.source_of(solution.gone), solution) if peak else None
    smaller = outcome.exploration is None and _leaves(job, inputs.model, as_it_is=False)
    return replace(outcome, advice=Advice((*found, more) if more else found, busy, smaller))


def _held_before(trial: Trial, limits: Constraints) -> bool:
    """Whether it held until layers went back to dense for being slow."""
    return any(step.slowdown is not None and step.drop_before <= limits.most(DROP) for step in trial.reverted[:1])


def _busiest(job: Job, model: Any, solution: Solution) -> tuple[str, str]:
    """Of the step of a solution at which most is alive, the layer and the operator."""
    graph = graphs(model, space.Costing(job.batch, form=target_of(job).runtime.format))
    found = with_edits(graph(frozenset(solution.edits)), solution.edits)
    step = found.steps[busiest(found)]
    return step.layer, step.operator


def looked_for(job: Job, inputs: Inputs, meter: Meter, *, as_it_is: bool = False) -> tuple[Cure, ...]:
    """Options with which solutions would be left that hold what can be told before training; `as_it_is`: the dense one.

    One option at a time, and two at once only where none does alone. Others stay as the job has them.
    """
    with meter.stage("looking for what would help"):
        every = [each for each in _changes(job) if not as_it_is or each[0].keys() <= AS_IT_IS]
        if inputs.drawn:  # int8 takes its ranges from data
            every = [each for each in every if "dtype" not in each[0]]
        single = [found for each in every if (found := _first(job, each, inputs.model, as_it_is))]
        if single:
            return tuple(single)
        pairs = [[{**one[-1], **other[-1]}] for one, other in itertools.combinations(every, 2)]
        return tuple(found for each in pairs if (found := _first(job, each, inputs.model, as_it_is)))[:ENOUGH]


AS_IT_IS = {"dtype", "batch"}
"""Options that change what the dense model takes."""


def _changes(job: Job) -> Iterator[list[dict[str, Any]]]:
    """By option, the values that it could have instead, the least change first."""
    defaults = Job(job.target)
    if target_of(job).runtime.dtype is not DType.INT8:
        yield [{"dtype": DType.INT8}]
    for name in ("only_layer", "skip_layer"):
        if getattr(job, name):
            yield [{name: ()}]
    if shares := [{"share": share} for share in SHARES if share < job.least_share]:
        yield shares
    if job.search is Strategy.GRID:
        if job.ranks != defaults.ranks:
            yield [{"ranks": defaults.ranks}]
        yield [{"search": Strategy.PARETO}]
    elif job.rank_multiple > 1:
        yield [{"rank_multiple": 1}]
    if job.batch > 1:
        yield [{"batch": 1}]
    if target_of(job).budget.objective is not Objective.MEMORY:
        yield [{"objective": Objective.MEMORY}]


def _first(job: Job, changes: Sequence[dict[str, Any]], model: Any, as_it_is: bool) -> Cure | None:
    """The first of the changes that leaves solutions."""
    return next((Cure(change) for change in changes if _leaves(replace(job, **change), model, as_it_is)), None)


def _leaves(job: Job, model: Any, as_it_is: bool) -> bool:
    """Whether a job has any solution, the dense one among them, that holds what can be told before training."""
    from edgett.model.servable import refuse_unquantisable
    from edgett.model.trace import trace

    try:
        target = target_of(job)
        if target.runtime.dtype is DType.INT8:
            refuse_unquantisable(trace(model))
        room = _room(job, target, model)
        dense = space.dense_solution(room.graph(frozenset()), room.costing)
        if not choose.broken(dense, UNKNOWN, room.limits):
            return True
        return not as_it_is and bool(proposed(job, model, room, Silent()).able)
    except EdgettError:  # the target or the model does not take it
        return False


def _room(job: Job, target: Target, model: Any) -> Room:
    """As for a run, but that no file is there: one may come out larger than predicted, and the limit is less by it."""
    costing = costing_of(target, job.batch)
    graph = graphs(model, costing)
    dense = space.dense_solution(graph(frozenset()), costing)
    limits = constraints(target, baseline(dense))
    if (most := limits[MODEL_BYTES]) is not None:
        limits = limits.with_limits({MODEL_BYTES: int(most / (1 + MARGIN))})
    return Room(graph, limits, costing)


def raised(broken: Sequence[Holding], job: Job) -> Cure | None:
    """The budgets that are broken, raised so far that a solution which breaks only these holds; None: no option can."""
    options: dict[str, Any] = {}
    for holding in broken:
        if holding.value is None or not math.isfinite(holding.value):
            return None
        row = NAMED[holding.name]
        options[row.option] = _RAISED[row](holding.value)
    try:
        target_of(replace(job, **options))
    except EdgettError:  # more than the device has
        return None
    return Cure(options) if options else None


def _size(value: float) -> str:
    """Bytes, rounded up to two digits."""
    return SIZE.text(_up(value) if value < 10 << 10 else _up(value / 1024) << 10)


def _up(value: float) -> int:
    whole = math.ceil(value)
    step = 10 ** max(len(str(whole)) - 2, 0)
    return -(-whole // step) * step


_RAISED: Mapping[Constraint, Callable[[float], Any]] = {
    **dict.fromkeys(LOSSES, lambda value: math.ceil(value * 10 + 1e-9) / 10),
    MODEL_BYTES: lambda value: _size(value * (1 + MARGIN)),
    PEAK: _size,
    FLOPS: lambda value: WORK.text(_up(value)),
    LATENCY: lambda value: float(f"{value * 1.01:.2g}") if value < 10 else float(_up(value)),
}
"""How the option that sets a limit is written for what a model takes."""


def infeasible(outcome: Outcome) -> Infeasible:
    """What to say when nothing meets the constraints: the nearest miss, the constraints that bind, what would help."""
    return Infeasible(_what(outcome), _would_do(outcome))


def _what(outcome: Outcome) -> str:
    if (reason := _no_other(outcome)) is not None:
        return f"{reason} breaks a budget of {outcome.target.name}: {_dense(outcome)}.{_peak(outcome)}"
    if outcome.miss is None:
        return _too_slow(outcome.trials)
    solution, loses, _ = outcome.miss
    broken = choose.broken(solution, loses, outcome.limits)
    names = [item.name for item in broken]
    lost = "" if loses.plain is None else f", accuracy drop {loses.plain:.2f}"
    return (
        f"no solution meets the constraints of {outcome.target.name}: {' and '.join(names)}"
        f" {'bind' if len(names) > 1 else 'binds'}. The nearest, solution {solution.number}"
        f" ({solution.cost.params:,} parameters{lost}), has"
        f" {'; '.join(_missed(item, bare=len(broken) == 1) for item in broken)}.{_peak(outcome)}"
    )


def _no_other(outcome: Outcome) -> str | None:
    """Why there is no other solution than the dense model, up to its fault; None where there are others."""
    if outcome.exploration is None:
        return "the model as it is"
    if not outcome.exploration.taken:
        return f"{unworthy(outcome.exploration)}, and the dense model"
    if outcome.larger:
        return f"{not_smaller(outcome)}, and the dense model"
    if predicted_slower(outcome):
        slower = f"every low-rank form of every layer is predicted to be slower on {outcome.target.name} than dense"
        return f"{slower}, and the dense model"
    return None


def _dense(outcome: Outcome) -> str:
    """The budgets that the dense model breaks, each with what it has and the limit."""
    return "; ".join(
        f"{item.name} is {in_words(item.value)}, the limit {in_words(item.limit)}"
        for item in choose.holdings(outcome.dense.solution, outcome.loses(outcome.dense), outcome.limits)
        if item.holds is False
    )


def _peak(outcome: Outcome) -> str:
    """Which layer sets a peak that is too high."""
    if outcome.advice.peak is None or outcome.miss is None:
        return ""
    layer, operator = outcome.advice.peak
    left = "" if layer in outcome.miss[0].edits else ", which stays as it is"
    return f" The peak is that of {layer} ({operator}){left}."


def _missed(holding: Holding, *, bare: bool) -> str:
    assert holding.limit is not None, "a limit that is not known is never broken"
    over = "" if holding.value is None else f": {in_words(holding.value - holding.limit)} over it"
    name = "" if bare else f"{holding.name} "
    return f"{name}{in_words(holding.value)} where the limit is {in_words(holding.limit)}{over}"


def _would_do(outcome: Outcome) -> str:
    """The advice in words."""
    job = outcome.job
    cures = list(map(str, outcome.advice.cures))
    if outcome.advice.compress:
        data = f" --data {shlex.quote(job.data)}" if job.data else ""
        cures.append(f"edgett compress {shlex.quote(job.model)} --target {shlex.quote(job.target)}{data}")
    if not cures:
        return "No option would do: it takes a device with more room, or a smaller model."
    before = "" if outcome.trials or outcome.miss is None else ", as far as can be told before training"
    return f"This would do{before}: {'; or '.join(cures)}."


def _too_slow(trials: Sequence[Trial]) -> str:
    """What to say when the solutions that hold were left without a replaced layer."""
    found = [trial for trial in trials if trial.too_slow]
    times = [step.slowdown for trial in found for step in trial.reverted if step.slowdown is not None]
    return (
        f"each of the {len(found)} solutions that hold is slower here than the dense model, which its layers made"
        f" {min(times):.2f} to {max(times):.2f} times as slow."
    )
