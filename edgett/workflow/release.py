"""After the selection: export what was picked, read every file back, and compare it with what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgett.device.statistics import Ratio
from edgett.errors import ToolError
from edgett.firmware import vela
from edgett.graph.filesize import Format
from edgett.meter import Meter
from edgett.run.directory import Run, file_digest
from edgett.search.choose import DENSE
from edgett.search.quality import Quality
from edgett.search.solution import Picks, Trial
from edgett.workflow.exports import Exports, Help, Made, completed
from edgett.workflow.files import FileCheck, Style, check
from edgett.workflow.inputs import Inputs
from edgett.workflow.original import BASELINE, FOLDER
from edgett.workflow.terms import Terms, told_by
from edgett.workflow.timing import BRIEF, DECISIVE, Clock
from edgett.workflow.tutor import tutor_of

SAMPLES = 256
"""Validation samples on which an artefact's outputs are compared with Keras's."""

SAMPLES_FILE = "samples.npz"
CALIBRATION_FILE = "calibration.npz"


@dataclass(frozen=True)
class Artifact:
    """A file that was written, its path relative to the run."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """What was written: artefacts by the pick's name (equal picks share theirs), checks by path, test qualities.

    `original`: Keras's own dense model on the test data, which drops are measured by; None where it was not judged.
    `npu`: what Vela says of each int8 .tflite by path, of a target that has an NPU where Vela is installed. `timed`:
    the recommended model beside the dense one on this machine, None where nothing else is recommended or it does not
    run here. `drawn`: whether outputs were compared on random inputs, for want of data.
    `left_out`: by its suffix why a format cannot be had.
    """

    artifacts: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    checks: Mapping[str, FileCheck] = field(default_factory=dict)
    test: Mapping[str, Quality] = field(default_factory=dict)
    original: Quality | None = None
    npu: Mapping[str, vela.VelaSummary] = field(default_factory=dict)
    timed: Ratio | None = None
    drawn: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every artefact is what was predicted."""
        return all(check.ok for check in self.checks.values())


@dataclass(frozen=True)
class Chosen:
    """What step 7 came to: the picks, None where nothing holds, and the dense model and the trials as files measure."""

    picks: Picks | None
    dense: Trial
    trials: tuple[Trial, ...] = ()


def release(inputs: Inputs, trials: Sequence[Trial], terms: Terms, run: Run, meter: Meter) -> tuple[Release, Chosen]:
    """Export and check the baseline and the picks. A pick whose file is over the budget gives way to the next one.

    So does one of which no layer is left that is faster than dense ones where the target is this machine. Trials that
    gave way, or whose layers went back, come with what their file takes and loses.
    """
    clock = _clock(inputs, terms, run, meter)
    with run.staging() as staging:
        with meter.stage("exporting, and timing here" if terms.paced else "exporting") as advance:
            help = Help(clock if terms.paced else None, tutor_of(terms, inputs, run, meter))
            exports = Exports(inputs, terms, _dense(inputs, terms, staging), run, help)
            picks = exports.picked(trials, advance)
        timed = None
        best = picks and picks.recommended.solution
        if best and (best.edits or best.removed) and clock:
            with meter.stage("timing"):
                timed = clock.pace(exports.lineup(exports.made[best.number]))
        names = _names(picks)
        files = {number: _settled(exports.made[number].files, name, run) for number, name in names.items()}
    _keep_samples(run, inputs, terms.original.style)
    samples = inputs.data.validation.take(slice(SAMPLES)).x
    checks: dict[str, FileCheck] = {}
    with meter.stage("checking the artefacts", len(names)) as advance:
        for number in names:
            made = [item.path for item in files[number]]
            checks |= check(exports.made[number].model, samples, made, run.path, exports.made[number].style)
            advance(1)
    test = {number: _tested(exports.made[number].model, files[number], terms, inputs, run) for number in names}
    numbers = {BASELINE: DENSE} | {name: t.solution.number for name, t in (picks.named() if picks else {}).items()}
    released = Release(
        {name: files[number] for name, number in numbers.items()},
        checks,
        {name: test[number] for name, number in numbers.items()},
        _original(inputs, test[DENSE], terms),
        _on_npu([item.path for made in files.values() for item in made], terms, run, meter),
        None if timed is None else timed.whole,
        inputs.drawn,
        terms.original.left_out,
    )
    measured = tuple(exports.other.get(trial.solution.number, trial) for trial in trials)
    return released, Chosen(picks, exports.made[DENSE].trial, measured)


