"""What a model is released under: target, limits, how it is costed, and what it costs as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgett.device import local
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.job.job import Job, target_of
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.search.constraints import CONSTRAINTS, LOSSES, UNKNOWN, Constraint, Constraints, Objective
from edgett.search.explore import Costing, dense_solution
from edgett.search.quality import Quality
from edgett.search.solution import Refuge, Solution
from edgett.target.estimate import estimate, unfit
from edgett.target.profile import Target, constraints
from edgett.workflow.inputs import Inputs
from edgett.workflow.original import Original, original
from edgett.workflow.readback import as_written, least_peak
from edgett.workflow.survey import Graphs, graphs

if TYPE_CHECKING:
    from edgett.train.data import Split


@dataclass(frozen=True)
class Terms:
    """What is released under: the target, its budget in absolute numbers, how a model is costed, and the dense one.

    `original` is the dense model's file, `quality` that of the dense model on the target: in int8 what the file says.
    """

    job: Job
    target: Target
    limits: Constraints
    costing: Costing
    dense: Solution
    original: Original
    quality: Quality

    @property
    def batch(self) -> int:
        """Samples that an exported file takes at once."""
        return self.costing.batch

    @property
    def suffix(self) -> str:
        """What the file for the target ends with."""
        return self.target.runtime.format.suffix

    @property
    def int8(self) -> bool:
        """Whether the files are in int8."""
        return self.target.runtime.dtype is DType.INT8

    @property
    def refuge(self) -> Refuge:
        """What a layer goes back to that int8 does not become."""
        return self.slow_refuge if self.target.integers_only else Refuge.FLOAT32

    @property
    def slow_refuge(self) -> Refuge:
        """What a layer goes back to that is faster dense."""
        return Refuge.DENSE_INT8 if self.int8 else Refuge.DENSE

    @property
    def paced(self) -> bool:
        """Whether layers that are slower here than dense ones stay dense: here is the target, and size is not all."""
        return self.target.here and self.limits.objective is not Objective.MEMORY


def terms_of(job: Job, inputs: Inputs, run: Run, meter: Meter) -> tuple[Terms, Graphs]:
    """What a job asks of its model, and what the model does. Raises ModelError for what the target's type cannot be."""
    from edgett.model.servable import refuse_unquantisable
    from edgett.model.trace import trace

    target = target_of(job)
    runtime = target.runtime
    if runtime.dtype is DType.INT8:
        refuse_unquantisable(trace(inputs.model))
    if target.latency is not None and target.speeds is None:
        meter.say(unfit(target))
    costing = costing_of(target, job.batch)
    graph = graphs(inputs.model, costing)
    # What of the dense model's file was not foreseen is in every other file as well.
    foreseen, written = dense_solution(graph(frozenset()), costing), original(inputs, runtime, job.batch, run, meter)
    dense = as_written(foreseen, inputs.model, written.path, written.style, costing)
    costing = replace(costing, unforeseen=written.bytes - foreseen.file_bytes)
    if costing.instructions is not None and dense.inference.instructions is None:
        meter.say(
            "instructions are not foretold: the model has operators whose C was never counted; FLOPs stand for them"
        )
    if dense.partial:
        meter.say(f"no rule counts {', '.join(dense.partial)}: what they take is read back from the files")
        if runtime.format is not Format.C:
            costing = replace(costing, least_peak=least_peak(inputs.model, written.path, written.style))
    given = dense
    if inputs.given is not None:
        given = dense_solution(graphs(inputs.given, costing)(frozenset()), costing)
    quality = inputs.quality
    if runtime.dtype is DType.INT8:
        with meter.stage("measuring the dense model in int8"):
            quality = told_by(written.path, inputs.model, inputs, job.batch)
    return Terms(job, target, constraints(target, baseline(given)), costing, dense, written, quality), graph


def costing_of(target: Target, batch: int) -> Costing:
    """How models are costed for a target."""
    runtime, rates = target.runtime, target.rates
    guess = target.cycles if rates is not None else estimate(target) if target.speeds is None else None
    return Costing(batch, runtime.dtype.size, runtime.format, target.speeds, rates, guess)


def told_by(file: Path, model: Any, inputs: Inputs, batch: int, split: Split | None = None) -> Quality:
    """The quality of what a file says of the validation data, or of another split, so many samples at once.

    A file has no gradient: what it is attacked with was made for the `model` that it was written from.
    """
    from edgett.train.attacks import under_attack

    held = inputs.data.validation if split is None else split
    quality = inputs.judge.quality(local.run(file, held.x, batch), held.y)
    return under_attack(quality, inputs.adversary, model, held, lambda x: local.run(file, x, batch))


def in_float(terms: Terms, inputs: Inputs) -> Constraints:
    """The limits with room for int8, which is reckoned to take of every model what it takes of the dense one."""
    if not terms.int8 or not inputs.quality.scores:
        return terms.limits
    taken = terms.quality.lost_from(inputs.quality)
    left = {row: _left(terms.limits[row], row.value(terms.dense, taken)) for row in LOSSES}
    return terms.limits.with_limits(left)


def _left(most: float | None, taken: float | None) -> float | None:
    return most if most is None or taken is None else max(most - max(taken, 0.0), 0.0)


def baseline(dense: Solution) -> dict[Constraint, float]:
    """What percentages are of, where it is known."""
    costs = {row: row.value(dense, UNKNOWN) for row in CONSTRAINTS if row not in dense.at_least}
    return {row: cost for row, cost in costs.items() if cost is not None}
