"""Who is trained for how long, whatever dies on the way and in whatever order results come back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgett.errors import ModelError, UsageError
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.site import Cost
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window
from edgett.job.choices import Schedule
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.run.directory import Run
from edgett.search.constraints import DROP, Constraints, Objective
from edgett.search.quality import Quality, Score
from edgett.search.solution import Solution, Trial
from edgett.train.finetune import Task, Tuned
from edgett.train.workers import WorkerDied
from edgett.workflow.tuning import Course, schedule_of, tune

LIMITS = Constraints(Objective.ACCURACY, {DROP: 2.0})
COUNT, EPOCHS, BATCHES = 12, 3, 10
BASELINE = Quality((Score("y", "accuracy", 0.9),), 0.1)


def solution(number: int) -> Solution:
    """The larger the number, the smaller the model and the worse its accuracy; FLOPs go their own way."""
    cost = Cost(1000 - 50 * number, 500 + 37 * (number * 7 % COUNT))
    return Solution(
        number, {"fc": TTShape((2, 2), (2, 2), (1, number + 1, 1))}, cost, 4 * cost.params, loss=0.1 * number
    )


SOLUTIONS = tuple(map(solution, range(COUNT)))


class Scripted:
    """Answers from a formula, in an order of its own; `dies` counts how often each number's worker still dies."""

    def __init__(
        self, size: int = 3, seed: int = 0, dies: Mapping[int, int] | None = None, epochs: int = EPOCHS
    ) -> None:
        self.size, self.done, self._epochs = size, list[Task](), epochs
        self._random, self._dies = np.random.default_rng(seed), dict(dies or {})
        self._held: list[tuple[Task, Future[Tuned]]] = []

    def first(self, waiting: Sequence[Task]) -> Task:
        return waiting[0]

    def submit(self, task: Task) -> Future[Tuned]:
        future: Future[Tuned] = Future()
        self._held.append((task, future))
        if len(self._held) == self.size:
            self._finish()
        return future

    def heard(self) -> int:
        if self._held:
            self._finish()
        return 0

    def _finish(self) -> None:
        task, future = self._held.pop(int(self._random.integers(len(self._held))))
        number = task.solution.number
        if self._dies.get(number, 0) > 0:
            self._dies[number] -= 1
            future.set_exception(WorkerDied("its process died (killed)"))
            return
        assert (task.state is None) == (task.epochs == 0)
        assert task.state in (None, f"{number} after {float(task.epochs)}".encode())
        self.done.append(task)
        future.set_result(tuned(task, self._epochs))


def tuned(task: Task, epochs: int) -> Tuned:
    number = task.solution.number
    drop = 0.4 * number / task.until
    quality = Quality((Score("y", "accuracy", 0.9 - drop / 100),), 0.2)
    state = f"{number} after {float(task.until)}".encode() if task.until < epochs else None
    losses = tuple(0.5 * (min(epoch + 1, task.until) - max(epoch, task.epochs)) for epoch in range(EPOCHS))
    return Tuned(quality, tuple(loss for loss in losses if loss > 0), 1.0, f"weights {number}".encode(), state)


def course(schedule: Schedule = Schedule.FULL, limits: Constraints = LIMITS, batches: int = BATCHES) -> Course:
    return Course(schedule, EPOCHS, batches, 7, BASELINE, limits)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with closing(Run.start(tmp_path / "run", {})) as run:
        yield run


def test_all_are_trained_to_the_end_and_come_back_in_their_order(run: Run) -> None:
    crew = Scripted()
    trials = tune(SOLUTIONS, course(), crew, run, Silent())
    assert [trial.solution for trial in trials] == list(SOLUTIONS)
    for trial in trials:
        assert (trial.epochs, trial.complete, trial.seed, trial.losses) == (3, True, 7, (0.5, 0.5, 0.5))
        assert trial.drop == pytest.approx(0.4 * trial.solution.number / 3)
        assert run.weights(trial.solution.number) == f"weights {trial.solution.number}".encode()