def _clock(inputs: Inputs, terms: Terms, run: Run, meter: Meter) -> Clock | None:
    """What times models as the target runs them; nothing where that is C."""
    runtime = terms.target.runtime
    if runtime.format is Format.C:
        return None
    plan = replace(DECISIVE if terms.paced else BRIEF, threads=runtime.threads if terms.target.here else 1)
    return Clock(run, inputs, plan, meter)


def _dense(inputs: Inputs, terms: Terms, folder: Path) -> Made:
    """The dense model as its files are written, but for Keras's already, and as that for the target measures."""
    drop = terms.quality.drop_from(inputs.quality) if terms.int8 else 0.0
    robust = terms.quality.robust_drop_from(inputs.quality)
    trial = Trial(terms.dense, terms.quality, drop, 0, 0, 0.0, robust_drop=robust)
    made = Made(trial, inputs.model, terms.original.style, terms.original.files)
    return completed(made, folder / BASELINE, terms.original.suffixes)


def _tested(model: Any, files: Sequence[Artifact], terms: Terms, inputs: Inputs, run: Run) -> Quality:
    """The quality on the test data: of the model, in int8 that of the file for the target."""
    held = inputs.data.test
    if not terms.int8:
        return _assessed(model, inputs)
    (path,) = (run.path / item.path for item in files if item.path.suffix == terms.suffix)
    return told_by(path, model, inputs, terms.batch, held)


def _original(inputs: Inputs, baseline: Quality, terms: Terms) -> Quality:
    """The dense model's own quality on the test data, which in float32 is that of its file."""
    return _assessed(inputs.model, inputs) if terms.int8 else baseline


def _assessed(model: Any, inputs: Inputs) -> Quality:
    """A Keras model's own quality on the test data."""
    from edgett.train.assess import assess
    from edgett.train.attacks import under_attack

    return under_attack(assess(model, inputs.data.test, inputs.judge), inputs.adversary, model, inputs.data.test)


def _on_npu(paths: Sequence[Path], terms: Terms, run: Run, meter: Meter) -> dict[str, vela.VelaSummary]:
    """Vela's summary of each int8 .tflite; what it cannot compile is said, and no reason to stop."""
    accelerator = vela.ACCELERATORS.get(terms.target.name)
    files = [path for path in paths if path.suffix == ".tflite"] if accelerator and terms.int8 else []
    found = {}
    for path in files:
        try:
            summary = vela.run(run.path / path, str(accelerator))
        except ToolError as error:
            meter.say(f"{error.message} {error.cure}")
            continue
        if summary is not None:
            found[str(path)] = summary
    return found


def _keep_samples(run: Run, inputs: Inputs, style: Style) -> None:
    """What the files are checked with, and what int8 was calibrated on, for `export` and `check` later."""
    with run.writing(str(FOLDER / SAMPLES_FILE)) as part:
        np.savez(part, allow_pickle=False, **inputs.data.validation.take(slice(SAMPLES)).x)
    if style.calibration is not None:
        names = style.calibration[0]
        with run.writing(str(FOLDER / CALIBRATION_FILE)) as part:
            np.savez(part, allow_pickle=False, **{n: np.concatenate([b[n] for b in style.calibration]) for n in names})


def _names(picks: Picks | None) -> dict[int, str]:
    """The name under which each solution is written: that of the first pick it is."""
    names = {DENSE: BASELINE}
    for name, trial in (picks.named() if picks else {}).items():
        names.setdefault(trial.solution.number, name)
    return names


def _settled(paths: Sequence[Path], name: str, run: Run) -> tuple[Artifact, ...]:
    """Move files to where they stay in the run."""
    artifacts = []
    for path in paths:
        place = FOLDER / f"{name}{path.suffix}"
        run.adopt(path, place)
        artifacts.append(Artifact(place, (run.path / place).stat().st_size, file_digest(run.path / place)))
    return tuple(artifacts)
