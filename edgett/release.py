"""After the selection: export what was picked, read every file back, and compare it with what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.device import local
from edgett.export.check import GraphCheck, Numerics, compare, compare_outputs
from edgett.inputs import Inputs
from edgett.run import Run, file_digest
from edgett.space import cost
from edgett.space.choose import choose, feasible
from edgett.targets import Target
from edgett.values import Artifact, Constraints, Meter, Picks, Quality, Trial

Arrays = Mapping[str, NDArray[Any]]

SAMPLES = 256
"""Validation samples on which an artefact's outputs are compared with Keras's."""

BASELINE = "baseline"
FOLDER = Path("artifacts")
SUFFIXES = (".keras", ".tflite", ".onnx")
SAMPLES_FILE = "samples.npz"


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


def release(
    inputs: Inputs, trials: Sequence[Trial], terms: Terms, run: Run, meter: Meter
) -> tuple[Release, Picks | None, tuple[Trial, ...]]:
    """Export and check the baseline and the picks. A pick whose file is over the budget gives way to the next one.

    Also the trials again, with the size of such a file in place of the predicted one.
    """
    from edgett.nn.assess import assess

    limits, batch = terms.limits, terms.batch
    able = {trial.solution.number: trial for trial in trials}
    with run.staging() as staging, meter.stage("exporting") as advance:
        models = {-1: inputs.model}
        staged = {-1: write(inputs.model, batch, staging / BASELINE)}
        advance(1)
        while (picks := choose(tuple(able.values()), limits)) is not None:
            picked = {trial.solution.number: trial for trial in picks.named().values()}
            for number, trial in picked.items():
                if number not in staged:
                    models[number] = _rebuilt(inputs, trial, run)
                    staged[number] = write(models[number], batch, staging / str(number))
                    advance(1)
            measured = {number: _measured(trial, staged[number], terms.target) for number, trial in picked.items()}
            over = {number: trial for number, trial in measured.items() if not feasible(trial, limits)}
            if not over:
                break
            able |= over
        names = _names(picks)
        files = {number: _settled(staged[number], name, run) for number, name in names.items()}
    samples = inputs.data.validation.take(slice(SAMPLES)).x
    with run.writing(str(FOLDER / SAMPLES_FILE)) as part:
        np.savez(part, allow_pickle=False, **samples)
    checks: dict[str, FileCheck] = {}
    with meter.stage("checking the artefacts", len(names)) as advance:
        for number in names:
            checks |= check(models[number], samples, [item.path for item in files[number]], run.path, batch)
            advance(1)
    test = {number: assess(models[number], inputs.data.test, inputs.judge) for number in names}
    numbers = {BASELINE: -1} | {name: t.solution.number for name, t in (picks.named() if picks else {}).items()}
    released = Release(
        {name: files[number] for name, number in numbers.items()},
        checks,
        {name: test[number] for name, number in numbers.items()},
    )
    return released, picks, tuple(able.values())


def write(model: Any, batch: int, stem: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[Path, ...]:
    """Write a model as stem.keras, stem.tflite, stem.onnx, or those of them that are wanted."""
    from edgett.export import onnx, tflite
    from edgett.nn.models import save_model

    servable, owners, _ = _prepared(model, batch)
    paths = []
    for suffix in suffixes:
        path = stem.with_name(stem.name + suffix)
        if suffix == ".keras":
            save_model(model, path)
        elif suffix == ".tflite":
            tflite.write(servable, path)
        else:
            onnx.write(servable, owners, path)
        paths.append(path)
    return tuple(paths)


def check(model: Any, samples: Arrays, artifacts: Sequence[Path], root: Path, batch: int) -> dict[str, FileCheck]:
    """Read the exported files of a model back and compare them with its prediction and its outputs, by path.

    `samples` are inputs by name, (n, ...) each; the paths are relative to `root`.
    """
    from edgett.export import onnx, tflite
    from edgett.nn.assess import outputs
    from edgett.nn.layers import tt_layers
    from edgett.nn.predict import predict

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
        graph = compare(predict(form, batch, fused=fused), read(path, owners), path.name)
        numerics = compare_outputs(reference, local.run(path, samples, batch))
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


def _measured(trial: Trial, paths: Sequence[Path], target: Target) -> Trial:
    """The trial with the size of the file for the target in place of the predicted one."""
    sizes = {path.suffix: path.stat().st_size for path in paths}
    size = sizes.get(f".{target.runtime.format.value}", trial.solution.file_bytes)
    return replace(trial, solution=replace(trial.solution, file_bytes=size))


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
