"""What an output decides, and how far two models agree: all there is to judge by where there are no labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from edgett.export.decisions import Decision
from edgett.model.compiled import compiled
from edgett.model.ports import Port, input_ports, output_ports
from edgett.train.metrics import Labels, Loss, Metric, resolved_loss

AGREEMENT, ERROR = "agreement", "relative_error"

MEANT = {
    AGREEMENT: "the share of the same decisions, the top class or yes and no",
    ERROR: "the squared error over the variance of the dense model's outputs",
}
"""What the figures are that stand in for the metrics of labels."""


def decisions(model: keras.Model) -> dict[str, Decision]:
    """What the outputs decide, by name, as their losses and activations tell; without those that decide nothing."""
    whole = [port.shape for port in input_ports(model)]
    found = {}
    for port, given in zip(output_ports(model), compiled(model).losses, strict=True):
        # Labels of any shape: they would tell class numbers from one-hot rows, which decide the same.
        decided = _decision(port, None if given is None else resolved_loss(given, port, np.zeros(1)))
        # An autoencoder may be trained with binary crossentropy.
        if decided is not None and (decided is Decision.TOP or port.shape not in whole):
            found[port.name] = decided
    return found


def _decision(port: Port, loss: Loss | None) -> Decision | None:
    kind = Labels.ANY if loss is None else loss.labels
    if kind in (Labels.CLASSES, Labels.ONE_HOT):
        return Decision.TOP
    if kind in (Labels.BINARY, Labels.SIGNS):
        logits = kind is Labels.SIGNS or (loss is not None and loss.from_logits and port.activation != "sigmoid")
        return Decision.SIGN if logits else Decision.HALF
    if port.activation == "softmax" and port.shape[-1] != 1:
        return Decision.TOP
    return Decision.HALF if port.activation == "sigmoid" and kind is Labels.ANY else None


def agreement(decision: Decision | None) -> Metric:
    """How a model is judged against the dense one's outputs, in place of labels: an accuracy where these decide."""
    if decision is not None:
        return Metric(AGREEMENT, decision.agreement)
    return Metric(ERROR, unexplained, higher_is_better=False, accuracy=False)


def unexplained(expected: np.ndarray, outputs: np.ndarray) -> float:
    """The squared error of outputs (n, ...) over the spread of the expected ones: 1 is what their mean comes to."""
    expected = expected.astype(np.float64)
    spread = np.square(expected - expected.mean(axis=0)).sum() or np.square(expected).sum() or 1.0
    return float(np.square(outputs - expected).sum() / spread)


def imitation(port: Port, given: Any, decision: Decision | None) -> Loss:
    """The loss that trains an output towards the dense model's, which stand where it takes labels.

    A loss of values (`given`: what the output was compiled with) is kept; else it is a divergence of what is decided.
    """
    loss = None if given is None else resolved_loss(given, port, np.zeros(1))
    if decision is not None:
        logits = loss is not None and loss.from_logits and port.activation != "softmax" and decision is Decision.TOP
        return Loss("kl_divergence", Labels.ANY, _between_logits if logits else _DIVERGENCES[decision])
    if loss is not None and loss.labels is Labels.VALUES:
        return loss
    return Loss("mean_squared_error", Labels.VALUES, keras.losses.MeanSquaredError())


def _between_logits(expected: Any, outputs: Any) -> Any:
    return keras.losses.kl_divergence(keras.ops.softmax(expected), keras.ops.softmax(outputs))


def _between_chances(expected: Any, outputs: Any) -> Any:
    both = (keras.ops.stack([chance, 1 - chance], -1) for chance in (expected, outputs))
    return keras.losses.kl_divergence(*both)


def _between_signs(expected: Any, outputs: Any) -> Any:
    return _between_chances(keras.ops.sigmoid(expected), keras.ops.sigmoid(outputs))


_DIVERGENCES = {
    Decision.TOP: keras.losses.kl_divergence,
    Decision.HALF: _between_chances,
    Decision.SIGN: _between_signs,
}
