"""The rate that a training starts from, and how it falls."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

_ADAPTIVE = (
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adamax,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
)


def starting_rate(optimizer: keras.optimizers.Optimizer, *, near: bool = False) -> float:
    """The rate that fine-tuning starts from and falls to zero from, where nobody names one.

    Cores bear, and need, larger steps than the dense weight that they stand for: an adaptive optimiser starts at four
    times its compiled rate, though not above 4e-3 unless it was compiled so. On LeNet300 with 15,000 parameters that
    leaves a third of the drop after 3 epochs (1.5 to 0.5 percentage points). Other optimisers may be at their limit
    already and keep their rate, and so does what starts `near` its end, fitted to data. A schedule was for the training
    that made the model, which is over: of one the highest rate counts.
    """
    optimizer = _inner(optimizer)
    rate = optimizer.get_config()["learning_rate"]
    if not isinstance(rate, float):
        rate = _highest(optimizer)
    return max(rate, min(4 * rate, 4e-3)) if isinstance(optimizer, _ADAPTIVE) and not near else rate


def falling(first: float, epoch: int, every: int, epochs: int) -> NDArray[np.float32]:
    """Calculate the rates of the `every` batches of an epoch, counted from 0, of so many epochs.

    They fall linearly from `first` to zero over all batches of all epochs. A few epochs at the full rate end wherever
    the last batches push: falling, the same epochs end several points of accuracy higher.
    """
    done = np.arange(epoch * every, (epoch + 1) * every)
    return np.float32(first) * (1 - done / (every * epochs)).astype(np.float32)


def _inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimiser itself where there is one around it that scales the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _highest(optimizer: keras.optimizers.Optimizer) -> float:
    """The highest rate of a schedule, warmed up or not."""
    schedule = keras.optimizers.schedules.deserialize(optimizer.get_config()["learning_rate"])
    return max(float(schedule(step)) for step in (0, *np.unique(np.geomspace(1, 1e6, 200).astype(int)).tolist()))


def unscheduled(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The same kind of optimiser at a rate that can be assigned; the very same where that was so already."""
    inner = _inner(optimizer)
    if isinstance(inner.get_config()["learning_rate"], float):
        return optimizer
    steady = inner.__class__.from_config(inner.get_config() | {"learning_rate": _highest(inner)})
    if inner is optimizer:
        return steady
    around = {key: value for key, value in optimizer.get_config().items() if key != "inner_optimizer"}
    return optimizer.__class__(steady, **around)
