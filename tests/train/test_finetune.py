"""A solution fine-tuned: rates, patience, what diverges, data of odd sizes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.site import Cost
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window
from edgett.job.choices import Recover
from edgett.model.models import unpack_weights
from edgett.model.slim.pruned import Pruning
from edgett.search.solution import Solution
from edgett.train import finetune
from edgett.train.assess import assess, outputs
from edgett.train.data import Split
from edgett.train.finetune import Recipe, Task, Tuner, compressed, make_deterministic
from edgett.train.methods.distill import Distill
from edgett.train.quality import judge
from edgett.train.rates import starting_rate

SHAPE = TTShape((4, 6), (5, 4), (1, 4, 1))


def solution(number: int = 0) -> Solution:
    return Solution(number, {"fc": SHAPE}, Cost(1, 1), 1)


def split(count: int, classes: int = 3, seed: int = 0) -> Split:
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 24)).astype(np.float32)
    return Split({"x": x}, {"y": np.argmax(x[:, :classes], axis=1)})


def tuner(train: Split, recipe: Recipe, optimizer: keras.optimizers.Optimizer | None = None) -> Tuner:
    make_deterministic()
    keras.utils.set_random_seed(0)
    x = keras.Input((24,), name="x")
    y = keras.layers.Dense(3, activation="softmax", name="y")(keras.layers.Dense(20, activation="relu", name="fc")(x))
    model = keras.Model(x, y)
    model.compile(optimizer or keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Tuner(model, train, split(60, seed=1), judge(model, train.y), recipe)


def ignore(batches: int) -> None:
    pass


def test_models_without_channels_learn_from_the_whole_one() -> None:
    tune = tuner(split(400), Recipe(epochs=2, batch_size=32, recover=Recover.DISTILL))
    pruned = Pruning(tune.model, tune.train.x).pruned(0.6)
    assert pruned is not None
    small = Solution(0, {}, Cost(1, 1), 1, removed=pruned.removed)
    tuned = replace(tune, pruned={pruned.gone: pruned}).run(Task(small, 2), ignore)
    # By hand: the smaller model, taught by the outputs of the whole one.
    alone = replace(tune, model=pruned.of(tune.model))
    teacher = Distill(tune.model, tune.judge, tune.train)
    wanted = replace(alone, tutor=teacher).run(Task(small, 2), ignore)
    others = alone.run(Task(small, 2), ignore)
    assert tuned.failure is None and (tuned.losses, tuned.weights) == (wanted.losses, wanted.weights)
    assert tuned.losses != others.losses


def test_learns_and_leaves_the_model_as_it_was() -> None:
    tune = tuner(split(400), Recipe(epochs=4, batch_size=32, learning_rate=0.02))
    before = [weight.copy() for weight in tune.model.get_weights()]
    tuned = tune.run(Task(solution(), 4), ignore)
    assert tuned.failure is None and tuned.state is None
    assert len(tuned.losses) == 4 and tuned.losses[-1] < 0.7 * tuned.losses[0]
    for mine, theirs in zip(tune.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_weights_give_the_quality_again() -> None:
    from edgett.train.finetune import compressed

    tune = tuner(split(200), Recipe(epochs=1, batch_size=32))
    tuned = tune.run(Task(solution(), 1), ignore)
    model = compressed(tune.model, solution(), tune.judge)
    unpack_weights(model, tuned.weights)
    assert assess(model, tune.validation, tune.judge) == tuned.quality
    with np.load(io.BytesIO(tuned.weights)) as stored:
        assert sorted(stored) == ["fc:0", "fc:1", "fc:2", "y:0", "y:1"]


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 2 / 7, 12 / 7])
@pytest.mark.parametrize("live", [True, False])
def test_in_two_tasks_as_in_one(cut: float, live: bool) -> None:
    """Whether the training still lives in the tuner that began it or is taken up from its state by another."""
    tune = tuner(split(200), Recipe(epochs=3, batch_size=32))
    whole = tune.run(Task(solution(), 3), ignore)
    first = tune.run(Task(solution(), cut), ignore)
    assert first.state is not None
    other = tune if live else tuner(split(200), Recipe(epochs=3, batch_size=32))
    second = other.run(Task(solution(), 3, cut, first.state if not live else b"not looked at"), ignore)
    assert (second.weights, second.quality) == (whole.weights, whole.quality)
    assert len(first.losses) + len(second.losses) == 3 + (cut != 1)
    assert sum(first.losses) + sum(second.losses) == pytest.approx(sum(whole.losses), rel=1e-6)


@pytest.mark.slow
def test_trainings_that_wait_have_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "LIVE", 3 * 17_000)
    tune = tuner(split(64), Recipe(epochs=2, batch_size=32))
    firsts = [tune.run(Task(solution(number), 1), ignore) for number in range(8)]
    sizes = [len(first.state or b"") for first in firsts]
    kept = list(tune._live)
    assert kept == [(number, 1) for number in range(8 - len(kept), 8)]
    assert 1 < len(kept) < 8 and sum(sizes[-len(kept) :]) <= finetune.LIVE < sum(sizes[-len(kept) - 1 :])


@pytest.mark.parametrize("count", [1, 5, 33])
def test_fewer_samples_than_a_batch_and_odd_ones(count: int) -> None:
    tuned = tuner(split(count), Recipe(epochs=2, batch_size=32)).run(Task(solution(), 2), ignore)
    assert tuned.failure is None and len(tuned.losses) == 2


def test_one_class_only() -> None:
    train = split(64)
    train.y["y"][:] = 1
    tuned = tuner(train, Recipe(epochs=1)).run(Task(solution(), 1), ignore)
    assert tuned.failure is None and 0 <= tuned.quality.scores[0].value <= 1


def test_a_loss_that_is_lost_is_a_failure_with_its_epoch() -> None:
    tune = tuner(split(64), Recipe(epochs=2, batch_size=16, learning_rate=9.0), keras.optimizers.SGD(1.0))
    tune.model.get_layer("y").kernel.assign(1e30 * tune.model.get_layer("y").kernel)
    tuned = tune.run(Task(solution(), 2), ignore)
    # The kernels of some processors turn a NaN into the 0 of a ReLU: then the weights tell, or the validation data.
    assert tuned.failure is not None and re.match(r"its (loss|weights) .*became .*nan", tuned.failure)
    assert (tuned.weights, tuned.state, tuned.quality.scores) == (b"", None, ())


def test_outputs_that_are_lost_after_the_last_batch_are_a_failure_too() -> None:
    tune = tuner(split(8), Recipe(epochs=1, batch_size=8, learning_rate=9.0), keras.optimizers.SGD(1.0))
    tune.model.get_layer("y").kernel.assign(1e25 * tune.model.get_layer("y").kernel)
    tune.train.x["x"][:] *= 1e-20
    tuned = tune.run(Task(solution(), 1), ignore)
    assert tuned.failure == "its loss on the validation data became nan"


@pytest.mark.slow
def test_patience_ends_it_and_gives_the_best_weights_back() -> None:
    recipe = Recipe(epochs=20, batch_size=16, patience=2, learning_rate=3.0)
    tune = tuner(split(80), recipe)
    tuned = tune.run(Task(solution(), 20), ignore)
    assert 3 <= len(tuned.losses) < 20
    best = len(tuned.losses) - 2
    assert tune.run(Task(solution(), 20), ignore).weights == tuned.weights
    impatient = replace(tune, recipe=replace(recipe, patience=None))
    # In between the weight is judged as it was trained, rebuilt; in the end as it is exported.
    after_best = impatient.run(Task(solution(), best), ignore)
    assert after_best.weights == tuned.weights
    assert after_best.quality.scores == tuned.quality.scores
    assert after_best.quality.loss == pytest.approx(tuned.quality.loss, rel=1e-5)


def test_the_average_of_the_weights_is_what_counts_where_the_optimiser_keeps_one() -> None:
    averaged = keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.9)
    with_average = tuner(split(100), Recipe(epochs=1, batch_size=16), averaged).run(Task(solution(), 1), ignore)
    without = tuner(split(100), Recipe(epochs=1, batch_size=16)).run(Task(solution(), 1), ignore)
    assert with_average.weights != without.weights


WARM = keras.optimizers.schedules.CosineDecay(0.0, 1000, warmup_target=0.2, warmup_steps=100)


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        (keras.optimizers.Adam(1e-3), 4e-3),
        (keras.optimizers.Adam(3e-3), 4e-3),
        (keras.optimizers.Adam(1e-2), 1e-2),
        (keras.optimizers.RMSprop(1e-4), 4e-4),
        (keras.optimizers.SGD(0.1), 0.1),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3)), 4e-3),
        (keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 10)), 4e-3),
        (keras.optimizers.SGD(WARM), 0.2),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(WARM)), 0.2),
    ],
)
def test_starting_rate(optimizer: keras.optimizers.Optimizer, rate: float) -> None:
    assert starting_rate(optimizer) == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize(
    "recipe", [Recipe(epochs=2, batch_size=16), Recipe(epochs=2, batch_size=16, learning_rate=0.01)]
)
@pytest.mark.parametrize("around", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
def test_a_schedule_that_has_run_out_does_not_keep_a_model_from_learning(recipe: Recipe, around: Any) -> None:
    spent = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 1))
    tuned = tuner(split(100), recipe, around(spent)).run(Task(solution(), 2), ignore)
    still = tuner(split(100), Recipe(epochs=2, batch_size=16, learning_rate=1e-9)).run(Task(solution(), 2), ignore)
    assert tuned.failure is None and tuned.losses[-1] < 0.98 * still.losses[-1]


@pytest.mark.parametrize("windowed", [False, True])
def test_the_rate_falls_in_a_line_to_zero_over_all_epochs(windowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is given to the training, not as it would be: the optimiser's own has fallen by then."""
    recipe, seen = Recipe(epochs=6, batch_size=32), []
    epoch = finetune.Training.epoch

    def heard(self: Any, number: int, size: int, rates: Any, *rest: Any) -> float:
        seen.append(rates)
        return epoch(self, number, size, rates, *rest)

    monkeypatch.setattr(finetune.Training, "epoch", heard)
    tune = convolutional(lambda model, x: np.arange(64) % 3, recipe) if windowed else tuner(split(100), recipe)
    tune.run(Task(CONVOLVED if windowed else solution(), 6), ignore)
    every = 2 if windowed else 4
    np.testing.assert_allclose(
        np.concatenate(seen), (1e-3 if windowed else 4e-3) * (1 - np.arange(6 * every) / (6 * every)), rtol=1e-6
    )


