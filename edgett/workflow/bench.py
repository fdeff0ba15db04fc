"""Artefacts side by side on a device: which are compared, on which inputs, and what comes of it as a document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.device import local
from edgett.device.bench import Arrays, BenchReport, Device, Measured, Plan, Subject
from edgett.device.link import Link, NoProgram
from edgett.device.program import Program
from edgett.device.ssh import PYTHON, Ssh
from edgett.device.static import Static, processor
from edgett.device.statistics import Ratio, ratio, times
from edgett.errors import ToolError, UsageError
from edgett.export.check import compare_outputs
from edgett.export.decisions import Decision
from edgett.graph.filesize import Format
from edgett.graph.wire import WirePort
from edgett.meter import Meter
from edgett.run import session
from edgett.schema import SCHEMA
from edgett.workflow import reexport

SAMPLES = 64
"""Of a run's validation samples that are compared; as many are drawn for a file that comes alone."""


@dataclass(frozen=True)
class Reach:
    """How to get at a machine: its Python, and a configuration of ssh's."""

    python: str = PYTHON
    ssh_config: Path | None = None


@dataclass(frozen=True)
class Contestant:
    """An artefact to measure, what it is called, what else, and the samples that a run kept for it."""

    name: str
    path: Path
    samples: Mapping[str, NDArray[Any]]
    also: tuple[str, ...] = ()


def device(address: str, reach: Reach) -> Device:
    """What takes times where --device points to. Raises UsageError for anything that does not."""
    if address == "local":
        return local.Local()
    if address.startswith("ssh://"):
        return Ssh(Link.to(address, reach.ssh_config), reach.python)
    raise UsageError(f"there is no device {address!r}.", "Write local, ssh://user@host or emulator.")


def able(place: Device) -> Device:
    """The device, or the same without Python, where it has none; one that was named must be there."""
    if not isinstance(place, Ssh) or place.python != PYTHON:
        return place
    try:
        place.link.call([PYTHON, "-c", ""])
    except NoProgram:
        return Static(place.link, processor(place.link), program)
    return place


def program(path: Path, name: str) -> Program:
    """The C of an .onnx file, for a program on a device. Raises as `input_ports` and `export.c.generate` do."""
    from edgett.export.c import generate

    local.refuse_open(path)
    made = generate(path, name, version("edgett"))
    return Program(made.name, made.header, made.code, made.inputs, made.outputs)


def bench(paths: Sequence[Path], place: Device, plan: Plan, meter: Meter) -> dict[str, Any]:
    """Measure artefacts in turns and compare them with the first; a run stands for its dense model and its picks."""
    place = able(place)
    competing = contestants(paths, ".onnx" if isinstance(place, Static) else None)
    given = list(subjects(competing))
    report = place.measure(given, plan, meter)
    return _document(place.name, report, competing, given, plan.lives)


def contestants(paths: Sequence[Path], suffix: str | None = None) -> list[Contestant]:
    """Files and the artefacts of runs, in the format of the run's target or the one that is named."""
    found = [(path, one) for path in paths for one in _contestants(path, suffix)]
    several = len(paths) > 1
    return _told_apart(
        [replace(one, name=f"{path.name}/{one.name}") if several and path.is_dir() else one for path, one in found]
    )


def _contestants(path: Path, suffix: str | None) -> Iterator[Contestant]:
    """A file, or the artefacts of a run, each once, the dense one first."""
    if not path.is_dir():
        yield Contestant(path.name, path, {})
        return
    _, _, outcome = session.told(path)
    reexport.refuse_unchecked(path, outcome)
    reexport.refuse_changed(path, outcome)
    kept = {name: values[:SAMPLES] for name, values in reexport.samples(path).items()}
    kind = (suffix or Format(outcome["target"]["format"]).suffix).removeprefix(".")
    models = {"baseline": outcome["baseline"], **{name: pick for name, pick in outcome["picks"].items() if pick}}
    if kind not in outcome["baseline"]["artifacts"]:
        why = outcome.get("left_out", {}).get(kind, "it was not written")
        raise UsageError(f"the run in {path} has no .{kind} files: {why}", "Name files that it has, or another device.")
    names: dict[str, list[str]] = {}
    for name in sorted(models, key=("baseline", "recommended").__contains__, reverse=True):
        names.setdefault(models[name]["artifacts"][kind]["path"], []).append(name)
    for file, (first, *others) in names.items():
        yield Contestant(first, path / file, kept, tuple(others))


