"""From a trained model to checked artefacts: the seven steps of the paper, then export and cross-check."""

from __future__ import annotations

from edgett.job.job import Job
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.search.constraints import UNKNOWN
from edgett.workflow import cures, pruning
from edgett.workflow.inputs import Inputs
from edgett.workflow.outcome import Outcome, nearest_miss, remarked
from edgett.workflow.promising import promising
from edgett.workflow.proposal import proposed
from edgett.workflow.release import release
from edgett.workflow.slim import slimmed
from edgett.workflow.survey import Room
from edgett.workflow.terms import in_float, terms_of
from edgett.workflow.tuning import FineTuning, fine_tuned


def compress(job: Job, inputs: Inputs, run: Run, meter: Meter) -> Outcome:
    """All seven steps, then export and cross-check. ModelError: the target's format cannot hold the model."""
    from edgett.model import weigh
    from edgett.train import finetune

    finetune.make_deterministic()
    # 0. What contributes nothing goes; what matters least may, where that is asked for.
    inputs = pruning.slimmer(slimmed(inputs, job, meter), job, meter)
    source = inputs.source
    terms, graph = terms_of(job, inputs, run, meter)
    limits, costing = terms.limits, terms.costing

    remarks = remarked(inputs, limits, meter)
    # 1 to 5. Every solution of the layers that are worth it, costed; the inefficient discarded; the rest pruned.
    room = Room(graph, limits, costing, inputs.data.train.stream)
    found = pruning.joint(proposed(job, source, room, meter), job, inputs, room, meter)
    # 6. Fine-tune the survivors, started from the trained weights.
    kept = in_float(terms, inputs)
    chosen = promising(found, job, inputs, kept, meter)
    pruning.keep(chosen.solutions, inputs, run)
    asked = FineTuning(job, inputs, graph(frozenset()), kept, len(found.able), chosen.starts)
    trials = fine_tuned(chosen.solutions, asked, run, meter)
    # 7. Select what the target allows; then export, check, and put an artefact that came out too large aside.
    released, picked = release(inputs, trials, terms, run, meter)

    tried = [(trial.solution, trial.lost) for trial in picked.trials]
    tried = tried or [(item, UNKNOWN) for item in found.solutions]
    made = pruning.of_each([trial.solution for trial in picked.picks.named().values()] if picked.picks else [])
    outcome = Outcome(
        run.path, job, terms.target, limits, str(inputs.judge), found.exploration, picked.dense, inputs.quality,
        len(found.able),
        picked.trials, picked.picks, nearest_miss(tried, picked, limits), released, found.slower,
        {gone: weigh.brackets(inputs.source_of(gone), some) for gone, some in made.items()},
        remarks,
        found.larger, slimmer=sum(bool(item.removed) for item in found.solutions),
    )  # fmt: skip
    return cures.advised(outcome, inputs, meter)
