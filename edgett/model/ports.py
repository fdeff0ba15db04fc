"""The named inputs and outputs of a Keras model, and the arrays that go in and come out by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from edgett.errors import ModelError
from edgett.model import keras_compat


@dataclass(frozen=True)
class Port:
    """An input or output of a model.

    `shape` is one sample's (None: any size); `activation` is the one that ends an output.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    activation: str = "linear"

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether one sample of this shape goes through."""
        return len(shape) == len(self.shape) and all(b in (None, a) for a, b in zip(shape, self.shape, strict=True))

    def __str__(self) -> str:
        return f"({', '.join(['n', *('any' if size is None else str(size) for size in self.shape)])})"


def input_ports(model: keras.Model) -> tuple[Port, ...]:
    """The inputs, in the model's order, named like outputs; a ModelError if the model has no fixed inputs."""
    named = tensors(model, "input")
    return tuple(Port(name, tuple(t.shape[1:]), keras.backend.standardize_dtype(t.dtype)) for name, t in named)


def output_ports(model: keras.Model) -> tuple[Port, ...]:
    """The outputs, in the model's order, each named by its layer, or by its key where the model gives a dict."""
    named = tensors(model, "output")
    return tuple(
        Port(name, tuple(t.shape[1:]), keras.backend.standardize_dtype(t.dtype), _activation(t)) for name, t in named
    )


def feed(model: keras.Model, x: Mapping[str, np.ndarray]) -> Any:
    """Arrays by input name in the structure that `fit` and `predict` take."""
    return _pack(model, "input", [x[port.name] for port in input_ports(model)])


def by_input(model: keras.Model, fed: Any) -> dict[str, Any]:
    """What `feed` has made, by input name."""
    if isinstance(fed, Mapping):
        return dict(fed)
    arrays = fed if isinstance(fed, (list, tuple)) else [fed]
    return {port.name: array for port, array in zip(input_ports(model), arrays, strict=True)}


def wanted(model: keras.Model, y: Mapping[str, Any]) -> Any:
    """Labels, losses or metrics by output name in the structure that `fit` and `compile` take."""
    return _pack(model, "output", [y[port.name] for port in output_ports(model)])


def by_output(model: keras.Model, predicted: Any) -> dict[str, Any]:
    """What a model gives (one array or tensor, a list or a dict) by output name."""
    if isinstance(predicted, Mapping):
        return dict(predicted)
    arrays = predicted if isinstance(predicted, (list, tuple)) else [predicted]
    return {port.name: array for port, array in zip(output_ports(model), arrays, strict=True)}


def _structure(model: keras.Model, side: str) -> Any:
    if isinstance(model, keras.Sequential):
        return getattr(model, f"{side}s") if model.built else None
    return getattr(model, side, None) if hasattr(model, "operations") else None


def tensors(model: keras.Model, side: str) -> list[tuple[str, Any]]:
    """The symbolic tensors of a model's "input" or "output" side by name, in the model's order."""
    structure = _structure(model, side)
    if structure is None:
        raise ModelError(
            f"model {model.name!r} has no {side} of known shape.",
            "Start a Sequential model with keras.Input(shape), and write a subclassed one as a functional model.",
        )
    if isinstance(structure, Mapping):
        return [(str(key), tensor) for key, tensor in structure.items()]
    flat: list[Any] = keras.tree.flatten(structure)
    # Layers keep their names when a model is cloned or saved; tensors do not.
    names = [keras_compat.maker(t)[0].name for t in flat]
    return list(zip(_distinct(names), flat, strict=True))


def _distinct(names: Sequence[str]) -> list[str]:
    # A shared layer can end two outputs, which then have one name.
    return [name if name not in names[:i] else f"{name}_{names[:i].count(name)}" for i, name in enumerate(names)]


def _pack(model: keras.Model, side: str, values: list[Any]) -> Any:
    structure = _structure(model, side)
    if isinstance(structure, Mapping):
        return dict(zip(structure, values, strict=True))
    return values[0] if len(values) == 1 else values


def _activation(tensor: Any) -> str:
    operation, index = keras_compat.maker(tensor)
    if isinstance(operation, keras.Model):
        return _activation(operation.outputs[index])
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    activation = getattr(operation, "activation", None)
    return str(getattr(activation, "__name__", "linear"))
