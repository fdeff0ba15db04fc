"""bench-*.json, as `benching` and `emulating` make it: times, or instructions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgett.schema.parts import Count, Part, Positive, RatioRow, Text


class _Machine(Part):
    name: Text


class _Timer(_Machine):
    architecture: Text
    processor: Text | None
    system: Text
    threads: Count


class _Emulated(_Machine):
    target: Text
    emulator: Text


class _Measured(Part):
    name: Text
    also: list[Text] = Field(default_factory=list)
    bytes: Count
    runtime: Text


class _Timed(_Measured):
    median_us: Positive
    p90_us: Positive
    p99_us: Positive
    ratio: RatioRow | None
    verdict: Literal["baseline", "noise", "slower", "faster"]
    added_bytes: Count


class _Executed(_Measured):
    instructions: Count
    ratio: Positive | None


class Timing(Part):
    device: _Timer
    artifacts: Annotated[list[_Timed], Field(min_length=1)]


class Counting(Part):
    device: _Emulated
    artifacts: Annotated[list[_Executed], Field(min_length=1)]