def _told_apart(contestants: Sequence[Contestant]) -> list[Contestant]:
    """With their paths for names, where different files have one name."""
    paths: dict[str, set[Path]] = {}
    for one in contestants:
        paths.setdefault(one.name, set()).add(one.path)
    return [replace(one, name=str(one.path)) if len(paths[one.name]) > 1 else one for one in contestants]


def subjects(contestants: Sequence[Contestant]) -> Iterator[Subject]:
    """With the run's samples where they fit, else with numbers drawn at random; the same for the same ports."""
    drawn: dict[tuple[WirePort, ...], Mapping[str, NDArray[Any]]] = {}
    for one in contestants:
        ports = local.input_ports(one.path)
        fits = all(port.name in one.samples and one.samples[port.name].shape[1:] == port.shape[1:] for port in ports)
        if not fits and ports not in drawn:
            drawn[ports] = {port.name: _drawn(port) for port in ports}
        yield Subject(one.path, one.samples if fits else drawn[ports])


def _drawn(port: WirePort) -> NDArray[Any]:
    """Numbers as an input may take them: all that int8 can stand for, bytes, or a normal distribution."""
    seed = int.from_bytes(hashlib.sha256(port.name.encode()).digest()[:4], "big")
    random, shape = np.random.default_rng(seed), (SAMPLES, *port.shape[1:])
    if port.scale is not None:
        limits = np.iinfo(port.dtype)
        return port.real(random.integers(limits.min, limits.max, shape, endpoint=True))
    if port.dtype == "bool":
        return random.random(shape) < 0.5
    if port.dtype == "uint8":
        return random.integers(0, 255, shape, endpoint=True)
    if "int" in port.dtype:  # perhaps indices of a table, of whose length nobody tells
        return np.zeros(shape, np.int64)
    return random.normal(size=shape).astype(np.float32)


def _document(
    name: str, report: BenchReport, contestants: Sequence[Contestant], subjects: Sequence[Subject], lives: int
) -> dict[str, Any]:
    first = report.artefacts[0]
    return {
        "schema": SCHEMA,
        "device": {
            "name": name,
            **report.machine,
            "threads": report.threads,
            "pinned": list(report.pinned),
            "before": asdict(report.before),
            "after": asdict(report.after),
        },
        "baseline": contestants[0].name,
        "artifacts": [
            {"name": one.name, "also": list(one.also), "path": str(one.path), "bytes": one.path.stat().st_size}
            | _timing(measured, None if measured is first else ratio(measured.turns, first.turns, lives))
            | {"agreement": agreement(subject.path, subject.inputs, measured.outputs)}
            for one, subject, measured in zip(contestants, subjects, report.artefacts, strict=True)
        ],
    }


def _timing(measured: Measured, against: Ratio | None) -> dict[str, Any]:
    found = times(measured.turns)
    verdict = "baseline" if against is None else "noise" if against.noise else "slower" if against.low > 1 else "faster"
    return {
        "runtime": measured.runtime,
        "runs": found.count,
        "median_us": found.median / 1e3,
        "p90_us": found.p90 / 1e3,
        "p99_us": found.p99 / 1e3,
        "start_ms": measured.start_ns / 1e6,
        "ratio": None if against is None else asdict(against),
        "verdict": verdict,
        "peak_bytes": measured.peak_bytes,
        "added_bytes": measured.added_bytes,
    }


def agreement(path: Path, inputs: Arrays, outputs: Arrays) -> dict[str, Any]:
    """What a device makes of the samples against what the file says, computed here operator by operator.

    Raises ToolError when it gave other outputs than the file has.
    """
    reference = local.reference(path, inputs, local.input_ports(path)[0].shape[0])
    seen = {name: Decision.seen(array) for name, array in reference.items()}
    decided = {name: decision for name, decision in seen.items() if decision is not None}
    try:
        found = compare_outputs(reference, outputs, decisions=decided)
    except ValueError as error:
        raise ToolError(
            f"what the device gave back is not what {path} gives: {error}.",
            "Look whether its disk is full, and run it again.",
        ) from error
    return {"samples": found.samples, "max_abs": _finite(found.max_abs), "top1": found.top1}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
