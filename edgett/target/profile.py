"""Targets: a device's TOML profile, checked, and what it demands of a model.

name = "cortex-m4"                      # the file is called cortex-m4.toml
title = "STM32F446RE, Arm Cortex-M4F at 180 MHz"

[sources]                               # what was opened and read, by a short key
dts = "https://... (devicetree of the STM32F446xE)"

[runtime]                               # what is exported for the device
format = "tflite"                       # or onnx, c
dtype = "float32"                       # or int8
threads = 1

[memory]                                # a fact has a value, and either a source or estimate = true
flash = {value = "512 KiB", source = "dts"}
ram = {value = "128 KiB", source = "dts"}
flash_share = "50 %"                    # what a model may take; the rest is the application's
ram_share = "50 %"

[compute]
clock = {value = "180 MHz", source = "dts"}
cores = {value = 1, source = "dts"}
bandwidth = {value = "720 MB/s", estimate = true}
l1d = {value = "32 KiB", source = "dts"}            # optional, as are l2 and the next
integers_only = {value = false, source = "dts"}     # true: it takes no float32 model
instructions_per_cycle = {value = 1, source = "dts"}    # that a core starts at most; without it: 1

[compute.macs_per_cycle]                # of one core; measured_float32 and measured_int8 are optional
float32 = {value = 0.5, estimate = true}
int8 = {value = 2, estimate = true}

[budget]                                # of the whole model; a percentage is of the original
model_bytes = "256 KiB"                 # without it: flash_share of the flash
peak_activation_bytes = "64 KiB"        # without it: ram_share of the RAM
flops = "100 %"                         # this and the next two: without it, no limit
latency_ms = 20
accuracy_drop_pp = 1.5
objective = "memory"                    # or flops, accuracy

[device]                                # optional: how to emulate one, or reach one
isa = "arm"                             # of which ELF files its programs are
local = false                           # true: it is the machine that edgett runs on
emulator = "qemu-system-arm"
machine = "mps2-an386"
"""

from __future__ import annotations

import difflib
import platform
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field, PlainValidator, ValidationError, create_model, model_validator
from pydantic.fields import FieldInfo

from edgett.errors import ProfileError, UsageError
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.instructions import Cycles, Instructions
from edgett.graph.latency import Speeds
from edgett.search.constraints import (
    CONSTRAINTS,
    DROP,
    FLOPS,
    LATENCY,
    MODEL_BYTES,
    PEAK,
    ROBUST_DROP,
    Constraint,
    Constraints,
    Objective,
)
from edgett.target.counted import InstructionTable
from edgett.target.isa import Isa
from edgett.target.places import profile_files, search_folders
from edgett.target.speeds import UNMEASURED, Latency
from edgett.target.tables import TomlTable, mistakes, read
from edgett.target.units import BANDWIDTH, FREQUENCY, SIZE, WORK, Percentage, Unit, parse_share