def test_the_most_promising_are_begun_first(run: Run) -> None:
    crew = Scripted(size=1)
    tune(SOLUTIONS[::-1], course(), crew, run, Silent())
    assert [task.solution.number for task in crew.done] == list(range(COUNT))


@pytest.mark.parametrize(
    ("batches", "epochs", "rungs"),
    [
        (10, 1, (1,)),
        (10, 3, (1, 3)),
        (128, 3, (1, 3)),
        (200, 3, (0.64, 1, 3)),
        (1000, 3, (0.3, 1, 3)),
        (1000, 1, (0.3, 1)),
        (1000, 10, (0.3, 1, 3, 10)),
    ],
)
def test_halving_climbs_in_thirds_from_a_part_of_an_epoch(batches: int, epochs: int, rungs: tuple[float, ...]) -> None:
    assert replace(course(Schedule.HALVING, batches=batches), epochs=epochs).rungs == rungs
    assert replace(course(batches=batches), epochs=epochs).rungs == (epochs,)
    fitted = replace(course(Schedule.HALVING, batches=batches), epochs=epochs, fitted=True)
    assert fitted.rungs == tuple(sorted({min(batches, 16) / batches, epochs}))


@pytest.mark.parametrize("batches", [10, 1000])
def test_halving_trains_every_pick_to_the_end_and_not_all(run: Run, batches: int) -> None:
    crew, halving = Scripted(), course(Schedule.HALVING, batches=batches)
    trials = tune(SOLUTIONS, halving, crew, run, Silent())
    for rung, fewest, most in ((halving.rungs[0], COUNT, COUNT), (halving.rungs[-1], 2, COUNT - 1)):
        assert fewest <= sum(task.until == rung for task in crew.done) <= most
    assert {trial.epochs for trial in trials if not trial.complete} <= set(halving.rungs[:-1])
    assert [len(trial.losses) for trial in trials] == [math.ceil(trial.epochs) for trial in trials]
    assert len(trials) == COUNT
    # Full training: number 11 drops 1.47, inside the limit of 2, and is the smallest; 0 is the most accurate.
    assert {trial.solution.number for trial in trials if trial.complete} >= {0, 11}


@pytest.mark.parametrize("batches", [10, 1000])
def test_what_halving_left_goes_on_with_the_full_schedule(run: Run, batches: int) -> None:
    halving = course(Schedule.HALVING, batches=batches)
    tune(SOLUTIONS, halving, Scripted(), run, Silent())
    crew = Scripted()
    trials = tune(SOLUTIONS, course(batches=batches), crew, run, Silent())
    assert 0 < len(crew.done) < COUNT and len(trials) == COUNT
    assert {task.epochs for task in crew.done} <= set(halving.rungs[:-1])
    for trial in trials:
        assert (trial.complete, trial.epochs) == (True, 3)
        assert trial.losses == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("batches", [10, 1000])
