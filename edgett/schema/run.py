"""run.json: what was asked, and the outcome that `workflow.document.compressed` makes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.job.attack import Attacker
from edgett.job.job import Command
from edgett.schema.check import Check
from edgett.schema.explore import GridLayer, GridSearch, LayerDocument, ParetoLayer, ParetoSearch
from edgett.schema.models import ConstraintRow, Dense, Miss, PicksDocument, TrialRow
from edgett.schema.parts import (
    ABSENT,
    Count,
    Document,
    File,
    Many,
    Part,
    Positive,
    Problem,
    Rare,
    RatioRow,
    Text,
    one_of,
    told,
)
from edgett.search.constraints import Objective


class TargetRow(Part):
    """What the model is for."""

    name: Text = Field(description="of the profile")
    title: Text = Field(description="the device in words")
    format: one_of(Format) = Field(description="that it takes")  # type: ignore[valid-type]
    dtype: one_of(DType) = Field(description="that it calculates in")  # type: ignore[valid-type]
    latency: Text = Field(default="", description="what latencies come from, in words")
    here: bool = Field(default=False, description="whether it is this machine")
    cycles_per_second: Count = Field(default=0, description="the clock times the threads")


class AttackRow(Part):
    """What moved samples to where a model's loss is larger."""

    by: one_of(Attacker) = Field(description="fgsm: one step; pgd: several")  # type: ignore[valid-type]
    epsilon: Positive = Field(description="the most that a number is moved, as a share of the training inputs' range")
    steps: Count = Field(description="that it takes")
    words: Text = Field(description="all of that, and how many samples were attacked, in words")


class OutcomeProblem(Problem):
    """Why the outcome is none that was asked for."""

    code: Literal[4, 5] = Field(description="the exit code: 4 nothing meets the constraints, 5 the cross-check failed")


class Npu(Part):
    """What Vela says of an int8 .tflite for an accelerator: its own estimates."""

    accelerator: Text = Field(description="the configuration that it was asked for")
    system: Text = Field(description="Vela's system configuration")
    memory_mode: Text = Field(description="Vela's memory mode")
    npu_operators: Count = Field(description="operators on the accelerator")
    cpu_operators: Count = Field(description="operators left to the processor")
    left: list[Text] = Field(description="the results of those that are left to the processor")
    sram_bytes: Count = Field(description="for tensors")
    flash_bytes: Count = Field(default=0, description="for weights and commands")
    cycles: Count = Field(description="the accelerator's, memory included")
    macs: Count = Field(default=0, description="multiply-accumulates")


class Funnel(Part):
    """Solutions left after each step."""

    layers: Count = Field(default=0, description="layers that could be replaced")
    layers_taken: Count = Field(default=0, description="those that are not left alone")
    solutions: Many = Field(default=0, description="of all layers together")
    joint_candidates: Many = Field(default=0, description="distinct solutions of the whole model")
    within_budgets: Many = Field(description="those inside the budgets that can be told before training")
    fine_tuned: Many = Field(description="those that were trained")
    feasible: Many = Field(default=0, description="those that hold the constraints")


class GridFunnel(Funnel):
    efficient: Many = Field(default=0, description="smaller and cheaper than dense")
    points: Many = Field(default=0, description="four a tile")


class ParetoFunnel(Funnel):
    undominated: Many = Field(default=0, description="than which no other is better in all objectives")


