"""What the kernels of C take on an emulated device: small models counted on it, and a profile that says so."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgett.device import counted as fitting
from edgett.device.bench import Arrays
from edgett.device.counted import COUNTED, IN_FLOAT32, IN_INT8, CountFit, Small
from edgett.device.emulator import Counted
from edgett.device.program import Program
from edgett.errors import UsageError
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.graph import Graph
from edgett.meter import Meter, Silent
from edgett.schema import SCHEMA
from edgett.search.explore import Costing
from edgett.system.folders import scratch
from edgett.target.counted import toml
from edgett.target.profile import Target
from edgett.workflow import bench, emulate, probing, profile_file, survey

FPU = 0.1
"""Float32 multiply-accumulates a cycle below which a processor has no FPU. What takes the place of one takes as many
instructions as the numbers ask for, so that those of float32 models are not to be foretold."""


@dataclass(frozen=True)
class Probed:
    """A probe in C: what is foretold of it, the bytes of its numbers, its program and what that is run on."""

    graph: Graph
    size: int
    program: Program
    inputs: Arrays


def calibrate(base: str, out: Path, limit: int, meter: Meter) -> dict[str, Any]:
    """Count on the device that the profile `base` emulates, and write that profile with what was found to `out`.

    Raises UsageError when there is no place for it or no emulator, ProfileError when `base` is none, ToolError when the
    emulator fails.
    """
    target = profile_file.loaded(base)
    if target.device.emulator is None:
        raise UsageError(f"the profile {target.name} names no emulator.", "Name another with --target.")
    profile_file.refuse(base, out)
    # What is missing is told at once.
    (first,) = built(wanted(target)[:1], Silent())
    emulate.count_c(first.program, first.inputs, target, limit)
    probes = list(built(wanted(target), meter))
    fit, words = counted(probes, target, limit, meter)
    profile_file.write(out, profile_file.text_of(base), profile_file.INSTRUCTIONS, toml(fit.instructions, words))
    return _document(out, words, len(probes), fit)


def wanted(target: Target) -> list[tuple[Small, DType]]:
    """The probes, in the types of numbers whose instructions can be foretold there."""
    found = [(probe, DType.INT8) for probe in (*COUNTED, *IN_INT8)]
    if target.compute.macs_per_cycle.float32.value >= FPU:
        found += [(probe, DType.FLOAT32) for probe in (*COUNTED, *IN_FLOAT32)]
    return found


def built(probes: Sequence[tuple[Small, DType]], meter: Meter) -> Iterator[Probed]:
    """Probes in some types of numbers."""
    with scratch() as folder, meter.stage("building the probes", len(probes)) as advance:
        for index, (probe, dtype) in enumerate(probes):
            made = probing.subject(probe, folder / f"probe{index}.onnx", dtype)
            model, batch = probing.model_of(probe)
            graph = survey.graphs(model, Costing(batch, dtype.size, Format.C))(frozenset())
            yield Probed(graph, dtype.size, bench.program(made.path, "model"), made.inputs)
            advance(1)


def counted(probes: Sequence[Probed], target: Target, limit: int, meter: Meter) -> tuple[CountFit, str]:
    """What probes take on a target, and where, with what and when it was counted."""

    def count(one: Probed) -> Counted:
        return emulate.count_c(one.program, one.inputs, target, limit)

    found, counts = count(probes[0]), list[int]()
    stage = meter.stage(f"counting instructions on {target.name}", len(probes))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool, stage as advance:
        for one in pool.map(count, probes):
            counts.append(one.instructions)
            advance(1)
    words = f"{found.emulator}, {found.runtime}, {datetime.now(UTC).date().isoformat()}"
    return fitting.fitted([(one.graph, one.size) for one in probes], counts), words


def _document(out: Path, measured: str, probes: int, fit: CountFit) -> dict[str, Any]:
    kernels = {name: asdict(rates) for name, rates in sorted(fit.instructions.kernels.items())}
    return {
        "schema": SCHEMA,
        "profile": str(out),
        "device": "emulator",
        "measured": measured,
        "probes": probes,
        "median_error": fit.median,
        "largest_error": fit.largest,
        "instructions": {"start": fit.instructions.start, "kernels": kernels},
    }
