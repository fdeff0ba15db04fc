"""What fine-tuning is about to do, and how long it takes, in words and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from edgett.forms.site import Cost
from edgett.forms.tt.cost import rebuild_flops, training_work
from edgett.forms.tt.shape import TTShape
from edgett.search.quality import Quality
from edgett.search.solution import Solution
from edgett.train.finetune import Task, TrainingPace, Tuned
from edgett.train.workers import WorkerDied
from edgett.workflow import forecast
from edgett.workflow.forecast import Leg
from tests.conftest import EASY, Answer, Finished, Tiny

Call = Callable[..., Answer]


def solution(rank: int) -> Solution:
    return Solution(rank, {"fc": TTShape((20, 20), (10, 10), (1, rank, 1))}, Cost(1, 1), 1)


class Crew:
    """Takes the pace of a solution to be its number; the worker of `dead` dies."""

    def __init__(self, size: int, dead: int | None = None) -> None:
        self.size, self.asked, self._dead = size, list[Task](), dead

    def submit(self, task: Task) -> Future[Tuned]:
        self.asked.append(task)
        future: Future[Tuned] = Future()
        number = task.solution.number
        if number == self._dead:
            future.set_exception(WorkerDied("its process died"))
        else:
            future.set_result(Tuned(Quality(()), (), 1.0, pace=TrainingPace(1.0, float(number), 2.0)))
        return future


def test_every_candidate_for_all_epochs() -> None:
    assert forecast.legs((3,), 100, [0.0] * 24) == (Leg(24, 300, True),)


def test_halving_goes_on_with_a_quarter_and_then_with_the_picks() -> None:
    assert forecast.legs((0.3, 1, 3), 100, [0.0] * 24) == (Leg(24, 30, True), Leg(6, 70, False), Leg(3, 200, False))
    assert forecast.legs((0.3, 1, 3), 100, [0.0] * 2) == (Leg(2, 30, True), Leg(2, 70, False), Leg(2, 200, False))


def test_where_halving_judges_once_two_more_follow_at_once_every_other_time() -> None:
    def later(now: int, then: int) -> tuple[Leg, ...]:
        return Leg(now, 296, False), Leg(then, 296, False, 0.5)

    assert forecast.legs((0.04, 3), 100, [0.0] * 24) == (Leg(24, 4, True), *later(6, 2))
    assert forecast.legs((0.04, 3), 100, [3.0] * 7 + [0.04] * 17)[1:] == later(0, 1)
    assert forecast.legs((0.04, 3), 100, [float("inf")] * 8 + [0.04] * 16)[1:] == later(0, 0)
    assert forecast.legs((0.04, 3), 100, [0.0] * 4)[1:] == later(3, 1)
    assert forecast.legs((0.04, 3), 100, [0.0] * 2)[1:] == later(2, 0)


def test_what_is_behind_is_not_to_come() -> None:
    reached = [float("inf")] * 2 + [1.0] * 3 + [0.3] * 10 + [0.0] * 9

    assert [leg.tasks for leg in forecast.legs((0.3, 1, 3), 100, reached)] == [9, 1, 1]
    assert [leg.tasks for leg in forecast.legs((3,), 100, [float("inf")] * 24)] == [0]


def test_seconds_by_hand() -> None:
    legs, paces = (Leg(5, 100, True), Leg(3, 10, False)), (TrainingPace(2.0, 0.1, 1.0), TrainingPace(4.0, 0.3, 3.0))

    # Three rounds of 20 s of batches and 2 s to judge, two of 2 s and 2 s; twice 3 s to begin, as two have begun.
    assert forecast.seconds(legs, [paces], 2) == pytest.approx(3 * (20 + 2) + 2 * (2 + 2) + 2 * 3)
    assert forecast.seconds((), [paces], 2) == 0
    assert forecast.seconds((Leg(3, 10, False, 0.5),), [paces], 2) == pytest.approx(2 * (2 + 2) / 2)


def test_the_first_time_is_not_typical() -> None:
    """Of beginning and judging; a batch takes what it takes. All five tasks have begun after five paces."""
    legs, rounds = (
        (Leg(5, 100, True),),
        ((TrainingPace(9.0, 0.1, 9.0),), (TrainingPace(2.0, 0.3, 1.0),), (TrainingPace(4.0, 0.2, 2.0),)),
    )

    assert forecast.seconds(legs, rounds, 1) == pytest.approx(5 * (100 * 0.2 + 1.5) + 2 * 3.0)
    assert forecast.seconds(legs, rounds * 2, 1) == pytest.approx(5 * (100 * 0.2 + (1.5 * 2 + 9.0 + 1.5 * 2) / 5))


ROWS = {"fc": 1}
SHORT, LONG = (Leg(6, 0, True),), (Leg(6, 10**6, True),)


def test_each_worker_tries_another_from_the_middle_of_its_part() -> None:
    solutions = [solution(rank) for rank in (9, 1, 5, 3, 7, 2)]
    assert solutions[0].edits["fc"].training_work(1) > solutions[1].edits["fc"].training_work(1)

    one, two, many = Crew(1), Crew(2), Crew(99)
    for crew in (one, two, many):
        (paces,) = forecast.tried(solutions, crew, ROWS, ())  # type: ignore[arg-type]
        assert [pace.batch for pace in paces] == [task.solution.number for task in crew.asked]
        assert all(task.until == 0 and task.state is None for task in crew.asked)

    assert [task.solution.number for task in one.asked] == [5]
    assert [task.solution.number for task in two.asked] == [2, 7]
    assert [task.solution.number for task in many.asked] == [1, 2, 3, 5, 7, 9]


def test_more_are_tried_where_that_is_little_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    solutions = [solution(rank) for rank in (9, 1, 5, 3, 7, 2)]

    def rounds(left: tuple[Leg, ...], took: float) -> list[list[float]]:
        """When the first round has taken so long."""
        now = iter((100.0, 100.0 + took))
        monkeypatch.setattr(forecast, "time", SimpleNamespace(monotonic=lambda: next(now)))
        found = forecast.tried(solutions, Crew(1), ROWS, left)  # type: ignore[arg-type]
        return [[pace.batch for pace in one] for one in found]

    assert rounds(LONG, 60) == [[5.0], [2.0], [7.0]]
    whole = forecast.seconds(SHORT, [[TrainingPace(1.0, 5.0, 2.0)]], 1)
    assert whole == 6 * 2 + 5 * 1
    assert rounds(SHORT, 0.99 * whole / 10 / (1 + 4 / 3)) == [[5.0], [2.0], [7.0]]
    assert rounds(SHORT, 1.01 * whole / 10 / (1 + 4 / 3)) == [[5.0]]
    monkeypatch.undo()
    assert forecast.tried(solutions[:2], Crew(1), ROWS, LONG) == ((TrainingPace(1.0, 9.0, 2.0),),)  # type: ignore[arg-type]


def test_no_pace_where_a_worker_died() -> None:
    assert forecast.tried([solution(3)], Crew(1, dead=3), ROWS, LONG) == ()  # type: ignore[arg-type]
    assert forecast.tried([solution(one) for one in (1, 2, 3)], Crew(1, dead=1), ROWS, LONG) == ()  # type: ignore[arg-type]


def test_work_of_a_training_step() -> None:
    shape = TTShape((20, 20), (10, 10), (1, 8, 1))

    assert training_work(shape, 10**6) < 10**6 * training_work(shape, 1)  # rebuilt once for all rows
    assert training_work(shape, 10**6) >= 10**6 * 2 * 400 * 100 + rebuild_flops(shape)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "10 s"), (31, "40 s"), (119, "120 s"), (121, "2 min"), (1000, "17 min"), (7100, "118 min"),
        (7300, "2 h"), (100_000, "28 h"), (10**6, "12 days"),
    ],
)  # fmt: skip
def test_in_words(seconds: float, words: str) -> None:
    assert forecast.lasting(seconds) == f"about {words}"


def test_compress_says_it_before_it_starts(finished: Finished) -> None:
    told = finished.remarks.splitlines()
    (line,) = (line for line in told if "joint solutions" in line)

    assert re.fullmatch(r"2 of [\d,]+ joint solutions, 1 epoch each on 540 samples, in this process: about \d+ s", line)
    assert told.index("making ready, in this process") < told.index("trying a few batches")
    assert told.index("trying a few batches") < told.index(line) < told.index("fine-tuning 2 solutions")


@pytest.mark.slow
def test_resume_says_what_is_left(edgett: Call, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgett.run.directory import Run

    record, seen = Run.record, []

    def once(self: Run, *given: object) -> None:
        record(self, *given)  # type: ignore[arg-type]
        seen.append(given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Run, "record", once)
        assert edgett("compress", *tiny.arguments, *EASY, "--out", "run").code == 130
    answer = edgett("compress", "--resume", "--out", "run")

    assert answer.code == 0 and len(seen) == 1
    assert "joint solutions, 1 of them left, 1 epoch each" in answer.err
