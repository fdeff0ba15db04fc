"""What measuring on any device has in common: what is asked, the folder that goes there, what comes back."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edgett.device import runner
from edgett.errors import EdgettError, ToolError, UsageError
from edgett.meter import Meter

Arrays = Mapping[str, NDArray[Any]]
RUNNER = Path(runner.__file__)

SECONDS = 600
"""The most that an artefact is timed."""
ROOM = 1 << 18
"""Bytes that a report and a log may take beside what is given."""
_DAMAGED = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, BadZipFile,
)  # fmt: skip
"""What reading a report that is none, or only a part of one, raises."""
_PACKAGES = {".tflite": "ai-edge-litert", ".onnx": "onnxruntime"}


@dataclass(frozen=True)
class Plan:
    """How artefacts are timed.

    Each artefact has a process of its own in each life, and its turns alternate with the others'.

    Attributes:
        threads: of the runtime.
        runs: the least timed runs of each artefact.
        seconds: the least that each is timed.
        rounds: turns of each artefact in a life.
        lives: how often the processes are started anew.
        limit: seconds after which all is given up.

    Raises:
        UsageError: for seconds below 0 or above 600.
    """

    threads: int = 1
    runs: int = 50
    seconds: float = 2.0
    rounds: int = 4
    lives: int = 5
    limit: int = 1800

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= SECONDS:
            raise UsageError(
                f"--seconds {self.seconds:g} is not from 0 to {SECONDS}.", "Give 2, or what patience allows."
            )

    @property
    def turns(self) -> int:
        """The turns of each artefact, in all its lives together."""
        return self.rounds * self.lives

    @property
    def least(self) -> tuple[int, int]:
        """The least timed runs of a turn, and the least nanoseconds that it lasts."""
        return -(-self.runs // self.turns), round(1e9 * self.seconds / self.turns)


@dataclass(frozen=True)
class Subject:
    """An artefact to measure: its file, and by the name of each input (n, ...) numbers that it is run on."""

    path: Path
    inputs: Arrays


@dataclass(frozen=True)
class ProcessorState:
    """What a processor tells of itself; None where it does not.

    Attributes:
        governor: what sets its clock, such as "performance".
        mhz: its clock.
        celsius: the temperature of the hottest sensor.
    """

    governor: str | None
    mhz: float | None
    celsius: float | None


@dataclass(frozen=True)
class Measured:
    """What an artefact took on a device.

    Attributes:
        file: its name.
        runtime: what ran it, and the version.
        turns: nanoseconds of every timed run, an array a turn, life by life.
        start_ns: what loading and the first run took.
        peak_bytes: the most memory that its process had resident.
        added_bytes: that without the process itself.
        outputs: by name, (n, ...) each.
    """

    file: str
    runtime: str
    turns: tuple[NDArray[np.int64], ...]
    start_ns: int
    peak_bytes: int
    added_bytes: int
    outputs: Arrays


@dataclass(frozen=True)
class BenchReport:
    """What a device measured.

    Attributes:
        machine: its architecture, processor and system.
        threads: of the runtime.
        pinned: the processors that the runs were kept on, none where that is impossible.
        before: the processor's state before the first run.
        after: its state behind the last one.
        artefacts: one by one.
    """

    machine: Mapping[str, str]
    threads: int
    pinned: tuple[int, ...]
    before: ProcessorState
    after: ProcessorState
    artefacts: tuple[Measured, ...]


class Device(Protocol):
    """A place where artefacts can be measured: this machine, one behind ssh, an emulated one."""

    @property
    def name(self) -> str:
        """Its name as --device takes it: local, ssh://user@host, an emulator's."""

    def measure(self, subjects: Sequence[Subject], plan: Plan, meter: Meter) -> BenchReport:
        """Measure artefacts, turn by turn.

        Args:
            subjects: the artefacts, with their inputs.
            plan: how often, and how long.
            meter: is told how far it has come.

        Returns:
            What the device measured.

        Raises:
            ToolError: with the reason, when that cannot be done.
        """


def pack(folder: Path, subjects: Sequence[Subject], plan: Plan) -> None:
    """Put into a folder what the runner needs: itself, artefacts, inputs and a plan.

    Args:
        folder: it is there already.
        subjects: the artefacts, with their inputs.
        plan: how often, and how long.

    Raises:
        UsageError: for an artefact that cannot be read.
        OSError: for want of room.
    """
    names = [f"{index}-{subject.path.name}" for index, subject in enumerate(subjects)]
    fed: dict[int, str] = {}
    for subject, name in zip(subjects, names, strict=True):
        try:
            shutil.copyfile(subject.path, folder / name)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            why = f"{subject.path} cannot be read: {error.strerror}."
            raise UsageError(why, "Give a file that was exported.") from error
        if id(subject.inputs) not in fed:
            fed[id(subject.inputs)] = f"inputs-{len(fed)}.npz"
            named: Any = {f"={name}": values for name, values in subject.inputs.items()}
            np.savez(folder / fed[id(subject.inputs)], **named)
    inputs = [fed[id(subject.inputs)] for subject in subjects]
    asked = asdict(plan) | {"contract": runner.CONTRACT, "artefacts": names, "inputs": inputs}
    (folder / "plan.json").write_text(json.dumps(asked))
    shutil.copyfile(RUNNER, folder / RUNNER.name)
    if shutil.disk_usage(folder).free < ROOM:
        raise OSError(errno.ENOSPC, "No space left on device")


