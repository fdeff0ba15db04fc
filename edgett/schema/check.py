"""The cross-check: what the files hold against what was predicted, and their outputs against Keras's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgett.schema.parts import ABSENT, Count, Document, File, HeldMemory, Pair, Part, Problem, Rare, Real, Share, Text


class Peak(Part):
    """Bytes that must be alive at once."""

    predicted: Count | None = Field(description="before the file was written; null: no rule counts all of it")
    found: Count | None = Field(description="in the file; null: it does not tell how large a tensor becomes")


class NumericsDocument(Part):
    """The file's outputs beside Keras's."""

    samples: Count = Field(description="that were compared")
    max_abs: Real | None = Field(description="the largest difference; null: it is not finite")
    l2_relative: Real | None = Field(description="the norm of the differences over that of Keras's outputs")
    top1_agreement: Share | None = Field(description="share of the same decisions; null: no output decides a class")
    ok: bool = Field(description="whether they are near enough")
    blind: Text | None = Field(default=None, description="why the file says no more than a constant would, else null")


class CountedDocument(Part):
    params: Pair = Field(description="numbers stored, biases included")
    weight_bytes: Pair = Field(description="bytes of these numbers")
    flops: Pair = Field(description="a multiplication is one, and an addition is one")
    macs: Pair = Field(description="multiplications that an addition follows")


class CheckedLayer(CountedDocument):
    """A dense or replaced layer of a file."""

    name: Text = Field(description="the layer's name in the model")
    ok: bool = Field(default=True, description="whether all found is as predicted")
    paper_flops: Rare[Count] = Field(
        default=ABSENT,
        description="of replaced layers: by the paper's equation 4, or as counted where it has none",
    )
    paper_ratio: Rare[Real | None] = Field(default=None, description="that over the FLOPs found; null: these are 0")
    reference_error: Rare[Real | None] = Field(
        default=None, description="of a replaced layer: how far it is from what others rebuild of its factors, relative"
    )


class Tensor(Part):
    """A tensor of a replaced layer of an int8 file, beside the same in float32."""

    layer: Text = Field(description="the layer's name in the model")
    role: Literal["input", "product", "output"] = Field(description="what it is to the layer")
    tensor: Text = Field(description="its name in the file")
    snr_db: Real | None = Field(description="signal over noise, in decibels; null: exact, or no signal")
    max_abs: Real | None = Field(description="the largest difference; null: it is not finite")


class Checked(CountedDocument):
    """A file."""

    ok: bool = Field(description="whether nothing differs")
    verdict: Literal["ok", "partial", "differs"] = Field(
        default=ABSENT, description="partial: all that the rules count is as predicted; differs: this is not ok"
    )
    peak_bytes: Peak = Field(description="bytes that its tensors take at once")
    plan_bytes: Count | None = Field(
        default=None, description="what a plan of the file itself takes, in bytes; null: as found"
    )
    c_peak_bytes: Rare[Count] = Field(
        default=ABSENT,
        description="of .onnx files, bytes: predicted for the model as C; missing where an operator has no rule",
    )
    partial: list[Text] = Field(description="operators that no rule counts")
    mismatches: list[Text] = Field(description="what differs, in words")
    layers: list[CheckedLayer] = Field(description="in the model's order")
    numerics: NumericsDocument = Field(description="outputs against Keras's")
    tensors: list[Tensor] = Field(description="of int8 files with replaced layers; else empty")


class HardwareUnit(Part):
    """What rebuilds the weight of a layer in hardware."""

    name: Text = Field(description="of its module and its folder")
    layer: Text = Field(description="the layer's name in the model")
    form: Text = Field(description="what its weight is held as")
    weights: Count = Field(description="numbers that it rebuilds")
    stored: Count = Field(description="int8 numbers that it has in ROM")
    multipliers: Count = Field(description="products that it makes a cycle, roundings apart")
    rom_bits: Count = Field(description="bits of ROM")
    latency: Count = Field(description="clock cycles to the first weight")
    cycles: Count = Field(description="clock cycles from there to the last one")
    error: Real = Field(description="of the weight: how far rounding brings it from the factors', relative (L2)")


class _Checks(Document):
    ok: bool = Field(description="whether all files are what was predicted")
    samples: Literal["validation", "random"] = Field(
        description="what outputs were compared on; random for want of data"
    )


class Check(_Checks):
    """The cross-check of a run; in its check.json without `error`."""

    artifacts: dict[File, Checked] = Field(description="by path in the run")


class CheckAnswer(Check):
    """What `edgett check` found; also kept as the run's check.json."""

    error: Rare[Problem] = Field(default=ABSENT, description="which files are not what was predicted")


class ExportAnswer(_Checks):
    """The cross-check of what `edgett export` has written."""

    artifacts: dict[Text, Checked] = Field(description="by the file's name")
    written: list[Text] = Field(description="all files, by name")
    units: Rare[list[HardwareUnit]] = Field(default=ABSENT, description="of verilog: a unit for each layer in a form")
    held: Rare[HeldMemory] = Field(default=ABSENT, description="with --hold factors: what rebuilding takes")
    error: Rare[Problem] = Field(default=ABSENT, description="which files are not what was predicted")
