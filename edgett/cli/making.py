"""What commands that make a run have in common: start it, go on with it, start anew, and tell what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgett.cli.console import Screen
from edgett.cli.interrupts import interrupted, recall
from edgett.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from edgett.job.job import Command, Job
    from edgett.meter import Meter
    from edgett.run.directory import Run
    from edgett.workflow.inputs import Inputs
    from edgett.workflow.outcome import Outcome


@dataclass(frozen=True)
class Work:
    """A command that makes a run: how what it needs is loaded, and what it does with it."""

    command: Command
    load: Callable[[Job, Meter], Inputs]
    carry_out: Callable[[Job, Inputs, Run, Meter], Outcome]


@dataclass(frozen=True)
class Place:
    """Where the run is to be: in `out`, None for a new place; `resume` and `fresh` as the options say."""

    out: Path | None
    resume: bool
    fresh: bool


def made(work: Work, given: Mapping[str, Any], place: Place, screen: Screen) -> int:
    """Make the run that is asked for by the options `given` (None: not named); the exit code."""
    making = _Making(work, given, place.out, screen)
    if place.resume and place.fresh:
        return making.either()
    return making.resumed() if place.resume else making.started(fresh=place.fresh)


class _Making:
    def __init__(self, work: Work, given: Mapping[str, Any], out: Path | None, screen: Screen) -> None:
        self._work, self._given, self._out, self._screen = work, given, out, screen

    def started(self, *, fresh: bool) -> int:
        """A new run; a `fresh` one in the place of the run that is there."""
        from edgett.job.job import load_project, resolve, target_of
        from edgett.run import session
        from edgett.run.directory import new_path, refuse_occupied

        job, origins = resolve(self._given, load_project())
        if origins["model"] == "default":
            self._screen.say(f"No model is named: this is the built-in {job.model}.")
        target = target_of(job)
        path = self._out or new_path(job.title, target.name)
        refuse_occupied(path, fresh=fresh)
        # What is there goes only when its successor's input has turned out usable.
        loaded = self._loaded(job, self._screen) if fresh and path.exists() else None
        with session.started(path, job, origins, fresh=fresh, command=self._work.command) as run:
            return self._carried_out(job, run, loaded)

    def either(self) -> int:
        """Go on with the run if all that it stands on is as it was, else start anew there."""
        from edgett.job.job import load_project, resolve
        from edgett.run import session

        if self._out is None or not (self._out / "run.json").exists():
            return self.started(fresh=False)
        job, _ = resolve(self._given, load_project())
        try:
            with session.resumed(self._out, {}, self._work.command) as (run, asked, _):
                session.refuse_other_job(run, asked, job)
                session.refuse_other_ground(run, job)
                loaded = self._loaded(job, self._screen)
                session.identify(run, loaded.digests)
        except UsageError as changed:
            self._screen.say(f"starting anew: {changed.message}")
            return self.started(fresh=True)
        return self.resumed(loaded)

    def resumed(self, loaded: Inputs | None = None) -> int:
        """Go on with the run; of a finished one, tell what came of it, with the exit code that it had."""
        from edgett.report import reports, terminal
        from edgett.run import session

        if self._out is None:
            raise UsageError("--resume needs to know the run.", "Add --out DIR.")
        with session.resumed(self._out, self._given, self._work.command) as (run, job, outcome):
            if outcome is None:
                session.refuse_other_ground(run, job)
                return self._carried_out(job, run, loaded)
            self._screen.say(f"run: {self._out}")
            reports.complete(run, self._screen)
        return self._screen.conclude(outcome, terminal.compressed, session.verdict(outcome))

    def _loaded(self, job: Job, meter: Meter) -> Inputs:
        with meter.stage("loading TensorFlow"):
            import_module("edgett.model")
        return self._work.load(job, meter)

    def _carried_out(self, job: Job, run: Run, loaded: Inputs | None = None) -> int:
        from edgett.job.job import target_of
        from edgett.report import evidence, reports, terminal
        from edgett.run import session
        from edgett.run.log import logged
        from edgett.workflow import inputs

        target = target_of(job)
        try:
            with logged(run.path, self._screen) as meter:
                inputs.announced(job, meter)
                meter.say(f"run: {run.path}\ntarget: {target.name}, {target.title}")
                meter.note(evidence.command(run.asked))
                loaded = loaded or self._loaded(job, meter)
                session.identify(run, loaded.digests)
                outcome = self._work.carry_out(job, loaded, run, meter)
                document = reports.finish(run, outcome, meter)
                problem = session.verdict(document)
                recall()
                meter.note(f"error: {problem.message}" if problem else f"recommended: {_recommended(outcome)}")
        except BaseException as error:
            if not interrupted(error):
                raise
            raise Interrupted(
                "interrupted; every finished trial is kept.",
                f"Go on with: edgett {self._work.command.value} --out {shlex.quote(str(run.path))} --resume",
            ) from error
        return self._screen.conclude(document, terminal.compressed, problem)


def _recommended(outcome: Outcome) -> str:
    assert outcome.picks is not None, "without picks there is a problem"
    trial = outcome.picks.recommended
    return f"solution {trial.solution.number}, {trial.solution.cost.params:,} parameters, drop {trial.drop:.3f}"
