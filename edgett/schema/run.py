"""run.json: what was asked, and the outcome that `report.document.compressed` makes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from edgett.graph.filesize import Format
from edgett.project import Command
from edgett.schema.parts import (
    Check,
    ConstraintRow,
    Count,
    Dense,
    Document,
    File,
    Many,
    Miss,
    Npu,
    Part,
    Picks,
    RatioRow,
    Real,
    Size,
    Text,
    TrialRow,
    one_of,
    told,
)
from edgett.values import CostModel, DType, EmptyTiles, Estimate, Objective


class _Layer(Part):
    name: Text
    inputs: Size
    outputs: Size
    params: Count
    flops: Count
    excluded: Text | None
    solutions: Many


class _GridLayer(_Layer):
    efficient: Many
    occupied_tiles: Count


class _ParetoLayer(_Layer):
    undominated: Count
    epsilon: Real


class _GridTotals(Part):
    solutions: Many
    efficient: Many
    shared_tiles: Count
    points: Count
    joint_candidates: Count


class _ParetoTotals(Part):
    solutions: Many
    undominated: Count
    joint_candidates: Count
    epsilon: Real


class _Target(Part):
    name: Text
    title: Text
    format: one_of(Format)  # type: ignore[valid-type]
    dtype: one_of(DType)  # type: ignore[valid-type]
    latency: Text = ""
    here: bool = False
    cycles_per_second: Count = 0


class _Problem(Part):
    """Why the outcome is none that was asked for."""

    code: Literal[4, 5]
    kind: Text
    message: Text
    cure: Text


class _Funnel(Part):
    """Solutions left after each step."""

    layers: Count = 0
    layers_taken: Count = 0
    solutions: Many = 0
    joint_candidates: Many = 0
    within_budgets: Many
    fine_tuned: Many
    feasible: Many = 0


class _GridFunnel(_Funnel):
    efficient: Many = 0
    points: Many = 0


class _ParetoFunnel(_Funnel):
    undominated: Many = 0


class _Outcome(Document):
    """What `report.document.compressed` makes."""

    run: Text = ""
    target: _Target
    partial: list[Text] = Field(default_factory=list)
    model: Text
    judged_by: Text | None
    remarks: list[Text] = Field(default_factory=list)
    funnel: _Funnel | None
    baseline: Dense
    trials: list[TrialRow]
    picks: Picks
    constraints: list[ConstraintRow]
    objective: one_of(Objective)  # type: ignore[valid-type]
    nearest_miss: Miss | None
    slower_than_dense: dict[Text, Count]
    timed_here: RatioRow | None
    artifacts: dict[Text, Annotated[list[File], Field(min_length=1)]]
    left_out: dict[Text, Text] = Field(default_factory=dict)
    check: Check
    npu: dict[Text, Npu]
    why_dense: Text | None
    error: _Problem = Field(default=None)  # type: ignore[assignment]  # a key that may be missing, not empty

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """What is compared side by side is known of all of them; a pick is one of the trials."""
        trials = {trial.solution for trial in self.trials} | {-1}
        dense, files = self.baseline, {"baseline"}
        for name, pick in self.picks.all():
            files.add(name)
            if pick.solution not in trials:
                raise ValueError(f"solution {pick.solution} is picked, and no trial has that number")
            for key in ("latency_ms", "latency_estimate_ms", "test_accuracy"):
                if (getattr(dense, key) is None) != (getattr(pick, key) is None):
                    raise ValueError(f"{key} must be there for every model or for none")
            if dense.artifacts.keys() != pick.artifacts.keys():
                raise ValueError(f"{name} must have files of the same formats as the dense model")
            if told(dense.accuracy) != told(pick.accuracy):
                raise ValueError(f"accuracy of {name} must be of the same outputs and metrics as the dense model's")
            if pick.solution >= 0 and (pick.drop is None or not pick.accuracy):
                raise ValueError(f"drop and accuracy of {name} must be known")
            known = (*dense.accuracy, *dense.original.accuracy, *pick.accuracy)
            if pick.solution >= 0 and any(score.value is None and score.decides for score in known):
                raise ValueError(f"accuracy of {name} and of the dense model must be numbers")
        if self.artifacts.keys() != files:
            raise ValueError(f"artifacts must name the files of {', '.join(sorted(files))}")
        exported = {path for paths in self.artifacts.values() for path in paths if not path.endswith(".keras")}
        if lacking := sorted(exported - self.check.artifacts.keys()):
            raise ValueError(f"check.artifacts must tell of {lacking[0]}")
        return self


class GridOutcome(_Outcome):
    search: Literal["grid"]
    cost_model: one_of(CostModel) = CostModel.EXACT.value  # type: ignore[valid-type]
    ranks: list[Size] = Field(default_factory=list)
    grid: Size = 1
    totals: _GridTotals | None = None
    funnel: _GridFunnel
    empty_tiles: one_of(EmptyTiles)  # type: ignore[valid-type]
    layers: list[_GridLayer]


class ParetoOutcome(_Outcome):
    search: Literal["pareto"]
    cost_model: one_of(CostModel) = CostModel.EXACT.value  # type: ignore[valid-type]
    rank_multiple: Size = 1
    max_rank: Size | None = None
    estimate: one_of(Estimate) = Estimate.KEPT_ENERGY.value  # type: ignore[valid-type]
    totals: _ParetoTotals | None = None
    funnel: _ParetoFunnel
    layers: list[_ParetoLayer]


class DeployedOutcome(_Outcome):
    """Of a model as it is: nothing was searched."""

    search: None
    layers: Annotated[list[_Layer], Field(max_length=0)]
    funnel: None


class _Option(Part):
    origin: Annotated[Text, Field(alias="from")]
    value: Any


class Begun(Document):
    """run.json from its first line on: what is not known yet is not there."""

    command: one_of(Command) = Command.COMPRESS.value  # type: ignore[valid-type]
    outcome: Any = None
    """Checked apart, by the kind that it is of."""
    options: dict[Text, _Option] = Field(default_factory=dict)
    versions: dict[Text, Text] = Field(default_factory=dict)
    digests: dict[Text, Text] = Field(default_factory=dict)


class Finished(Begun):
    options: dict[Text, _Option]
    versions: dict[Text, Text]
    digests: dict[Text, Text]

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        # A model that is deployed as it is needs no data.
        for key, needed in (("options", ("seed", "model", "target")), ("digests", ("model",))):
            if lacking := [name for name in needed if name not in getattr(self, key)]:
                raise ValueError(f"{key}.{lacking[0]} is missing")
        return self