Bytes = Annotated[int, PlainValidator(SIZE.parse), SIZE]
Hertz = Annotated[int, PlainValidator(FREQUENCY.parse), FREQUENCY]
BytesPerSecond = Annotated[int, PlainValidator(BANDWIDTH.parse), BANDWIDTH]
PercentField = Annotated[Percentage, PlainValidator(parse_share)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
T = TypeVar("T")
SHOW = "'edgett targets show cortex-m4' explains every key of a profile."


class Fact(TomlTable, Generic[T]):
    """Something about the hardware, and how we know it."""

    value: T = Field(description="the fact itself")
    source: Text | None = Field(default=None, description="the key in [sources] of the document that says so")
    estimate: bool = Field(default=False, description="true: no document that we read says so")

    @model_validator(mode="after")
    def _known_from_one_place(self) -> Fact[T]:
        if (self.source is None) != self.estimate:
            raise ValueError("a fact with either a source or estimate = true, and not both")
        return self


class Runtime(TomlTable):
    format: Annotated[Format, Field(strict=False)] = Field(description="what it runs: tflite, onnx or c")
    dtype: Annotated[DType, Field(strict=False)] = Field(description="the type of its numbers: float32 or int8")
    threads: Count = Field(description="threads that run the model, at most the cores")


class Memory(TomlTable):
    flash: Fact[Bytes] = Field(description="memory that holds the program and the model")
    ram: Fact[Bytes] = Field(description="memory for activations, stack and the application's data")
    flash_share: PercentField = Field(description="part of the flash that a model may take")
    ram_share: PercentField = Field(description="part of the RAM that a model's activations may take")


class MacsPerCycle(TomlTable):
    float32: Fact[Rate] = Field(description="peak multiply-accumulates a cycle of one core, float32")
    int8: Fact[Rate] = Field(description="peak multiply-accumulates a cycle of one core (or of the NPU), int8")
    measured_float32: Fact[Rate] | None = Field(default=None, description="what a good float32 kernel reaches")
    measured_int8: Fact[Rate] | None = Field(default=None, description="what a good int8 kernel reaches")


class Compute(TomlTable):
    clock: Fact[Hertz] = Field(description="highest clock of a core")
    cores: Fact[Count] = Field(description="cores that can run the model")
    bandwidth: Fact[BytesPerSecond] = Field(description="memory bandwidth, all cores together")
    l1d: Fact[Bytes] | None = Field(default=None, description="first-level data cache of one core")
    l2: Fact[Bytes] | None = Field(default=None, description="second-level cache, shared")
    integers_only: Fact[bool] | None = Field(default=None, description="true: what runs the model has no float32")
    instructions_per_cycle: Fact[Rate] | None = Field(
        default=None, description="instructions that a core starts in a cycle at most"
    )
    macs_per_cycle: MacsPerCycle = Field(description="multiply-accumulates a cycle of one core")


UNITS: Mapping[Constraint, Unit] = {MODEL_BYTES: SIZE, PEAK: SIZE, FLOPS: WORK}
"""How limits are written that are absolute or a share of the original's."""
_LIMITS: Mapping[Constraint, Any] = {
    **{row: Annotated[int | Percentage, PlainValidator(unit.parse_limit), unit] for row, unit in UNITS.items()},
    LATENCY: Rate,
    DROP: Annotated[float, Field(ge=0, le=100)],
    ROBUST_DROP: Annotated[float, Field(ge=0, le=100)],
}
_FIELDS: Any = {row.name: (_LIMITS[row] | None, Field(default=None, description=row.meaning)) for row in CONSTRAINTS}
_Limits: Any = create_model("_Limits", __base__=TomlTable, **_FIELDS)


class Budget(_Limits):
    objective: Annotated[Objective, Field(strict=False)] = Field(
        description="which of the solutions that hold is recommended: memory, flops, accuracy or latency"
    )

    def __getitem__(self, row: Constraint) -> Any:
        """The limit of a row: a number, a `Percentage` of the original's, or None."""
        return getattr(self, row.name)


class DeviceTable(TomlTable):
    isa: Annotated[Isa, Field(strict=False)] | None = Field(
        default=None, description="what its programs are for: arm, aarch64, riscv32, riscv64, xtensa or x86_64"
    )
    local: bool = Field(
        default=False, description="true: it is the machine that edgett runs on, and what is timed here counts"
    )
    emulator: Text | None = Field(default=None, description="program that emulates the device")
    machine: Text | None = Field(default=None, description="the emulator's name for the board")
    cpu: Text | None = Field(default=None, description="the emulator's name for the processor")


class Target(TomlTable):
    """A device and what it demands of a model."""

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9.-]*$")] = Field(description="what --target takes")
    title: Text = Field(description="the device in words")
    sources: dict[str, Annotated[str, Field(pattern="^https?://")]] = Field(
        default={}, description="documents that were read"
    )
    runtime: Runtime = Field(description="what is exported for the device")
    memory: Memory = Field(description="how much memory there is, and how much of it a model may take")
    compute: Compute = Field(description="how fast the device is")
    budget: Budget = Field(description="limits of the whole model")
    device: DeviceTable = Field(default=DeviceTable(), description="whether it is this machine, and how to emulate one")
    latency: Latency | None = Field(default=None, description="how fast it was found to be, by 'edgett calibrate'")
    instructions: InstructionTable | None = Field(
        default=None, description="what C takes there, by 'edgett calibrate --device emulator'"
    )

    @property
    def speeds(self) -> Speeds | None:
        """What an inference costs there, as it was measured with the threads and the type of number of its runtime."""
        return None if self.latency is None else self.latency.of(self.runtime.dtype, self.runtime.threads)

    @property
    def compiled(self) -> bool:
        """Whether C is what it runs: its profile says so, or it has no operating system for a runtime."""
        return self.runtime.format is Format.C or (self.device.emulator or "").startswith("qemu-system")

    @property
    def rates(self) -> Instructions | None:
        """What an inference takes there in C; None where it runs no C, or nobody has counted its type of number."""
        return None if self.instructions is None or not self.compiled else self.instructions.of(self.runtime.dtype)

    @property
    def cycles(self) -> Cycles:
        """What its published timings make of instructions and multiply-accumulates."""
        compute, started = self.compute, self.compute.instructions_per_cycle
        macs = compute.macs_per_cycle.int8 if self.runtime.dtype is DType.INT8 else compute.macs_per_cycle.float32
        return Cycles(1.0 if started is None else started.value, macs.value, compute.clock.value)

    @property
    def here(self) -> bool:
        """Whether it is this machine, so that what is timed here is what it takes there."""
        isa = self.device.isa
        return self.device.local and (isa is None or platform.machine() in machines(isa))

    @property
    def integers_only(self) -> bool:
        """Whether it calculates with integers only."""
        fact = self.compute.integers_only
        return fact is not None and fact.value


