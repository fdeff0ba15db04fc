"""From a trained model to checked artefacts: the seven steps of the paper, then export and cross-check."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgett.errors import CheckFailed, EdgettError, Infeasible
from edgett.inputs import Inputs
from edgett.project import Job
from edgett.reasons import not_smaller, predicted_slower, unworthy, why_dense
from edgett.release import Chosen, Release, release
from edgett.run import Run
from edgett.space import choose
from edgett.space import explore as space
from edgett.space.error import Bracket
from edgett.survey import Explored, Room, survey
from edgett.targets import Target
from edgett.terms import terms_of
from edgett.tuning import Bench, fine_tuned, promising
from edgett.values import (
    Constraints,
    Holding,
    Meter,
    Objective,
    Picks,
    Quality,
    Solution,
    Strategy,
    Trial,
    TTShape,
)

SMALLER = "To make the model smaller all the same: --objective memory"


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `able` counts the candidates inside the budgets that can be told before training.

    `exploration` is None where the model is deployed as it is. `dense` is the dense model as its file measures,
    `baseline` the quality of Keras's own, which drops are measured by; without scores nothing was judged, and
    `judged_by` is empty.

    Without a feasible solution `picks` is None, and `miss` is the nearest solution with the constraint that it breaks.
    That is None too where none is feasible because layers that are slower here went back to dense. `slower`: in how
    many candidates a layer stays dense because its TT form is predicted to be slower. `errors`: of the picks' shapes,
    how far they were from the trained weights before fine-tuning. `remarks`: what to know of how models were judged.
    `larger`: whether no TT form of any layer takes fewer bytes of the file than the dense one.
    """

    path: Path
    job: Job
    target: Target
    limits: Constraints
    judged_by: str
    exploration: Explored | None
    dense: Trial
    baseline: Quality
    able: int
    trials: tuple[Trial, ...]
    picks: Picks | None
    miss: tuple[Solution, float | None, Holding] | None
    release: Release
    slower: Mapping[str, int]
    errors: Mapping[tuple[str, TTShape], Bracket]
    remarks: tuple[str, ...] = ()
    larger: bool = False

    @property
    def feasible(self) -> int:
        """How many trials hold under the constraints."""
        return sum(choose.feasible(trial, self.limits) for trial in self.trials)

    def loses(self, trial: Trial) -> float | None:
        """The drop of a pick or of the dense model; None where nothing is judged."""
        return trial.drop if self.baseline.scores else None

    @property
    def why(self) -> str | None:
        """Why the dense model is recommended, where it is and something else was looked for."""
        return why_dense(self)


def compress(job: Job, inputs: Inputs, run: Run, meter: Meter) -> Outcome:
    """All seven steps, then export and cross-check. ModelError: the target's format cannot hold the model."""
    from edgett.nn import finetune, weigh
    from edgett.nn.layers import Wish, fc_layers

    finetune.make_deterministic()
    model = inputs.model
    terms, graph = terms_of(job, inputs, run, meter)
    limits, costing = terms.limits, terms.costing

    # 1. Which layers are worth it.
    found = fc_layers(model, Wish(job.share, job.only_layer, job.skip_layer))
    remarks = _remarks(inputs, limits, meter)
    # 2 to 5. Every TT solution, costed; the inefficient discarded; the rest pruned, joined over the layers.
    exploration = survey(model, found, job, Room(graph, limits, costing), meter)
    proposed = space.smaller(exploration.candidates if exploration.taken else (), graph, costing)
    larger = bool(exploration.taken) and not proposed
    slower: Mapping[str, int] = {}
    if limits.objective is not Objective.MEMORY:
        proposed, slower = space.not_slower(proposed, graph, costing)
    candidates = space.solutions(proposed, graph, costing)
    able = [item for item in candidates if all(h.holds is not False for h in choose.holdings(item, None, limits))]
    # 6. Fine-tune the survivors, started from the trained weights.
    trials = fine_tuned(
        promising(able, job, inputs, meter), Bench(job, inputs, graph(frozenset()), limits, len(able)), run, meter
    )
    # 7. Select what the target allows; then export, check, and put an artefact that came out too large aside.
    released, chosen = release(inputs, trials, terms, run, meter)

    tried: list[tuple[Solution, float | None]] = [(trial.solution, trial.drop) for trial in chosen.trials]
    tried = tried or [(item, None) for item in candidates]
    return Outcome(
        run.path, job, terms.target, limits, str(inputs.judge), exploration, chosen.dense, inputs.quality, len(able),
        chosen.trials, chosen.picks, nearest_miss(tried, chosen, limits), released, slower,
        weigh.brackets(model, [trial.solution for trial in chosen.picks.named().values()] if chosen.picks else []),
        remarks,
        larger,
    )  # fmt: skip


def _remarks(inputs: Inputs, limits: Constraints, meter: Meter) -> tuple[str, ...]:
    """What to know of how models are judged: also, and said here, that a single sample breaks the budget."""
    count, limit = len(inputs.data.validation), limits.accuracy_drop_pp
    shares = any(score.decides and score.higher_is_better for score in inputs.quality.scores)
    if not shares or not limit or 100 / count <= limit:
        return inputs.remarks
    coarse = (
        f"the validation data are {count:,} samples, one of which is {100 / count:.2g} points: they cannot tell whether"
        f" a drop is within the {limit:g} of the budget. Give {math.ceil(100 / limit):,} or more as x_val and y_val."
    )
    meter.say(f"Warning: {coarse}")
    return (*inputs.remarks, coarse)


