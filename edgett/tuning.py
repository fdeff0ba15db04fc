"""Step 6: who is fine-tuned, and for how long; every result is in the run's journal the moment it is there."""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgett.errors import ToolError, UsageError
from edgett.inputs import Inputs
from edgett.project import Job
from edgett.run import Run
from edgett.space import choose
from edgett.space import explore as space
from edgett.space.graph import Graph
from edgett.values import Constraints, Meter, Quality, Schedule, Solution, Trial, Trunk

if TYPE_CHECKING:
    from edgett.nn.finetune import Task, Tuned, Tuner
    from edgett.nn.trunk import Parts
    from edgett.nn.workers import Crew

SHORTLIST = 8
"""Candidates that are weighed for each one that is fine-tuned."""

ATTEMPTS = 2
"""Workers that a task may outlive."""

MOMENT = 0.2
"""Seconds between two looks at how far the workers have come."""


WORTH_FREEZING = 1 / 3
"""The share of the FLOPs from which on `auto` freezes a trunk: training it is most of the time then."""


@dataclass(frozen=True)
class Bench:
    """What is fine-tuned, and how; `dense` is what the model does as it is, `limits` what the picks must keep."""

    job: Job
    inputs: Inputs
    dense: Graph
    limits: Constraints


@dataclass(frozen=True)
class Course:
    """How long solutions are trained: by `schedule` up to `epochs` of `batches` each, and what they are judged by."""

    schedule: Schedule
    epochs: int
    batches: int
    seed: int
    baseline: Quality
    limits: Constraints


def promising(able: Sequence[Solution], job: Job, inputs: Inputs, meter: Meter) -> tuple[Solution, ...]:
    """Whom to fine-tune: spread out; where a loss is expected, by what the layers lose on inputs of theirs."""
    from edgett.nn import weigh

    if job.limit is None or len(able) <= job.limit or any(item.loss is None for item in able):
        return space.spread_out(able, job.limit)
    shortlist = space.spread_out(able, SHORTLIST * job.limit)
    with meter.stage("weighing the candidates", len(weigh.shapes_of(shortlist))) as advance:
        losses = weigh.output_losses(inputs.model, inputs.data.train.x, shortlist, advance)
    weighed = [replace(item, loss=loss) for item, loss in zip(shortlist, losses, strict=True)]
    return space.spread_out(weighed, job.limit)


def fine_tuned(chosen: Sequence[Solution], bench: Bench, run: Run, meter: Meter) -> tuple[Trial, ...]:
    """Step 6: the solutions' trials, in their order; those that the run's journal has are not trained again."""
    from edgett.nn import finetune

    _refuse_others(chosen, run)
    known = run.trials()
    if all(solution.number in known and known[solution.number].complete for solution in chosen):
        return _trials(chosen, run)
    job, quality = bench.job, bench.inputs.quality
    with run.staging() as folder:
        tuner = _tuner(chosen, bench, folder, meter)
        batches = finetune.batches(len(tuner.train), job.batch_size)
        course = Course(job.schedule, job.epochs, batches, job.seed, quality, bench.limits)
        with _crew(tuner, job, len(chosen), folder) as crew:
            trials = tune(chosen, course, crew, run, meter)
    if trials and all(trial.failure for trial in trials):
        raise ToolError(
            f"all {len(trials)} trials failed; the first: {trials[0].failure}.",
            "Look for what they have in common: memory (--jobs 1), the learning rate (--learning-rate), the data.",
        )
    return trials


def _tuner(chosen: Sequence[Solution], bench: Bench, folder: Path, meter: Meter) -> Tuner:
    """What trains the solutions: from the samples, or from what a frozen trunk makes of them."""
    from edgett.nn import trunk
    from edgett.nn.data import Split
    from edgett.nn.finetune import Recipe, Tuner

    job, inputs = bench.job, bench.inputs
    recipe = Recipe(job.epochs, job.batch_size, job.seed, job.patience, job.learning_rate, job.recover)
    model, splits = inputs.model, [inputs.data.train, inputs.data.validation]
    if parts := _frozen(chosen, bench, meter):
        model = parts.head
        with meter.stage("running the frozen trunk", sum(map(len, splits))) as advance:
            splits = [
                Split(trunk.features(parts, split.x, folder / f"features-{index}", advance), split.y)
                for index, split in enumerate(splits)
            ]
    return Tuner(model, splits[0], splits[1], inputs.judge, recipe)


