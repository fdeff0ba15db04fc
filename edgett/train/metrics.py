"""Losses and metrics, from whatever `compile` takes to something that judges arrays.

A compiled metric gives the number that Keras would give; plain accuracies are counted with NumPy.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from edgett.errors import DataError
from edgett.model import keras_compat
from edgett.model.ports import Port


class Labels(enum.Enum):
    """What a loss takes as labels."""

    CLASSES = "class numbers"
    ONE_HOT = "one-hot rows"
    BINARY = "zeros and ones"
    SIGNS = "signs"
    VALUES = "values"
    ANY = "whatever the loss takes"


@dataclass(frozen=True)
class Metric:
    """A metric under the name the user knows: `measure(labels, outputs)`. Accuracies lie in 0..1.

    `higher_is_better` None: nobody says.
    """

    name: str
    measure: Callable[[Any, Any], float]
    higher_is_better: bool | None = True
    accuracy: bool = True

    def __str__(self) -> str:
        return f"{self.name}, drop in {'percentage points' if self.accuracy else '% of the baseline'}"


@dataclass(frozen=True)
class Loss:
    """A loss under its function's name; `keras` is the object or function that `compile` takes."""

    name: str
    labels: Labels
    keras: Any

    def of(self, labels: Any, outputs: Any) -> Any:
        """The mean over the samples, a scalar tensor. A bare function is given floats, as Keras does when it trains."""
        kind = None if isinstance(self.keras, keras.losses.Loss) else keras.config.floatx()
        return keras.ops.mean(self.keras(keras.ops.convert_to_tensor(labels, kind), outputs))

    def measure(self, labels: np.ndarray, outputs: np.ndarray) -> float:
        """The mean over the samples of arrays."""
        try:
            return float(self.of(labels, keras.ops.convert_to_tensor(outputs)))
        except Exception as error:
            raise DataError(
                f"loss {self.name} cannot be computed of labels {labels.shape} and outputs {outputs.shape}: "
                f"{_reason(error)}.",
                "Compile the model with one that fits the labels.",
            ) from error

    @property
    def from_logits(self) -> bool:
        """Whether the outputs are logits, positive for yes, rather than probabilities."""
        return isinstance(self.keras, keras.losses.Loss) and bool(self.keras.get_config().get("from_logits", False))

    def as_metric(self) -> Metric:
        """The loss, where there is nothing better to judge by."""
        return Metric(self.name, self.measure, higher_is_better=False, accuracy=False)


_LABELS = {
    "sparse_categorical_crossentropy": Labels.CLASSES,
    "categorical_crossentropy": Labels.ONE_HOT,
    "categorical_focal_crossentropy": Labels.ONE_HOT,
    "categorical_hinge": Labels.ONE_HOT,
    "binary_crossentropy": Labels.BINARY,
    "binary_focal_crossentropy": Labels.BINARY,
    "hinge": Labels.SIGNS,
    "squared_hinge": Labels.SIGNS,
    "mean_squared_error": Labels.VALUES,
    "mean_absolute_error": Labels.VALUES,
    "mean_absolute_percentage_error": Labels.VALUES,
    "mean_squared_logarithmic_error": Labels.VALUES,
    "huber": Labels.VALUES,
    "log_cosh": Labels.VALUES,
    "poisson": Labels.VALUES,
    "kl_divergence": Labels.VALUES,
    "cosine_similarity": Labels.VALUES,
}


def resolved_loss(identifier: Any, port: Port, labels: np.ndarray) -> Loss:
    """The loss that Keras makes of a name, function, object or serialised dict."""
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        identifier = _CROSSENTROPIES[label_kind(port, labels)]
    found = keras.losses.get(identifier)
    name = getattr(getattr(found, "fn", found), "__name__", type(found).__name__)
    return Loss(name, _LABELS.get(name, Labels.ANY), found)


_CROSSENTROPIES = {
    Labels.BINARY: "binary_crossentropy",
    Labels.CLASSES: "sparse_categorical_crossentropy",
    Labels.ONE_HOT: "categorical_crossentropy",
}


def inferred_loss(port: Port, labels: np.ndarray) -> Any:
    """The loss that an output's activation and its labels suggest; mean squared error when they suggest no classes."""
    probabilities = port.activation in ("softmax", "sigmoid")
    kind = label_kind(port, labels)
    whole = labels.dtype.kind in "iub"
    if kind is Labels.CLASSES and (whole or probabilities):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)
    if port.activation == "softmax" and kind is Labels.ONE_HOT:
        return keras.losses.CategoricalCrossentropy()
    if port.activation == "sigmoid" and labels.min() >= 0 and labels.max() <= 1:
        return keras.losses.BinaryCrossentropy()
    return keras.losses.MeanSquaredError()


