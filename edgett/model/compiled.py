"""What a model was compiled with, an output at a time, in the model's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from edgett.errors import ModelError
from edgett.model import keras_compat
from edgett.model.ports import output_ports


@dataclass(frozen=True)
class Compiled:
    """Of each output: its loss (None: it has none), that loss's weight, and all its metrics, as they were given."""

    losses: tuple[Any, ...]
    weights: tuple[float | None, ...]
    metrics: tuple[tuple[Any, ...], ...]


def compiled(model: keras.Model) -> Compiled:
    """What the model was compiled with. Raises ModelError where that does not fit its outputs."""
    names = [port.name for port in output_ports(model)]
    config = keras_compat.compile_arguments(model) if model.compiled else {}
    own = _each_list("metrics", config.get("metrics"), names)
    weighted = _each_list("weighted_metrics", config.get("weighted_metrics"), names)
    return Compiled(
        tuple(_each("loss", config.get("loss"), names)),
        tuple(_each("loss_weights", config.get("loss_weights"), names)),
        tuple((*mine, *theirs) for mine, theirs in zip(own, weighted, strict=True)),
    )


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
