"""Altered samples: where layers are fitted, in training, in workers, and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.job.choices import Recover
from edgett.model.weigh import SAMPLES
from edgett.train.assess import answering, outputs
from edgett.train.augment import Augmentation, Called
from edgett.train.augmented import Augmented
from edgett.train.data import Split
from edgett.train.finetune import Recipe, Task, Tuned, Tuner
from edgett.train.parcel import pack, unpack
from edgett.train.quality import Ask, judge
from edgett.train.training import Training
from edgett.train.workers import Processes, attempt
from tests.train.test_finetune import ignore, solution, split, tuner


def noisy(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    made: np.ndarray = (x + 0.3 * random.normal(size=x.shape)).astype(x.dtype)
    return made


NOISE = Augmentation("noisy", Called(__name__, noisy))


def altered(count: int, seed: int = 0) -> Augmented:
    plain = split(count)
    return Augmented(plain.x, plain.y, NOISE, seed)


def altering(count: int, recover: Recover = Recover.DISTILL) -> Tuner:
    return tuner(altered(count), Recipe(epochs=3, batch_size=32, recover=recover))


@pytest.mark.parametrize("count", [1, 60, SAMPLES, 2 * SAMPLES])
def test_layers_are_looked_at_with_as_many_samples_as_of_plenty(count: int) -> None:
    """Scarce samples come again, altered in another way."""
    samples = altered(count)
    found, again = ([part["x"] for part in samples.stream.batches()] for _ in range(2))
    made = np.concatenate(found)
    np.testing.assert_array_equal(made, np.concatenate(again))
    assert len(made) == samples.stream.count
    assert SAMPLES <= len(made) < 2 * SAMPLES and len(np.unique(made, axis=0)) == len(made)
    taken = samples.x["x"][np.unique(np.linspace(0, count - 1, SAMPLES).astype(int))]
    noise = made - np.tile(taken, (len(made) // len(taken), 1))
    assert noise.std() == pytest.approx(0.3, rel=0.02)


def test_each_epoch_and_batch_is_altered_for_itself_and_labels_stay() -> None:
    samples, rows = altered(90), np.arange(90)[::-1]
    whole = samples.drawn(rows, 32, (0, 1, 0))
    np.testing.assert_array_equal(whole.y["y"], samples.y["y"][rows])
    for batch in range(3):
        some = slice(32 * batch, 32 * (batch + 1))
        np.testing.assert_array_equal(samples.drawn(rows[some], 32, (0, 1, batch)).x["x"], whole.x["x"][some])
    for draw in ((1, 1, 0), (0, 2, 0), (0, 1, 1)):
        assert (samples.drawn(rows, 32, draw).x["x"] != whole.x["x"]).all()


def test_a_teacher_and_what_stands_for_labels_are_told_of_what_is_altered() -> None:
    tune = altering(64)
    answer = answering(tune.model)
    samples = replace(altered(64), label=answer)
    part = samples.drawn(np.arange(8), 8, (0, 0, 0))
    wanted = outputs(tune.model, part.x)["y"]
    np.testing.assert_array_equal(part.y["y"], wanted)
    np.testing.assert_array_equal(samples.told(answer)(np.arange(8), part.x)["y"], wanted)
    assert (wanted != outputs(tune.model, samples.x)["y"][:8]).any()


@pytest.mark.parametrize("cut", [1, 2 / 7, 12 / 7])
@pytest.mark.parametrize("recover", [Recover.DISTILL, Recover.ADMM])
@pytest.mark.slow
def test_in_two_tasks_as_in_one(cut: float, recover: Recover) -> None:
    """Taken up from its state by another tuner, in the middle of an epoch too."""
    whole = altering(200, recover).run(Task(solution(), 3), ignore)
    first = altering(200, recover).run(Task(solution(), cut), ignore)
    second = altering(200, recover).run(Task(solution(), 3, cut, first.state), ignore)
    assert (second.weights, second.quality) == (whole.weights, whole.quality)


def test_training_sees_what_is_altered() -> None:
    plain, noise = (tuner(one, Recipe(epochs=1, batch_size=32)) for one in (split(200), altered(200)))
    found = [one.run(Task(solution(), 1), ignore) for one in (plain, noise)]
    assert found[0].weights != found[1].weights


def test_goes_to_another_process_as_it_is(tmp_path: Path) -> None:
    """The user's function goes along; the same seeds make the same weights there."""
    tune = altering(100)
    twin = unpack(pack(tune))
    assert isinstance(twin.train, Augmented) and twin.train.seed == 0 and twin.train.label is None
    mine, theirs = (one.train.drawn(np.arange(50), 32, (0, 0, 0)).x["x"] for one in (tune, twin))
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_a_worker_trains_as_two_of_them_do(tmp_path: Path) -> None:
    parcel = pack(altering(100))
    found: list[Tuned] = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        parcel.save(tmp_path / name)
        crew = Processes(1, tmp_path / name)
        try:
            found.append(crew.submit(Task(solution(), 3)).result())
        finally:
            crew.close()
    assert found[0].weights == found[1].weights and found[0].failure is None
    here = attempt(altering(100), Task(solution(), 3), ignore)
    np.testing.assert_allclose(here.losses, found[0].losses, rtol=1e-4)  # threads: sums in another order


def test_without_labels_a_worker_asks_the_model_it_has() -> None:
    tune = altering(40)
    answer = answering(tune.model)
    bare = Augmented(tune.train.x, outputs(tune.model, tune.train.x), NOISE, 0, answer)
    validation = Split(tune.validation.x, outputs(tune.model, tune.validation.x))
    judged = judge(tune.model, bare.y, Ask(labelled=False))
    twin = unpack(pack(Tuner(tune.model, bare, validation, judged, tune.recipe)))
    assert isinstance(twin.train, Augmented) and twin.train.label is not None
    mine, theirs = (one.drawn(np.arange(8), 8, (0, 0, 0)) for one in (bare, twin.train))
    np.testing.assert_allclose(theirs.y["y"], mine.y["y"], rtol=1e-6)


def test_one_that_goes_wrong_in_the_middle_says_so() -> None:
    def fragile(x: Any, random: np.random.Generator) -> Any:
        return x[:1] if random.random() < 0.5 else x

    samples = replace(altered(200), augment=Augmentation("fragile", Called(__name__, fragile)))
    model = tuner(split(8), Recipe()).model
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy")
    with pytest.raises(Exception, match=r"--augment fragile makes \(1, 24\) of input 'x'"):
        Training(model, samples, 0).epoch(0, 16, None, ignore)
