"""Networks that were trained in low-rank forms."""

from __future__ import annotations

from pydantic import Field

from edgett.schema.parts import Count, Document, Part, Real, ScoreDocument, Span, Text
from edgett.schema.slim import Thinner


class PhaseCounts(Part):
    """Epochs."""

    dense: Count = Field(description="before it was decomposed")
    low_rank: Count = Field(description="in forms")
    dense_again: Count = Field(description="the last ones")


class PhaseSeconds(Part):
    """How long each took."""

    dense: Span = Field(description="training before it was decomposed")
    low_rank: Span = Field(description="training in forms")
    dense_again: Span = Field(description="training at the end")
    search: Span = Field(description="finding the forms")


class LayerInRank(Part):
    """A layer that was trained in a form."""

    name: Text = Field(description="its path in the model")
    form: Text = Field(description="with its sizes and ranks")
    params: Count = Field(description="numbers that its factors hold")


class TrainAnswer(Document):
    """A network that was trained from its initial weights, low rank from some epoch on."""

    model: Text = Field(description="as it was given")
    written: Text = Field(description="the file of the trained model")
    epochs: PhaseCounts = Field(description="for how many it was trained how")
    seconds: PhaseSeconds = Field(description="wall time")
    losses: list[Real] = Field(description="the mean training loss of each epoch")
    layers: list[LayerInRank] = Field(description="those that were trained in forms")
    params: Thinner = Field(description="numbers that the models hold")
    accuracy: list[ScoreDocument] = Field(description="on the validation data")
    test_accuracy: list[ScoreDocument] = Field(description="on the test data")
