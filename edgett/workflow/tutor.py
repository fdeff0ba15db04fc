"""Picks that int8 takes much of train on with its numbers, each once: what came of it stays beside the artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from edgett.errors import UsageError
from edgett.graph.filesize import Format
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.search.quality import Quality
from edgett.search.solution import Trial
from edgett.workflow.inputs import Inputs
from edgett.workflow.original import FOLDER
from edgett.workflow.terms import Terms

if TYPE_CHECKING:
    from edgett.train.aware import School
    from edgett.train.storage import Scheme

WORTH = 0.2
"""Percentage points that int8 takes of a model from which on it trains on."""


def learnt_file(number: int) -> str:
    """Where a run keeps the weights of a solution that has trained on."""
    return str(FOLDER / f"int8-{number}.npz")


def tutor_of(terms: Terms, inputs: Inputs, run: Run, meter: Meter) -> Tutor | None:
    """Who has models learn; nobody where files are in float32, where there is nothing to learn from, or not asked."""
    able = terms.int8 and terms.job.int8_epochs and not inputs.drawn
    return Tutor(terms, inputs, run, meter) if able else None


@dataclass(frozen=True)
class Taught:
    """A model that has trained on, and its quality on the validation data with the numbers of int8, emulated."""

    model: Any
    quality: Quality


class Tutor:
    """Has models learn with the numbers of int8.

    Attributes:
        epochs: how long.
        least: the percentage points that int8 takes from which on it is worth it.
    """

    least = WORTH

    def __init__(self, terms: Terms, inputs: Inputs, run: Run, meter: Meter) -> None:
        """Take what all models have in common."""
        self._terms, self._inputs, self._run, self._meter = terms, inputs, run, meter
        self.epochs = terms.job.int8_epochs

    def taught(self, trial: Trial, model: Any) -> Taught | None:
        """Train a model on, or take what the run has kept.

        Args:
            trial: that it is of.
            model: it stays as it is.

        Returns:
            What came of it; None where nothing did, which is said.
        """
        number, school = trial.solution.number, self._school
        learnt = self._kept(number, model)
        if learnt is None:
            with self._meter.stage(f"solution {number} learns with the numbers of int8", school.batches) as advance:
                learnt = school.learnt(model, advance)
            if isinstance(learnt, str):
                self._meter.say(f"solution {number} cannot learn with the numbers of int8: {learnt}")
                return None
            self._keep(number, learnt)
        return Taught(learnt, school.quality(learnt))

    @cached_property
    def _school(self) -> School:
        """One for all models: what the dense one puts out, which teaches, is calculated once."""
        from edgett.train.aware import School
        from edgett.train.finetune import Recipe, Tuner

        job, inputs = self._terms.job, self._inputs
        recipe = Recipe(self.epochs, job.batch_size, job.seed, None, job.learning_rate, job.recover)
        tuner = Tuner(inputs.source, inputs.data.train, inputs.data.validation, inputs.judge, recipe)
        return School(tuner, self._terms.original.style.calibration or (), self._scheme())

    def _scheme(self) -> Scheme:
        from edgett.train import storage

        return storage.TFLITE if self._terms.target.runtime.format is Format.TFLITE else storage.ONNX

    def _keep(self, number: int, model: Any) -> None:
        from edgett.model.models import pack_weights

        with self._run.writing(learnt_file(number)) as part:
            part.write_bytes(pack_weights(model))

    def _kept(self, number: int, model: Any) -> Any:
        """The model with weights that the run has kept; None where it has none."""
        place = self._run.path / learnt_file(number)
        return with_learnt(model, place) if place.exists() else None


def with_learnt(model: Any, place: Path) -> Any:
    """A copy of a model with weights that a run has kept in a file."""
    from edgett.model.layers import substituted
    from edgett.model.models import unpack_weights

    copy = substituted(model, {})
    try:
        unpack_weights(copy, place.read_bytes())
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise UsageError(f"{place} cannot be read: {error}.", "Start the run again elsewhere.") from error
    return copy