def label_kind(port: Port, labels: np.ndarray) -> Labels:
    """What "accuracy" and "crossentropy" mean to Keras, by the shapes of output and labels."""
    if port.shape[-1:] == (1,):
        return Labels.BINARY
    return Labels.CLASSES if labels.ndim <= len(port.shape) or labels.shape[-1] == 1 else Labels.ONE_HOT


def resolved_metric(identifier: Any, port: Port, labels: np.ndarray) -> Metric:
    """A metric as Keras computes it, from whatever `compile` takes."""
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return Metric("accuracy", _ACCURACIES[label_kind(port, labels)])
    found = keras.metrics.get(identifier)
    # Keras numbers what it names itself by how many it has made in this process.
    name = re.sub(r"_\d+$", "", found.name) if isinstance(identifier, (str, type)) else None
    if not isinstance(found, keras.metrics.Metric):
        found = keras.metrics.MeanMetricWrapper(found, name=getattr(found, "__name__", "metric"))
    name = name or found.name
    accuracy = name.endswith(("accuracy", "acc")) or isinstance(found, _KERAS_ACCURACIES)
    up = True if accuracy or name.endswith("auc") else _direction(found)
    return Metric(name, lambda y, p: _measured(found, y, p), up, accuracy)


def _direction(found: keras.metrics.Metric) -> bool | None:
    """Whether a metric is to be high; None where nobody says, as of a function of the user's own."""
    for kind, up in _COUNTS.items():
        if isinstance(found, kind):
            return up
    function: Any = keras_compat.metric_function(found)
    if str(getattr(function, "__module__", "")).startswith("keras.") and function.__name__ in _LABELS:
        return False
    return {"up": True, "down": False}.get(keras_compat.metric_direction(found) or "")


_COUNTS = {
    keras.metrics.TruePositives: True,
    keras.metrics.TrueNegatives: True,
    keras.metrics.FalsePositives: False,
    keras.metrics.FalseNegatives: False,
}

_KERAS_ACCURACIES = (
    keras.metrics.Accuracy,
    keras.metrics.BinaryAccuracy,
    keras.metrics.CategoricalAccuracy,
    keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.TopKCategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy,
)


def _measured(metric: Any, labels: np.ndarray, outputs: np.ndarray) -> float:
    metric.reset_state()
    try:
        metric.update_state(labels, outputs)
        return float(np.mean(metric.result()))  # F1 has one a class
    except Exception as error:
        raise DataError(
            f"metric {metric.name} cannot be computed of labels {labels.shape} and outputs {outputs.shape}: "
            f"{_reason(error)}.",
            "Name one that fits the labels with --metric; without it those count that the model is compiled with.",
        ) from error
    finally:
        metric.reset_state()


def _reason(error: Exception) -> str:
    """What TensorFlow says, without the parts that are for its own people."""
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\].*", "", " ".join(str(error).split()))[:300]


def accuracy_of(loss: Loss) -> list[Metric]:
    """The accuracy that belongs to a classification loss; none for another loss."""
    kind = Labels.SIGNS if loss.labels is Labels.BINARY and loss.from_logits else loss.labels
    return [Metric("accuracy", _ACCURACIES[kind])] if kind in _ACCURACIES else []


def aligned(labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Labels in the shape of the outputs, where only axes of size 1 differ: (n,) and (n, 1) must not broadcast."""
    return labels.reshape(outputs.shape) if labels.size == outputs.size else labels


def _class_accuracy(labels: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.mean(outputs.argmax(-1) == labels.reshape(outputs.shape[:-1])))


def _one_hot_accuracy(labels: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.mean(outputs.argmax(-1) == labels.argmax(-1)))


def _binary_accuracy(labels: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.mean((outputs > 0.5) == (labels > 0.5)))


def _sign_accuracy(labels: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.mean((outputs > 0) == (labels > 0)))


_ACCURACIES = {
    Labels.CLASSES: _class_accuracy,
    Labels.ONE_HOT: _one_hot_accuracy,
    Labels.BINARY: _binary_accuracy,
    Labels.SIGNS: _sign_accuracy,
}
