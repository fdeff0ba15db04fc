"""What a model's quality is: one figure an output, computed from arrays, whoever predicted them.

A compiled model says itself how it is judged: by its accuracy metric; without one, by the accuracy that belongs to
its classification loss; else by its first metric; else by its loss. For a model that is not compiled, the output's
activation and the labels tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from edgett.errors import ModelError
from edgett.nn.metrics import Loss, Metric, accuracy_of, aligned, inferred_loss, resolved_loss, resolved_metric
from edgett.nn.ports import Port, output_ports, wanted
from edgett.values import Quality, Score


@dataclass(frozen=True)
class Gauge:
    """How one output is judged, and the loss that trains it (None: none does) with its weight in the model's."""

    output: Port
    metric: Metric
    loss: Loss | None
    weight: float

    def __str__(self) -> str:
        unit = "in percentage points" if self.metric.accuracy else "in % of the baseline"
        return f"{self.output.name}: {self.metric.name}, drop {unit}"


@dataclass(frozen=True)
class Judge:
    """Judges a model's outputs, in the model's order. `inferred`: the model was not compiled."""

    gauges: tuple[Gauge, ...]
    inferred: bool

    def __str__(self) -> str:
        return "; ".join(map(str, self.gauges))

    def quality(self, outputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Quality:
        """The quality of predictions, by output name, against labels; both have a row a sample."""
        scores, losses = [], []
        for gauge in self.gauges:
            name, metric = gauge.output.name, gauge.metric
            y, p = aligned(labels[name], outputs[name]), outputs[name]
            scores.append(Score(name, metric.name, metric.measure(y, p), metric.higher_is_better, not metric.accuracy))
            if gauge.loss is not None:
                losses.append(gauge.weight * gauge.loss.measure(y, p))
        return Quality(tuple(scores), sum(losses) if losses else None)

    def compile(self, model: keras.Model) -> None:
        """Compile a model with the same outputs that came without: Adam at 1e-3, the losses, the accuracies."""
        named = {gauge.output.name: gauge for gauge in self.gauges}
        model.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=wanted(model, {name: gauge.loss and gauge.loss.keras for name, gauge in named.items()}),
            metrics=wanted(model, {name: ["accuracy"] if g.metric.accuracy else [] for name, g in named.items()}),
        )


def judge(model: keras.Model, labels: Mapping[str, np.ndarray]) -> Judge:
    """How this model is judged; `labels` by output name, a row a sample, decide what its configuration leaves open."""
    ports = output_ports(model)
    names = [port.name for port in ports]
    # `get_compile_config` would serialise the user's functions, which then cannot be had back.
    config = model._compile_config.config if model.compiled else {}
    losses = _each("loss", config.get("loss"), names)
    own = _each_list("metrics", config.get("metrics"), names)
    weighted = _each_list("weighted_metrics", config.get("weighted_metrics"), names)
    weights = _each("loss_weights", config.get("loss_weights"), names)
    inferred = all(loss is None for loss in losses)
    if inferred:
        losses = [inferred_loss(port, labels[port.name]) for port in ports]
    gauges = [
        _gauge(port, loss, weight, [resolved_metric(m, port, labels[port.name]) for m in metrics], labels[port.name])
        for port, loss, weight, metrics in zip(ports, losses, weights, map(list.__add__, own, weighted), strict=True)
    ]
    return Judge(tuple(gauges), inferred)


def _gauge(port: Port, given: Any, weight: float | None, metrics: list[Metric], labels: np.ndarray) -> Gauge:
    # An output that no loss trains is judged like one of a model that is not compiled.
    judged = resolved_loss(inferred_loss(port, labels) if given is None else given, port, labels)
    accuracies = [metric for metric in metrics if metric.accuracy]
    metric = [*accuracies, *accuracy_of(judged), *metrics, judged.as_metric()][0]
    return Gauge(port, metric, None if given is None else judged, 1.0 if weight is None else float(weight))


def _each(argument: str, given: Any, names: list[str]) -> list[Any]:
    """What `compile` was given (one for all, a list, or a dict by output) as a list, one an output."""
    if isinstance(given, Mapping) and "class_name" not in given:
        if not set(given) <= set(names):
            raise _not_these_outputs(f"{argument} for {sorted(given)}", names)
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise _not_these_outputs(f"{len(given)} {argument}", names)
        return list(given)
    return [given] * len(names)


def _each_list(argument: str, given: Any, names: list[str]) -> list[list[Any]]:
    if len(names) == 1:
        # Keras gives a single output whatever there is, under any name.
        return [_flat(given)]
    return [_flat(own) for own in _each(argument, given or None, names)]


def _flat(nested: Any) -> list[Any]:
    if isinstance(nested, Mapping) and "class_name" not in nested:
        return _flat(list(nested.values()))
    if isinstance(nested, (list, tuple)):
        return [leaf for item in nested for leaf in _flat(item)]
    return [] if nested is None else [nested]


def _not_these_outputs(what: str, names: list[str]) -> ModelError:
    return ModelError(
        f"the model is compiled with {what}, but its outputs are {names}.",
        "Compile it with one for each output, and save it again.",
    )
