"""What can be had from a finished run without training: any solution exported, the artefacts checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from edgett.errors import CheckFailed, UsageError
from edgett.graph.dtype import DType
from edgett.job.job import Job
from edgett.run import record
from edgett.run.directory import Run, file_digest
from edgett.run.session import resumed, unfinished
from edgett.search.choose import DENSE
from edgett.search.solution import Refuge
from edgett.system.folders import filling
from edgett.workflow import document
from edgett.workflow.files import SUFFIXES, FileCheck, Style, batches, write
from edgett.workflow.files import check as check_files
from edgett.workflow.original import BASELINE, FOLDER
from edgett.workflow.pruning import called
from edgett.workflow.release import CALIBRATION_FILE, SAMPLES_FILE, Artifact, Release
from edgett.workflow.tutor import learnt_file, with_learnt


def export(path: Path, number: int | None, suffixes: Sequence[str], folder: Path, batch: int) -> dict[str, Any]:
    """Write a solution of the run as solution-<number>.<suffix> into `folder`, checked; the check's document.

    The dense model is called baseline. The recommended solution where `number` is None. Raises UsageError when the run
    has no such solution.
    """
    with opened(path, number, batch) as solution:
        return put(solution.model, solution, solution.name, suffixes, folder)


@dataclass(frozen=True)
class Reopened:
    """A solution of a finished run.

    Attributes:
        number: as the run counts them.
        title: what the run's model is called.
        model: the solution's, as it was fine-tuned.
        original: the dense one.
        style: how its files are written.
        held: samples that the run kept.
        drawn: whether these are random, for want of data.
    """

    number: int
    title: str
    model: Any
    original: Any
    style: Style
    held: Mapping[str, Any]
    drawn: bool

    @property
    def name(self) -> str:
        """What its files are called."""
        return exported(self.number)


@contextmanager
def opened(path: Path, number: int | None, batch: int = 1) -> Iterator[Reopened]:
    """A solution of the run, the recommended one where `number` is None; raises as `export` does."""
    with finished(path) as (run, job, outcome):
        if number is None:
            number = recommended(path, outcome)
        original = _model(run, job, _whole(run, number))
        model, gone = _solution(run, original, outcome, number)
        style = _style(run, outcome, batch, gone)
        yield Reopened(number, job.title, model, original, style, samples(run.path), _drawn(outcome))


def put(model: Any, solution: Reopened, name: str, suffixes: Sequence[str], folder: Path) -> dict[str, Any]:
    """Write a model in the style of a solution as `name`.<suffix> into `folder`, checked; the check's document."""
    with filling(folder) as room:
        paths = write(model, solution.style, room / name, suffixes)
        checks = check_files(model, solution.held, [Path(item.name) for item in paths], room, solution.style)
        files = tuple(Artifact(Path(item.name), item.stat().st_size, file_digest(item)) for item in paths)
    written = Release({name: files}, checks, {}, drawn=solution.drawn)
    return document.checked(written) | {"written": [str(item.path) for item in files]}


def exported(number: int) -> str:
    """What the files of a solution are called."""
    return BASELINE if number == DENSE else f"solution-{number}"


def _whole(run: Run, number: int) -> str:
    """What the dense model that a solution is made of is called: the baseline, or it without the channels that went."""
    trial = run.trials().get(number)
    return called(trial.solution.gone) if trial is not None and trial.solution.gone else BASELINE


def _solution(
    run: Run, original: Any, outcome: Mapping[str, Any], number: int
) -> tuple[Any, dict[Refuge, frozenset[str]]]:
    """The model of a solution, made from the original one, and the layers of it that went back; by what to."""
    from edgett.model.layers import replace
    from edgett.model.models import unpack_weights
    from edgett.workflow.reverting import without

    if number == DENSE:
        return original, _reverted(outcome["baseline"])
    weights, trial = run.weights(number), run.trials()[number]
    if trial.failure is not None:
        raise UsageError(
            f"solution {number} has no weights, for its trial failed: {trial.failure}.",
            "Name another one with --solution.",
        )
    model = replace(original, trial.solution.edits)
    unpack_weights(model, weights)
    told = next(item for item in outcome["trials"] if item["solution"] == number)
    if told.get("int8"):
        model = with_learnt(model, record.inside(run.path, learnt_file(number)))
    back = _reverted(told)
    if dense := back[Refuge.DENSE] | back[Refuge.DENSE_INT8]:
        model = without(model, original, dense)
    return model, back


