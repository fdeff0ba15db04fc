"""Quantisation-aware training: a model learns with the numbers that its int8 file has (Jacob et al., CVPR 2018).

What is trained is the inference form, for batch normalisation is folded in files. The ranges of tensors are those that
calibration finds, as it does when a file is written, before each epoch; then the weights, which end as the multiples of
their scales that the file stores, are given back to the model. So a file has what was trained, to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.model.inference import inference_form
from edgett.model.layers import substituted
from edgett.model.ports import by_input, wanted
from edgett.model.unfolded import give_back
from edgett.search.quality import Quality
from edgett.train.assess import PREDICTED
from edgett.train.data import Split
from edgett.train.emulation import Emulation
from edgett.train.finetune import Tuner, batches
from edgett.train.rates import falling
from edgett.train.storage import Scheme
from edgett.train.training import Teacher, Training

GENTLE = 0.1
"""Of the rate that a fine-tuning starts from, the share that this one does: weights are near their end."""


class Aware(Training):
    """A compiled model on its way through the epochs in which it learns with the numbers of int8."""

    def __init__(
        self, model: keras.Model, samples: Split, seed: int, calibration: Mapping[str, NDArray[Any]],
        scheme: Scheme, teacher: Teacher | None = None, rate: float = math.nan,
    ) -> None:  # fmt: skip
        """Take a compiled model.

        Args:
            model: it is changed in the end alone.
            samples: what it is trained on.
            seed: of the order of samples.
            calibration: the inputs that ranges are found by, (n, ...) each.
            scheme: how its file stores numbers.
            teacher: what is learnt from beside the labels.
            rate: where the learning rate starts.
        """
        self._calibration, self._scheme = calibration, scheme
        self._emulation = Emulation(inference_form(model), scheme)
        self._emulation.calibrate([calibration])
        super().__init__(model, samples, seed, teacher, rate)

    def trained(self) -> list[Any]:
        return self._emulation.weights

    def variables(self) -> list[Any]:
        return [*self._emulation.variables, *self.model.optimizer.variables]

    def predicted(self, x: Any) -> Any:
        return wanted(self.model, self._emulation(by_input(self.model, x), ends=False))

    def epoch(
        self, number: int, size: int, rates: NDArray[np.float32] | None, advance: Callable[[int], None],
        part: range | None = None,
    ) -> float:  # fmt: skip
        """As of any training; at its beginning ranges are found anew."""
        if part is None or part.start == 0:
            self._emulation.calibrate([self._calibration])
        return super().epoch(number, size, rates, advance, part)

    def finish(self) -> None:
        """Give the weights to the model, as they are stored. Raises ValueError where it cannot have them."""
        give_back(self.model, self._emulation.stored())
        self._emulation = Emulation(inference_form(self.model), self._scheme)
        self._emulation.calibrate([self._calibration])

    def outputs(self, x: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What the model puts out with the numbers of int8, for (n, ...) inputs, by name."""
        serve = tf.function(self._emulation, autograph=False)
        count = len(next(iter(x.values())))
        parts = [
            serve({name: tf.convert_to_tensor(array[begin : begin + PREDICTED]) for name, array in x.items()})
            for begin in range(0, count, PREDICTED)
        ]
        return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


@dataclass(frozen=True)
class Learnt:
    """What came of it.

    Attributes:
        model: with the weights that its file stores.
        quality: of that on the validation data, with the numbers of int8.
        failure: why there is none, in words; the model is of no use then.
    """

    model: keras.Model
    quality: Quality
    failure: str | None = None


def learnt(
    tuner: Tuner, model: keras.Model, calibration: Mapping[str, NDArray[Any]], scheme: Scheme,
    advance: Callable[[int], None],
) -> Learnt:  # fmt: skip
    """Train a fine-tuned model on, with the numbers of int8.

    Args:
        tuner: of the dense model, for as many epochs as this takes.
        model: it stays as it is.
        calibration: the inputs that ranges are found by, (n, ...) each.
        scheme: how its file stores numbers.
        advance: hears of batches.

    Returns:
        The model that came of it.
    """
    keras.utils.set_random_seed(tuner.recipe.seed)
    copy = tuner.compiled(substituted(model, {}))
    rate = tuner.first_rate(copy) * GENTLE
    training = Aware(copy, tuner.train, tuner.recipe.seed, calibration, scheme, tuner.teacher, rate)
    size, epochs = tuner.recipe.batch_size, tuner.recipe.epochs
    every = batches(len(tuner.train), size)
    for epoch in range(epochs):
        loss = training.epoch(epoch, size, falling(rate, epoch, every, epochs), advance)
        if not math.isfinite(loss):
            return Learnt(model, Quality(()), f"its loss became {loss}")
    try:
        training.finish()
    except ValueError as error:
        return Learnt(model, Quality(()), str(error))
    return Learnt(copy, tuner.judge.quality(training.outputs(tuner.validation.x), tuner.validation.y))