def machines(isa: Isa) -> tuple[str, ...]:
    """What kernels call machines that run it."""
    more = {Isa.ARM: ("armv6l", "armv7l", "armv8l"), Isa.AARCH64: ("arm64",), Isa.X86_64: ("AMD64",)}
    return isa.value, *more.get(isa, ())


def constraints(target: Target, original: Mapping[Constraint, float]) -> Constraints:
    """The target's budget for a model. `original` is what it has before compression, as far as that is known.

    A percentage never becomes more than the model's share of the memory, and a missing limit of bytes is that share.
    """
    budget, memory = target.budget, target.memory
    rooms = {
        MODEL_BYTES: memory.flash_share.of(memory.flash.value),
        PEAK: memory.ram_share.of(memory.ram.value),
    }
    shares = {row for row in CONSTRAINTS if isinstance(budget[row], Percentage)}
    return Constraints(
        budget.objective,
        {row: _absolute(budget[row], original.get(row), rooms.get(row)) for row in CONSTRAINTS},
        frozenset(shares - original.keys()),
    )


def _absolute(limit: float | Percentage | None, original: float | None, room: int | None) -> float | None:
    """A limit in absolute numbers; of a share of what is not known, and where there is none, what there is room for."""
    if not isinstance(limit, Percentage):
        return room if limit is None else limit
    if original is None:
        return room
    return limit.of(original) if room is None else min(limit.of(original), room)


def override(target: Target, **limits: str | float | Objective | None) -> Target:
    """The target with the fields of its budget that are given, and not None, replaced; UsageError if one is wrong.

    Here a model may take more than its share of the memory, but not more than there is.
    """
    given = {key: value for key, value in limits.items() if value is not None}
    kept = {key: getattr(target.budget, key) for key in Budget.model_fields if key not in given}
    try:
        budget = Budget.model_validate({"objective": target.budget.objective} | given)
    except ValidationError as problem:
        raise UsageError(*mistakes(problem, Budget)) from problem
    changed = target.model_copy(update={"budget": budget.model_copy(update=kept)})
    everything = Percentage(Fraction(1))
    for message in _over_memory(changed, flash_share=everything, ram_share=everything):
        raise UsageError(message, "Give a smaller one.")
    if (budget.objective is Objective.LATENCY and _unknown(target)) or (
        LATENCY.name in given and target.speeds is None
    ):
        raise UsageError(f"{target.name}: {UNMEASURED}", "Measure one: edgett calibrate --help")
    return changed


def with_dtype(target: Target, dtype: DType | None) -> Target:
    """The target with files of that type, or with its own where None is given; UsageError if it cannot run them."""
    if dtype is None:
        return target
    changed = target.model_copy(update={"runtime": target.runtime.model_copy(update={"dtype": dtype})})
    for message in _unable(changed):
        raise UsageError(f"{target.name}: {message}", f"Give --dtype {DType.INT8.value}, or leave --dtype out.")
    return changed


