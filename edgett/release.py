"""After the selection: export what was picked, read every file back, and compare it with what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.device import local
from edgett.export.calibration import Calibration
from edgett.export.check import INT8_TOLERANCE, TOLERANCE, GraphCheck, Numerics, compare, compare_outputs
from edgett.inputs import Inputs
from edgett.run import Run, file_digest
from edgett.space import cost
from edgett.space.choose import choose, feasible
from edgett.targets import Target
from edgett.values import Artifact, Constraints, DType, Meter, Picks, Quality, Trial

Arrays = Mapping[str, NDArray[Any]]

SAMPLES = 256
"""Validation samples on which an artefact's outputs are compared with Keras's."""

BASELINE = "baseline"
FOLDER = Path("artifacts")
SUFFIXES = (".keras", ".tflite", ".onnx")
SAMPLES_FILE = "samples.npz"
CALIBRATION = 256
"""Training samples that the ranges of int8 are taken from."""
CALIBRATION_FILE = "calibration.npz"


@dataclass(frozen=True)
class Style:
    """How files are written: samples at once, and what int8 is calibrated on, None for float32."""

    batch: int = 1
    calibration: Calibration | None = None

    @property
    def width(self) -> int:
        """Bytes of a number."""
        return 4 if self.calibration is None else 1

    @property
    def tolerance(self) -> float:
        """The relative error from which on outputs are wrong."""
        return TOLERANCE if self.calibration is None else INT8_TOLERANCE


@dataclass(frozen=True)
class FileCheck:
    """One artefact, its graph and outputs against the prediction. `paper` has equation 4's FLOPs of each TT layer."""

    graph: GraphCheck
    numerics: Numerics
    paper: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether the file is what was predicted."""
        return not self.graph.mismatches and self.numerics.ok


@dataclass(frozen=True)
class Release:
    """What was written: artefacts by the pick's name (equal picks share theirs), checks by path, test qualities."""

    artifacts: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    checks: Mapping[str, FileCheck] = field(default_factory=dict)
    test: Mapping[str, Quality] = field(default_factory=dict)

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
        return f".{self.target.runtime.format.value}"

    @property
    def int8(self) -> bool:
        """Whether the files are in int8."""
        return self.target.runtime.dtype is DType.INT8


def release(
    inputs: Inputs, trials: Sequence[Trial], terms: Terms, run: Run, meter: Meter
) -> tuple[Release, Picks | None, tuple[Trial, ...]]:
    """Export and check the baseline and the picks. A pick whose file is over the budget gives way to the next one.

    Also the trials again, those that gave way with what their file for the target takes and, in int8, loses.
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
            checks |= check(exports.models[number], samples, [item.path for item in files[number]], run.path, style)
            advance(1)
    test = {number: _tested(exports.models[number], files[number], terms, style, inputs, run) for number in names}
    numbers = {BASELINE: -1} | {name: t.solution.number for name, t in (picks.named() if picks else {}).items()}
    released = Release(
        {name: files[number] for name, number in numbers.items()},
        checks,
        {name: test[number] for name, number in numbers.items()},
    )
    return released, picks, tuple(exports.over.get(trial.solution.number, trial) for trial in trials)


class _Exports:
    """What is written on the way to the picks: models and files by the solution's number, and the trials given up."""

    def __init__(self, inputs: Inputs, terms: Terms, style: Style, run: Run, folder: Path) -> None:
        self._inputs, self._terms, self._style, self._run, self._folder = inputs, terms, style, run, folder
        self.models = {-1: inputs.model}
        self.files = {-1: write(inputs.model, style, folder / BASELINE)}
        self.over: dict[int, Trial] = {}

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
                able[number] = self._written(trial)
                advance(1)
                if not feasible(able[number], self._terms.limits):
                    self.over[number] = able[number]
        return picks

    def _written(self, trial: Trial) -> Trial:
        """The trial with what its file for the target takes, not what was predicted, and what int8 makes of it."""
        number, inputs = trial.solution.number, self._inputs
        self.models[number] = _rebuilt(inputs, trial, self._run)
        self.files[number] = write(self.models[number], self._style, self._folder / str(number))
        (path,) = (path for path in self.files[number] if path.suffix == self._terms.suffix)
        measured = replace(trial, solution=replace(trial.solution, file_bytes=path.stat().st_size))
        if not self._terms.int8:
            return measured
        held = inputs.data.validation
        quality = inputs.judge.quality(local.run(path, held.x, self._style.batch), held.y)
        return replace(measured, quality=quality, drop=quality.drop_from(inputs.quality))


def calibration(inputs: Inputs, batch: int) -> Calibration:
    """Batches of training samples, the same each time, evenly taken from all."""
    train = inputs.data.train
    rows = np.linspace(0, len(train) - 1, min(CALIBRATION, len(train))).astype(np.int64)
    return batches(train.take(rows).x, batch)


def batches(arrays: Arrays, batch: int) -> Calibration:
    """Samples by name, (n, ...) each, in batches of one size; the first ones fill the last batch up."""
    count = len(next(iter(arrays.values())))
    starts = range(0, count, batch)
    return [
        {name: array[np.arange(start, start + batch) % count] for name, array in arrays.items()} for start in starts
    ]


def write(model: Any, style: Style, stem: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[Path, ...]:
    """Write a model as stem.keras, stem.tflite, stem.onnx, or those of them that are wanted; Keras's is float32."""
    from edgett.export import onnx, tflite
    from edgett.nn.models import save_model

    servable, owners, _ = _prepared(model, style.batch)
    fed = style.calibration and [servable.cast(part) for part in style.calibration]
    paths = []
    for suffix in suffixes:
        path = stem.with_name(stem.name + suffix)
        if suffix == ".keras":
            save_model(model, path)
        elif suffix == ".tflite":
            tflite.write(servable, path, fed)
        else:
            onnx.write(servable, owners, path, fed)
        paths.append(path)
    return tuple(paths)


def check(model: Any, samples: Arrays, artifacts: Sequence[Path], root: Path, style: Style) -> dict[str, FileCheck]:
    """Read the exported files of a model back and compare them with its prediction and its outputs, by path.

    `samples` are inputs by name, (n, ...) each; the paths are relative to `root`.
    """
    from edgett.export import onnx, tflite
    from edgett.nn.assess import outputs
    from edgett.nn.layers import tt_layers
    from edgett.nn.predict import predict

    batch, quantised = style.batch, style.calibration is not None
    _, owners, form = _prepared(model, batch)
    reference = outputs(model, samples)
    paper = {
        path: cost.paper_flops(layer.shape) * batch + layer.shape.matrix[1] * batch * layer.use_bias
        for path, layer in tt_layers(model).items()
    }
    checks = {}
    for artifact in artifacts:
        path = root / artifact
        if path.suffix == ".keras":
            continue
        fused, read = (True, tflite.read) if path.suffix == ".tflite" else (False, onnx.read)
        predicted = predict(form, batch, fused=fused, quantised=quantised)
        graph = compare(predicted, read(path, owners), path.name, style.width)
        numerics = compare_outputs(reference, local.run(path, samples, batch), style.tolerance)
        checks[str(artifact)] = FileCheck(graph, numerics, paper)
    return checks


def _prepared(model: Any, batch: int) -> tuple[Any, Any, Any]:
    from edgett.export.owners import Owners
    from edgett.nn.inference import inference_form
    from edgett.nn.predict import predict
    from edgett.nn.servable import Servable

    form = inference_form(model, batch)
    servable = Servable(form)
    owners = Owners(servable.paths, frozenset(predict(form, batch).layers), servable.producers)
    return servable, owners, form


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