def unpack(folder: Path, where: str, outputs: Callable[[int], Arrays] | None = None) -> BenchReport:
    """Read what the runner left in the folder.

    Args:
        folder: that of `pack`, back from the device.
        where: the name of the device, for messages.
        outputs: reads the outputs of the artefact of a number; None: from .npz files.

    Returns:
        What the device measured.

    Raises:
        ToolError: for what it could not do, or where that is no report.
    """

    def stored(index: int) -> Arrays:
        # Opened here, for of a part of a file NumPy would leave it open.
        with (folder / f"outputs-{index}.npz").open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {name[1:]: values for name, values in held.items()}

    try:
        told = json.loads((folder / "report.json").read_text())
        if error := told.get("error"):
            raise trouble(error, where)
        return _report(told, outputs or stored)
    except _DAMAGED as error:
        works = "." if outputs else " and whether its Python works: python3 -m json.tool < /dev/null."
        raise ToolError(
            f"what {where} reports is no report of edgett: {type(error).__name__}: {error}.",
            f"Look whether its disk is full{works}",
        ) from error


def _report(told: Mapping[str, Any], outputs: Callable[[int], Arrays]) -> BenchReport:
    measured = []
    for index, entry in enumerate(told["artefacts"]):
        runtime = f"{entry['runtime'].replace('_', '-')} {entry['version']}"
        turns = tuple(np.array(turn, np.int64) for turn in entry["turns"])
        if not turns or any(turn.ndim != 1 or not len(turn) or turn.min() < 0 for turn in turns):
            raise ValueError(f"times of {entry['file']} that are none")
        start, peak, added = (int(entry[key]) for key in ("start_ns", "peak_bytes", "added_bytes"))
        measured.append(Measured(entry["file"].partition("-")[2], runtime, turns, start, peak, added, outputs(index)))
    before, after = (ProcessorState(**told[key]) for key in ("before", "after"))
    if not measured:
        raise ValueError("no artefact")
    machine = {key: str(told["machine"][key]) for key in ("architecture", "processor", "system")}
    return BenchReport(machine, int(told["threads"]), tuple(told["pinned"]), before, after, tuple(measured))


def trouble(error: Mapping[str, str], where: str) -> EdgettError:
    """The error for the "kind" and "message" of what a runner told, its cure for the place `where` it ran."""
    if not isinstance(error, Mapping) or not {"kind", "message"} <= error.keys():
        return ToolError(f"what {where} reports is no report of edgett: {error!r}.", "Run it again.")
    message = str(error["message"]).rstrip(".")
    suffix = next((suffix for suffix in _PACKAGES if suffix in message), ".tflite")
    match error["kind"]:
        case "runtime":
            suffix = next((s for s, names in runner.RUNTIMES.items() if message.endswith(names[0])), suffix)
            return ToolError(
                f"{where} has no runtime for {suffix} files: {message}.",
                f"There: python3 -m pip install {_PACKAGES[suffix]}",
            )
        case "busy":
            return ToolError(f"{message} on {where}.", "Wait until it is over: two at once would measure each other.")
        case "memory":
            return ToolError(f"the memory of {where} does not suffice: {message}.", "Give fewer or smaller artefacts.")
        case "killed":
            return ToolError(
                f"{message} on {where}: by somebody, or by the system for want of memory.",
                "Look at its free memory; give fewer artefacts at once.",
            )
        case "threads":
            return UsageError(f"--threads: {message} ({where}).", "Give fewer.")
        case "disk":
            return ToolError(
                f"the disk of {where} is full: {message}.",
                "Free some space there, or name another folder in its TMPDIR.",
            )
        case "lock":
            return ToolError(
                f"{message} ({where}).",
                "It keeps two benchmarks apart. Remove it, or let everybody read it: chmod a+r.",
            )
        case "refused":
            return ToolError(
                f"the runtime on {where} refuses an artefact: {message}.",
                f"It may be older than the file; there: python3 -m pip install --upgrade {_PACKAGES[suffix]}",
            )
        case "time":
            return ToolError(f"the benchmark on {where} took too long and was ended.", "Raise --limit.")
        case "suffix":
            return UsageError(f"{message}.", "Give .tflite or .onnx files, or a run's directory.")
    return ToolError(f"the benchmark on {where} failed: {message}.", "Run it again with --debug.")
