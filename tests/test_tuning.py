"""Who is trained for how long, whatever dies on the way and in whatever order results come back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgett.errors import ModelError, UsageError
from edgett.nn.finetune import Task, Tuned
from edgett.nn.workers import WorkerDied
from edgett.run import Run
from edgett.tuning import Course, tune
from edgett.values import Constraints, Cost, Objective, Quality, Schedule, Score, Silent, Solution, Trial, TTShape

LIMITS = Constraints(None, None, None, None, 2.0, Objective.ACCURACY)
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

    def __init__(self, size: int = 3, seed: int = 0, dies: Mapping[int, int] | None = None) -> None:
        self.size, self.done = size, list[Task]()
        self._random, self._dies = np.random.default_rng(seed), dict(dies or {})
        self._held: list[tuple[Task, Future[Tuned]]] = []

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
        assert task.state in (None, f"{number} after {task.epochs}".encode())
        self.done.append(task)
        future.set_result(tuned(task))


def tuned(task: Task) -> Tuned:
    number = task.solution.number
    drop = 0.4 * number / task.until
    quality = Quality((Score("y", "accuracy", 0.9 - drop / 100),), 0.2)
    state = f"{number} after {task.until}".encode() if task.until < EPOCHS else None
    return Tuned(quality, (0.5,) * (task.until - task.epochs), 1.0, f"weights {number}".encode(), state)


def course(schedule: Schedule = Schedule.FULL, limits: Constraints = LIMITS) -> Course:
    return Course(schedule, EPOCHS, BATCHES, 7, BASELINE, limits)


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


def test_halving_trains_every_pick_to_the_end_and_not_all(run: Run) -> None:
    crew = Scripted()
    trials = tune(SOLUTIONS, course(Schedule.HALVING), crew, run, Silent())
    assert sum(task.until == 1 for task in crew.done) == COUNT
    complete = [trial for trial in trials if trial.complete]
    assert 3 <= len(complete) < COUNT
    assert {trial.epochs for trial in trials if not trial.complete} == {1}
    # Full training: number 11 drops 1.47, inside the limit of 2, and is the smallest; 0 is the most accurate.
    assert {trial.solution.number for trial in complete} >= {0, 11}


def test_what_halving_left_goes_on_with_the_full_schedule(run: Run) -> None:
    tune(SOLUTIONS, course(Schedule.HALVING), Scripted(), run, Silent())
    crew = Scripted()
    trials = tune(SOLUTIONS, course(), crew, run, Silent())
    assert all(task.epochs == 1 for task in crew.done) and len(crew.done) < COUNT
    assert all(trial.complete and trial.epochs == 3 and len(trial.losses) == 3 for trial in trials)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(Schedule), st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 2 * COUNT))
def test_neither_order_nor_interruption_matters(
    tmp_path_factory: pytest.TempPathFactory, schedule: Schedule, seed: int, size: int, rows: int
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    with closing(Run.start(folder / "whole", {})) as run:
        whole = tune(SOLUTIONS, course(schedule), Scripted(), run, Silent())
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
            tune(SOLUTIONS, course(schedule), Scripted(size, seed), run, Silent())
        except KeyboardInterrupt:
            before = len(run.trials())
        else:
            before = COUNT
        run.record = record  # type: ignore[method-assign]
        crew = Scripted(size, seed + 1)
        assert tune(SOLUTIONS, course(schedule), crew, run, Silent()) == whole
        assert sum(task.epochs == 0 for task in crew.done) == COUNT - before


def test_a_worker_that_dies_is_replaced(run: Run) -> None:
    trials = tune(SOLUTIONS, course(), Scripted(dies={3: 1, 5: 1}), run, Silent())
    assert [trial.failure for trial in trials] == [None] * COUNT


@pytest.mark.parametrize("schedule", Schedule)
def test_a_trial_that_fails_twice_is_recorded_and_the_run_goes_on(run: Run, schedule: Schedule) -> None:
    trials = tune(SOLUTIONS, course(schedule), Scripted(dies={0: 2}), run, Silent())
    assert trials[0].failure == "its process died (killed) (2 times)"
    assert (trials[0].drop, trials[0].complete, trials[0].epochs) == (math.inf, True, 0)
    assert all(trial.failure is None for trial in trials[1:])
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
            return BATCHES * sum(task.until - task.epochs for task in self.done[before:])

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
    from edgett.tuning import _refuse_others

    tune(SOLUTIONS[:2], course(), Scripted(), run, Silent())
    other = replace(SOLUTIONS[1], shapes={"fc": TTShape((4, 1), (2, 2), (1, 2, 1))})
    with pytest.raises(UsageError, match=r"solution 1 is not the one .* --fresh"):
        _refuse_others([other], run)
