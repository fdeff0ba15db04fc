"""After the selection: export what was picked, read every file back, and compare it with what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgett.device import local
from edgett.errors import ToolError
from edgett.export.calibration import Calibration
from edgett.files import SUFFIXES, FileCheck, Style, batches, check, write
from edgett.firmware import vela
from edgett.inputs import Inputs
from edgett.reverting import back, costed, worst
from edgett.run import Run, file_digest
from edgett.space.choose import choose, feasible, holdings
from edgett.targets import Target
from edgett.values import Artifact, Constraints, DType, Meter, Picks, Quality, Refuge, Reverted, Trial

SAMPLES = 256
"""Validation samples on which an artefact's outputs are compared with Keras's."""

BASELINE = "baseline"
FOLDER = Path("artifacts")
SAMPLES_FILE = "samples.npz"
CALIBRATION = 256
"""Training samples that the ranges of int8 are taken from."""
CALIBRATION_FILE = "calibration.npz"


@dataclass(frozen=True)
class Release:
    """What was written: artefacts by the pick's name (equal picks share theirs), checks by path, test qualities.

    `npu`: what Vela says of each int8 .tflite by path, of a target that has an NPU where Vela is installed.
    """

    artifacts: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    checks: Mapping[str, FileCheck] = field(default_factory=dict)
    test: Mapping[str, Quality] = field(default_factory=dict)
    npu: Mapping[str, vela.VelaSummary] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every artefact is what was predicted."""
        return all(check.ok for check in self.checks.values())


@dataclass(frozen=True)
class Terms:
    """What is released under: the target, its budget in absolute numbers, and the batch of the exported files."""

    target: Target
    limits: Constraints
    batch: int

    @property
    def suffix(self) -> str:
        """What the file for the target ends with."""
        return self.target.runtime.format.suffix

    @property
    def int8(self) -> bool:
        """Whether the files are in int8."""
        return self.target.runtime.dtype is DType.INT8

    @property
    def refuge(self) -> Refuge:
        """What a layer goes back to that int8 does not become."""
        return Refuge.DENSE if self.target.integers_only else Refuge.FLOAT32


def release(
    inputs: Inputs, trials: Sequence[Trial], terms: Terms, run: Run, meter: Meter
) -> tuple[Release, Picks | None, tuple[Trial, ...]]:
    """Export and check the baseline and the picks. A pick whose file is over the budget gives way to the next one.

    Also the trials again: those that gave way, or whose layers went back, with what their file takes and loses.
    """
    style = Style(terms.batch, calibration(inputs, terms.batch) if terms.int8 else None)
    with run.staging() as staging, meter.stage("exporting") as advance:
        exports = _Exports(inputs, terms, style, run, staging)
        picks = exports.picked(trials, advance)
        names = _names(picks)
        files = {number: _settled(exports.files[number], name, run) for number, name in names.items()}
    _keep_samples(run, inputs, style)
    samples = inputs.data.validation.take(slice(SAMPLES)).x
    checks: dict[str, FileCheck] = {}
    with meter.stage("checking the artefacts", len(names)) as advance:
        for number in names:
            made = [item.path for item in files[number]]
            checks |= check(exports.models[number], samples, made, run.path, exports.styles[number])
            advance(1)
    test = {number: _tested(exports.models[number], files[number], terms, style, inputs, run) for number in names}
    numbers = {BASELINE: -1} | {name: t.solution.number for name, t in (picks.named() if picks else {}).items()}
    released = Release(
        {name: files[number] for name, number in numbers.items()},
        checks,
        {name: test[number] for name, number in numbers.items()},
        _on_npu([item.path for made in files.values() for item in made], terms, run, meter),
    )
    return released, picks, tuple(exports.other.get(trial.solution.number, trial) for trial in trials)


@dataclass(frozen=True)
class _Made:
    """A trial as its files are written: its model, their style, and those that there are yet."""

    trial: Trial
    model: Any
    style: Style
    files: tuple[Path, ...] = ()


