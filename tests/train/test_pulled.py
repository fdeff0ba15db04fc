"""A dense model pulled towards what forms can hold, before it is decomposed."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.spec import Spec
from edgett.forms.window import Window
from edgett.job.choices import Recover
from edgett.model.layers import kernels
from edgett.train import pulled
from edgett.train.data import Split
from edgett.train.finetune import Recipe, Task
from edgett.train.pulled import Pulled
from tests.train.test_finetune import SHAPE, ignore, solution, split, tuner

RECIPE = Recipe(epochs=4, batch_size=32, recover=Recover.ADMM)
STILL = np.zeros(7, np.float32)
"""Rates at which nothing is learnt: of an epoch of 200 samples in batches of 32."""


def one(train: Split, steps: int = 14) -> Pulled:
    return Pulled(tuner(train, RECIPE).model, {"fc": SHAPE}, train, 0, steps)


def distance(model: keras.Model, spec: Spec = SHAPE) -> float:
    weight = kernels(model, {"fc"})["fc"]
    return float(np.linalg.norm(weight - spec.dense(spec.best(weight))) / np.linalg.norm(weight))


def test_weights_go_a_share_of_the_way_with_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing to learn W is G + (1 - share)^steps (W0 - G) after so many; biases and other layers stay."""
    monkeypatch.setattr(pulled, "PULL", 20.0)
    monkeypatch.setattr(pulled, "PROJECTIONS", 1)
    training = one(split(200))
    before, others = kernels(training.model, {"fc"})["fc"].copy(), training.model.get_weights()[1:]
    training.epoch(0, 32, STILL, ignore)
    ((weight, goal),), share = training._pairs, float(training._strength.numpy())
    goal = goal.numpy()
    assert share == pytest.approx(20 / 14 * np.log(100) / 99)
    np.testing.assert_allclose(weight.numpy(), goal + (1 - share) ** 7 * (before - goal), atol=1e-6)
    assert np.linalg.norm(before - goal) > 0.1
    for mine, theirs in zip(training.model.get_weights()[1:], others, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_goals_are_what_the_form_makes_of_weights_and_duals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time Z is that of W + U, U the sum of what W lacked of Z, and the goal Z - U."""
    monkeypatch.setattr(pulled, "PROJECTIONS", 1)
    training = one(split(200))
    first = kernels(training.model, {"fc"})["fc"].copy()
    training.epoch(0, 32, STILL, ignore)
    weight, goal = kernels(training.model, {"fc"})["fc"].copy(), training._pairs[0][1].numpy()
    assert np.all(training._duals["fc"].numpy() == 0), "nothing is known of W - Z before the first step"
    np.testing.assert_allclose(goal, SHAPE.dense([one.numpy() for one in training._held["fc"]]), atol=1e-6)
    share = float(training._strength.numpy())
    training.epoch(1, 32, STILL, ignore)
    near = SHAPE.dense([one.numpy() for one in training._held["fc"]])
    dual = training._duals["fc"].numpy()
    np.testing.assert_allclose(dual, (1 - (1 - share) ** 7) * (weight - near), atol=1e-6)
    np.testing.assert_allclose(training._pairs[0][1].numpy(), near - dual, atol=1e-6)
    assert np.linalg.norm(first - weight) > 0


def test_the_shares_of_all_steps_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 1000
    shares = [pulled._share(step / steps, steps) for step in range(steps)]
    assert sum(shares) == pytest.approx(pulled.PULL, rel=0.01)
    assert shares[-1] / shares[0] == pytest.approx(pulled.RISE, rel=0.01)
    monkeypatch.setattr(pulled, "PULL", 1e9)
    assert pulled._share(0.5, steps) == 1, "no step goes beyond"


def test_pulled_hard_it_gets_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulled, "PULL", 20.0)
    train = split(400)
    training, free = one(train, 60), tuner(train, RECIPE)
    rates = np.full(13, 1e-3, np.float32)
    for epoch in range(5):
        training.epoch(epoch, 32, rates, ignore)
    assert len(training.distances) > 5 * pulled.PROJECTIONS / 2
    assert distance(training.model) < 0.1 < 0.3 < distance(free.model)
    assert training.distances[-1] < training.distances[0] / 3


def test_half_of_the_epochs_are_of_the_dense_model() -> None:
    tune = tuner(split(400), RECIPE)
    before = [weight.copy() for weight in tune.model.get_weights()]
    tuned = tune.run(Task(solution(), 4), ignore)
    assert tuned.failure is None and tuned.pull is not None and len(tuned.losses) == 4
    assert len(tuned.pull.distances) == 14, "of 13 batches one or two at a time"
    assert tuned.pull.distances[-1] < tuned.pull.distances[0]
    assert tuned.quality.loss < tuned.pull.quality.loss, "training in forms gives something back"
    for mine, theirs in zip(tune.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_one_epoch_leaves_no_time_for_it() -> None:
    ways = [tuner(split(100), Recipe(epochs=1, batch_size=32, recover=way)).run(Task(solution(), 1), ignore)
            for way in (Recover.ADMM, Recover.DISTILL)]  # fmt: skip
    assert ways[0].pull is None and ways[0].weights == ways[1].weights


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [(1.0,), (2.0,), (3.0,), (2 / 7,), (12 / 7,), (16 / 7,), (2 / 7, 12 / 7, 16 / 7)])
@pytest.mark.parametrize("live", [True, False])
def test_in_parts_as_in_one(cuts: tuple[float, ...], live: bool) -> None:
    """Taken up while dense, as it is decomposed, or in forms: in the tuner that began it, or from its state."""
    whole = tuner(split(200), RECIPE).run(Task(solution(), 4), ignore)
    tune, epochs, state = tuner(split(200), RECIPE), 0.0, None
    for until in (*cuts, 4):
        tune = tune if live else tuner(split(200), RECIPE)
        part = tune.run(Task(solution(), until, epochs, state), ignore)
        assert part.failure is None and (part.pull is not None) == (epochs <= 2)
        epochs, state = until, part.state
    assert (part.weights, part.quality) == (whole.weights, whole.quality)


def test_what_diverges_is_a_failure() -> None:
    tuned = tuner(split(400), replace(RECIPE, learning_rate=1e30)).run(Task(solution(), 4), ignore)
    assert tuned.failure is not None and "in epoch 1" in tuned.failure and tuned.weights == b""


def test_a_layer_that_was_frozen_is_pulled_too() -> None:
    tune = tuner(split(200), RECIPE)
    tune.model.get_layer("fc").trainable = False
    tuned = tune.run(Task(solution(), 4), ignore)
    assert tuned.pull is not None and tuned.pull.distances[-1] < tuned.pull.distances[0]
    assert not tune.model.get_layer("fc").trainable


def test_convolutions_go_on_from_the_fit_before() -> None:
    """Of full rank nothing is to be pulled; of a lower one the distance falls."""
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 6, 5), name="x")
    c = keras.layers.Conv2D(6, 3, padding="same", name="fc")(x)
    model = keras.Model(x, keras.layers.Dense(3, "softmax", name="y")(keras.layers.Flatten()(c)))
    model.compile("adam", "sparse_categorical_crossentropy")
    data = np.random.default_rng(0).normal(size=(64, 6, 6, 5)).astype(np.float32)
    train = Split({"x": data}, {"y": data.sum((1, 2)).argmax(1) % 3})
    for rank, least, most in ((15, 0.0, 1e-5), (3, 0.05, 1.0)):
        spec = SpatialSVD(Window((3, 3), (6, 6)), 5, 6, rank)
        copy = keras.models.clone_model(model)
        copy.compile("adam", "sparse_categorical_crossentropy")
        training = Pulled(copy, {"fc": spec}, train, 0, 4)
        for epoch in range(2):
            training.epoch(epoch, 32, np.full(2, 1e-4, np.float32), ignore)
        assert least <= training.distances[-1] <= most
        assert training.distances[-1] <= training.distances[0] + 1e-6
