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

from edgett.export.calibration import Calibration
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
from edgett.train.training import Training

GENTLE = 0.1
"""Of the rate that a fine-tuning starts from, the share that this one does: weights are near their end."""


class Aware(Training):
    """A compiled model on its way through the epochs in which it learns with the numbers of int8."""

    def __init__(self, model: keras.Model, samples: Split, seed: int, school: School, rate: float) -> None:
        """Take a compiled model, which stays as it is.

        Args:
            model: in forms, or dense.
            samples: what it is trained on.
            seed: of the order of samples.
            school: what it is emulated by, and who teaches.
            rate: where the learning rate starts.
        """
        self._calibration = school.calibration
        self.emulation = school.emulated(model)
        super().__init__(model, samples, seed, school.tuner.teacher, rate)

    def trained(self) -> list[Any]:
        return self.emulation.weights

    def variables(self) -> list[Any]:
        return [*self.emulation.variables, *self.model.optimizer.variables]

    def predicted(self, x: Any) -> Any:
        return wanted(self.model, self.emulation(by_input(self.model, x), ends=False))

    def epoch(
        self, number: int, size: int, rates: NDArray[np.float32] | None, advance: Callable[[int], None],
        part: range | None = None,
    ) -> float:  # fmt: skip
        """As of any training; at its beginning ranges are found anew."""
        if part is None or part.start == 0:
            self.emulation.calibrate(self._calibration)
        return super().epoch(number, size, rates, advance, part)


@dataclass(frozen=True)
class School:
    """Has fine-tuned models train on with the numbers of int8.

    Attributes:
        tuner: of the dense model, for as many epochs as this takes.
        calibration: batches of the inputs that ranges are found by, those of the file.
        scheme: how files store numbers.
    """

    tuner: Tuner
    calibration: Calibration
    scheme: Scheme

    @property
    def batches(self) -> int:
        """Those of all epochs."""
        return batches(len(self.tuner.train), self.tuner.recipe.batch_size) * self.tuner.recipe.epochs

    def learnt(self, model: keras.Model, advance: Callable[[int], None]) -> keras.Model | str:
        """Train a model on.

        Args:
            model: it stays as it is.
            advance: hears of batches.

        Returns:
            The model with the weights that its file stores; in words why there is none.
        """
        tuner, recipe = self.tuner, self.tuner.recipe
        keras.utils.set_random_seed(recipe.seed)
        copy = tuner.compiled(substituted(model, {}))
        rate, every = tuner.first_rate(copy) * GENTLE, self.batches // recipe.epochs
        training = Aware(copy, tuner.train, recipe.seed, self, rate)
        for epoch in range(recipe.epochs):
            rates = falling(rate, epoch, every, recipe.epochs)
            loss = training.epoch(epoch, recipe.batch_size, rates, advance)
            if not math.isfinite(loss):
                return f"its loss became {loss}"
        made = substituted(model, {})  # compiled as the model is
        try:
            give_back(made, training.emulation.stored())
        except ValueError as error:
            return str(error)
        return made

    def quality(self, model: keras.Model) -> Quality:
        """What a model is worth on the validation data with the numbers of int8."""
        held, judge = self.tuner.validation, self.tuner.judge
        return judge.quality(_outputs(self.emulated(model), held.x), held.y)

    def emulated(self, model: keras.Model) -> Emulation:
        """A model as its file computes; its weights are copies."""
        emulation = Emulation(inference_form(model), self.scheme)
        emulation.calibrate(self.calibration)
        return emulation


def _outputs(emulation: Emulation, x: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    serve = tf.function(emulation, autograph=False)
    parts = [
        serve({name: tf.convert_to_tensor(array[begin : begin + PREDICTED]) for name, array in x.items()})
        for begin in range(0, len(next(iter(x.values()))), PREDICTED)
    ]
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}
