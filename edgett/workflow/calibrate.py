"""How fast a device is: small graphs of all kinds measured on it, and a profile that says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.device import calibrate as probing
from edgett.device.bench import BenchReport, Device, Plan, Subject
from edgett.device.calibrate import PROBES, ConvolutionProbe, Fit, FormProbe, Probe, ProductChain, ProductProbe, Sum
from edgett.device.local import Local
from edgett.errors import ProfileError, UsageError
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.meter import Meter, Silent
from edgett.schema import SCHEMA
from edgett.system.folders import scratch
from edgett.target.places import search_folders
from edgett.target.profile import Runtime, Target, load_profile, load_target, machines
from edgett.target.speeds import toml

AT_ONCE = 12
"""Probes that take turns: as many runtimes are in the device's memory."""
LIMIT = 600
"""Seconds after which they are given up."""
CALIBRATED = 16
"""Samples that the ranges of int8 probes are taken from."""
_TABLE = re.compile(r"(?m)^\[latency\]\n(?:(?!\[).*\n?)*")


def calibrate(device: Device, base: str, out: Path, limit: int, meter: Meter) -> dict[str, Any]:
    """Measure a device with the runtime of the profile `base`, and write that profile with what was found to `out`.

    Raises UsageError when there is no place for it, ProfileError when `base` is none, ToolError when the device fails.
    """
    target, text = _loaded(base), _text_of(base)
    _refuse(target, base, out)
    runtime = target.runtime
    _refuse_other(target, measured(PROBES[:1], device, runtime, Silent(), limit)[1])
    times, report = measured(PROBES, device, runtime, meter, limit)
    fit = probing.fitted(times, runtime.dtype.size, channels_first=runtime.format is Format.ONNX)
    words = _told(device, report)
    text = _placed(text, here=isinstance(device, Local))
    _write(out, text, toml(fit.speeds, words, runtime.dtype, runtime.threads))
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
                subjects.append(_subject(probe, folder / f"probe{index}{runtime.format.suffix}", runtime.dtype))
                advance(1)
        with meter.stage(f"measuring the probes on {device.name}", len(probes)) as advance:
            for first in range(0, len(probes), AT_ONCE):
                some = slice(first, first + AT_ONCE)
                report = device.measure(subjects[some], plan, Silent())
                for probe, one in zip(probes[some], report.artefacts, strict=True):
                    times[probe] = float(np.median(np.concatenate(one.turns))) / 1e3
                advance(len(report.artefacts))
    return times, report


def _refuse(target: Target, base: str, out: Path) -> None:
    if target.runtime.format is Format.C:
        raise UsageError(
            f"the target {target.name} runs C, which is not timed.", "Take a profile whose format is tflite or onnx."
        )
    if out.suffix != ".toml":
        raise UsageError(f"--out {out} is no profile.", f"Name it {out.stem or 'device'}.toml.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", out.stem):
        raise UsageError(f"--out {out}: {out.stem!r} is no name of a target.", "It takes a to z, 0 to 9, . and -.")
    if out.exists() and not (Path(base).exists() and out.samefile(base)):
        raise UsageError(f"{out} exists.", "Name another, or the profile itself with --target.")
    if not out.parent.is_dir():
        raise UsageError(f"the folder {out.parent} does not exist.", "Make it first.")


def _refuse_other(target: Target, report: BenchReport) -> None:
    """Raise UsageError where a profile tells of another kind of machine than the one that was reached."""
    isa, found = target.device.isa, report.machine["architecture"]
    if isa is not None and found not in machines(isa):
        raise UsageError(
            f"the target {target.name} is {isa.value}, and the device is {found}.",
            "Take another profile: --target host",
        )


def _loaded(base: str) -> Target:
    """The profile; without what was measured before where that is the mistake, as an older edgett wrote it."""
    try:
        return load_target(base)
    except ProfileError as error:
        with scratch() as folder:
            part = folder / f"{Path(base).stem}.toml"
            try:
                part.write_text(_TABLE.sub("", _text_of(base)), encoding="utf-8")
                return load_profile(part)
            except (ProfileError, ValueError, StopIteration):
                raise error from None


def _text_of(base: str) -> str:
    paths = [Path(base), *(folder / f"{base}.toml" for folder in search_folders())]
    return next(path for path in paths if path.is_file()).read_text(encoding="utf-8")


def _subject(probe: Probe, path: Path, dtype: DType) -> Subject:
    """A probe as a file, with the inputs that it is run on."""
    from edgett.model import ports
    from edgett.workflow.files import Style, write

    model, batch = _model(probe)
    random = np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {
        port.name: random.normal(size=(batch * CALIBRATED, *map(int, filter(None, port.shape)))).astype(np.float32)
        for port in ports.input_ports(model)
    }
    style = Style(batch, list(_batches(inputs, batch)) if dtype is DType.INT8 else None)
    (made,) = write(model, style, path.with_suffix(""), [path.suffix])
    return Subject(made, {name: values[:batch] for name, values in inputs.items()})


def _batches(inputs: dict[str, NDArray[Any]], batch: int) -> Iterator[dict[str, NDArray[Any]]]:
    for index in range(CALIBRATED):
        yield {name: values[index * batch : (index + 1) * batch] for name, values in inputs.items()}


def _model(probe: Probe) -> tuple[Any, int]:
    """What a probe is in Keras, and for how many samples at once."""
    from edgett.model import probes

    match probe:
        case ProductProbe(rows, inner, columns):
            return probes.product(inner, columns), rows
        case FormProbe(spec):
            return probes.in_form(spec), 1
        case ProductChain(length):
            return probes.chain(length), 1
        case Sum(count):
            return probes.sum_of_two(count), 1
        case ConvolutionProbe(side, kernel, reads, writes):
            return probes.convolution(side, kernel, reads, writes), 1


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


def _write(out: Path, text: str, table: str) -> None:
    """The profile with another table and the name of its file, whole or not at all."""
    text = _TABLE.sub("", text).rstrip() + "\n\n" + table
    text = re.sub(r'(?m)^name *= *".*"', f'name = "{out.stem}"', text, count=1)
    with scratch(out.parent) as folder:
        part = folder / out.name
        part.write_text(text, encoding="utf-8")
        try:
            load_profile(part)
        except ProfileError as error:
            raise UsageError(
                f"--out {out} would be no profile: {error.message}", "Name it in small letters."
            ) from error
        part.replace(out)


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
