"""Step 6: a solution's cores start from the TT-SVD of the trained weights and train on for a few epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgett.nn.data import Data, Split
from edgett.nn.layers import compilation, replace
from edgett.nn.ports import by_output, feed, wanted
from edgett.nn.quality import Judge
from edgett.nn.tt_dense import TTDense
from edgett.values import Quality, Solution, Trial

_PREDICT_BATCH = 256


@dataclass(frozen=True)
class Schedule:
    """How every solution is fine-tuned.

    `patience`: stop after so many epochs without a lower validation loss. `learning_rate`: where the rate starts; None
    takes it from the model's optimiser (see `starting_rate`).
    """

    epochs: int = 3
    batch_size: int = 128
    seed: int = 0
    patience: int | None = None
    learning_rate: float | None = None


def make_deterministic() -> None:
    """The same seeds give the same weights from here on, in this process and in another like it."""
    tf.config.experimental.enable_op_determinism()


def compressed(model: keras.Model, solution: Solution, judge: Judge) -> keras.Model:
    """The model with the solution's TT layers, compiled as the model is, or as its outputs suggest."""
    twin = replace(model, solution.shapes)
    if not twin.compiled:
        judge.compile(twin)
    for layer in twin._flatten_layers(include_self=False):
        if isinstance(layer, TTDense):
            layer.trainable = True
    return twin


@dataclass(frozen=True)
class Tuner:
    """Fine-tunes solutions of one model on the same data, and judges them against the baseline's `quality`."""

    model: keras.Model
    data: Data
    judge: Judge
    quality: Quality
    schedule: Schedule

    def run(self, solution: Solution, advance: Callable[[int], None]) -> tuple[Trial, keras.Model]:
        """The solution fine-tuned, and what came of it. `advance` hears of every batch."""
        started = time.monotonic()
        model = compressed(self.model, solution, self.judge)
        # Nobody reads the metrics of training, and XLA takes longer to compile than a few epochs win.
        model.compile(**compilation(model) | {"metrics": None, "weighted_metrics": None, "jit_compile": False})
        epochs = train(model, self.data, self.schedule, advance)
        quality = assess(model, self.data.validation, self.judge)
        drop = quality.drop_from(self.quality)
        return Trial(solution, quality, drop, epochs, self.schedule.seed, time.monotonic() - started), model


def train(model: keras.Model, data: Data, schedule: Schedule, advance: Callable[[int], None]) -> int:
    """Train the model in place; the number of epochs that ran. `advance` hears of every batch."""
    keras.utils.set_random_seed(schedule.seed)
    steps = batches(data, schedule)
    rate = starting_rate(model.optimizer, schedule)
    callbacks: list[Any] = [_Batches(rate, steps, advance)]
    watched: dict[str, Any] = {}
    if schedule.patience is not None:
        callbacks.append(keras.callbacks.EarlyStopping(patience=schedule.patience, restore_best_weights=True))
        watched = {"validation_data": _pair(model, data.validation)}
    history = model.fit(
        *_pair(model, data.train),
        batch_size=schedule.batch_size,
        epochs=schedule.epochs,
        callbacks=callbacks,
        verbose=0,
        **watched,
    )
    return len(history.epoch)


def starting_rate(optimizer: keras.optimizers.Optimizer, schedule: Schedule) -> float | None:
    """The rate that fine-tuning starts from and falls to zero from; None for an optimiser with a schedule of its own.

    Cores bear, and need, larger steps than the dense weight that they stand for: an adaptive optimiser starts at four
    times its compiled rate, though not above 4e-3 unless it was compiled so. On LeNet300 with 15,000 parameters that
    leaves a third of the drop after 3 epochs (1.5 to 0.5 percentage points). Other optimisers may be at their limit
    already and keep their rate.
    """
    if schedule.learning_rate is not None:
        return schedule.learning_rate
    rate = optimizer.get_config()["learning_rate"]
    if not isinstance(rate, float):
        return None
    return max(rate, min(4 * rate, 4e-3)) if isinstance(optimizer, _ADAPTIVE) else rate


_ADAPTIVE = (
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adamax,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
)


def assess(model: keras.Model, split: Split, judge: Judge) -> Quality:
    """The model's quality on a split."""
    return judge.quality(outputs(model, split.x), split.y)


def outputs(model: keras.Model, x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model's outputs for (n, ...) inputs, by name."""
    return by_output(model, model.predict(feed(model, x), batch_size=_PREDICT_BATCH, verbose=0))


def batches(data: Data, schedule: Schedule) -> int:
    """How many batches one solution takes at most."""
    return schedule.epochs * -(-len(data.train) // schedule.batch_size)


def _pair(model: keras.Model, split: Split) -> tuple[Any, Any]:
    return feed(model, split.x), wanted(model, split.y)


class _Batches(keras.callbacks.Callback):
    """Tells `advance` of every batch, and lets the learning rate fall to zero over all of them.

    A few epochs at the full rate end wherever the last batches push: falling, the same epochs end several points of
    accuracy higher. An optimiser that has a schedule of its own keeps it.
    """

    def __init__(self, rate: float | None, steps: int, advance: Callable[[int], None]) -> None:
        super().__init__()
        self._rate, self._steps, self._advance, self._done = rate, steps, advance, 0

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if self._rate is not None:
            self.model.optimizer.learning_rate = self._rate * (1 - self._done / self._steps)
        self._done += 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._advance(1)