def check(path: Path) -> dict[str, Any]:
    """Check every artefact of the run again and write check.json; the check's document.

    Raises CheckFailed when a file is not the one that the run wrote.
    """
    with finished(path) as (run, job, outcome):
        refuse_changed(path, outcome)
        held = samples(run.path)
        checks: dict[str, FileCheck] = {}
        written = {path for paths in outcome["artifacts"].values() for path in paths}
        for name in dict.fromkeys(Path(paths[0]).stem for paths in outcome["artifacts"].values()):
            files = [FOLDER / f"{name}{suffix}" for suffix in SUFFIXES if f"{FOLDER / name}{suffix}" in written]
            style = _style(run, outcome, job.batch, _reverted(outcome["picks"].get(name) or {}))
            checks |= check_files(_model(run, job, name), held, files, run.path, style)
        content = document.checked(Release({}, checks, {}, drawn=_drawn(outcome)))
        run.write_json("check.json", content)
    return content


def unchecked(path: Path) -> dict[str, Any]:
    """The check's document of no file at all."""
    with finished(path) as (_, _, outcome):
        return document.checked(Release({}, {}, {}, drawn=_drawn(outcome)))


def refuse_changed(path: Path, outcome: dict[str, Any]) -> None:
    """Raise CheckFailed when an artefact is not the one that the run wrote."""
    models = [outcome["baseline"], *(pick for pick in outcome["picks"].values() if pick)]
    for file in (file for model in models for file in model["artifacts"].values()):
        place = record.inside(path, file["path"])
        if not place.is_file():
            raise CheckFailed(f"{place} is missing.", "Start the run again elsewhere.")
        digest = file_digest(place)
        if digest != file["sha256"]:
            raise CheckFailed(
                f"{place} is not the file that the run wrote: its SHA-256 is {digest}, not {file['sha256']}.",
                "Do not deploy it. 'edgett export' writes any solution again.",
            )


def refuse_unchecked(path: Path, outcome: Mapping[str, Any]) -> None:
    """Raise CheckFailed when an artefact of the run in `path` is not what was predicted, or was not checked."""
    files = [file for files in outcome["artifacts"].values() for file in files if not file.endswith(".keras")]
    checks = outcome["check"]["artifacts"]
    if bad := [file for file in dict.fromkeys(files) if not checks.get(file, {"ok": False})["ok"]]:
        raise CheckFailed(f"the run in {path} failed its cross-check, by {', '.join(bad)}.", "Do not deploy its files.")


@contextmanager
def finished(path: Path) -> Iterator[tuple[Run, Job, dict[str, Any]]]:
    """A run that has its outcome. Raises UsageError for one that has none yet."""
    with resumed(path, {}) as (run, job, outcome):
        if outcome is None:
            raise unfinished(path, run.asked)
        yield run, job, outcome


def recommended(path: Path, outcome: dict[str, Any]) -> int:
    """The number of the recommended solution. Raises UsageError when there is none."""
    pick = outcome["picks"]["recommended"]
    if pick is None:
        raise UsageError(f"the run in {path} has no recommended solution.", "Name one with --solution.")
    return int(pick["solution"])


def _drawn(outcome: Mapping[str, Any]) -> bool:
    """Whether the samples that the run kept are random, for want of data."""
    return bool(outcome["check"]["samples"] == "random")


def _model(run: Run, job: Job, name: str) -> Any:
    from edgett.model.models import load_model

    return load_model(record.inside(run.path, FOLDER / f"{name}.keras"), job.custom_objects)


def _reverted(solution: Mapping[str, Any]) -> dict[Refuge, frozenset[str]]:
    """The layers of a solution, as the outcome has it, that went back; by what to."""
    steps = solution.get("reverted", ())
    last = {step["layer"]: Refuge(step["to"]) for step in steps}
    return {to: frozenset(layer for layer, refuge in last.items() if refuge is to) for to in Refuge}


def _style(run: Run, outcome: dict[str, Any], batch: int, gone: Mapping[Refuge, frozenset[str]]) -> Style:
    """How the run's files are written; int8 is calibrated on what it was the first time."""
    if DType(outcome["target"]["dtype"]) is not DType.INT8:
        return Style(batch)
    return Style(batch, batches(samples(run.path, CALIBRATION_FILE), batch), gone[Refuge.FLOAT32])


def samples(path: Path, name: str = SAMPLES_FILE) -> dict[str, Any]:
    """Arrays that the run in `path` kept beside its artefacts, (n, ...) by the input's name.

    Raises UsageError when they are not there any more, or something else is.
    """
    place = record.inside(path, FOLDER / name)
    try:
        # NumPy leaves a file open that it cannot read.
        with place.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        counts = {len(array) for array in arrays.values() if array.dtype.kind in "biuf"}
        if len(counts) != 1 or counts == {0}:
            raise ValueError("it has no samples, or not as many of each")
    except (OSError, EOFError, ValueError, TypeError, AttributeError, BadZipFile) as error:
        raise UsageError(f"{place} cannot be read: {error}.", "Start the run again elsewhere.") from error
    return arrays