class _Exports:
    """What is written on the way to the picks by the solution's number, and the trials that came to something else."""

    def __init__(self, inputs: Inputs, terms: Terms, style: Style, run: Run, folder: Path) -> None:
        self._inputs, self._terms, self._style, self._run, self._folder = inputs, terms, style, run, folder
        self.models = {-1: inputs.model}
        self.styles = {-1: style}
        self.files = {-1: write(inputs.model, style, folder / BASELINE)}
        self.other: dict[int, Trial] = {}

    def picked(self, trials: Sequence[Trial], advance: Callable[[int], None]) -> Picks | None:
        """The picks whose files hold the constraints too, as they measure."""
        advance(1)
        able = {trial.solution.number: trial for trial in trials if trial.complete}
        while (picks := choose(tuple(able.values()), self._terms.limits)) is not None:
            fresh = {trial.solution.number: trial for trial in picks.named().values()}
            fresh = {number: trial for number, trial in fresh.items() if number not in self.files}
            if not fresh:
                break
            for number, trial in fresh.items():
                made = self._recovered(_Made(trial, _rebuilt(self._inputs, trial, self._run), self._style))
                able[number], self.models[number], self.styles[number] = made.trial, made.model, made.style
                self.files[number] = made.files
                advance(1)
                if made.trial.reverted or not feasible(made.trial, self._terms.limits):
                    self.other[number] = made.trial
        return picks

    def _recovered(self, made: _Made) -> _Made:
        """With replaced layers gone back, the worst first, until int8 loses no more than it may; then all its files.

        One that would break another constraint stays as it is, and the next worst goes.
        """
        left = tuple(made.trial.solution.shapes)
        made = self._measured(made, left)
        while left and self._broken(made.trial) == {"accuracy_drop_pp"} and self._terms.int8:
            layer, snr = self._worst(made, left)
            model, style = back(made.model, self._inputs.model, layer, self._terms.refuge, made.style)
            left = tuple(name for name in left if name != layer)
            again = self._measured(_Made(costed(made.trial, model, style), model, style), left)
            if self._broken(again.trial) <= {"accuracy_drop_pp"}:
                step = Reverted(layer, self._terms.refuge, made.trial.drop, again.trial.drop, snr)
                made = replace(again, trial=replace(again.trial, reverted=(*made.trial.reverted, step)))
        if not feasible(made.trial, self._terms.limits):
            return made
        rest = [suffix for suffix in SUFFIXES if suffix != self._terms.suffix]
        files = (*made.files, *write(made.model, made.style, made.files[0].with_suffix(""), rest))
        return replace(made, files=tuple(sorted(files, key=lambda path: SUFFIXES.index(path.suffix))))

    def _broken(self, trial: Trial) -> set[str]:
        return {item.name for item in holdings(trial.solution, trial.drop, self._terms.limits) if item.holds is False}

    def _measured(self, made: _Made, left: Sequence[str]) -> _Made:
        """The trial with what its file for the target takes, not what was predicted, and what int8 makes of it."""
        trial, inputs = made.trial, self._inputs
        stem = self._folder / f"{trial.solution.number}-{len(left)}"
        (path,) = write(made.model, made.style, stem, (self._terms.suffix,))
        measured = replace(trial, solution=replace(trial.solution, file_bytes=path.stat().st_size))
        if self._terms.int8:
            held = inputs.data.validation
            quality = inputs.judge.quality(local.run(path, held.x, made.style.batch), held.y)
            measured = replace(measured, quality=quality, drop=quality.drop_from(inputs.quality))
        return replace(made, trial=measured, files=(path,))

    def _worst(self, made: _Made, left: Sequence[str]) -> tuple[str, float]:
        return worst(made.model, made.files[0], self._inputs.data.validation.x, left, made.style.batch)


def calibration(inputs: Inputs, batch: int) -> Calibration:
    """Batches of training samples, the same each time, evenly taken from all."""
    train = inputs.data.train
    rows = np.linspace(0, len(train) - 1, min(CALIBRATION, len(train))).astype(np.int64)
    return batches(train.take(rows).x, batch)


def _rebuilt(inputs: Inputs, trial: Trial, run: Run) -> Any:
    from edgett.nn.finetune import compressed
    from edgett.nn.models import unpack_weights

    model = compressed(inputs.model, trial.solution, inputs.judge)
    unpack_weights(model, run.weights(trial.solution.number))
    return model


def _tested(model: Any, files: Sequence[Artifact], terms: Terms, style: Style, inputs: Inputs, run: Run) -> Quality:
    """The quality on the test data: of the model, or of a pick in int8 that of the file for the target."""
    from edgett.nn.assess import assess

    held = inputs.data.test
    if not terms.int8 or model is inputs.model:
        return assess(model, held, inputs.judge)
    (path,) = (run.path / item.path for item in files if item.path.suffix == terms.suffix)
    return inputs.judge.quality(local.run(path, held.x, style.batch), held.y)


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
    names = {-1: BASELINE}
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
