"""What a model is released under: target, limits, how it is costed, and what it costs as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgett.estimating import estimate, unfit
from edgett.project import Job
from edgett.space.explore import Costing, dense_solution
from edgett.survey import Graphs, graphs
from edgett.targets import Baseline, Format, Target, constraints, load_target, override, with_dtype
from edgett.values import Constraints, DType, Meter, Objective, Refuge, Solution


@dataclass(frozen=True)
class Terms:
    """What is released under: the target, its budget in absolute numbers, how a model is costed, and the dense one."""

    target: Target
    limits: Constraints
    costing: Costing
    dense: Solution

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


def target_of(job: Job) -> Target:
    """The job's target with its own budget."""
    return override(with_dtype(load_target(job.target), job.dtype), **job.budget)


def terms_of(job: Job, model: Any, meter: Meter) -> tuple[Terms, Graphs]:
    """What a job asks of its model, and what the model does. Raises ModelError for what the target's type cannot be."""
    from edgett.nn.servable import refuse_unquantisable
    from edgett.nn.trace import trace

    target = target_of(job)
    runtime = target.runtime
    if runtime.dtype is DType.INT8:
        refuse_unquantisable(trace(model))
    if target.latency is not None and target.speeds is None:
        meter.say(unfit(target))
    guess = estimate(target) if target.speeds is None else None
    costing = Costing(job.batch, runtime.dtype.size, runtime.format is Format.C, target.speeds, guess)
    graph = graphs(model, costing)
    dense = dense_solution(graph(frozenset()), costing)
    limits = constraints(target, Baseline(dense.file_bytes, dense.peak_bytes, dense.cost.flops))
    return Terms(target, limits, costing, dense), graph