class OutcomeDocument(Document):
    """What `workflow.document.compressed` makes."""

    run: Text = Field(default="", description="the run's directory")
    target: TargetRow = Field(description="what the model is for")
    partial: list[Text] = Field(
        default_factory=list, description="operators that no rule counts; empty: every total is that of the whole"
    )
    model: Text = Field(description="as it was named")
    judged_by: Text | None = Field(description="which score, in words; null: nothing is judged for want of data")
    attack: AttackRow | None = Field(default=None, description="what they were judged under too; null: no attack")
    remarks: list[Text] = Field(default_factory=list, description="what to know of that")
    baseline: Dense = Field(description="the dense model as its file for the target is")
    trials: list[TrialRow] = Field(description="the solutions that were fine-tuned")
    picks: PicksDocument = Field(description="the best of those that hold the constraints")
    constraints: list[ConstraintRow] = Field(description="the target's budget")
    objective: one_of(Objective) = Field(description="which of them is recommended")  # type: ignore[valid-type]
    nearest_miss: Miss | None = Field(description="where no solution holds the constraints, else null")
    slower_than_dense: dict[Text, Count] = Field(description="by layer: in how many candidates it stays dense for that")
    timed_here: RatioRow | None = Field(
        description="the recommended model's time over the dense one's on this machine; null: not timed"
    )
    artifacts: dict[Text, Annotated[list[File], Field(min_length=1)]] = Field(
        description="paths in the run, of the baseline and by pick; equal models are written once"
    )
    left_out: dict[Text, Text] = Field(
        default_factory=dict, description="formats that the model cannot be had in, by suffix, and why"
    )
    check: Check = Field(description="the cross-check of the artifacts")
    npu: dict[Text, Npu] = Field(description="for targets with an NPU, by path: what Vela says")
    why_dense: Text | None = Field(description="a sentence, where the dense model is recommended; else null")
    error: Rare[OutcomeProblem] = Field(default=ABSENT, description="why this is not what was asked for")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """What is compared side by side is known of all of them; a pick is one of the trials."""
        trials = {trial.solution for trial in self.trials} | {-1}
        dense, files = self.baseline, {"baseline"}
        for name, pick in self.picks.all():
            files.add(name)
            if pick.solution not in trials:
                raise ValueError(f"solution {pick.solution} is picked, and no trial has that number")
            for field in ("latency", "instructions", "latency_estimate_ms", "test_accuracy"):
                if (getattr(dense, field) is None) != (getattr(pick, field) is None):
                    key = Dense.model_fields[field].alias or field
                    raise ValueError(f"{key} must be there for every model or for none")
            if dense.artifacts.keys() != pick.artifacts.keys():
                raise ValueError(f"{name} must have files of the same formats as the dense model")
            if told(dense.accuracy) != told(pick.accuracy):
                raise ValueError(f"accuracy of {name} must be of the same outputs and metrics as the dense model's")
            if told(dense.robust_accuracy) != told(pick.robust_accuracy):
                raise ValueError(f"robust_accuracy of {name} must be of the same as the dense model's")
            if (dense.test_robust_accuracy is None) != (pick.test_robust_accuracy is None):
                raise ValueError("test_robust_accuracy must be there for every model or for none")
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


class GridOutcome(OutcomeDocument, GridSearch):
    """What a search in a grid, as in the paper, and its fine-tuning came to."""

    funnel: GridFunnel = Field(description="how many solutions each step left")
    layers: list[GridLayer] = Field(description="the layers that could be replaced, in the model's order")


class ParetoOutcome(OutcomeDocument, ParetoSearch):
    """What a search of the whole space and its fine-tuning came to."""

    funnel: ParetoFunnel = Field(description="how many solutions each step left")
    layers: list[ParetoLayer] = Field(description="the layers that could be replaced, in the model's order")


class DeployedOutcome(OutcomeDocument):
    """Of a model as it is: nothing was searched. Every pick is the dense model, or null where a budget is broken."""

    search: None = Field(description="none")
    layers: Annotated[list[LayerDocument], Field(max_length=0)] = Field(description="none")
    funnel: None = Field(description="none")


class OptionRow(Part):
    """An option, and where its value is from."""

    origin: Annotated[Text, Field(alias="from")] = Field(
        alias="from", description="command line, edgett.toml, profile, default or caller"
    )
    value: Any = Field(description="null: not set")


class Begun(Document):
    """run.json from its first line on: what is not known yet is not there."""

    command: one_of(Command) = Field(  # type: ignore[valid-type]
        default=Command.COMPRESS.value, description="what made the run"
    )
    outcome: Rare[Any] = Field(default=None, description="what came of it")
    """Checked apart, by the kind that it is of."""
    options: dict[Text, OptionRow] = Field(
        default_factory=dict, description="by name, as in edgett.toml: what was asked"
    )
    versions: dict[Text, Text] = Field(default_factory=dict, description="of edgett, Python and libraries")
    digests: dict[Text, Text] = Field(
        default_factory=dict,
        description="SHA-256 of edgett's code, the target's profile, the model, the data, the metric",
    )


class Finished(Begun):
    options: dict[Text, OptionRow]
    versions: dict[Text, Text]
    digests: dict[Text, Text]

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        # A model that is deployed as it is needs no data.
        for key, needed in (("options", ("seed", "model", "target")), ("digests", ("model",))):
            if lacking := [name for name in needed if name not in getattr(self, key)]:
                raise ValueError(f"{key}.{lacking[0]} is missing")
        return self


class Recorded(Begun):
    """What a run was asked, and, at its end, what came of it."""

    outcome: Rare[GridOutcome | ParetoOutcome | DeployedOutcome] = Field(
        default=ABSENT, description="what the command printed; missing while the run is under way"
    )
