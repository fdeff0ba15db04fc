"""A trained model as it is: exported, cross-checked, held to the budgets; nothing is trained or replaced."""

from __future__ import annotations

from edgett.errors import DataError
from edgett.graph.dtype import DType
from edgett.job.job import Job, target_of
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.workflow import cures
from edgett.workflow import inputs as sources
from edgett.workflow.inputs import Inputs
from edgett.workflow.outcome import Outcome, nearest_miss, remarked
from edgett.workflow.release import release
from edgett.workflow.terms import terms_of


def load(job: Job, meter: Meter) -> Inputs:
    """The model that a job names, and its data if it has any. Raises ModelError or DataError."""
    if job.data is not None or job.model.startswith(sources.EXAMPLE):
        return sources.load(job, meter)
    if job.attacks:
        raise DataError(
            "an attack is made on samples with labels, and there are no data.",
            "Add --data FILE.npz, or leave out --attack, --epsilon and --attack-steps.",
        )
    if target_of(job).runtime.dtype is DType.INT8:
        raise DataError(
            "int8 takes the ranges of its numbers from training data, and there are none.",
            "Add --data FILE.npz with x_train, labels or none; or, if the target takes it, --dtype float32.",
        )
    return sources.alone(sources.model_only(job, meter), job.seed)


def deploy(job: Job, inputs: Inputs, run: Run, meter: Meter) -> Outcome:
    """Export the model, check the files, and hold them to the target's budgets.

    Without data nobody knows what the model is worth, and the budget of its accuracy is not checked.
    """
    terms, _ = terms_of(job, inputs, run, meter)
    released, chosen = release(inputs, (), terms, run, meter)
    outcome = Outcome(
        run.path, job, terms.target, terms.limits, str(inputs.judge), None, chosen.dense,
        inputs.quality, 0, (), chosen.picks, nearest_miss((), chosen, terms.limits), released, {}, {},
        # What is deployed in float32 loses nothing, however few samples there are.
        remarked(inputs, terms.limits, meter) if terms.int8 else inputs.remarks,
    )  # fmt: skip
    return cures.advised(outcome, inputs, meter)
