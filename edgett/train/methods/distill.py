"""Teaching a layer in a form, and the model around it, what the dense one did: `--recover distill`.

Before training, each layer's factors are fitted to the dense layer's own outputs on training inputs; the decomposition,
which they start from, knows only the weight. In training, the baseline's outputs stand beside the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.forms.moments import Moments, target
from edgett.forms.spec import Factors, Spec
from edgett.model.layers import kernels, positions
from edgett.model.weigh import some_inputs
from edgett.train.assess import answering
from edgett.train.data import Split
from edgett.train.methods.method import Method
from edgett.train.metrics import Labels, Loss
from edgett.train.quality import Gauge, Judge
from edgett.train.training import Teacher

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Array = NDArray[np.floating]

SHARE = 0.5
"""The soft outputs' part of the loss."""

TEMPERATURE = 3.0
"""What logits of classes are divided by (Hinton et al. 2015): what the dense model knows of the wrong classes counts.

A ResNet-8 at 0.33 of its parameters that had learnt its training images ends 0.5 points below dense with it, 1.0
without.
"""

SMALLEST = 1e-6
"""Probabilities nearer to 0 or 1, and variances, count as this."""

Pull = Callable[[Any, Any], Any]
"""Of an output and the baseline's, both (n, ...), a scalar: 0 where they are equal."""


class Distill(Method):
    """The dense model teaches those that take its place: starts of their layers, and its outputs."""

    def __init__(self, model: keras.Model, judge: Judge, samples: Split, tutor: Method | None = None) -> None:
        super().__init__(model, judge, samples, tutor)
        self._targets: dict[str, Moments] = {}

    def prepare(self, edits: Mapping[str, Spec]) -> None:
        """Look at the layers whose fit pays."""
        missing = [path for path in self._paying(edits) if path not in self._targets]
        weights = kernels(self.model, missing)
        for path, seen in some_inputs(self.model, self.samples.stream, missing).items():
            self._targets[path] = target(weights[path], seen)

    def factors(self, edits: Mapping[str, Spec]) -> Mapping[str, Factors]:
        """The best factors of the weights fitted to the layers' outputs, where that pays."""
        self.prepare(edits)
        return {path: self._fitted(self._targets[path], spec) for path, spec in self._paying(edits).items()}

    @cached_property
    def teacher(self) -> Teacher | None:
        """The outputs on the samples of the model to learn from."""
        if self.tutor is not None:
            return self.tutor.teacher
        return Teacher(self.samples.told(answering(self.model)), soft_loss(self.judge), SHARE)

    def _paying(self, edits: Mapping[str, Spec]) -> dict[str, Spec]:
        count = max(len(self.samples), self.samples.stream.count)
        many = positions(self.model, edits)
        return {path: spec for path, spec in edits.items() if _pays(spec, count * many[path])}

    def _fitted(self, wanted: Moments, spec: Spec) -> Factors:
        return spec.fitted(spec.best(wanted.weight), wanted)


def _pays(spec: Spec, count: int) -> bool:
    """Whether a fit takes less work than an epoch of training the layer on so many rows."""
    inputs, outputs = spec.matrix
    return spec.fit_work() <= 6 * count * inputs * outputs


def soft_loss(judge: Judge) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Any]:
    """What pulls a model's outputs, by name, to the baseline's: a scalar tensor, 0 where they are equal.

    Adds up over the outputs that a loss trains, with their weights in the model's loss: the Kullback-Leibler divergence
    of class probabilities, or of each probability for itself; a regression's own loss, the baseline's outputs as
    labels; else the squared error over the variance of the baseline's outputs.
    """
    terms = [(gauge.output.name, gauge.weight, _pull(gauge, gauge.loss)) for gauge in judge.gauges if gauge.loss]

    def total(outputs: Mapping[str, Any], baseline: Mapping[str, Any]) -> Any:
        losses = [
            weight * pull(tf.cast(outputs[name], tf.float32), tf.cast(baseline[name], tf.float32))
            for name, weight, pull in terms
        ]
        return tf.add_n(losses) if losses else tf.constant(0.0)

    return total


def _pull(gauge: Gauge, loss: Loss) -> Pull:
    activation = gauge.output.activation
    entropy = loss.name.endswith("crossentropy")
    if activation == "softmax" or (entropy and loss.labels in (Labels.CLASSES, Labels.ONE_HOT)):
        logits = loss.from_logits and activation != "softmax"
        return lambda p, t: _between_classes(p if logits else _log(p), t if logits else _log(t))
    if activation == "sigmoid" or (entropy and loss.labels is Labels.BINARY):
        logits = loss.from_logits and activation != "sigmoid"
        return lambda p, t: _between_chances(p if logits else _logit(p), t if logits else _logit(t))
    if loss.labels is Labels.VALUES:
        return lambda p, t: tf.reduce_mean(loss.keras(t, p)) - tf.reduce_mean(loss.keras(t, t))
    return _relative_error


def _between_classes(logits: Any, baseline: Any) -> Any:
    ours, theirs = tf.nn.log_softmax(logits / TEMPERATURE), tf.nn.log_softmax(baseline / TEMPERATURE)
    # Gradients shrink with the square of the temperature.
    return TEMPERATURE**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(theirs) * (theirs - ours), -1))


def _between_chances(logits: Any, baseline: Any) -> Any:
    chance = tf.sigmoid(baseline)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(chance, baseline)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(chance, logits) - entropy)


def _relative_error(outputs: Any, baseline: Any) -> Any:
    spread = tf.reduce_mean(tf.math.reduce_variance(baseline, 0)) + SMALLEST
    return tf.reduce_mean(tf.math.squared_difference(outputs, baseline)) / spread


def _log(chance: Any) -> Any:
    return tf.math.log(tf.clip_by_value(chance, SMALLEST, 1.0))


def _logit(chance: Any) -> Any:
    chance = tf.clip_by_value(chance, SMALLEST, 1 - SMALLEST)
    return tf.math.log(chance) - tf.math.log1p(-chance)
