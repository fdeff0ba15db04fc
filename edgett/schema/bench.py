"""What devices are measured to do: bench-*.json, as `workflow` makes it, and calibrations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgett.schema.parts import Count, Document, Part, Positive, RatioRow, Real, Share, Span, Text


class MachineDocument(Part):
    name: Text = Field(description="as --device takes it")


class ProcessorStateDocument(Part):
    """What the processor tells of itself; null where it does not."""

    governor: Text | None = Field(description="what sets its clock")
    mhz: Real | None = Field(description="its clock")
    celsius: Real | None = Field(description="of the hottest sensor")


class Timer(MachineDocument):
    """A machine that takes times."""

    architecture: Text = Field(description="such as x86_64 or aarch64")
    processor: Text | None = Field(description="what it calls itself")
    system: Text = Field(description="operating system and release")
    threads: Count = Field(description="of each runtime")
    pinned: list[Count] = Field(
        default_factory=list, description="the processors that runs were kept on; empty where that is impossible"
    )
    before: ProcessorStateDocument | None = Field(default=None, description="before the first run")
    after: ProcessorStateDocument | None = Field(default=None, description="after the last run")


class Emulated(MachineDocument):
    """A machine that counts instructions."""

    target: Text = Field(description="whose device it is")
    emulator: Text = Field(description="the program and its version")


class Agreement(Part):
    """The device's outputs beside what the file says, computed here operator by operator."""

    samples: Count = Field(description="that were compared")
    max_abs: Real | None = Field(description="the largest difference; null: it is not finite")
    top1: Share | None = Field(description="share of the same classes; null: outputs are no probabilities of any")


class MeasuredDocument(Part):
    name: Text = Field(description="the file's, or the pick's in its run")
    path: Text = Field(default="", description="where the file is")
    also: list[Text] = Field(default_factory=list, description="other names of the same file")
    bytes: Count = Field(description="its size")
    runtime: Text = Field(description="what executed it, with its version")
    agreement: Agreement | None = Field(default=None, description="of its outputs")


class Timed(MeasuredDocument):
    """An artefact that was timed."""

    runs: Count = Field(default=0, description="that were timed")
    start_ms: Real | None = Field(default=None, description="what loading it and the first run took")
    peak_bytes: Count | None = Field(default=None, description="the most memory that its process had resident")
    median_us: Positive = Field(description="of all runs, in microseconds")
    p90_us: Positive = Field(description="nine of ten runs took no longer")
    p99_us: Positive = Field(description="99 of 100 runs took no longer")
    ratio: RatioRow | None = Field(description="against the first; null: it is the first")
    verdict: Literal["baseline", "noise", "slower", "faster"] = Field(description="against the first; noise: neither")
    added_bytes: Count = Field(description="peak_bytes without the process itself")


class Executed(MeasuredDocument):
    """An artefact whose instructions were counted."""

    instructions: Count = Field(description="of one inference: the median over the samples")
    spread: Count = Field(default=0, description="how far samples lie apart")
    ratio: Positive | None = Field(description="instructions over those of the first; null: it is the first")


class Timing(Document):
    """Times of artefacts on a device, the first one as the baseline."""

    device: Timer = Field(description="what measured")
    baseline: Text = Field(default="", description="the name of the first")
    artifacts: Annotated[list[Timed], Field(min_length=1)] = Field(description="in the order given")


class Counting(Document):
    """Instructions of artefacts on an emulated device, the first one as the baseline."""

    device: Emulated = Field(description="what counted")
    baseline: Text = Field(default="", description="the name of the first")
    artifacts: Annotated[list[Executed], Field(min_length=1)] = Field(description="in the order given")


class SpeedsDocument(Part):
    """What one inference costs on a device, in microseconds; see the [latency] table of the profile."""

    start: Span = Field(description="of an inference as such")
    operator: Span = Field(description="of each operator, however small")
    transpose: Span = Field(description="of each transpose, however small")
    mac: Span = Field(description="of a multiply-accumulate")
    columns: Annotated[int, Field(ge=1)] = Field(description="columns that a kernel computes at once")
    read: Span = Field(description="of a number that a product reads")
    write: Span = Field(description="of a number that a product writes")
    move: Span = Field(description="of a number that a transpose copies")
    touch: Span = Field(description="of a number that another operator reads or writes")
    streams: list[tuple[Count, Span]] = Field(
        description="pairs: bytes of all weights, and what a byte of weights costs up to there"
    )
    windows: list[tuple[Count, Span]] = Field(
        description="pairs: taps of a window of one channel, and what a multiply-accumulate of it costs up to there"
    )


class KernelDocument(Part):
    """Instructions of a kernel of C for each thing that it does; see the [instructions] table of the profile."""

    macs: Span = Field(description="for a multiply-accumulate")
    tails: Span = Field(description="for one that comes alone")
    outputs: Span = Field(description="for a number that it makes")
    reads: Span = Field(description="for a number that it reads")
    rows: Span = Field(description="for a row")
    calls: Span = Field(description="for a beginning")


class InstructionsDocument(Part):
    """What one inference in C takes on an emulated device, in instructions."""

    start: Span = Field(description="as such")
    kernels: dict[Text, KernelDocument] = Field(description="by kernel")


class EmulatedCalibration(Document):
    """What `edgett calibrate --device emulator` counted, and wrote into a profile."""

    profile: Text = Field(description="the file that was written")
    device: Literal["emulator"] = Field(description="as --device takes it")
    measured: Text = Field(description="where, when and with what")
    probes: Count = Field(description="small models that were counted")
    median_error: Span = Field(description="of their instructions as predicted with these rates, relative")
    largest_error: Span = Field(description="none is predicted worse")
    instructions: InstructionsDocument = Field(description="what the predictions stand on")


class Calibration(Document):
    """What `edgett calibrate` measured, and wrote into a profile."""

    profile: Text = Field(description="the file that was written")
    device: Text = Field(description="as --device takes it")
    measured: Text = Field(description="where, when and with what")
    probes: Count = Field(description="small graphs that were timed")
    median_error: Span = Field(description="of their times as predicted with these costs, relative")
    p90_error: Span = Field(description="nine of ten are predicted no worse")
    speeds: SpeedsDocument = Field(description="what the predictions stand on")
