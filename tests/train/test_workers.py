"""Whoever fine-tunes, and whatever dies on the way: the results are those of one process with one thread."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import loky
import numpy as np
import pytest

from edgett.forms.site import Cost
from edgett.forms.tt.shape import TTShape
from edgett.model.ports import input_ports, keras, output_ports
from edgett.search.solution import Solution
from edgett.train import workers
from edgett.train.data import Split
from edgett.train.finetune import Recipe, Task, Tuned, Tuner, batches, make_deterministic
from edgett.train.quality import judge
from edgett.train.training import tf
from edgett.train.workers import THREADS, Crew, WorkerDied
from tests.conftest import blobs

EPOCHS, BATCH_SIZE, SAMPLES = 2, 64, 300
WORK = EPOCHS * batches(SAMPLES, BATCH_SIZE)
SOON = 100.0
"""Seconds; the slowest machine needs fewer."""


class Fragile(keras.layers.Layer):
    """Gives its input on; when it is trained it suffers what the files in its folder are named after.

    A file is then gone, except "doomed", and "waits", which holds everybody up as long as it is there.
    """

    def __init__(self, folder: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.folder = folder

    def call(self, x: Any, training: bool = False) -> Any:
        for fate in sorted(Path(self.folder).iterdir()) if training else []:
            x = self._suffered(fate, x)
        return x

    def _suffered(self, fate: Path, x: Any) -> Any:
        match fate.name:
            case "waits":
                fate.with_name(f"waiting-{os.getpid()}").touch()
                while fate.exists():
                    time.sleep(0.1)
            case "doomed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "dies":
                fate.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            case "greedy":
                fate.unlink()
                x += tf.reduce_sum(tf.fill([tf.shape(x)[0] * 2**24, 2**24], 1.0))
            case "misfit":
                fate.unlink()
                x = tf.reshape(x, [-1, tf.shape(x)[1] + 1])[:, :-1]
            case "untraceable":
                fate.unlink()
                x = tf.matmul(x, tf.zeros((7, 7)))
        return x

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"folder": self.folder}


def solution(number: int) -> Solution:
    shapes = {"wide": TTShape((8, 8), (6, 8), (1, 2 + number, 1))}
    return Solution(number, shapes, Cost(1000 + number, 1000), 4000, loss=float(number))


def task(number: int) -> Task:
    return Task(solution(number), EPOCHS)


def fragile_tuner(folder: Path) -> Tuner:
    """Trains 64-48-36-10 with dropout, whose draws must be the same everywhere, too."""
    folder.mkdir(exist_ok=True)
    keras.utils.set_random_seed(3)
    layers = [keras.Input((64,)), keras.layers.Dense(48, "relu", name="wide"), Fragile(str(folder), name="fragile")]
    layers += [keras.layers.Dropout(0.1), keras.layers.Dense(36, "relu", name="narrow")]
    layers += [keras.layers.Dense(10, "softmax", name="digit")]
    model = keras.Sequential(layers, name="fragile")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    arrays = blobs()
    (x,), (y,) = input_ports(model), output_ports(model)
    train, validation = (
        Split({x.name: arrays[f"x_{part}"][:SAMPLES]}, {y.name: arrays[f"y_{part}"][:SAMPLES]})
        for part in ("train", "test")
    )
    return Tuner(model, train, validation, judge(model, train.y), Recipe(EPOCHS, BATCH_SIZE, seed=5))


def plainly(folder: Path, numbers: Sequence[int]) -> dict[int, Tuned]:
    """What the tuner makes of solutions where nothing is sent anywhere."""
    make_deterministic()
    tuner = fragile_tuner(folder)
    return {number: tuner.run(task(number), lambda batches: None) for number in numbers}


def done_by(crew: Crew, numbers: Sequence[int]) -> dict[int, Tuned]:
    """Solutions trained by a crew that always has as much to do as it can."""
    return all_done(crew, [task(number) for number in reversed(numbers)])


def all_done(crew: Crew, waiting: list[Task]) -> dict[int, Tuned]:
    underway, done = dict[Future[Tuned], int](), dict[int, Tuned]()
    while waiting or underway:
        while waiting and len(underway) < crew.size:
            following = crew.first(waiting)
            waiting.remove(following)
            underway[crew.submit(following)] = following.solution.number
        ended = wait(underway, SOON, FIRST_COMPLETED).done
        assert ended, "nothing comes back"
        done |= {underway.pop(future): future.result() for future in ended}
    return done


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Tuned]:
    alone = loky.ProcessPoolExecutor(1, None, env=THREADS)
    try:
        return alone.submit(plainly, tmp_path_factory.mktemp("reference"), range(2)).result(SOON)
    finally:
        alone.shutdown(wait=True)


@pytest.fixture(scope="class")
def fates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fates")


class CrewContract:
    """What every crew does. Fixtures: `crew`, of `fragile_tuner(fates)`."""

    same = staticmethod(np.testing.assert_equal)

    @pytest.mark.slow
    def test_results_are_those_of_one_thread_in_whatever_order(self, crew: Crew, reference: dict[int, Tuned]) -> None:
        crew.ready()
        crew.heard()
        for number, tuned in done_by(crew, range(len(reference))).items():
            expected = reference[number]
            assert tuned.failure is None and tuned.state is None and len(tuned.weights) == len(expected.weights)
            self.same(tuned.losses, expected.losses)
            self.same([score.value for score in tuned.quality.scores], [s.value for s in expected.quality.scores])
            if self.same is np.testing.assert_equal:
                assert tuned.weights == expected.weights
        assert crew.heard() == WORK * len(reference)
        assert crew.heard() == 0

    @pytest.mark.slow
    def test_what_waits_in_between_ends_as_what_never_stopped(self, crew: Crew, reference: dict[int, Tuned]) -> None:
        firsts = all_done(crew, [Task(solution(number), 1) for number in reference])
        rest = [Task(solution(number), EPOCHS, 1, firsts[number].state) for number in reference]
        for number, tuned in all_done(crew, rest).items():
            self.same(tuned.losses, reference[number].losses[1:])
            if self.same is np.testing.assert_equal:
                assert tuned.weights == reference[number].weights
        crew.heard()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("fate", "kind", "says"),
        [
            ("misfit", tf.errors.InvalidArgumentError, "reshape"),
            ("untraceable", ValueError, "Dimensions must be equal"),
        ],
    )
    def test_an_error_comes_back_as_itself(
        self, crew: Crew, fates: Path, fate: str, kind: type[Exception], says: str
    ) -> None:
        (fates / fate).touch()
        with pytest.raises(kind, match=says):
            crew.submit(task(0)).result(SOON)

    @pytest.mark.slow
    def test_a_lack_of_memory_is_a_death_and_is_said(self, crew: Crew, fates: Path) -> None:
        (fates / "greedy").touch()
        with pytest.raises(WorkerDied, match="ran out of memory"):
            crew.submit(task(0)).result(SOON)


class ElsewhereContract(CrewContract):
    """What a crew of other processes does beyond that. Fixtures: also `died`, what a WorkerDied says after a kill."""

    @pytest.mark.slow
    def test_a_task_whose_process_is_killed_is_done_by_the_next(
        self, crew: Crew, fates: Path, died: str, reference: dict[int, Tuned]
    ) -> None:
        (fates / "dies").touch()
        with pytest.raises(WorkerDied, match=died):
            crew.submit(task(1)).result(SOON)
        assert crew.submit(task(1)).result(SOON).weights == reference[1].weights


def roughly(found: Any, expected: Any) -> None:
    """With more threads sums come in another order: some of the 200 images fall to the other side."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)


