"""Packages for firmware builds, and the sizes of what was linked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgett.graph.dtype import DType
from edgett.schema.parts import (
    ABSENT,
    Count,
    Digest,
    Document,
    HeldMemory,
    LimitName,
    Number,
    Part,
    Problem,
    Rare,
    Real,
    ScoreDocument,
    Size,
    Span,
    Spec,
    Text,
    one_of,
)

Memory = Annotated[list[Literal["flash", "ram"]], Field(description="where its bytes are")]


class Source(Part):
    """The artefact that the sources are made of."""

    suffix: Literal[".onnx", ".tflite"] = Field(description="its format")
    sha256: Digest = Field(description="of its content")


class CSizes(Part):
    """Bytes that the C takes."""

    weight_bytes: Count = Field(description="constants, in flash")
    workspace_bytes: Count = Field(description="what tensors take at once, inputs and outputs apart")
    ram_bytes: Count = Field(description="the workspace with inputs and outputs")
    predicted_peak_bytes: Rare[Count] = Field(default=ABSENT, description="ram_bytes as predicted from the model")


class TflmSizes(Part):
    """Bytes that the model takes in LiteRT for Microcontrollers."""

    model_bytes: Count = Field(description="the model, in flash")
    arena_bytes: Count = Field(description="the arena that the sources reserve, in RAM")
    arena_head_bytes: Count = Field(description="as measured: tensors")
    arena_tail_bytes: Count = Field(description="as measured: the interpreter's structures")
    predicted_peak_bytes: Rare[Count] = Field(default=ABSENT, description="tensors as predicted from the model")


class TargetName(Part):
    name: Text = Field(description="of the profile")
    dtype: one_of(DType) = Field(description="that it calculates in")  # type: ignore[valid-type]


class BudgetDocument(Part):
    """A constraint of the run, and what this solution makes of it."""

    name: LimitName = Field(description="the key in the profile's budget")
    limit: Real | None = Field(description="in the key's unit; null: a share of what is not known")
    value: Real | None = Field(description="in the key's unit; null: not known")
    holds: bool | None = Field(description="null: not checked")


class OriginDocument(Part):
    """The run that the package comes from."""

    solution: Number = Field(description="its number; -1 is the dense model")
    edits: dict[Text, Spec] = Field(description="by layer")
    target: TargetName = Field(description="what the model is for")
    seed: Count = Field(description="of the run")
    digests: dict[Text, Text] = Field(description="SHA-256 of the model and the data")
    versions: dict[Text, Text] = Field(description="of edgett, Python and libraries")
    budgets: list[BudgetDocument] = Field(description="the constraints")
    accuracy: list[ScoreDocument] = Field(description="on validation data; empty: nothing was judged")


class PortRow(Part):
    """An input or an output."""

    name: Text = Field(description="in the model")
    identifier: Text = Field(description="in C")
    type: Text = Field(description="of its elements, in C")
    shape: list[Size] = Field(description="with the batch first")
    scale: Real | None = Field(description="real value of a step, of int8; else null")
    zero_point: int | None = Field(description="what stands for 0, of int8; else null")


class Ports(Part):
    inputs: list[PortRow] = Field(description="in the order of the arguments")
    outputs: list[PortRow] = Field(description="in the order of the arguments, behind the inputs")


class SelfTest(Part):
    """What the package tests itself with."""

    vectors: Count = Field(
        description="validation samples, or inputs drawn for want of data, with what is expected of them"
    )
    tolerances: dict[Text, Span] = Field(description="by output: the largest difference that passes, in its own type")


class Licence(Part):
    model: Text = Field(description="SPDX, as it was told; NOASSERTION: it was not")
    generator: Text = Field(description="what made the code, and its licence")


class PackedFile(Part):
    sha256: Digest = Field(description="of its content")
    bytes: Count = Field(description="its size")


class Package(Document):
    """What `edgett firmware pack` wrote; also the package's manifest.json."""

    name: Text = Field(description="what the model is called in C")
    format: Literal["c", "tflm"] = Field(description="C99 by itself, or for LiteRT for Microcontrollers")
    edgett: Text = Field(description="the version that packed it")
    artefact: Source = Field(description="what the sources are made of")
    sizes: CSizes | TflmSizes = Field(description="what it takes, in bytes")
    run: OriginDocument = Field(description="where it comes from")
    ports: Ports = Field(description="inputs and outputs")
    self_test: SelfTest = Field(description="what it tests itself with")
    licence: Licence = Field(description="of the model and of the code")
    plain: Rare[Count] = Field(
        default=ABSENT, description="in C: int8 products and convolutions that plain loops compute, not packed kernels"
    )
    held: Rare[HeldMemory] = Field(default=ABSENT, description="with --hold factors: what rebuilding takes")
    files: dict[Text, PackedFile] = Field(description="by path in the package")


class PackageCheck(Document):
    """Whether a package is whole, unedited, and not stale."""

    package: Text = Field(description="its folder")
    name: Text = Field(description="what the model is called in C")
    ok: bool = Field(description="whether nothing is changed, missing or stale")
    changed: list[Text] = Field(description="files that are not as they were written")
    missing: list[Text] = Field(description="files that are not there")
    foreign: list[Text] = Field(description="files that are not of the package, and left alone")
    stale: list[Text] = Field(description="what of the run is no longer what was packed, in words")
    packed_by: Text = Field(description="the version of edgett that packed it")
    error: Rare[Problem] = Field(default=ABSENT, description="what is wrong with it")


class DeviceDocument(Part):
    name: Text = Field(description="of the profile")
    title: Text = Field(description="the device in words")


class ElfSection(Part):
    name: Text = Field(description="in the ELF file")
    bytes: Count = Field(description="its size")
    memory: Memory


class SymbolRow(ElfSection):
    section: Text = Field(description="that it lies in")


class Large(Part):
    name: Text = Field(description="the symbol")
    bytes: Count = Field(description="its size")


class SizeBudget(Part):
    """A budget of the target, and what the firmware makes of it."""

    name: Literal["flash", "ram", "model_flash", "model_ram"] = Field(
        description="of the whole firmware, or of the model's symbols"
    )
    limit: Count | None = Field(description="bytes")
    value: Count | None = Field(description="bytes; null: no symbols tell")
    holds: bool | None = Field(description="null: not checked")


class Firmware(Document):
    """A linked firmware against a target's memory."""

    elf: Text = Field(description="the file")
    machine: Text = Field(description="what it runs on, as ELF calls it")
    bits: Literal[32, 64] = Field(description="of an address")
    target: DeviceDocument = Field(description="whose budgets hold")
    model: Text | None = Field(description="what the model is called in C; null: it was not named")
    stripped: bool = Field(description="whether it has no symbols to tell by")
    ok: bool = Field(description="whether no budget is broken")
    sections: list[ElfSection] = Field(description="that take memory")
    symbols: list[SymbolRow] = Field(description="the largest, of the model where it was named")
    largest: dict[Text, list[Large]] = Field(description="by budget: what takes the most of it")
    constraints: list[SizeBudget] = Field(description="the budgets")
    error: Rare[Problem] = Field(default=ABSENT, description="which budgets are broken")
