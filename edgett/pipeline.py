"""From a trained model to checked artefacts: the seven steps of the paper, then export and cross-check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgett.errors import CheckFailed, Infeasible, ModelError
from edgett.estimating import estimate, unfit
from edgett.exports import Terms
from edgett.inputs import Inputs
from edgett.project import Job
from edgett.release import Release, looked_up, release
from edgett.run import Run
from edgett.space import choose
from edgett.space import explore as space
from edgett.space.error import Bracket
from edgett.survey import Explored, Room, graphs, survey
from edgett.targets import Baseline, Format, Target, constraints, load_target, override, with_dtype
from edgett.tuning import Bench, fine_tuned, promising
from edgett.values import (
    Candidate,
    Constraints,
    DType,
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

    Without a feasible solution `picks` is None, and `miss` is the nearest solution with the constraint that it breaks.
    That is None too where none is feasible because layers that are slower here went back to dense. `slower`: in how
    many candidates a layer stays dense because its TT form is predicted to be slower. `errors`: of the picks' shapes,
    how far they were from the trained weights before fine-tuning.
    """

    path: Path
    job: Job
    target: Target
    limits: Constraints
    judged_by: str
    exploration: Explored
    dense: Solution
    baseline: Quality
    able: int
    trials: tuple[Trial, ...]
    picks: Picks | None
    miss: tuple[Solution, float | None, Holding] | None
    release: Release
    slower: Mapping[str, int]
    errors: Mapping[tuple[str, TTShape], Bracket]

    @property
    def feasible(self) -> int:
        """How many trials hold under the constraints."""
        return sum(choose.feasible(trial, self.limits) for trial in self.trials)


def target_of(job: Job) -> Target:
    """The job's target with its own budget."""
    return override(with_dtype(load_target(job.target), job.dtype), **job.budget)


def compress(job: Job, inputs: Inputs, run: Run, meter: Meter) -> Outcome:
    """All seven steps, then export and cross-check. Raises ModelError when no layer is worth factorising."""
    from edgett.nn import finetune, weigh
    from edgett.nn.layers import Wish, fc_layers
    from edgett.nn.servable import refuse_unquantisable
    from edgett.nn.trace import trace

    finetune.make_deterministic()
    model = inputs.model
    target = target_of(job)
    if target.runtime.dtype is DType.INT8:
        refuse_unquantisable(trace(model))
    if target.latency is not None and target.speeds is None:
        meter.say(unfit(target))

    # 1. Which layers are worth it.
    found = fc_layers(model, Wish(job.share, job.only_layer, job.skip_layer))
    runtime = target.runtime
    guess = estimate(target) if target.speeds is None else None
    costing = space.Costing(job.batch, runtime.dtype.size, runtime.format is Format.C, target.speeds, guess)
    graph = graphs(model, costing)
    dense = space.dense_solution(graph(frozenset()), costing)
    if dense.partial:
        meter.say(f"no rule counts {', '.join(dense.partial)}: what they take is read back from the files")
        with meter.stage("exporting the dense model"):
            dense, costing = looked_up(dense, inputs, target, costing, run)
    limits = constraints(target, _baseline(dense))
    # 2 to 5. Every TT solution, costed; the inefficient discarded; the rest pruned, joined over the layers.
    exploration = survey(model, found, job, Room(graph, limits, costing), meter)
    if not exploration.taken:
        raise nothing_to_do(exploration)
    proposed: tuple[Candidate, ...] = exploration.candidates
    slower: Mapping[str, int] = {}
    if limits.objective is not Objective.MEMORY:
        proposed, slower = space.not_slower(proposed, graph, costing)
        if not proposed:
            raise all_slower(target)
    candidates = space.solutions(proposed, graph, costing)
    able = [item for item in candidates if all(h.holds is not False for h in choose.holdings(item, None, limits))]
    # 6. Fine-tune the survivors, started from the trained weights.
    chosen = promising(able, job, inputs, meter)
    trials = fine_tuned(chosen, Bench(job, inputs, graph(frozenset()), limits, len(able)), run, meter)
    # 7. Select what the target allows; then export, check, and put an artefact that came out too large aside.
    released, picks, trials = release(inputs, trials, Terms(target, limits, costing, dense), run, meter)

    tried: list[tuple[Solution, float | None]] = [(trial.solution, trial.drop) for trial in trials]
    tried = tried or [(item, None) for item in candidates]
    too_slow = any(trial.too_slow for trial in trials)
    miss = None if picks or too_slow else choose.nearest_miss(tried, limits)
    return Outcome(
        run.path, job, target, limits, str(inputs.judge), exploration, dense, inputs.quality, len(able), trials, picks,
        miss, released, slower,
        weigh.brackets(model, [trial.solution for trial in picks.named().values()] if picks else []),
    )  # fmt: skip


def _baseline(dense: Solution) -> Baseline:
    """What percentages are of, where it is known."""
    costs = {
        "model_bytes": dense.file_bytes, "peak_activation_bytes": dense.peak_bytes, "flops": dense.cost.flops,
    }  # fmt: skip
    return Baseline(**{name: None if name in dense.at_least else cost for name, cost in costs.items()})


def all_slower(target: Target) -> Infeasible:
    """What to say when no layer would be faster than dense in any TT form."""
    return Infeasible(
        f"every TT form of every layer is predicted to be slower on {target.name} than the dense layer.",
        SMALLER,
    )


def nothing_to_do(exploration: Explored) -> ModelError:
    """What to say when no layer can be factorised."""
    reasons = "; ".join(f"{item.layer.name}: {item.excluded}" for item, _ in exploration.layers)
    return ModelError(
        f"no fully connected layer is worth factorising ({reasons or 'the model has none'}).",
        "Lower --share, or name a layer with --only-layer.",
    )


def unchecked(release: Release) -> CheckFailed:
    """What to say when artefacts are not what was predicted."""
    lines = []
    for path, check in release.checks.items():
        lines += [str(mismatch) for mismatch in check.graph.mismatches]
        if not check.numerics.ok:
            lines.append(f"{path}: outputs differ from Keras's by {check.numerics.l2_relative:.1e} (L2, relative)")
    return CheckFailed(
        f"the cross-check failed: {'; '.join(lines)}.",
        "Do not deploy these files. Please report it with the model's summary and check.json.",
    )


def infeasible(outcome: Outcome) -> Infeasible:
    """What to say when nothing meets the constraints: the nearest miss and the constraint that binds."""
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
