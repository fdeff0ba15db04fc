"""Trains a model epoch by epoch in a compiled loop; between two epochs it can be put away and taken up again."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.model.keras_compat import seed_random_layers
from edgett.model.ports import by_output, feed, wanted
from edgett.train.data import Split, Told
from edgett.train.normalisation import fuse

BATCHES = 16
"""Batches of a call into the compiled loop: calls cost little then, and nobody waits long for a sign of life."""

NO_RATES: NDArray[np.float32] = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Teacher:
    """Outputs to learn beside the labels.

    `outputs` tells them, by output name. `loss(outputs, wanted)` makes a scalar of a batch of the model's and of these.
    `share`: its part in the whole loss, the labels have the rest.
    """

    outputs: Told
    loss: Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
    share: float


class Training:
    """A compiled model on its way through its epochs.

    Batches, their order, and how they are altered depend on the seed and the epoch alone, so that a model that was put
    away with `state` and taken up with `resume`, in whatever process, ends with the same weights.
    """

    def __init__(
        self, model: keras.Model, samples: Split, seed: int, teacher: Teacher | None = None, rate: float = math.nan
    ) -> None:
        """`rate`: where the learning rate starts, for who calculates rates; the optimiser's own falls as it is used."""
        self.model, self.samples, self.seed, self.teacher, self.rate = model, samples, seed, teacher, rate
        seed_random_layers(model, seed)
        fuse(model)
        few = samples.take(slice(2))
        # Losses and the optimiser make variables when they are first used, which compiled code must not.
        model.compute_loss(y=wanted(model, few.y), y_pred=model(feed(model, few.x), training=False))
        model.optimizer.build(self.trained())
        self._compiled: Any = None

    def epoch(
        self,
        number: int,
        size: int,
        rates: NDArray[np.float32] | None,
        advance: Callable[[int], None],
        part: range | None = None,
    ) -> float:
        """Train one epoch (counted from 0) in batches of `size`, or a `part` of them; what that adds to the mean loss.

        `rates` has the learning rate of each batch; None leaves it to the optimiser's own schedule. `advance` hears of
        batches. Where the loss is not finite any more the epoch ends at once.
        """
        order = np.random.default_rng([self.seed, number]).permutation(len(self.samples))
        total = 0.0
        for batches in _slices(range(-(-len(order) // size)) if part is None else part, BATCHES):
            rows = self._rows(order[batches.start * size : batches.stop * size], size, (number, batches.start))
            given = NO_RATES if rates is None else rates[batches]
            if self._compiled is None:
                self._compiled = tf.function(self._loop, _signature(rows, given), autograph=False)
            loss = float(self._compiled(*rows, given, size))
            if not np.isfinite(loss):
                return loss
            total += loss
            advance(batches.stop - batches.start)
        return total / len(order)

    def state(self) -> bytes:
        """Everything that training has changed."""
        content = io.BytesIO()
        np.savez(content, *(variable.numpy() for variable in self.variables()))
        return content.getvalue()

    def resume(self, state: bytes) -> None:
        """Go on from a `state` of a training of the same model."""
        with np.load(io.BytesIO(state), allow_pickle=False) as stored:
            for index, variable in enumerate(self.variables()):
                variable.assign(stored[f"arr_{index}"])

    def variables(self) -> list[Any]:
        """Everything that training may change."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def trained(self) -> list[Any]:
        """The weights that are trained."""
        return list(self.model.trainable_variables)

    def predicted(self, x: Any) -> Any:
        """What is made of a batch, in the structure of the model's outputs."""
        return self.model(x, training=True)

    def _rows(self, indices: NDArray[np.int64], size: int, draw: tuple[int, int]) -> tuple[Any, Any, Any]:
        rows = self.samples.drawn(indices, size, (self.seed, *draw))
        soft = self.teacher.outputs(indices, rows.x) if self.teacher else {}
        arrays = feed(self.model, rows.x), wanted(self.model, rows.y), soft
        return keras.tree.map_structure(tf.convert_to_tensor, arrays)

    def _loop(self, x: Any, y: Any, soft: Any, rates: Any, size: Any) -> Any:
        """One step after the other; the sum of the samples' losses."""
        count = tf.shape(keras.tree.flatten(x)[0])[0]

        def step(batch: Any, total: Any) -> tuple[Any, Any]:
            begin, end = batch * size, tf.minimum((batch + 1) * size, count)
            part = keras.tree.map_structure(lambda array: array[begin:end], (x, y, soft))
            if rates.shape != NO_RATES.shape:
                self.model.optimizer.learning_rate.assign(rates[batch])
            return batch + 1, total + self.step(*part) * tf.cast(end - begin, tf.float32)

        steps = (count + size - 1) // size
        start = tf.constant(0), tf.constant(0.0)
        return tf.while_loop(lambda batch, _: batch < steps, step, start, parallel_iterations=1)[1]

    def step(self, x: Any, y: Any, soft: Any) -> Any:
        """Train on a batch: its inputs, labels and what a teacher has for it. Its loss, a scalar tensor."""
        model, optimizer = self.model, self.model.optimizer
        with tf.GradientTape() as tape:
            outputs = self.predicted(x)
            loss = model.compute_loss(x=x, y=y, y_pred=outputs, training=True)
            if self.teacher is not None:
                guided = self.teacher.loss(by_output(model, outputs), soft)
                loss = (1 - self.teacher.share) * loss + self.teacher.share * guided
            scaled = optimizer.scale_loss(loss)
        weights = self.trained()
        optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights, strict=True))
        return tf.cast(loss, tf.float32)


def _signature(rows: tuple[Any, Any, Any], rates: NDArray[np.float32]) -> Any:
    """Any number of rows, so that the last batch needs no code of its own."""

    def some(array: Any) -> tf.TensorSpec:
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    every = tf.TensorSpec((0,), tf.float32) if rates is NO_RATES else some(rates)
    return *keras.tree.map_structure(some, rows), every, tf.TensorSpec((), tf.int32)


def _slices(whole: range, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, whole.stop)) for begin in range(whole.start, whole.stop, size))
