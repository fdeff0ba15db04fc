"""How fast a device is: small graphs of all kinds measured on it, and a profile that says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgett.device import calibrate as fitting
from edgett.device.bench import BenchReport, Device, Plan
from edgett.device.calibrate import PROBES, Fit, Probe
from edgett.device.local import Local
from edgett.errors import UsageError
from edgett.graph.filesize import Format
from edgett.meter import Meter, Silent
from edgett.schema import SCHEMA
from edgett.system.folders import scratch
from edgett.target.profile import Runtime, Target, machines
from edgett.target.speeds import toml
from edgett.workflow import probing, profile_file

AT_ONCE = 12
"""Probes that take turns: as many runtimes are in the device's memory."""
LIMIT = 600
"""Seconds after which they are given up."""


def calibrate(device: Device, base: str, out: Path, limit: int, meter: Meter) -> dict[str, Any]:
    """Measure a device with the runtime of the profile `base`, and write that profile with what was found to `out`.

    Raises UsageError when there is no place for it, ProfileError when `base` is none, ToolError when the device fails.
    """
    target, text = profile_file.loaded(base), profile_file.text_of(base)
    runtime = target.runtime
    if runtime.format is Format.C:
        raise UsageError(
            f"the target {target.name} runs C, which is not timed.",
            "Count its instructions: --device emulator. Or take a profile whose format is tflite or onnx.",
        )
    profile_file.refuse(base, out)
    _refuse_other(target, measured(PROBES[:1], device, runtime, Silent(), limit)[1])
    times, report = measured(PROBES, device, runtime, meter, limit)
    fit = fitting.fitted(times, runtime.dtype.size, channels_first=runtime.format is Format.ONNX)
    words = _told(device, report)
    text = _placed(text, here=isinstance(device, Local))
    table = toml(fit.speeds, words, runtime.dtype, runtime.threads)
    profile_file.write(out, text, profile_file.LATENCY, table)
    return _document(out, device, words, fit)


def measured(
    probes: Sequence[Probe], device: Device, runtime: Runtime, meter: Meter, limit: int = LIMIT
) -> tuple[dict[Probe, float], BenchReport]:
    """The median time of each probe on a device, in microseconds, and the last of its reports."""
    plan = Plan(runtime.threads, runs=30, seconds=0.2, rounds=10, lives=1, limit=limit)
    times: dict[Probe, float] = {}
    with scratch() as folder:
        subjects = []
        with meter.stage("building the probes", len(probes)) as advance:
            for index, probe in enumerate(probes):
                subjects.append(probing.subject(probe, folder / f"probe{index}{runtime.format.suffix}", runtime.dtype))
                advance(1)
        with meter.stage(f"measuring the probes on {device.name}", len(probes)) as advance:
            for first in range(0, len(probes), AT_ONCE):
                some = slice(first, first + AT_ONCE)
                report = device.measure(subjects[some], plan, Silent())
                for probe, one in zip(probes[some], report.artefacts, strict=True):
                    times[probe] = float(np.median(np.concatenate(one.turns))) / 1e3
                advance(len(report.artefacts))
    return times, report


def _refuse_other(target: Target, report: BenchReport) -> None:
    """Raise UsageError where a profile tells of another kind of machine than the one that was reached."""
    isa, found = target.device.isa, report.machine["architecture"]
    if isa is not None and found not in machines(isa):
        raise UsageError(
            f"the target {target.name} is {isa.value}, and the device is {found}.",
            "Take another profile: --target host",
        )


def _told(device: Device, report: BenchReport) -> str:
    runtimes = dict.fromkeys(one.runtime for one in report.artefacts)
    words: Sequence[str] = (device.name, report.machine["processor"], *runtimes, datetime.now(UTC).date().isoformat())
    return re.sub(r'["\\\x00-\x1f]', " ", ", ".join(words))


def _placed(text: str, *, here: bool) -> str:
    """The profile saying whether its device is the machine that edgett runs on."""
    text = re.sub(r"(?m)^local *= *(true|false)\b.*\n", "", text)
    if not here:
        return text
    added = re.sub(r"(?m)^\[device\].*$", r"\g<0>\nlocal = true", text, count=1)
    return added if added != text else f"{text.rstrip()}\n\n[device]\nlocal = true\n"


def _document(out: Path, device: Device, measured: str, fit: Fit) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "profile": str(out),
        "device": device.name,
        "measured": measured,
        "probes": len(PROBES),
        "median_error": fit.median,
        "p90_error": fit.p90,
        "speeds": asdict(fit.speeds),
    }
