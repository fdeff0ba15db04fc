"""Models as a run tells of them: the dense one, each trial, the picks, and what the constraints make of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgett.schema.parts import (
    Costs,
    Count,
    Digest,
    Error,
    File,
    LimitName,
    Number,
    Part,
    Positive,
    Rare,
    Real,
    ScoreDocument,
    Size,
    Span,
    Spec,
    Text,
    one_of,
    told,
)
from edgett.search.constraints import LATENCY, PEAK
from edgett.search.solution import Refuge


class StepDocument(Part):
    """A replaced layer that went back."""

    layer: Text = Field(description="its name")
    to: one_of(Refuge) = Field(description="what it is now")  # type: ignore[valid-type]
    drop_before: Real | None = Field(description="the model's drop with it in its form")
    drop_after: Real | None = Field(description="the model's drop without")
    snr_db: Real | None = Field(description="for int8's sake: signal over noise of its output, before; else null")
    slowdown: Real | None = Field(
        description="for time's sake: how many times as long the model took with it; else null"
    )


class Artefact(Part):
    """A file of a model."""

    path: File = Field(description="in the run")
    bytes: Count = Field(description="its size")
    sha256: Digest = Field(description="of its content")


class Model(Part):
    """The figures that every model has."""

    params: Count = Field(description="numbers stored, biases included")
    bytes: Count = Field(description="of the target's file: predicted; of the baseline and the picks as written")
    flops: Count = Field(description="of one sample: a multiplication is one, and an addition is one")
    macs: Count = Field(description="multiplications that an addition follows")
    peak: Annotated[Count, Field(alias=PEAK.figure)] = Field(description="bytes that tensors take at once")
    moved_elements: Count = Field(description="numbers copied by transposes")
    latency: Annotated[Positive | None, Field(alias=LATENCY.figure)] = Field(
        description="predicted; null on a target that was not calibrated, and of a partial model",
    )
    instructions: Count | None = Field(
        default=None, description="of one inference in C, predicted; null where none runs, or nobody has counted"
    )
    latency_estimate_ms: Positive | None = Field(
        description="on a target that was not calibrated: a guess by its profile's facts, to show and not to go by"
    )
    at_least: list[LimitName] = Field(
        default_factory=list, description="the constraints whose value is only that of what rules count"
    )
    accuracy: list[ScoreDocument] = Field(description="on validation data; empty: nothing was judged")
    loss: Real | None = Field(description="on validation data; null: not judged, or no number")
    drop: Real | None = Field(
        description="the worst from Keras's dense model: percentage points of accuracies, else per cent of its score"
    )
    robust_accuracy: list[ScoreDocument] = Field(
        default_factory=list, description="under attack, on validation data; empty: nothing was attacked"
    )
    robust_drop: Real | None = Field(default=None, description="as drop, under attack; null: nothing was attacked")


class Written(Model):
    test_accuracy: list[ScoreDocument] | None = Field(description="on the test data; null: there are none")
    test_drop: Real | None = Field(description="as drop, on the test data")
    test_robust_accuracy: list[ScoreDocument] | None = Field(
        default=None, description="under attack, on the test data; null: nothing was attacked"
    )
    test_robust_drop: Real | None = Field(default=None, description="as robust_drop, on the test data")
    artifacts: dict[Text, Artefact] = Field(description="its files, by format: keras, tflite, onnx")

    @model_validator(mode="after")
    def _is_tested_alike(self) -> Self:
        if self.test_accuracy is not None and told(self.test_accuracy) != told(self.accuracy):
            raise ValueError("test_accuracy must be of the same outputs and metrics as accuracy")
        if self.test_robust_accuracy is not None and told(self.test_robust_accuracy) != told(self.robust_accuracy):
            raise ValueError("test_robust_accuracy must be of the same outputs and metrics as robust_accuracy")
        return self


class OriginalDocument(Part):
    """Keras's own in float32, which drops are measured by."""

    accuracy: list[ScoreDocument] = Field(description="on validation data")
    test_accuracy: list[ScoreDocument] | None = Field(description="on the test data; null: there are none")
    robust_accuracy: list[ScoreDocument] = Field(
        default_factory=list, description="under attack, on validation data; empty: nothing was attacked"
    )
    test_robust_accuracy: list[ScoreDocument] | None = Field(
        default=None, description="under attack, on the test data; null: nothing was attacked"
    )


