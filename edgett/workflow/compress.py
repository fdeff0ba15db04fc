"""From a trained model to checked artefacts: the seven steps of the paper, then export and cross-check."""

from __future__ import annotations

from edgett.job.job import Job
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.search.constraints import UNKNOWN
from edgett.workflow import cures
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
    # 0. What contributes nothing goes.
    inputs = slimmed(inputs, job, meter)
    source = inputs.source
    terms, graph = terms_of(job, inputs, run, meter)
    limits, costing = terms.limits, terms.costing

    remarks = remarked(inputs, limits, meter)
    # 1 to 5. Every solution of the layers that are worth it, costed; the inefficient discarded; the rest pruned.
    found = proposed(job, source, Room(graph, limits, costing, inputs.data.train.stream), meter)
    # 6. Fine-tune the survivors, started from the trained weights.
    kept = in_float(terms, inputs)
    chosen = promising(found, job, inputs, kept, meter)
    asked = FineTuning(job, inputs, graph(frozenset()), kept, len(found.able), chosen.starts)
    trials = fine_tuned(chosen.solutions, asked, run, meter)
    # 7. Select what the target allows; then export, check, and put an artefact that came out too large aside.
    released, picked = release(inputs, trials, terms, run, meter)

    tried = [(trial.solution, trial.lost) for trial in picked.trials]
    tried = tried or [(item, UNKNOWN) for item in found.solutions]
    outcome = Outcome(
        run.path, job, terms.target, limits, str(inputs.judge), found.exploration, picked.dense, inputs.quality,
        len(found.able),
        picked.trials, picked.picks, nearest_miss(tried, picked, limits), released, found.slower,
        weigh.brackets(source, [trial.solution for trial in picked.picks.named().values()] if picked.picks else []),
        remarks,
        found.larger,
    )  # fmt: skip
    return cures.advised(outcome, inputs, meter)
