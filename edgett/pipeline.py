"""From a trained model to checked artefacts: the seven steps of the paper, then export and cross-check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgett.errors import CheckFailed, Infeasible, ModelError
from edgett.inputs import Inputs
from edgett.project import Job
from edgett.release import Release, Terms, release
from edgett.run import Run
from edgett.space import choose
from edgett.space import explore as space
from edgett.survey import Explored, Room, graphs, survey
from edgett.targets import Baseline, Format, Target, constraints, load_target, override, with_dtype
from edgett.tuning import Bench, fine_tuned, promising
from edgett.values import Constraints, DType, Holding, Meter, Picks, Quality, Solution, Strategy, Trial


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `able` counts the candidates inside the budgets that can be told before training.

    Without a feasible solution `picks` is None, and `miss` is the nearest solution with the constraint that it breaks.
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

    @property
    def feasible(self) -> int:
        """How many trials hold under the constraints."""
        return sum(choose.feasible(trial, self.limits) for trial in self.trials)


def target_of(job: Job) -> Target:
    """The job's target with its own budget."""
    return override(with_dtype(load_target(job.target), job.dtype), **job.budget)


def compress(job: Job, inputs: Inputs, run: Run, meter: Meter) -> Outcome:
    """All seven steps, then export and cross-check. Raises ModelError when no layer is worth factorising."""
    from edgett.nn import finetune
    from edgett.nn.layers import Wish, fc_layers
    from edgett.nn.servable import refuse_unquantisable
    from edgett.nn.trace import trace

    finetune.make_deterministic()
    model = inputs.model
    target = target_of(job)
    if target.runtime.dtype is DType.INT8:
        refuse_unquantisable(trace(model))

    # 1. Which layers are worth it.
    found = fc_layers(model, Wish(job.share, job.only_layer, job.skip_layer))
    costing = space.Costing(job.batch, target.runtime.dtype.size, target.runtime.format is Format.C)
    graph = graphs(model, costing)
    dense = space.dense_solution(graph(frozenset()), costing)
    limits = constraints(target, Baseline(dense.file_bytes, dense.peak_bytes, dense.cost.flops))
    # 2 to 5. Every TT solution, costed; the inefficient discarded; the rest pruned, joined over the layers.
    exploration = survey(model, found, job, Room(graph, limits, costing), meter)
    if not exploration.taken:
        raise nothing_to_do(exploration)
    candidates = space.solutions(exploration.candidates, graph, costing)
    able = [item for item in candidates if all(h.holds is not False for h in choose.holdings(item, None, limits))]
    # 6. Fine-tune the survivors, started from the trained weights.
    chosen = promising(able, job, inputs, meter)
    trials = fine_tuned(chosen, Bench(job, inputs, graph(frozenset()), limits), run, meter)
    # 7. Select what the target allows; then export, check, and put an artefact that came out too large aside.
    released, picks, trials = release(inputs, trials, Terms(target, limits, job.batch), run, meter)

    tried: list[tuple[Solution, float | None]] = [(trial.solution, trial.drop) for trial in trials]
    tried = tried or [(item, None) for item in candidates]
    miss = None if picks else choose.nearest_miss(tried, limits)
    return Outcome(
        run.path, job, target, limits, str(inputs.judge), exploration, dense, inputs.quality, len(able), trials, picks,
        miss, released,
    )  # fmt: skip


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
    assert outcome.miss is not None
    solution, drop, holding = outcome.miss
    found = "unknown" if holding.value is None else f"{holding.value:,.6g}"
    over = "" if holding.value is None else f": {holding.value - holding.limit:,.6g} over it"
    lost = "" if drop is None else f", accuracy drop {drop:.2f}"
    wider = "widen --ranks" if outcome.job.search is Strategy.GRID else "lower --rank-multiple, raise --max-rank"
    return Infeasible(
        f"no solution meets the constraints of {outcome.target.name}: {holding.name} binds. The nearest, solution"
        f" {solution.number} ({solution.cost.params:,} parameters{lost}), has {found} where the limit is"
        f" {holding.limit:,.6g}{over}.",
        f"Raise {holding.name} in the profile or on the command line, {wider}, or train with more --epochs.",
    )
