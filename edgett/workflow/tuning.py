"""Step 6: who is fine-tuned, and for how long; every result is in the run's journal the moment it is there."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgett.errors import ToolError, UsageError
from edgett.forms.spec import Spec
from edgett.forms.start import Start
from edgett.graph.graph import Graph
from edgett.job.choices import Schedule, Trunk
from edgett.job.job import Job
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.search import choose
from edgett.search.constraints import Constraints
from edgett.search.quality import Quality
from edgett.search.solution import Solution, Trial
from edgett.workflow import forecast
from edgett.workflow.inputs import Inputs

if TYPE_CHECKING:
    from edgett.model.trunk import Parts
    from edgett.train.finetune import Task, Tuned, Tuner
    from edgett.train.pulled import Pull
    from edgett.train.workers import Crew

ATTEMPTS = 2
"""Workers that a task may outlive."""

FIRST_LOOK, SHORTEST_LOOK = 0.3, 128
"""The part of an epoch after which halving judges for the first time; the batches that it takes at least."""

GLANCE = 16
"""The batches instead where candidates were fitted: where they start says more than how a short training upsets it."""

MOMENT = 0.2
"""Seconds between two looks at how far the workers have come."""

WORTH_FREEZING = 1 / 3
"""The share of the FLOPs from which on `auto` freezes a trunk: training it is most of the time then."""


@dataclass(frozen=True)
class FineTuning:
    """What is fine-tuned, and how; `dense` is what the model does as it is, `limits` what picks must keep in float32.

    `able` counts the solutions that could have been chosen; `starts` has where layers start from, by how many channels
    are gone, then by path and spec.
    """

    job: Job
    inputs: Inputs
    dense: Graph
    limits: Constraints
    able: int
    starts: Mapping[int, Mapping[tuple[str, Spec], Start]] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """How long solutions are trained: by `schedule` up to `epochs` of `batches` each, and what they are judged by.

    `fitted`: they start from what was fitted, and count as no worse than that.
    """

    schedule: Schedule
    epochs: int
    batches: int
    seed: int
    baseline: Quality
    limits: Constraints
    fitted: bool = False

    @property
    def rungs(self) -> tuple[float, ...]:
        """The epochs after which trials are judged, and after the last of which they end.

        For halving thirds of thirds, the shortest a part of an epoch, or one where it is short. What was fitted has
        two: half trained, it tells less than where it started.
        """
        if self.schedule is Schedule.FULL:
            return (self.epochs,)
        if self.fitted:
            return tuple(sorted({min(self.batches, GLANCE) / self.batches, self.epochs}))
        look = min(self.batches, max(SHORTEST_LOOK, round(FIRST_LOOK * self.batches))) / self.batches
        rungs, epochs = {1, look}, self.epochs
        while epochs > 1:
            rungs.add(epochs)
            epochs = round(epochs / 3)
        return tuple(sorted(rungs))


def fine_tuned(chosen: Sequence[Solution], asked: FineTuning, run: Run, meter: Meter) -> tuple[Trial, ...]:
    """Step 6: the solutions' trials, in their order; those that the run's journal has are not trained again."""
    from edgett.train import finetune

    _refuse_others(chosen, run)
    known = run.trials()
    if all(solution.number in known and known[solution.number].complete for solution in chosen):
        return tuple(known[solution.number] for solution in chosen)
    job, quality = asked.job, asked.inputs.quality
    with run.staging() as folder:
        tuner = _tuner(chosen, asked, folder, meter)
        batches = finetune.batches(len(tuner.train), job.batch_size)
        schedule, fitted = schedule_of(job, chosen), any(solution.windowed for solution in chosen)
        course = Course(schedule, job.epochs, batches, job.seed, quality, asked.limits, fitted)
        with _crew(tuner, job, len(chosen), folder) as crew:
            _announce(chosen, asked, _Desk(course, crew, run, meter))
            trials = tune(chosen, course, crew, run, meter)
    if trials and all(trial.failure for trial in trials):
        raise ToolError(
            f"all {len(trials)} trials failed; the first: {trials[0].failure}.",
            "Look for what they have in common: memory (--jobs 1), the learning rate (--learning-rate), the data.",
        )
    return trials


def _announce(chosen: Sequence[Solution], asked: FineTuning, desk: _Desk) -> None:
    """Say what is about to be trained, and how long that takes: measured, by each worker on a few batches."""
    from edgett.model.layers import positions

    job, course, crew, meter, known = asked.job, desk.course, desk.crew, desk.meter, desk.run.trials()
    reached = {number: math.inf if trial.complete else trial.epochs for number, trial in known.items()}
    behind = [reached.get(solution.number, 0.0) for solution in chosen]
    left = [solution for solution, epochs in zip(chosen, behind, strict=True) if epochs < course.epochs]
    fresh = [solution for solution in left if solution.number not in known]
    where = f"on {job.cluster}" if job.cluster else "in this process" if job.jobs == 0 else _processes(crew.size)
    with meter.stage(f"making ready, {where}"):
        crew.ready()
    legs = forecast.legs(course.rungs, course.batches, behind)
    with meter.stage("trying a few batches"):
        names = {name for solution in chosen for name in solution.edits}
        rows = {name: job.batch_size * many for name, many in positions(asked.inputs.source, names).items()}
        paces = forecast.tried(fresh or left, crew, rows, legs)
    what = f"{len(chosen)} of {asked.able:,} joint solutions"
    if known:
        what += f", {len(left)} of them left"
    first = "" if len(course.rungs) == 1 else f"{course.rungs[0]:.2g} to "
    samples = f"{len(asked.inputs.data.train):,} samples"
    seconds = forecast.seconds(legs, paces, crew.size) if paces else math.nan
    time = f": {forecast.lasting(seconds)}" if paces else ""
    epochs = "1 epoch" if job.epochs == 1 and not first else f"{first}{job.epochs} epochs"
    meter.say(f"{what}, {epochs} each on {samples}, {where}{time}")
    told = (f"begin {one.begin:.2f} s, batch {one.batch:.4f} s, judge {one.judge:.2f} s" for one in sum(paces, ()))
    meter.note(f"forecast {seconds:.1f} s: {'; '.join(told)}")


def schedule_of(job: Job, chosen: Sequence[Solution]) -> Schedule:
    """Full or halving: what is asked for, else what suits; patience is for those that are trained to the end."""
    if job.schedule is not Schedule.AUTO:
        return job.schedule
    windowed = any(solution.windowed for solution in chosen)
    return Schedule.HALVING if windowed and job.patience is None else Schedule.FULL


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _tuner(chosen: Sequence[Solution], asked: FineTuning, folder: Path, meter: Meter) -> Tuner:
    """What trains the solutions: from the samples, or from what a frozen trunk makes of them."""
    from edgett.model import trunk
    from edgett.train.data import Split
    from edgett.train.finetune import Recipe, Tuner

    job, inputs = asked.job, asked.inputs
    recipe = Recipe(job.epochs, job.batch_size, job.seed, job.patience, job.learning_rate, job.recover)
    model, splits = inputs.source, [inputs.data.train, inputs.data.validation]
    if parts := _frozen(chosen, asked, meter):
        model = parts.head
        with meter.stage("running the frozen trunk", sum(map(len, splits))) as advance:
            splits = [
                Split(trunk.features(parts, split.x, folder / f"features-{index}", advance), split.y)
                for index, split in enumerate(splits)
            ]
    gone = {solution.gone for solution in chosen} - {0}
    pruned = {each: replace(inputs.pruned[each], starts=asked.starts.get(each, {})) for each in gone}
    return Tuner(model, splits[0], splits[1], inputs.judge, recipe, asked.starts.get(0, {}), pruned)


def _frozen(chosen: Sequence[Solution], asked: FineTuning, meter: Meter) -> Parts | None:
    """The model in two where its trunk is to be frozen: not where what it is given is altered in every epoch."""
    from edgett.model import trunk

    wish, model = asked.job.trunk, asked.inputs.source
    paths = {name for solution in chosen for name in solution.edits}
    if asked.inputs.adversary is not None:
        if wish is Trunk.FROZEN:
            meter.say("No trunk is frozen: an attack goes through it, to the model's own inputs.")
        return None
    if asked.job.augment is not None:
        return None
    if wish is Trunk.TRAINED or (wish is Trunk.AUTO and trunk.share(model, paths, asked.dense) < WORTH_FREEZING):
        return None
    # Of slimmer models another trunk makes other features.
    parts = None if any(solution.removed for solution in chosen) else trunk.parts(model, paths)
    if parts is None and wish is Trunk.FROZEN:
        meter.say(
            "No trunk can be frozen: nothing with weights comes before the replaced layers, no cut works, or channels"
            " are gone."
        )
    return None if parts is not None and parts.random and wish is Trunk.AUTO else parts


def _crew(tuner: Tuner, job: Job, most: int, folder: Path) -> AbstractContextManager[Crew]:
    """Who trains: a cluster, or as many processes as asked, left to ourselves one a processor; `most` are of use."""
    from edgett.train import cluster, workers

    if job.cluster is not None:
        return cluster.crew(tuner, job.cluster)
    jobs = len(os.sched_getaffinity(0)) if job.jobs is None else job.jobs
    return workers.crew(tuner, min(jobs, most), folder)


def tune(chosen: Sequence[Solution], course: Course, crew: Crew, run: Run, meter: Meter) -> tuple[Trial, ...]:
    """Have a crew train what the run's journal does not have yet; the solutions' trials, in their order.

    Who goes on is decided by what was known when it was first decided, whatever else the journal has by now.
    """
    desk, rungs = _Desk(course, crew, run, meter), course.rungs
    paths = {trial.solution.number: [trial] for trial in desk.train([(solution, 0) for solution in chosen])}
    going = choose.promoted([path[0] for path in paths.values()], course.limits) if len(rungs) > 1 else []
    while going:
        for trial in desk.train([(solution, len(paths[solution.number])) for solution in going]):
            paths[trial.solution.number].append(trial)
        going = choose.contenders(list(paths.values()), course.limits)
    return tuple(paths[solution.number][-1] for solution in chosen)


def _refuse_others(chosen: Sequence[Solution], run: Run) -> None:
    known = run.trials()
    for solution in chosen:
        trial = known.get(solution.number)
        if trial is not None and _made_of(trial.solution) != _made_of(solution):
            raise UsageError(
                f"solution {solution.number} is not the one that {run.path} has fine-tuned: the spectra of the weights"
                " came out differently, as on another machine.",
                "Start anew with --fresh, or with another --out.",
            )


def _made_of(solution: Solution) -> tuple[object, object]:
    return solution.edits, solution.removed


@dataclass(frozen=True)
class _Desk:
    """Hands out the work and writes down what comes back."""

    course: Course
    crew: Crew
    run: Run
    meter: Meter

    def train(self, goals: Sequence[tuple[Solution, int]]) -> list[Trial]:
        """The trials of solutions after the rungs of these numbers, or earlier if no more was of use."""
        from edgett.train.finetune import Task

        rungs = self.course.rungs
        known = {rung: self.run.trials(rungs[rung]) for _, rung in goals}
        tasks, before, over, total = [], dict[int, Trial](), 0, 0
        for solution, rung in goals:
            trial, until = known[rung].get(solution.number), rungs[rung]
            batches = round((until - (rungs[rung - 1] if rung else 0)) * self.course.batches)
            total += batches
            if trial is None or not (trial.complete or trial.epochs == until):
                if trial is not None:
                    before[solution.number] = trial
                state = self.run.state(solution.number) if trial else None
                tasks.append(Task(solution, until, trial.epochs if trial else 0, state))
            else:
                over += batches
        going_on = any(rung for _, rung in goals)
        with self.meter.stage(f"fine-tuning {len(goals)} {'on' if going_on else 'solutions'}", total) as advance:
            advance(over)
            for task, tuned in self._done(tasks, advance):
                trial = self._trial(task, tuned, before.get(task.solution.number))
                self.run.record(trial, tuned.weights, tuned.state)
                self.meter.note(_told(trial, tuned, self.course.baseline))
        after = {rung: self.run.trials(rungs[rung]) for rung in known}
        return [after[rung][solution.number] for solution, rung in goals]

    def _done(self, tasks: Sequence[Task], advance: Callable[[int], None]) -> Iterator[tuple[Task, Tuned]]:
        """The tasks as they are done, the most promising begun first."""
        from edgett.train.finetune import Tuned
        from edgett.train.workers import WorkerDied

        waiting = sorted(tasks, key=lambda task: task.solution.loss or 0.0)
        deaths: Counter[int] = Counter()
        underway: dict[Future[Tuned], Task] = {}
        while waiting or underway:
            while waiting and len(underway) < self.crew.size:
                task = self.crew.first(waiting)
                waiting.remove(task)
                underway[self.crew.submit(task)] = task
            done = wait(underway, MOMENT, FIRST_COMPLETED).done
            advance(self.crew.heard())
            for future in done:
                task = underway.pop(future)
                try:
                    yield task, future.result()
                except WorkerDied as death:
                    number = task.solution.number
                    deaths[number] += 1
                    if deaths[number] < ATTEMPTS:
                        waiting.append(task)
                    else:
                        yield task, Tuned(Quality(()), (), 0.0, failure=f"{death.message} ({ATTEMPTS} times)")

    def _trial(self, task: Task, tuned: Tuned, before: Trial | None) -> Trial:
        losses, told = (before.losses if before else ()), tuned.losses
        if losses and told and not float(task.epochs).is_integer():
            losses, told = losses[:-1], (losses[-1] + told[0], *told[1:])
        # A worker that died tells no losses; the trial's end must not take the place of what the journal has.
        ran = len(tuned.losses) or min(math.ceil(task.epochs), 1)
        return Trial(
            task.solution,
            tuned.quality,
            tuned.quality.drop_from(self.course.baseline) if tuned.failure is None else math.inf,
            min(math.floor(task.epochs) + ran, task.until),
            self.course.seed,
            tuned.seconds + (before.seconds if before else 0.0),
            losses + told,
            tuned.state is None,
            tuned.failure,
            robust_drop=tuned.quality.robust_drop_from(self.course.baseline),
        )


def _told(trial: Trial, tuned: Tuned, baseline: Quality) -> str:
    """A trial in a line of the log."""
    came = f"failed: {trial.failure}" if trial.failure else f"drop {trial.drop:.3f}, loss {trial.quality.loss}"
    came += "" if trial.robust_drop is None else f", robust drop {trial.robust_drop:.3f}"
    epochs = "1 epoch" if trial.epochs == 1 else f"{trial.epochs:.3g} epochs"
    return f"solution {trial.solution.number}: {epochs} in {tuned.seconds:.2f} s, {came}{_pulled(tuned.pull, baseline)}"


def _pulled(pull: Pull | None, baseline: Quality) -> str:
    """How near its forms a dense model came that was pulled there first, and what it was as it was decomposed."""
    if pull is None:
        return ""
    distances = " ".join(f"{one:.3f}" for one in pull.distances)
    return f"; decomposed: drop {pull.quality.drop_from(baseline):.3f}, distance of the weights {distances}"
