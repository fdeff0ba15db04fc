"""The report of a run as values."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgett.schema.parts import Count, Document, LimitName, Number, Part, Positive, Real, Text, one_of
from edgett.search.constraints import DROP, FLOPS, LATENCY, MODEL_BYTES, PEAK, ROBUST_DROP, Objective


class TableRow(Part):
    """A table."""

    title: Text = Field(description="what it shows")
    columns: list[Text] = Field(description="their titles")
    rows: list[list[bool | int | Real | Text | None]] = Field(description="a value a column; the first names the row")


class SectionRow(Part):
    """A part of the report."""

    name: Text = Field(description="of its place in the page")
    title: Text = Field(description="its heading")
    words: list[Text] = Field(description="paragraphs")
    tables: list[TableRow] = Field(description="its tables")
    code: list[Text] = Field(description="commands")


class LimitRow(Part):
    """A constraint."""

    name: LimitName = Field(description="the key of a solution that it limits")
    title: Text = Field(description="in words")
    limit: Real | None = Field(description="in the key's unit; null: none")


class Choice(Part):
    """A solution that may be chosen."""

    solution: Number = Field(description="its number; -1 is the dense model")
    params: Count = Field(description="numbers stored, biases included")
    file: Annotated[Count, Field(alias=MODEL_BYTES.name)] = Field(description="of the target's file")
    flops: Annotated[Count, Field(alias=FLOPS.name)] = Field(description="of one sample")
    macs: Count = Field(description="multiplications that an addition follows")
    instructions: Count | None = Field(
        default=None, description="of one inference in C, predicted; null where none runs, or nobody has counted"
    )
    peak: Annotated[Count, Field(alias=PEAK.name)] = Field(description="bytes that tensors take at once")
    latency: Annotated[Positive | None, Field(alias=LATENCY.name)] = Field(
        description="predicted; null: the target was not calibrated"
    )
    drop: Annotated[Real | None, Field(alias=DROP.name)] = Field(
        description="in percentage points; null: not judged, or its trial failed"
    )
    robust_drop: Annotated[Real | None, Field(alias=ROBUST_DROP.name)] = Field(
        description="in percentage points; null: nothing was attacked, or its trial failed"
    )
    feasible: bool = Field(description="whether it holds the constraints")
    eligible: bool = Field(description="trained to the end, and not all dense again for being slow")
    roles: list[Text] = Field(description="the picks that it is")
    shapes: dict[Text, Text] = Field(description="by layer, in words")
    command: Text = Field(description="exports it")


class ReportDocument(Document):
    """The same facts as in report.html, without its pictures."""

    title: Text = Field(description="the model and the target")
    sections: list[SectionRow] = Field(description="the verdict first")
    objective: one_of(Objective) = Field(description="what is recommended by")  # type: ignore[valid-type]
    limits: list[LimitRow] = Field(description="the constraints")
    dense: Choice = Field(description="the model as it is")
    solutions: list[Choice] = Field(description="picks first, then those that hold the constraints")
