"""The [latency] table of a profile: what 'edgett calibrate' measured on a device, in TOML and as `Speeds`."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from edgett.graph.dtype import DType
from edgett.graph.latency import Speeds
from edgett.target.tables import TomlTable
from edgett.target.units import SIZE

UNMEASURED = "the latency is predicted from a [latency] table for its type of number and threads, and there is none."
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _levels(given: Any) -> dict[int, float]:
    """Sizes as people write them, increasing."""
    if not isinstance(given, dict) or not given:
        raise ValueError("a table of sizes and microseconds a byte, as in { '256 KiB' = 1.3e-5 }")
    levels = {SIZE.parse(key): value for key, value in given.items()}
    costs = list(levels.values())
    numbers = all(isinstance(cost, (int, float)) and math.isfinite(cost) and cost >= 0 for cost in costs)
    if len(levels) < len(given) or list(levels) != sorted(levels) or not numbers or costs != sorted(costs):
        raise ValueError("a table of different sizes that increase, with microseconds of at least 0 that do not fall")
    return {size: float(value) for size, value in levels.items()}


class Latency(TomlTable):
    """All costs in microseconds, of one inference with the threads and the type of number that were measured."""

    measured: Annotated[str, Field(min_length=1)] = Field(description="where, when and with what it was measured")
    dtype: Annotated[DType, Field(strict=False)] = Field(description="the type of the numbers that were measured")
    threads: Annotated[int, Field(ge=1)] = Field(description="threads that were measured")
    start: Cost = Field(description="microseconds of an inference as such")
    operator: Cost = Field(description="microseconds of each operator, however small")
    transpose: Cost = Field(description="microseconds of each transpose, however small")
    mac: Cost = Field(description="microseconds of a multiply-accumulate")
    columns: Annotated[int, Field(ge=1)] = Field(description="columns that a kernel computes at once")
    read: Cost = Field(description="microseconds of a number that a product reads")
    write: Cost = Field(description="microseconds of a number that a product writes")
    move: Cost = Field(description="microseconds of a number that a transpose copies")
    touch: Cost = Field(description="microseconds of a number that another operator reads or writes")
    streams: Annotated[dict[int, float], PlainValidator(_levels)] = Field(
        description="microseconds of a byte of weights, by the bytes of all weights up to which that holds"
    )

    def of(self, dtype: DType, threads: int) -> Speeds | None:
        """As the prediction takes them; None where something else was measured."""
        if (dtype, threads) != (self.dtype, self.threads):
            return None
        given = {field.name: getattr(self, field.name) for field in fields(Speeds) if field.name != "streams"}
        return Speeds(**given, streams=tuple(self.streams.items()))


def toml(speeds: Speeds, measured: str, dtype: DType, threads: int) -> str:
    """The table as text; four digits, which is more than a measurement has."""
    lines = ["[latency]", f'measured = "{measured}"', f'dtype = "{dtype.value}"', f"threads = {threads}"]
    for field in fields(Speeds):
        value = getattr(speeds, field.name)
        if field.name == "streams":
            pairs = ", ".join(f'"{SIZE.text(size)}" = {cost:.4g}' for size, cost in value)
            lines.append(f"streams = {{ {pairs} }}")
        else:
            lines.append(f"{field.name} = {value}" if isinstance(value, int) else f"{field.name} = {value:.4g}")
    return "\n".join(lines) + "\n"