def test_outputs_are_those_of_predict() -> None:
    tune = tuner(split(10), Recipe())
    x = split(700).x
    np.testing.assert_allclose(outputs(tune.model, x)["y"], tune.model.predict(x["x"], verbose=0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("recover", [one for one in Recover if one is not Recover.ADVERSARIAL])  # it needs an attack
@pytest.mark.parametrize("live", [True, False])
def test_a_pace_leaves_no_trace(recover: Recover, live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout, momentum and learning rates begin where they would have begun."""
    recipe = Recipe(epochs=2, batch_size=32, recover=recover)
    whole = dropping(recipe).run(Task(solution(), 2), ignore)
    if not live:
        monkeypatch.setattr(finetune, "LIVE", 0)
    tune = dropping(recipe)
    heard: list[int] = []
    paced = tune.run(Task(solution(), 0), heard.append)
    assert (list(tune._live) == [(0, 0)]) == live

    tuned = tune.run(Task(solution(), 2), ignore)

    assert (tuned.weights, tuned.quality, tuned.losses) == (whole.weights, whole.quality, whole.losses)
    assert heard == [] and (paced.weights, paced.state, paced.losses) == (b"", None, ())
    assert paced.pace is not None
    assert paced.pace.batch > 0 and paced.pace.begin > 0 and paced.pace.judge > 0
    assert paced.pace.begin + paced.pace.batch + paced.pace.judge <= 1.1 * paced.seconds


def dropping(recipe: Recipe) -> Tuner:
    """A tuner of a model with dropout."""
    train = split(400)
    plain = tuner(train, recipe)
    x = keras.Input((24,), name="x")
    y = plain.model.get_layer("fc")(x)
    y = plain.model.get_layer("y")(keras.layers.Dropout(0.5, seed=3)(y))
    model = keras.Model(x, y)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return replace(plain, model=model, judge=judge(model, train.y))


def test_a_loss_that_is_lost_has_a_pace_too() -> None:
    tune = tuner(split(400), Recipe(epochs=1, batch_size=32, learning_rate=1e30))

    assert tune.run(Task(solution(), 0), ignore).pace is not None


def convolutional(labels: Callable[[keras.Model, Any], Any], recipe: Recipe) -> Tuner:
    keras.utils.set_random_seed(0)
    body = [
        keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name="c"), keras.layers.BatchNormalization(name="n"),
        keras.layers.Flatten(), keras.layers.Dense(3, "softmax", name="end"),
    ]  # fmt: skip
    model = keras.Sequential([keras.Input((4, 4, 5), name="x"), *body])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = np.random.default_rng(0).normal(size=(64, 4, 4, 5)).astype(np.float32)
    data = Split({"x": x}, {"end": labels(model, x)})
    return Tuner(model, data, data, judge(model, data.y), recipe)


CONVOLVED = Solution(0, {"c": SpatialSVD(Window((3, 3), (4, 4)), 5, 6, 15)}, Cost(1, 1), 1)
"""Of full rank: it starts where the dense one is."""


def test_what_was_fitted_keeps_its_rate() -> None:
    """A convolution in a form is near already: large steps lead away from there."""
    adam = keras.optimizers.Adam(1e-3)
    assert starting_rate(adam, near=True) == pytest.approx(1e-3) and starting_rate(adam) == pytest.approx(4e-3)


def test_training_that_makes_it_worse_is_undone() -> None:
    """The labels are what the model says itself; the steps are far too large."""
    recipe = Recipe(epochs=2, batch_size=64, learning_rate=3.0)
    tune = convolutional(lambda model, x: np.argmax(model(x), -1), recipe)
    begun = compressed(tune.model, CONVOLVED, tune.judge, tune.beginnings.of(CONVOLVED))
    first = tune.run(Task(CONVOLVED, 1), ignore)
    tuned = tune.run(Task(CONVOLVED, 2, 1, first.state), ignore)
    assert first.quality == tuned.quality == assess(begun, tune.validation, tune.judge)
    with np.load(io.BytesIO(first.weights)) as upset, np.load(io.BytesIO(tuned.weights)) as weights:
        before = begun.get_layer("end").get_weights()[0]
        np.testing.assert_array_equal(weights["end:0"], before)
        assert (upset["end:0"] != before).any()