def _frozen(chosen: Sequence[Solution], bench: Bench, meter: Meter) -> Parts | None:
    """The model in two where its trunk is to be frozen."""
    from edgett.nn import trunk

    wish, model = bench.job.trunk, bench.inputs.model
    paths = {name for solution in chosen for name in solution.shapes}
    if wish is Trunk.TRAINED or (wish is Trunk.AUTO and trunk.share(model, paths, bench.dense) < WORTH_FREEZING):
        return None
    parts = trunk.parts(model, paths)
    if parts is None and wish is Trunk.FROZEN:
        meter.say("No trunk can be frozen: nothing with weights comes before the replaced layers, or no cut works.")
    return None if parts is not None and parts.random and wish is Trunk.AUTO else parts


def _crew(tuner: Tuner, job: Job, most: int, folder: Path) -> AbstractContextManager[Crew]:
    """Who trains: a cluster, or as many processes as asked, left to ourselves one a processor; `most` are of use."""
    from edgett.nn import cluster, workers

    if job.cluster is not None:
        return cluster.crew(tuner, job.cluster)
    jobs = len(os.sched_getaffinity(0)) if job.jobs is None else job.jobs
    return workers.crew(tuner, min(jobs, most), folder)


def tune(chosen: Sequence[Solution], course: Course, crew: Crew, run: Run, meter: Meter) -> tuple[Trial, ...]:
    """Have a crew train what the run's journal does not have yet; the solutions' trials, in their order."""
    epochs, limits = course.epochs, course.limits
    halving = course.schedule is Schedule.HALVING
    work = len(chosen) * course.batches * (1 if halving else epochs)
    with meter.stage(f"fine-tuning {len(chosen)} solutions", work) as advance:
        desk = _Desk(course, crew, run, advance)
        early = desk.train(chosen, 1 if halving else epochs)
    if halving and epochs > 1:
        going = choose.promoted(early, limits)
        while going:
            with meter.stage(f"fine-tuning {len(going)} on", len(going) * course.batches * (epochs - 1)) as advance:
                _Desk(course, crew, run, advance).train(going, epochs, since=1)
            going = choose.contenders(early, _trials(chosen, run), limits)
    return _trials(chosen, run)


def _trials(chosen: Sequence[Solution], run: Run, epochs: int | None = None) -> tuple[Trial, ...]:
    trials = run.trials(epochs)
    return tuple(trials[solution.number] for solution in chosen)


def _refuse_others(chosen: Sequence[Solution], run: Run) -> None:
    known = run.trials()
    for solution in chosen:
        trial = known.get(solution.number)
        if trial is not None and trial.solution.shapes != solution.shapes:
            raise UsageError(
                f"solution {solution.number} is not the one that {run.path} has fine-tuned: the spectra of the weights"
                " came out differently, as on another machine.",
                "Start anew with --fresh, or with another --out.",
            )


@dataclass(frozen=True)
class _Desk:
    """Hands out the work and writes down what comes back. `advance` hears of batches."""

    course: Course
    crew: Crew
    run: Run
    advance: Callable[[int], None]

    def train(self, solutions: Sequence[Solution], until: int, since: int = 0) -> tuple[Trial, ...]:
        """The solutions' trials after `until` epochs (`since` of them are over), or fewer if no more were of use."""
        from edgett.nn.finetune import Task

        known, tasks = self.run.trials(until), []
        for solution in solutions:
            trial = known.get(solution.number)
            if trial is None or not (trial.complete or trial.epochs == until):
                state = self.run.state(solution.number) if trial else None
                tasks.append(Task(solution, until, trial.epochs if trial else 0, state))
            else:
                self.advance((until - since) * self.course.batches)
        for task, tuned in self._done(tasks):
            self.run.record(self._trial(task, tuned, known), tuned.weights, tuned.state)
        return _trials(solutions, self.run, until)

    def _done(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Tuned]]:
        """The tasks as they are done, the most promising begun first."""
        from edgett.nn.finetune import Tuned
        from edgett.nn.workers import WorkerDied

        waiting = deque(sorted(tasks, key=lambda task: task.solution.loss or 0.0))
        deaths: Counter[int] = Counter()
        underway: dict[Future[Tuned], Task] = {}
        while waiting or underway:
            while waiting and len(underway) < self.crew.size:
                task = waiting.popleft()
                underway[self.crew.submit(task)] = task
            done = wait(underway, MOMENT, FIRST_COMPLETED).done
            self.advance(self.crew.heard())
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

    def _trial(self, task: Task, tuned: Tuned, known: Mapping[int, Trial]) -> Trial:
        before = known.get(task.solution.number)
        # A worker that died tells no losses; the trial's end must not take the place of what the journal has.
        ran = len(tuned.losses) or min(task.epochs, 1)
        return Trial(
            task.solution,
            tuned.quality,
            tuned.quality.drop_from(self.course.baseline) if tuned.failure is None else math.inf,
            task.epochs + ran,
            self.course.seed,
            tuned.seconds + (before.seconds if before else 0.0),
            (before.losses if before else ()) + tuned.losses,
            tuned.state is None,
            tuned.failure,
        )
