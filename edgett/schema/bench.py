"""bench-*.json, as `benching` and `emulating` make it: times, or instructions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgett.schema.parts import Count, Document, Part, Positive, RatioRow, Real, Share, Text


class _Machine(Part):
    name: Text


class _State(Part):
    governor: Text | None
    mhz: Real | None
    celsius: Real | None


class _Timer(_Machine):
    architecture: Text
    processor: Text | None
    system: Text
    threads: Count
    pinned: list[Count] = Field(default_factory=list)
    before: _State | None = None
    after: _State | None = None


class _Emulated(_Machine):
    target: Text
    emulator: Text


class _Agreement(Part):
    samples: Count
    max_abs: Real | None
    top1: Share | None


class _Measured(Part):
    name: Text
    path: Text = ""
    also: list[Text] = Field(default_factory=list)
    bytes: Count
    runtime: Text
    agreement: _Agreement | None = None


class _Timed(_Measured):
    runs: Count = 0
    start_ms: Real | None = None
    peak_bytes: Count | None = None
    median_us: Positive
    p90_us: Positive
    p99_us: Positive
    ratio: RatioRow | None
    verdict: Literal["baseline", "noise", "slower", "faster"]
    added_bytes: Count


class _Executed(_Measured):
    instructions: Count
    spread: Count = 0
    ratio: Positive | None


class Timing(Document):
    device: _Timer
    baseline: Text = ""
    artifacts: Annotated[list[_Timed], Field(min_length=1)]


class Counting(Document):
    device: _Emulated
    baseline: Text = ""
    artifacts: Annotated[list[_Executed], Field(min_length=1)]