class Dense(Written):
    """The model as it is, with the figures of its file."""

    solution: Literal[-1] = Field(description="its number among the solutions")
    edits: Annotated[dict[Text, Spec], Field(max_length=0)] = Field(description="none is replaced")
    reverted: list[StepDocument] = Field(description="none")
    original: OriginalDocument = Field(description="the same model in Keras")

    @model_validator(mode="after")
    def _is_its_own_measure(self) -> Self:
        for scores in (self.original.accuracy, self.original.test_accuracy or self.accuracy):
            if told(scores) != told(self.accuracy):
                raise ValueError("original must be of the same outputs and metrics as accuracy")
        if self.accuracy and not any(score.decides for score in self.accuracy):
            raise ValueError("accuracy must have a figure that decides")
        return self


class LearntDocument(Part):
    """What came of training on with the numbers of int8."""

    epochs: Size = Field(description="that it took")
    drop_before: Real | None = Field(description="of the file without it")
    drop_emulated: Real | None = Field(description="of the model in TensorFlow with these numbers")
    drop_after: Real | None = Field(description="of the file with it")


LEARNT = Field(default=None, description="how it trained on with the numbers of int8; null: it did not")


class TrialRow(Model):
    """A solution that was fine-tuned."""

    solution: Number = Field(description="its number")
    edits: dict[Text, Spec] = Field(description="by layer")
    removed: Rare[dict[Text, Count]] = Field(default_factory=dict, description="channels that a layer puts out no more")
    feasible: bool = Field(description="whether it holds the constraints")
    expected_loss: Real | None = Field(description="what the search expects it to lose; null: it did not look")
    epochs: Span = Field(description="that it was trained for, also parts of one")
    complete: bool = Field(description="false: halving put it away before its last epoch")
    losses: list[Real | None] = Field(description="on the training data, by epoch")
    failure: Text | None = Field(description="why there is no result, else null")
    reverted: list[StepDocument] = Field(description="the layers that went back, in turn")
    int8: LearntDocument | None = LEARNT
    seed: Count = Field(description="of its training")
    seconds: Span = Field(description="that it took")


class Replaced(Part):
    """A layer in a form."""

    name: Text = Field(description="its name")
    spec: Spec = Field(description="its form")
    dense: Costs = Field(description="what the dense layer costs")
    held: Costs = Field(description="what this form costs")
    error: Error = Field(description="how far it was from the trained weight, before fine-tuning")


class Pick(Written):
    """A solution that was picked, and exported."""

    solution: Number = Field(description="its number; -1 is the dense model")
    edits: dict[Text, Spec] = Field(description="by layer")
    removed: Rare[dict[Text, Count]] = Field(default_factory=dict, description="channels that a layer puts out no more")
    reverted: list[StepDocument] = Field(description="the layers that went back, in turn")
    int8: LearntDocument | None = LEARNT
    layers: list[Replaced] = Field(description="those in a form")
    test_holds: bool | None = Field(
        default=None, description="whether the drop on the test data is within the budget; null without one"
    )


class PicksDocument(Part):
    """The best that hold the constraints; null where there is none."""

    recommended: Pick | None = Field(description="the best in the objective, or in bytes and work of those near it")
    highest_accuracy: Pick | None = Field(description="the most accurate factorised one, while one holds")
    lowest_memory: Pick | None = Field(description="the one of the smallest file")
    lowest_flops: Pick | None = Field(description="the one of fewest FLOPs")

    def all(self) -> Iterator[tuple[str, Pick]]:
        """Those that there are, by name."""
        named = ((name, getattr(self, name)) for name in type(self).model_fields)
        return ((name, pick) for name, pick in named if pick is not None)


class ConstraintRow(Part):
    """A constraint, and what the recommended solution, or else the nearest miss, makes of it."""

    name: LimitName = Field(description="the key in the profile's budget")
    limit: Real | None = Field(description="in the key's unit; null: a share of what is not known")
    value: Real | None = Field(description="in the key's unit; null: not known")
    holds: bool | None = Field(description="null: not checked")
    at_least: Rare[bool] = Field(default=False, description="true where the value is that of a part only")


class Miss(Part):
    """What comes nearest where no solution holds the constraints."""

    solution: Number = Field(description="its number")
    edits: dict[Text, Spec] = Field(default_factory=dict, description="by layer")
    removed: Rare[dict[Text, Count]] = Field(default_factory=dict, description="channels that a layer puts out no more")
    params: Count = Field(default=0, description="numbers stored, biases included")
    flops: Count = Field(default=0, description="of one sample")
    drop: Real | None = Field(default=None, description="as of the other models")
    constraint: LimitName = Field(description="the one that binds")
    limit: Real = Field(description="of that constraint, in its unit")
    value: Real | None = Field(description="what the solution makes of it")