def test_with_one_epoch_those_that_may_be_picked_get_it_whole(run: Run, batches: int) -> None:
    halving = replace(course(Schedule.HALVING, batches=batches), epochs=1)
    trials = tune(SOLUTIONS, halving, Scripted(epochs=1), run, Silent())
    whole = [trial for trial in trials if trial.epochs == 1]
    assert all(trial.complete for trial in whole) and len(whole) >= 2 and (len(whole) == COUNT) == (batches == 10)


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(Schedule), st.sampled_from([10, 1000]), st.integers(0, 2**32 - 1), st.integers(1, 5),
    st.integers(0, 2 * COUNT),
)  # fmt: skip
def test_neither_order_nor_interruption_matters(
    tmp_path_factory: pytest.TempPathFactory, schedule: Schedule, batches: int, seed: int, size: int, rows: int
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    with closing(Run.start(folder / "whole", {})) as run:
        whole = tune(SOLUTIONS, course(schedule, batches=batches), Scripted(), run, Silent())
    with closing(Run.start(folder / "cut", {})) as run:
        record, left = run.record, rows

        def interrupted(trial: Trial, weights: bytes, state: bytes | None = None) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            record(trial, weights, state)

        run.record = interrupted  # type: ignore[method-assign]
        try:
            tune(SOLUTIONS, course(schedule, batches=batches), Scripted(size, seed), run, Silent())
        except KeyboardInterrupt:
            before = len(run.trials())
        else:
            before = COUNT
        run.record = record  # type: ignore[method-assign]
        crew = Scripted(size, seed + 1)
        assert tune(SOLUTIONS, course(schedule, batches=batches), crew, run, Silent()) == whole
        assert sum(task.epochs == 0 for task in crew.done) == COUNT - before


def test_a_worker_that_dies_is_replaced(run: Run) -> None:
    trials = tune(SOLUTIONS, course(), Scripted(dies={3: 1, 5: 1}), run, Silent())
    assert [trial.failure for trial in trials] == [None] * COUNT


@pytest.mark.parametrize("schedule", Schedule)
def test_a_trial_that_fails_twice_is_recorded_and_the_run_goes_on(run: Run, schedule: Schedule) -> None:
    trials = tune(SOLUTIONS, course(schedule), Scripted(dies={0: 2}), run, Silent())
    assert trials[0].failure == "its process died (killed) (2 times)"
    assert (trials[0].drop, trials[0].complete, trials[0].epochs) == (math.inf, True, 0)
    assert [trial.failure for trial in trials[1:]] == [None] * (COUNT - 1)
    crew = Scripted()
    assert tune(SOLUTIONS, course(schedule), crew, run, Silent()) == trials
    assert crew.done == []


def test_other_errors_pass(run: Run) -> None:
    class Broken(Scripted):
        def submit(self, task: Task) -> Future[Tuned]:
            future: Future[Tuned] = Future()
            future.set_exception(ModelError("no such layer"))
            return future

    with pytest.raises(ModelError, match="no such layer"):
        tune(SOLUTIONS, course(), Broken(), run, Silent())


def test_progress_ends_at_the_work_there_was(run: Run) -> None:
    class Counting(Scripted):
        def heard(self) -> int:
            before = len(self.done)
            super().heard()
            return BATCHES * sum(round(task.until - task.epochs) for task in self.done[before:])

    class Watched(Silent):
        total, done = 0, 0

        def stage(self, text: str, total: int | None = None):  # type: ignore[no-untyped-def]
            from contextlib import nullcontext

            self.total = total or 0
            return nullcontext(self.advance)

        def advance(self, units: int) -> None:
            self.done += units

    tune(SOLUTIONS[:5], course(), Scripted(), run, Silent())
    meter = Watched()
    tune(SOLUTIONS, course(), Counting(size=20), run, meter)
    assert meter.total == COUNT * EPOCHS * BATCHES
    assert meter.done == meter.total


def test_another_solution_of_that_number_is_refused(run: Run) -> None:
    from edgett.workflow.tuning import _refuse_others

    tune(SOLUTIONS[:2], course(), Scripted(), run, Silent())
    other = replace(SOLUTIONS[1], edits={"fc": TTShape((4, 1), (2, 2), (1, 2, 1))})
    with pytest.raises(UsageError, match=r"solution 1 is not the one .* --fresh"):
        _refuse_others([other], run)


def test_convolutions_are_halved_unless_asked_otherwise() -> None:
    spec = SpatialSVD(Window((3, 3), (8, 8)), 8, 8, 4)
    chain = Solution(0, {"c": spec}, Cost(1, 1), 1)
    for job, some, expected in (
        (Job("host"), SOLUTIONS, Schedule.FULL),
        (Job("host"), [*SOLUTIONS, chain], Schedule.HALVING),
        (Job("host", patience=2), [chain], Schedule.FULL),
        (Job("host", schedule=Schedule.FULL), [chain], Schedule.FULL),
        (Job("host", schedule=Schedule.HALVING), SOLUTIONS, Schedule.HALVING),
    ):
        assert schedule_of(job, some) is expected