def nearest_miss(
    tried: Sequence[tuple[Solution, float | None]], chosen: Chosen, limits: Constraints
) -> tuple[Solution, float | None, Holding] | None:
    """Where nothing holds, the nearest of what was tried with what it breaks, or, where nothing was, the dense model.

    None too where those that would hold are left without a replaced layer.
    """
    if chosen.picks or any(trial.too_slow for trial in chosen.trials):
        return None
    return choose.nearest_miss(tried or [(chosen.dense.solution, chosen.dense.drop)], limits)


def problem(outcome: Outcome) -> EdgettError | None:
    """What an outcome is not, if it is not what was asked for."""
    if not outcome.release.ok:
        return unchecked(outcome.release)
    return infeasible(outcome) if outcome.picks is None else None


def all_larger(outcome: Outcome) -> Infeasible:
    """What to say when no layer would take fewer bytes in any TT form, and the dense model breaks a budget."""
    return Infeasible(
        f"{not_smaller(outcome)}, and the dense model breaks a budget of {outcome.target.name}: {broken(outcome)}.",
        "Raise that budget: factorising layers does not help a model as small as this one.",
    )


def all_slower(target: Target) -> Infeasible:
    """What to say when no layer would be faster than dense in any TT form."""
    return Infeasible(
        f"every TT form of every layer is predicted to be slower on {target.name} than the dense layer.",
        SMALLER,
    )


def nothing_to_do(outcome: Outcome, exploration: Explored) -> Infeasible:
    """What to say when no layer can be factorised, and the dense model breaks a budget."""
    return Infeasible(
        f"{unworthy(exploration)}, and the dense model breaks a budget of {outcome.target.name}: {broken(outcome)}.",
        "Lower --share, or name a layer with --only-layer.",
    )


def too_much(outcome: Outcome) -> Infeasible:
    """What to say when the model as it is breaks a budget."""
    data = f" --data {shlex.quote(outcome.job.data)}" if outcome.job.data else ""
    compress = f"edgett compress {shlex.quote(outcome.job.model)} --target {shlex.quote(outcome.job.target)}{data}"
    return Infeasible(
        f"the model as it is breaks a budget of {outcome.target.name}: {broken(outcome)}.",
        f"Make it smaller: {compress}",
    )


def broken(outcome: Outcome) -> str:
    """The budgets that the dense model breaks, each with what it has and the limit."""
    return "; ".join(
        f"{item.name} is {item.value:,.6g}, the limit {item.limit:,.6g}"
        for item in choose.holdings(outcome.dense.solution, outcome.loses(outcome.dense), outcome.limits)
        if item.holds is False
    )


def unchecked(release: Release) -> CheckFailed:
    """What to say when artefacts are not what was predicted."""
    lines = []
    for path, check in release.checks.items():
        lines += [str(mismatch) for mismatch in check.graph.mismatches]
        if check.numerics.fault is not None:
            lines.append(f"{path}: {check.numerics.fault}")
    return CheckFailed(
        f"the cross-check failed: {'; '.join(lines)}.",
        "Do not deploy these files. Please report it with the model's summary and check.json.",
    )


def infeasible(outcome: Outcome) -> Infeasible:
    """What to say when nothing meets the constraints: the nearest miss and the constraint that binds."""
    if outcome.exploration is None:
        return too_much(outcome)
    if not outcome.exploration.taken:
        return nothing_to_do(outcome, outcome.exploration)
    if outcome.larger:
        return all_larger(outcome)
    if predicted_slower(outcome):
        return all_slower(outcome.target)
    if outcome.miss is None:
        return _too_slow(outcome)
    solution, drop, holding = outcome.miss
    assert holding.limit is not None, "a limit that is not known is never broken"
    found = "unknown" if holding.value is None else f"{holding.value:,.6g}"
    over = "" if holding.value is None else f": {holding.value - holding.limit:,.6g} over it"
    lost = "" if drop is None else f", accuracy drop {drop:.2f}"
    wider = "widen --ranks" if outcome.job.search is Strategy.GRID else "lower --rank-multiple, raise --max-rank"
    longer = ", or train with more --epochs" if holding.name == "accuracy_drop_pp" else ""
    slow = sorted({step.layer for trial in outcome.trials for step in trial.reverted if step.slowdown is not None})
    kept = f" {', '.join(slow)}: left dense for being slower in TT form; --objective memory does not." if slow else ""
    return Infeasible(
        f"no solution meets the constraints of {outcome.target.name}: {holding.name} binds. The nearest, solution"
        f" {solution.number} ({solution.cost.params:,} parameters{lost}), has {found} where the limit is"
        f" {holding.limit:,.6g}{over}.",
        f"Raise {_RAISED.get(holding.name, f'{holding.name} in the profile')}, {wider}{longer}.{kept}",
    )


_RAISED = {
    "accuracy_drop_pp": "--max-drop, or accuracy_drop_pp in the profile",
    "model_bytes": "--model-bytes, or model_bytes in the profile",
    "flops": "--flops, or flops in the profile",
    "latency_ms": "--latency-ms, or latency_ms in the profile",
}
"""Where a limit is set that the command line can set, too."""


def _too_slow(outcome: Outcome) -> Infeasible:
    """What to say when the solutions that hold were left without a replaced layer."""
    found = [trial for trial in outcome.trials if trial.too_slow]
    times = [step.slowdown for trial in found for step in trial.reverted if step.slowdown is not None]
    return Infeasible(
        f"each of the {len(found)} solutions that hold is slower here than the dense model, which its layers made"
        f" {min(times):.2f} to {max(times):.2f} times as slow.",
        SMALLER,
    )
