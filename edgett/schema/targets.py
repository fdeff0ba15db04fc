"""Targets: which there are, and what one is."""

from __future__ import annotations

from pydantic import Field

from edgett.schema.parts import Document, Part, Text


class TargetLine(Part):
    name: Text = Field(description="what --target takes")
    title: Text = Field(description="the device in words")


class TargetList(Document):
    """The targets that --target takes by their names."""

    targets: list[TargetLine] = Field(description="sorted by name")


class ProfileField(Part):
    """A field of a profile."""

    key: Text = Field(description="its place, as in memory.flash")
    value: Text = Field(description="in words, with its unit")
    meaning: Text = Field(description="what it is")
    origin: Text = Field(description="a document's address, estimate or choice")


class Profile(Document):
    """A target, as its profile is understood."""

    name: Text = Field(description="what --target takes")
    title: Text = Field(description="the device in words")
    sources: dict[Text, Text] = Field(description="addresses of documents, by a short key")
    fields: list[ProfileField] = Field(description="all of them")
    latency: Text = Field(description="what predicts or estimates latencies, in words")
