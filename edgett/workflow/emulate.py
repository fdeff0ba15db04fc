"""Artefacts side by side on an emulated device: instructions and outputs, and no times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgett.device import emulator
from edgett.device.bench import Arrays
from edgett.device.emulator import Counted
from edgett.device.program import Program
from edgett.errors import ToolError, UsageError
from edgett.meter import Meter
from edgett.run import session
from edgett.schema import SCHEMA
from edgett.target.profile import Target, load_target
from edgett.workflow import bench
from edgett.workflow.bench import Contestant

SAMPLES = 4
"""Each inference executes nearly the same instructions; a few tell how nearly."""


def emulate(paths: Sequence[Path], name: str | None, limit: float, meter: Meter) -> dict[str, Any]:
    """Count the instructions of artefacts on the device that the profile `name` emulates, compared with the first.

    A run stands for its dense model and its picks, and its own target where `name` is None. Linux on arm64 executes
    .tflite and .onnx files in their runtimes; other devices execute C, made of .onnx files. `limit`: seconds for each.
    """
    target = load_target(name or _own(paths))
    if target.device.emulator is None:
        raise UsageError(f"the profile {target.name} names no emulator.", "Name another with --target.")
    in_c = target.device.emulator not in _WITH_RUNTIMES
    contestants = bench.contestants(paths, ".onnx" if in_c else None)
    counted: list[tuple[Contestant, Arrays, Counted]] = []
    with meter.stage(f"emulating {target.name}", len(contestants)) as advance:
        for one, subject in zip(contestants, bench.subjects(contestants), strict=True):
            inputs = {name: values[:SAMPLES] for name, values in subject.inputs.items()}
            counted.append((one, inputs, _count(one.path, inputs, target, limit)))
            advance(1)
    return _document(target, counted)


_WITH_RUNTIMES = frozenset({"qemu-aarch64"})


def _own(paths: Sequence[Path]) -> str:
    if len(paths) != 1 or not paths[0].is_dir():
        raise UsageError("the emulator needs to know the device.", "Name it: --target cortex-a53")
    _, job, _ = session.told(paths[0])
    return job.target


def _count(path: Path, inputs: Arrays, target: Target, limit: float) -> Counted:
    device = target.device
    assert device.emulator is not None
    if device.emulator in _WITH_RUNTIMES:
        return emulator.count(path, inputs, device.cpu or "max", limit)
    if path.suffix != ".onnx":
        raise UsageError(
            f"{target.name} is emulated with C, which is made of .onnx: {path} is none.", "Give the .onnx."
        )
    return count_c(bench.program(path, "model"), inputs, target, limit)


def count_c(program: Program, inputs: Arrays, target: Target, limit: float) -> Counted:
    """The instructions of C on an emulated device. Raises ToolError as `emulator` does, and where there is none."""
    device = target.device
    if device.emulator not in (*emulator.COMPILERS, "qemu-system-arm"):
        raise ToolError(f"edgett cannot run programs on {device.emulator}.", "Name another with --target.")
    if device.emulator in emulator.COMPILERS:
        return emulator.count_c(program, inputs, device.emulator, device.cpu or "max", limit)
    return emulator.count_on_board(program, inputs, device.machine or device.emulator, limit, device.cpu)


def _document(target: Target, counted: Sequence[tuple[Contestant, Arrays, Counted]]) -> dict[str, Any]:
    first = counted[0][2]
    return {
        "schema": SCHEMA,
        "device": {"name": "emulator", "target": target.name, "emulator": first.emulator},
        "baseline": counted[0][0].name,
        "artifacts": [
            {
                "name": one.name,
                "also": list(one.also),
                "path": str(one.path),
                "bytes": one.path.stat().st_size,
                "runtime": found.runtime,
                "instructions": found.instructions,
                "spread": found.spread,
                "ratio": None if found is first else found.instructions / first.instructions,
                "agreement": bench.agreement(one.path, inputs, found.outputs),
            }
            for one, inputs, found in counted
        ],
    }