class TestHere(CrewContract):
    same = staticmethod(roughly)

    @pytest.fixture(scope="class")
    @classmethod
    def crew(cls, fates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
        with workers.crew(fragile_tuner(fates), 0, tmp_path_factory.mktemp("here")) as crew:
            yield crew


class TestProcesses(ElsewhereContract):
    @pytest.fixture(scope="class")
    @classmethod
    def crew(cls, fates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
        with workers.crew(fragile_tuner(fates), 2, tmp_path_factory.mktemp("processes")) as crew:
            yield crew

    @pytest.fixture
    def died(self) -> str:
        return "its process died.*SIGKILL"


def test_what_a_worker_has_begun_goes_on_there(tmp_path: Path) -> None:
    """Else it would have to be built and traced again."""
    crew = workers.Processes(2, tmp_path)
    crew._begun, crew._idle = {0: 0, 1: 1, 2: 1}, [1]
    waiting = [task(number) for number in (0, 3, 2, 1)]
    picked = []
    while waiting:
        picked.append(crew.first(waiting))
        waiting.remove(picked[-1])
    assert [each.solution.number for each in picked] == [2, 1, 3, 0]
    crew.close()


def test_nobody_is_left_when_the_crew_goes_home_in_the_middle_of_its_work(tmp_path: Path) -> None:
    tuner = fragile_tuner(tmp_path / "fates")
    with workers.crew(tuner, 1, tmp_path) as crew:
        assert isinstance(crew, workers.Processes)
        future = crew.submit(task(0))
        (pid,) = crew._workers[0]._processes
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert future.exception(SOON) is not None