def leaves(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    """Every field that is not a table of fields: its dotted key, its value, what pydantic knows of it."""
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        if isinstance(value, BaseModel) and not isinstance(value, Fact):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value, field


def load_target(name_or_path: str, *, search: tuple[Path, ...] | None = None) -> Target:
    """Read a target's profile.

    Args:
        name_or_path: a name such as "cortex-m4", or the path of a TOML file.
        search: the folders in which a name is looked up, the first that has it; None: those of `search_folders`.

    Returns:
        The target, every field of it checked.

    Raises:
        ProfileError: for a name that there is not, and for a file that is no profile.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        return load_profile(path)
    files = profile_files(search_folders() if search is None else search)
    for path in files:
        if path.stem == name_or_path:
            return load_profile(path)
    near = difflib.get_close_matches(name_or_path, [path.stem for path in files], cutoff=0.5)
    hint = f"Did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
    raise ProfileError(f"There is no target {name_or_path!r}.", f"{hint}'edgett targets list' lists them.")


def list_targets(*, search: tuple[Path, ...] | None = None) -> tuple[tuple[Target, ...], tuple[ProfileError, ...]]:
    """The targets that can be named, sorted by name, and beside them what is wrong with profiles that cannot."""
    good: dict[str, Target] = {}
    bad: list[ProfileError] = []
    first: dict[str, Path] = {}
    for path in profile_files(search_folders() if search is None else search):
        if path.stem in first:
            hides = f"{path} is hidden by {first[path.stem]}, which has the same name."
            bad.append(ProfileError(hides, "Rename it, or give its path."))
            continue
        first[path.stem] = path
        try:
            good[path.stem] = load_profile(path)
        except ProfileError as problem:
            bad.append(problem)
    return tuple(good[name] for name in sorted(good)), tuple(bad)


def load_profile(path: Path) -> Target:
    """The profile in a file, or ProfileError."""
    target = read(Target, path, SHOW)
    memory = target.memory
    for message in (*_contradictions(target, path), *_over_memory(target, memory.flash_share, memory.ram_share)):
        raise ProfileError(f"{path}: {message}", SHOW)
    return target


def _contradictions(target: Target, path: Path) -> Iterator[str]:
    if target.name != path.stem:
        yield f"name is {target.name!r}: it must be {path.stem!r}, as the file is called."
    for key, fact, _ in leaves(target):
        if isinstance(fact, Fact) and fact.source and fact.source not in target.sources:
            known = ", ".join(target.sources) or "which is empty"
            yield f"{key}.source is {fact.source!r}: it must be a key of [sources]: {known}."
    if target.runtime.threads > target.compute.cores.value:
        cores = target.compute.cores.value
        yield f"runtime.threads is {target.runtime.threads}: it must be at most compute.cores, {cores}."
    yield from _unable(target)
    if target.device.emulator is None and (target.device.machine or target.device.cpu):
        yield "device.emulator is missing: device.machine and device.cpu are names that it knows."


def _unable(target: Target) -> Iterator[str]:
    dtype = target.runtime.dtype
    if target.budget.objective is Objective.LATENCY and _unknown(target):
        yield f"budget.objective is 'latency': {UNMEASURED}"
    if target.integers_only and dtype is not DType.INT8:
        needed = DType.INT8.value
        yield f"runtime.dtype is {dtype.value!r}: it must be {needed!r}, for compute.integers_only is true."


def _unknown(target: Target) -> bool:
    """Whether neither times nor instructions tell which model is faster there."""
    return target.speeds is None and target.rates is None


def _over_memory(target: Target, flash_share: Percentage, ram_share: Percentage) -> Iterator[str]:
    memory = target.memory
    for row, share, whole, what in (
        (MODEL_BYTES, flash_share, memory.flash.value, "flash"),
        (PEAK, ram_share, memory.ram.value, "RAM"),
    ):
        limit = target.budget[row]
        if isinstance(limit, int) and limit > share.of(whole):
            yield (
                f"budget.{row.name} is {SIZE.text(limit)}: it must be at most {SIZE.text(share.of(whole))}, "
                f"{share} of the {SIZE.text(whole)} of {what}."
            )
