"""The [latency] table of a profile: what 'edgett calibrate' measured on a device, in TOML and as `Speeds`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainValidator

from edgett.graph.dtype import DType
from edgett.graph.latency import Speeds
from edgett.target.tables import TomlTable
from edgett.target.units import SIZE

UNMEASURED = "the latency is predicted from a [latency] table for its type of number and threads, and there is none."
LEVELS: Mapping[str, Callable[[int], str]] = {"streams": lambda size: f'"{SIZE.text(size)}"', "windows": str}
"""The costs that go by a size, and how that is written."""

Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _streams(given: Any) -> dict[int, float]:
    """Sizes as people write them, increasing, and costs that do not fall."""
    if not isinstance(given, dict) or not given:
        raise ValueError("a table of sizes and microseconds a byte, as in { '256 KiB' = 1.3e-5 }")
    levels = _levels(given, SIZE.parse)
    if levels is None or list(levels.values()) != sorted(levels.values()):
        raise ValueError("a table of different sizes that increase, with microseconds of at least 0 that do not fall")
    return levels


def _windows(given: Any) -> dict[int, float]:
    """Taps, increasing, and costs."""
    if not isinstance(given, dict) or not given or not all(re.fullmatch("[1-9][0-9]{0,8}", str(key)) for key in given):
        raise ValueError("a table of taps and microseconds a multiply-accumulate, as in { 9 = 2.1e-4, 25 = 1.3e-4 }")
    levels = _levels(given, int)
    if levels is None:
        raise ValueError("a table of different taps that increase, with microseconds of at least 0")
    return levels


def _levels(given: dict[str, Any], parse: Callable[[str], int]) -> dict[int, float] | None:
    """The levels where all differ and increase, and all costs are numbers of at least 0."""
    levels = {parse(key): value for key, value in given.items()}
    numbers = all(isinstance(cost, (int, float)) and math.isfinite(cost) and cost >= 0 for cost in levels.values())
    if len(levels) < len(given) or list(levels) != sorted(levels) or not numbers:
        return None
    return {level: float(cost) for level, cost in levels.items()}


class Latency(TomlTable):
    """All costs in microseconds, of one inference with the threads and the type of number that were measured."""

    CURE: ClassVar[str] = "Measure again, into the same file: edgett calibrate --target FILE --out FILE"
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
    streams: Annotated[dict[int, float], PlainValidator(_streams)] = Field(
        description="microseconds of a byte of weights, by the bytes of all weights up to which that holds"
    )
    windows: Annotated[dict[int, float], PlainValidator(_windows)] = Field(
        description="microseconds of a multiply-accumulate of a depthwise convolution, by the most taps of its window"
    )

    def of(self, dtype: DType, threads: int) -> Speeds | None:
        """As the prediction takes them; None where something else was measured."""
        if (dtype, threads) != (self.dtype, self.threads):
            return None
        given = {field.name: getattr(self, field.name) for field in fields(Speeds)}
        return Speeds(**given | {name: tuple(given[name].items()) for name in LEVELS})


def toml(speeds: Speeds, measured: str, dtype: DType, threads: int) -> str:
    """The table as text; four digits, which is more than a measurement has."""
    lines = ["[latency]", f'measured = "{measured}"', f'dtype = "{dtype.value}"', f"threads = {threads}"]
    for field in fields(Speeds):
        value = getattr(speeds, field.name)
        if (written := LEVELS.get(field.name)) is not None:
            pairs = ", ".join(f"{written(level)} = {cost:.4g}" for level, cost in value)
            lines.append(f"{field.name} = {{ {pairs} }}")
        else:
            lines.append(f"{field.name} = {value}" if isinstance(value, int) else f"{field.name} = {value:.4g}")
    return "\n".join(lines) + "\n"
