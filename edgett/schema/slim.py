"""Models that were rid of channels."""

from __future__ import annotations

from pydantic import Field

from edgett.schema.parts import Count, Document, Part, Span, Text


class Thinner(Part):
    """A count before and after."""

    before: Count = Field(description="of the model that was given")
    after: Count = Field(description="of the one that was written")


class LayerLeft(Part):
    """A layer that puts out fewer channels."""

    name: Text = Field(description="its path in the model")
    removed: Count = Field(description="channels that are gone")


class SlimAnswer(Document):
    """A model without the channels that contribute nothing."""

    model: Text = Field(description="as it was given")
    written: Text = Field(description="the file of the smaller model")
    params: Thinner = Field(description="numbers that the models hold")
    layers: list[LayerLeft] = Field(description="in the model's order; empty: nothing could go")
    folded: Count = Field(description="channels that were constants other than zero, and went into biases")
    max_abs: Span = Field(description="largest difference of an output, on random inputs")
