"""What documents are made of: numbers and texts that can be shown, and tables that stand in several places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgett.values import Order, Refuge, TTShape

Text = Annotated[str, Field(max_length=100_000)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, lt=2**63)]
Many = Annotated[int, Field(ge=0, lt=10**1000)]
"""Solutions are counted exactly, however many there are."""
Real = Annotated[float, Field(ge=-1e60, le=1e60, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=1e-60, le=1e60, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[int, Field(ge=-1, lt=2**63)]
"""Of a solution; -1 is the dense model."""
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
File = Annotated[str, Field(pattern=r"^artifacts/[A-Za-z0-9_-]+\.(keras|tflite|onnx)$")]
"""Of a run's own files: nothing that a document names lies elsewhere."""
LimitName = Literal["model_bytes", "peak_activation_bytes", "flops", "latency_ms", "accuracy_drop_pp"]


class Part(BaseModel):
    """A table. A key that is not listed is refused: what renders a document would have it unchecked."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Document(Part):
    """A table that stands by itself; `record.read` has looked at its schema."""

    schema_: Annotated[Any, Field(alias="schema")] = None


class Pair(Part):
    predicted: Count
    found: Count


class _Peak(Part):
    """Nobody predicts the peak of a file that no rule counts whole, and some files do not tell theirs."""

    predicted: Count | None
    found: Count | None


class Score(Part):
    output: Text
    metric: Text
    value: Real | None
    decides: bool = True


def told(scores: list[Score]) -> list[tuple[str, str]]:
    """What figures are of: outputs and metrics."""
    return [(score.output, score.metric) for score in scores]


def one_of(kind: Any) -> Any:
    return Literal[tuple(item.value for item in kind)]


class Shape(Part):
    inputs: Annotated[list[Size], Field(max_length=64)]
    outputs: Annotated[list[Size], Field(max_length=64)]
    ranks: Annotated[list[Size], Field(max_length=65)]
    order: one_of(Order)  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        TTShape(tuple(self.inputs), tuple(self.outputs), tuple(self.ranks))
        return self


class _Costs(Part):
    params: Count
    flops: Count
    macs: Count
    peak_elements: Count
    moved_elements: Count


class _Error(Part):
    low: Real
    estimate: Real
    high: Real


class _Step(Part):
    layer: Text
    to: one_of(Refuge)  # type: ignore[valid-type]
    drop_before: Real | None
    drop_after: Real | None
    snr_db: Real | None
    slowdown: Real | None


class _File(Part):
    path: File
    bytes: Count
    sha256: Digest


class _Model(Part):
    """The figures that every model has."""

    params: Count
    bytes: Count
    flops: Count
    macs: Count
    peak_activation_bytes: Count
    moved_elements: Count
    latency_ms: Positive | None
    latency_estimate_ms: Positive | None
    at_least: list[LimitName] = Field(default_factory=list)
    accuracy: list[Score]
    loss: Real | None
    drop: Real | None


class Written(_Model):
    test_accuracy: list[Score] | None
    test_drop: Real | None
    artifacts: dict[Text, _File]

    @model_validator(mode="after")
    def _is_tested_alike(self) -> Self:
        if self.test_accuracy is not None and told(self.test_accuracy) != told(self.accuracy):
            raise ValueError("test_accuracy must be of the same outputs and metrics as accuracy")
        return self


class _Original(Part):
    """Keras's own, which drops are measured by."""

    accuracy: list[Score]
    test_accuracy: list[Score] | None


class Dense(Written):
    solution: Literal[-1]
    shapes: Annotated[dict[Text, Shape], Field(max_length=0)]
    reverted: list[_Step]
    original: _Original

    @model_validator(mode="after")
    def _is_its_own_measure(self) -> Self:
        for scores in (self.original.accuracy, self.original.test_accuracy or self.accuracy):
            if told(scores) != told(self.accuracy):
                raise ValueError("original must be of the same outputs and metrics as accuracy")
        if self.accuracy and not any(score.decides for score in self.accuracy):
            raise ValueError("accuracy must have a figure that decides")
        return self


class TrialRow(_Model):
    solution: Number
    shapes: dict[Text, Shape]
    feasible: bool
    expected_loss: Real | None
    epochs: Annotated[float, Field(ge=0, le=1e9)]
    complete: bool
    losses: list[Real | None]
    failure: Text | None
    reverted: list[_Step]
    seed: Count
    seconds: Annotated[float, Field(ge=0, le=1e12)]


class _Replaced(Part):
    name: Text
    shape: Shape
    dense: _Costs
    tt: _Costs
    error: _Error


class _Pick(Written):
    solution: Number
    shapes: dict[Text, Shape]
    reverted: list[_Step]
    layers: list[_Replaced]
    test_holds: bool | None = None


class Picks(Part):
    recommended: _Pick | None
    highest_accuracy: _Pick | None
    lowest_memory: _Pick | None
    lowest_flops: _Pick | None

    def all(self) -> Iterator[tuple[str, _Pick]]:
        """Those that there are, by name."""
        named = ((name, getattr(self, name)) for name in type(self).model_fields)
        return ((name, pick) for name, pick in named if pick is not None)


class ConstraintRow(Part):
    name: LimitName
    limit: Real | None
    value: Real | None
    holds: bool | None
    at_least: bool = False


class Miss(Part):
    solution: Number
    shapes: dict[Text, Shape] = Field(default_factory=dict)
    params: Count = 0
    flops: Count = 0
    drop: Real | None = None
    constraint: LimitName
    limit: Real
    value: Real | None


class _Numerics(Part):
    samples: Count
    max_abs: Real | None
    l2_relative: Real | None
    top1_agreement: Share | None
    ok: bool
    blind: Text | None = None


class _Counted(Part):
    params: Pair
    weight_bytes: Pair
    flops: Pair
    macs: Pair


class _CheckedLayer(_Counted):
    name: Text
    ok: bool = True
    paper_flops: Count = 0
    paper_ratio: Real | None = None
    t3f_error: Real | None = None


class _Tensor(Part):
    layer: Text
    role: Text
    tensor: Text
    snr_db: Real | None
    max_abs: Real | None


class _Checked(_Counted):
    ok: bool
    verdict: Literal["ok", "partial", "differs"] | None = None
    peak_bytes: _Peak
    plan_bytes: Count | None = None
    c_peak_bytes: Count = 0
    partial: list[Text]
    mismatches: list[Text]
    layers: list[_CheckedLayer]
    numerics: _Numerics
    tensors: list[_Tensor]


class Check(Document):
    ok: bool
    samples: Literal["validation", "random"]
    artifacts: dict[File, _Checked]


class Npu(Part):
    accelerator: Text
    system: Text
    memory_mode: Text
    npu_operators: Count
    cpu_operators: Count
    left: list[Text]
    sram_bytes: Count
    cycles: Count


class RatioRow(Part):
    value: Positive
    low: Positive
    high: Positive
