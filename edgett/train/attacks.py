"""Samples under attack: each number of an input is moved by no more than epsilon to where the loss is larger.

FGSM goes once along the sign of the loss's gradient: x + epsilon sign(dL/dx) (Goodfellow et al., "Explaining and
harnessing adversarial examples", 2015, section 4). PGD goes several shorter ways and is brought back into the ball of
epsilon around x after each (Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018,
section 2); it begins at x, as that of Kurakin et al. (2017), so that nothing is drawn. Both stay in the range of the
training data. The gradient is that of the model as it infers: no dropout, normalisation by what was learnt.

The TensorFlowV2Classifier of adversarial-robustness-toolbox 1.20 makes the same samples of a Keras 3 classifier, but in
NumPy, so in no compiled step of training, and of one input and one output; foolbox 3.3 does not run with NumPy 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgett.errors import DataError, ModelError
from edgett.job.attack import JUDGED, Attack
from edgett.model.ports import by_output, feed, input_ports
from edgett.search.quality import Quality, Score
from edgett.train.assess import PREDICTED, outputs
from edgett.train.data import Data, Split
from edgett.train.quality import Judge

WITHOUT = "Leave out --attack, --epsilon, --attack-steps, --max-robust-drop and --recover adversarial."

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Adversary:
    """Attacks models that are judged alike.

    Attributes:
        attack: how far and how.
        judge: whose losses are made larger, and who judges what comes of it.
        ranges: by input, the smallest and the largest number of the training data.
    """

    attack: Attack
    judge: Judge
    ranges: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, judge: Judge, x: Arrays) -> Adversary | None:
        """The adversary that a judge is asked for, None where it is not; `x` are the training inputs by name."""
        attack = judge.ask.attack
        return (
            None if attack is None else cls(attack, judge, {k: (float(a.min()), float(a.max())) for k, a in x.items()})
        )

    def scores(
        self, model: keras.Model, split: Split, answers: Callable[[Arrays], Arrays] | None = None
    ) -> tuple[Score, ...]:
        """The scores that decide, on attacked samples of a split.

        Args:
            model: whose loss is made larger.
            split: of which at most `JUDGED` samples are taken.
            answers: what is judged of the attacked inputs, by output; None: the model's own outputs.
        """
        moved = self.examples(model, judged_of(split))
        told = outputs(model, moved.x) if answers is None else answers(moved.x)
        return tuple(score for score in self.judge.quality(told, moved.y).scores if score.decides)

    def examples(self, model: keras.Model, split: Split) -> Split:
        """Every sample of a split where the attack on a model moves it; inputs as float32."""
        given = {k: a.astype(np.float32) for k, a in split.x.items()}, dict(split.y)
        signature = keras.tree.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), given)
        move = tf.function(lambda x, y: self.moved(model, x, y), signature, autograph=False)
        parts = []
        for begin in range(0, len(split), PREDICTED):
            rows = slice(begin, begin + PREDICTED)
            parts.append({k: a.numpy() for k, a in move(*keras.tree.map_structure(lambda a: a[rows], given)).items()})  # noqa: B023 - called at once
        return Split({name: np.concatenate([part[name] for part in parts]) for name in given[0]}, split.y)

    def moved(self, model: keras.Model, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
        """Where the attack on a model moves a batch: inputs (n, ...) by name and labels by output, tensors."""
        begun = {name: tf.cast(tensor, tf.float32) for name, tensor in x.items()}
        names, ends = list(begun), {name: self._ends(name, tensor) for name, tensor in begun.items()}
        strides = tf.constant(self.attack.strides)

        def step(number: Any, *at: Any) -> tuple[Any, ...]:
            slopes = self._slopes(model, dict(zip(names, at, strict=True)), y)
            gone = []
            for name, tensor in zip(names, at, strict=True):
                stride = strides[number] * self._span(name)
                gone.append(tf.clip_by_value(tensor + stride * tf.sign(slopes[name]), *ends[name]))
            return number + 1, *gone

        count = len(self.attack.strides)
        _, *found = tf.while_loop(
            lambda number, *_: number < count, step, (tf.constant(0), *begun.values()), parallel_iterations=1
        )
        return {name: tf.stop_gradient(tensor) for name, tensor in zip(names, found, strict=True)}

    def _span(self, name: str) -> float:
        low, high = self.ranges[name]
        return high - low

    def _ends(self, name: str, begun: Any) -> tuple[Any, Any]:
        """How far each number may go; one that is outside of the training data's range need not come back."""
        (low, high), most = self.ranges[name], self.attack.epsilon * self._span(name)
        return tf.maximum(begun - most, tf.minimum(begun, low)), tf.minimum(begun + most, tf.maximum(begun, high))

    def _slopes(self, model: keras.Model, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
        """The gradient of the loss in each input."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            told = by_output(model, model(feed(model, x), training=False))
            loss = tf.add_n([
                gauge.weight * tf.cast(gauge.loss.of(y[gauge.output.name], told[gauge.output.name]), tf.float32)
                for gauge in self.judge.gauges
                if gauge.loss is not None
            ])  # fmt: skip
        slopes: dict[str, Any] = tape.gradient(loss, x)
        for name, slope in slopes.items():
            if slope is None:
                raise ModelError(
                    f"input {name!r} cannot be attacked: it is rounded or looked up, and has no gradient.",
                    WITHOUT,
                )
        return slopes


def judged_of(split: Split) -> Split:
    """The samples of a split that are attacked: all, or `JUDGED` spread evenly over it."""
    if len(split) <= JUDGED:
        return split
    return split.take(np.linspace(0, len(split) - 1, JUDGED).astype(int))


def under_attack(
    quality: Quality, adversary: Adversary | None, model: keras.Model, split: Split,
    answers: Callable[[Arrays], Arrays] | None = None,
) -> Quality:  # fmt: skip
    """The quality with the scores under attack, where there is an adversary; see `Adversary.scores`."""
    return quality if adversary is None else replace(quality, robust=adversary.scores(model, split, answers))


def refuse_unattackable(model: keras.Model, data: Data, judge: Judge) -> None:
    """Raise DataError or ModelError for what no attack can be made on."""
    if not data.labelled:
        raise DataError(
            "the data have no labels, and an attack takes them: it makes the loss larger.",
            f"Add y_train and y_test. Or: {WITHOUT}",
        )
    for port in input_ports(model):
        if "int" in port.dtype or port.dtype == "bool":
            raise ModelError(
                f"input {port.name!r} takes {port.dtype}: an attack moves numbers by fractions, of an index or a token"
                " these mean nothing.",
                WITHOUT,
            )
    if all(gauge.loss is None for gauge in judge.gauges):
        raise ModelError(
            "no output of the model has a loss, which an attack makes larger.", f"Compile it with one. Or: {WITHOUT}"
        )
