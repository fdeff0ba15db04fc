"""The compiled loop does what Keras's `fit` does, and can stop between two epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgett.model.ports import feed, wanted
from edgett.train.data import Split
from edgett.train.training import BATCHES, Teacher, Training

COUNT, SIZE = 90, 32


def samples(count: int = COUNT) -> Split:
    random = np.random.default_rng(4)
    x = random.normal(size=(count, 12)).astype(np.float32)
    return Split({"signal": x}, {"side": np.digitize(x[:, 0], (-0.5, 0.5)), "height": x[:, 1:2] * 3})


def network(*, random: bool = False, seed: int = 1) -> keras.Model:
    """Two outputs, a regulariser, batch normalisation; `random`: dropout too."""
    keras.utils.set_random_seed(seed)
    signal = keras.Input((12,), name="signal")
    x = keras.layers.Dense(16, kernel_regularizer="l2", name="first")(signal)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dropout(0.4)(x) if random else x
    outputs = {
        "side": keras.layers.Dense(3, activation="softmax", name="side")(x),
        "height": keras.layers.Dense(1, name="height")(x),
    }
    model = keras.Model(signal, outputs)
    losses = {"side": "sparse_categorical_crossentropy", "height": "mse"}
    model.compile(keras.optimizers.Adam(3e-3, clipnorm=1.0), losses, loss_weights={"side": 2.0, "height": 0.5})
    return model


def rates(epochs: int, epoch: int, count: int = COUNT) -> Any:
    every = -(-count // SIZE)
    return np.linspace(1e-2, 1e-3, epochs * every, dtype=np.float32)[epoch * every : (epoch + 1) * every]


def ignore(batches: int) -> None:
    pass


@pytest.fixture(autouse=True)
def repeatable() -> None:
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)


@pytest.mark.slow
@pytest.mark.parametrize("count", [COUNT, 96, 20])
def test_equals_fit_with_the_same_order_and_rates(count: int) -> None:
    """Whole batches, a last one that is smaller, and fewer samples than a batch."""
    data, model, twin = samples(count), network(), network()
    training = Training(model, data, seed=5)
    for epoch in range(2):
        part = data.take(np.random.default_rng([5, epoch]).permutation(count))
        falling = iter(rates(2, epoch, count))

        class Set(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch: int, logs: Any = None, falling: Any = falling) -> None:
                self.model.optimizer.learning_rate = next(falling)

        history = twin.fit(
            feed(twin, part.x), wanted(twin, part.y), batch_size=SIZE, shuffle=False, verbose=0, callbacks=[Set()]
        )
        loss = training.epoch(epoch, SIZE, rates(2, epoch, count), ignore)
        np.testing.assert_allclose(loss, history.history["loss"][0], rtol=1e-5)
    for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)  # the batch of unknown size is summed in another order


@pytest.mark.slow
def test_put_away_and_taken_up_elsewhere_it_ends_with_the_same_bits() -> None:
    data, whole = samples(), network(random=True)
    training = Training(whole, data, seed=5)
    for epoch in range(3):
        training.epoch(epoch, SIZE, rates(3, epoch), ignore)

    first = Training(network(random=True), data, seed=5)
    first.epoch(0, SIZE, rates(3, 0), ignore)
    np.random.default_rng(0).normal(size=7), tf.random.normal((3,))
    cut = network(random=True, seed=2)
    second = Training(cut, data, seed=5)
    second.resume(first.state())
    for epoch in (1, 2):
        second.epoch(epoch, SIZE, rates(3, epoch), ignore)

    for mine, theirs in zip(whole.get_weights(), cut.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "same"), [(5, True), (6, False)])
def test_the_seed_decides_the_order_and_what_dropout_draws(seed: int, same: bool) -> None:
    losses = [Training(network(random=True), samples(), one).epoch(0, SIZE, None, ignore) for one in (5, seed)]
    assert (losses[0] == losses[1]) is same


def test_dropout_draws_anew_in_every_batch_and_epoch() -> None:
    still = [np.zeros(3, np.float32)] * 2  # nothing is learnt, so nothing but dropout tells the epochs apart
    training = Training(network(random=True), samples(), 5)
    losses = [training.epoch(epoch, COUNT, rate[:1], ignore) for epoch, rate in enumerate(still)]
    assert losses[0] != losses[1]


def test_the_optimisers_own_schedule_is_kept_where_no_rates_are_given() -> None:
    model = network()
    falling = keras.optimizers.schedules.ExponentialDecay(1e-2, 1, 0.5)
    model.compile(keras.optimizers.SGD(falling), {"side": "sparse_categorical_crossentropy", "height": "mse"})
    Training(model, samples(), 5).epoch(0, SIZE, None, ignore)
    np.testing.assert_allclose(float(model.optimizer.learning_rate), 1e-2 / 2**3, rtol=1e-6)


def test_every_batch_is_told_in_handfuls() -> None:
    heard: list[int] = []
    Training(network(), samples(), 5).epoch(0, 2, None, heard.append)
    assert heard == [BATCHES, BATCHES, 45 - 2 * BATCHES]


def test_ends_at_once_where_the_loss_is_lost() -> None:
    heard: list[int] = []
    data = samples()
    data.x["signal"][:, 0] = np.nan
    loss = Training(network(), data, 5).epoch(0, 2, None, heard.append)
    assert np.isnan(loss) and heard == []


@pytest.mark.slow
def test_a_teacher_has_its_share_of_the_loss() -> None:
    data = samples()
    outputs = {"height": np.zeros((COUNT, 1), np.float32), "side": np.zeros((COUNT, 3), np.float32)}

    def squares(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> Any:
        return tf.add_n([tf.reduce_mean(tf.square(made[name] - wanted[name])) for name in ("side", "height")])

    def loss(teacher: Teacher | None) -> float:
        return Training(network(), data, 5, teacher).epoch(0, COUNT, None, ignore)

    model = network()
    plain, taught = loss(None), loss(Teacher(data.told(lambda x: outputs), squares, 0.25))
    made = model(data.x["signal"], training=True)
    wanted = 0.75 * plain + 0.25 * float(squares(made, outputs))
    np.testing.assert_allclose(taught, wanted, rtol=1e-5)
