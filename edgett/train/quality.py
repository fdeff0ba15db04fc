"""What a model's quality is: figures of its outputs, computed from arrays, whoever predicted them.

A compiled model says itself how it is judged: by all of its metrics that are to be high, each for itself, so that the
worst drop decides; without one, by the accuracy that belongs to its classification loss; else by its errors; else by
its loss. For a model that is not compiled, the output's activation and the labels tell. `--metric` stands over all of
it. What does not decide is shown: of an error beside a score, which may be next to nothing, a share would mean little.
Without labels, agreement with the dense model decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from edgett.errors import DataError, UsageError
from edgett.job.attack import Attack
from edgett.job.yardstick import Yardstick
from edgett.model import users
from edgett.model.compiled import Compiled, compiled
from edgett.model.ports import Port, output_ports, wanted
from edgett.search.quality import Quality, Score
from edgett.train.agreement import MEANT, agreement, decisions, imitation
from edgett.train.metrics import Loss, Metric, accuracy_of, aligned, inferred_loss, resolved_loss, resolved_metric

WHOLE = "all outputs"
"""What a figure is of that is one of several outputs together."""


@dataclass(frozen=True)
class Ask:
    """What a judge is asked for.

    By which metric (None: the model's own), whether there are labels, and under which attack models are judged too.
    """

    metric: Yardstick | None = None
    labelled: bool = True
    attack: Attack | None = None


PLAIN = Ask()


@dataclass(frozen=True)
class Gauge:
    """How one output is judged, and the loss that trains it (None: none does) with its weight in the model's.

    `deciding` are the metrics whose drop counts; `shown` are others that the user compiled.
    """

    output: Port
    deciding: tuple[Metric, ...]
    shown: tuple[Metric, ...]
    loss: Loss | None
    weight: float

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All of them, those that decide first."""
        return self.deciding + self.shown


@dataclass(frozen=True)
class Judge:
    """Judges a model's outputs, in the model's order. `inferred`: the model was not compiled.

    `own` is the user's figure of all outputs together, where that decides.
    """

    gauges: tuple[Gauge, ...]
    inferred: bool
    ask: Ask = PLAIN
    own: Metric | None = None

    def __str__(self) -> str:
        told = [f"{gauge.output.name}: {metric}" for gauge in self.gauges for metric in gauge.deciding]
        return "; ".join([str(self.own)] if self.own else told)

    @property
    def unit(self) -> str:
        """What a drop is in."""
        deciding = [self.own] if self.own else [metric for gauge in self.gauges for metric in gauge.deciding]
        return "points" if all(metric.accuracy for metric in deciding) else "%"

    @property
    def remarks(self) -> Iterator[str]:
        """What the user should know of it."""
        if not self.ask.labelled:
            used = dict.fromkeys(metric.name for gauge in self.gauges for metric in gauge.metrics)
            told = "; ".join(f"{name}, {MEANT[name]}" for name in used if name in MEANT)
            yield (
                "the data have no labels: models learn from the dense one's outputs and are judged by how far they"
                f" agree with it ({told}). What the dense model itself is worth is not known."
            )
        for gauge in self.gauges:
            for metric in gauge.shown:
                if metric.higher_is_better is None and self.ask.metric is None:
                    yield (
                        f"{metric.name} of {gauge.output.name} is shown and decides nothing: whether it is to be high"
                        f" or low is not known. --metric {metric.name}:max or :min judges by it."
                    )

    def quality(self, outputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Quality:
        """The quality of predictions, by output name, against labels; both have a row a sample."""
        scores, losses = [], []
        fitting = {name: aligned(labels[name], array) for name, array in outputs.items() if name in labels}
        if self.own is not None:
            (one,) = fitting if len(fitting) == 1 else (None,)
            arguments = (fitting, dict(outputs)) if one is None else (fitting[one], outputs[one])
            scores.append(_score(one or WHOLE, self.own, self.own.measure(*arguments), True))
        for gauge in self.gauges:
            name = gauge.output.name
            y, p = fitting[name], outputs[name]
            scores += [_score(name, one, one.measure(y, p), one in gauge.deciding) for one in gauge.metrics]
            if gauge.loss is not None:
                losses.append(gauge.weight * gauge.loss.measure(y, p))
        return Quality(tuple(scores), sum(losses) if losses else None)

    def compile(self, model: keras.Model) -> None:
        """Compile a model with the same outputs that came without: Adam at 1e-3, the losses, the accuracies."""
        accurate = {g.output.name: ["accuracy"] if any(m.accuracy for m in g.metrics) else [] for g in self.gauges}
        model.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=self.losses(model),
            metrics=wanted(model, accurate) if self.ask.labelled else None,
        )

    def losses(self, model: keras.Model) -> Any:
        """The losses of a model with the same outputs, as `compile` takes them."""
        return wanted(model, {gauge.output.name: gauge.loss and gauge.loss.keras for gauge in self.gauges})


def _score(output: str, metric: Metric, value: float, decides: bool) -> Score:
    return Score(output, metric.name, value, bool(metric.higher_is_better), not metric.accuracy, decides)


def judge(model: keras.Model, labels: Mapping[str, np.ndarray], ask: Ask = PLAIN, own: Metric | None = None) -> Judge:
    """How this model is judged; `labels` by output name, a row a sample, decide what its configuration leaves open.

    `own`: the user's function that is asked for, where it is at hand and need not be imported. Raises UsageError for a
    metric that is asked for and not there.
    """
    ports, given = output_ports(model), compiled(model)
    inferred = all(loss is None for loss in given.losses)
    if ask.labelled:
        gauges = _labelled(ports, given, labels, inferred)
    else:
        decided = decisions(model)
        gauges = [
            Gauge(port, (agreement(way),), (), imitation(port, loss, way), 1.0 if weight is None else float(weight))
            for port, loss, weight in zip(ports, given.losses, given.weights, strict=True)
            for way in [decided.get(port.name)]
        ]
    if ask.metric is None:
        return Judge(tuple(gauges), inferred, ask)
    if ask.metric.module is not None:
        return Judge(tuple(_beside(gauge, ()) for gauge in gauges), inferred, ask, own or _users_own(ask.metric))
    return Judge(tuple(_named(gauges, labels, ask.metric)), inferred, ask)


def _labelled(
    ports: tuple[Port, ...], given: Compiled, labels: Mapping[str, np.ndarray], inferred: bool
) -> list[Gauge]:
    losses = [inferred_loss(port, labels[port.name]) for port in ports] if inferred else given.losses
    return [
        _gauge(port, loss, weight, [resolved_metric(m, port, labels[port.name]) for m in metrics], labels[port.name])
        for port, loss, weight, metrics in zip(ports, losses, given.weights, given.metrics, strict=True)
    ]


def _gauge(port: Port, given: Any, weight: float | None, metrics: list[Metric], labels: np.ndarray) -> Gauge:
    # An output that no loss trains is judged like one of a model that is not compiled.
    judged = resolved_loss(inferred_loss(port, labels) if given is None else given, port, labels)
    high = [metric for metric in metrics if metric.higher_is_better]
    low = [metric for metric in metrics if metric.higher_is_better is False]
    deciding = tuple(high or accuracy_of(judged) or low or [judged.as_metric()])
    shown = tuple(metric for metric in metrics if metric not in deciding)
    return Gauge(port, deciding, shown, None if given is None else judged, 1.0 if weight is None else float(weight))


def _beside(gauge: Gauge, deciding: tuple[Metric, ...]) -> Gauge:
    """The gauge with others that decide; what did is shown."""
    names = {metric.name for metric in deciding}
    rest = tuple(metric for metric in gauge.metrics if metric.name not in names)
    return Gauge(gauge.output, deciding, rest, gauge.loss, gauge.weight)


def _named(gauges: list[Gauge], labels: Mapping[str, np.ndarray], asked: Yardstick) -> Iterator[Gauge]:
    """The gauges with the metric of that name deciding: where the model has it, or else of every output."""
    having = {
        gauge.output.name: tuple(m for m in gauge.metrics if asked.name in (m.name, re.sub(r"_\d+$", "", m.name)))
        for gauge in gauges
    }
    for gauge in gauges:
        found = having[gauge.output.name]
        if any(having.values()):
            pass
        elif asked.name == "loss":
            found = (gauge.loss.as_metric(),) if gauge.loss else ()
        else:
            found = (_keras_metric(asked.name, gauge, labels[gauge.output.name], gauges),)
        yield _beside(gauge, tuple(_directed(metric, asked) for metric in found))


def _keras_metric(name: str, gauge: Gauge, labels: np.ndarray, gauges: list[Gauge]) -> Metric:
    own = keras.saving.get_registered_object(f"Custom>{name}") or keras.saving.get_registered_object(name)
    try:
        return resolved_metric(own or name, gauge.output, labels)
    except (ValueError, TypeError) as error:
        there = dict.fromkeys(metric.name for each in gauges for metric in each.metrics)
        raise UsageError(
            f"--metric {name}: the model was not compiled with it, and Keras has none of that name that needs nothing"
            " else.",
            f"The model has {', '.join(there)}, loss; or give package.module:function.",
        ) from error


def _directed(metric: Metric, asked: Yardstick) -> Metric:
    up = metric.higher_is_better if asked.up is None else asked.up
    if up is None:
        raise UsageError(
            f"--metric {asked.name}: whether it is to be high or low is not known.",
            f"Give --metric {asked.name}:max or {asked.name}:min.",
        )
    return Metric(metric.name, metric.measure, up, metric.accuracy)


def _users_own(asked: Yardstick) -> Metric:
    """A function of (y_true, y_pred), arrays or, where there are several outputs, mappings of them by name."""
    assert asked.module is not None
    try:
        function = getattr(users.module(asked.module), asked.name)
    except Exception as error:
        raise UsageError(
            f"--metric {asked.spec} cannot be imported: {type(error).__name__}: {error}.",
            "Name a function of a module that Python can import from here, such as package.module:function; or a "
            "metric, with :max or :min behind it.",
        ) from error

    def measure(labels: Any, outputs: Any) -> float:
        try:
            return float(users.call(function, labels, outputs))
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise DataError(
                f"--metric {asked.spec} failed: {type(error).__name__}: {reason}.",
                "It is given the labels and the outputs, NumPy arrays with a row a sample, and gives one number.",
            ) from error

    return Metric(asked.name, measure, asked.up, accuracy=False)
