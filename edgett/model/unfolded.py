"""Weights of an inference form given back to the model that it is of.

What normalises is folded into the weights of the form. Of each number of the model the form is an affine function, so
two looks at the form of a copy tell how a number has to change for the form to change as wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.model.convolved import Convolved
from edgett.model.factored import Factored
from edgett.model.folding import is_product
from edgett.model.inference import inference_form
from edgett.model.layers import substituted
from edgett.model.shifts import shift
from edgett.model.trace import Trace, trace

Array = NDArray[np.float32]
CLOSE, SMALL = 1e-5, 1e-2
"""How near the form comes to what was wanted, relative to the largest number of a weight or to this: rounding."""


def products(form: Trace) -> dict[str, list[Any]]:
    """The layers of a form that hold kernels or factors, by path: a convolution in a form has several."""
    found: dict[str, list[Any]] = {}
    for call in form.calls:
        layers = found.setdefault(call.path, []) if is_product(call.layer) else None
        if layers is not None and not any(call.layer is layer for layer in layers):
            layers.append(call.layer)
    return found


def give_back(model: keras.Model, wanted: Sequence[Sequence[Array]]) -> None:
    """Change a model so that the products of its inference form hold other weights.

    Args:
        model: it is changed.
        wanted: of each product of the form, in the order in which they first run, its kernels or factors, and its bias
            if it has one.

    Raises:
        ValueError: where the form cannot be as wanted.
    """
    each = iter(wanted)
    goals = {path: [list(next(each)) for _ in layers] for path, layers in _products(model).items()}
    copy = substituted(model, {})
    for kernel in (
        kernel for layers in _owners(copy, goals).values() for layer in layers for kernel in _kernels(layer)
    ):
        kernel.assign(np.ones(kernel.shape))
    units = _products(copy)
    for path, layers in _owners(model, goals).items():
        for layer, goal, unit in zip(layers, goals[path], units[path], strict=True):
            for kernel, number, one in zip(_kernels(layer), goal, unit.get_weights(), strict=False):
                kernel.assign(np.reshape(_divided(number, one), kernel.shape))
    biased = [path for path, layers in goals.items() if len(layers[-1]) > len(_kernels(units[path][-1]))]
    shift(model, _shifts(model, {path: goals[path][-1][-1] for path in biased}))
    if wrong := [path for path, layers in _products(model).items() if not _as_wanted(layers, goals[path])]:
        raise ValueError(f"the weights of {', '.join(wrong)} cannot be given back")


def _products(model: keras.Model) -> dict[str, list[Any]]:
    return products(inference_form(model))


def _owners(model: keras.Model, paths: Collection[str]) -> dict[str, list[Any]]:
    """The layers of a model that hold what the products of these paths do."""
    calls = {call.path: call.layer for call in trace(model).calls if call.path in paths}
    return {path: layer.parts if isinstance(layer, Convolved) else [layer] for path, layer in calls.items()}


def _kernels(layer: Any) -> list[Any]:
    return layer.factors if isinstance(layer, Factored) else [layer.kernel]


def _shifts(model: keras.Model, goals: Mapping[str, Array]) -> dict[str, Array]:
    """What has to be added to what layers put out for their biases to become these."""
    copy, now = substituted(model, {}), _products(model)
    shift(copy, {path: np.ones(len(goal), np.float32) for path, goal in goals.items()})
    then = _products(copy)
    left = {path: goals[path] - _bias(now[path]) for path in goals}
    return {path: _divided(left[path], _bias(then[path]) - _bias(now[path])) for path in goals}


def _bias(layers: Sequence[Any]) -> Any:
    return np.asarray(layers[-1].bias) if layers[-1].use_bias else np.float32(0)


def _divided(number: Array, by: Any) -> Array:
    """Where the divisor is 0 nothing depends on the quotient."""
    return np.divide(number, by, out=np.zeros_like(number), where=np.not_equal(by, 0))


def _as_wanted(layers: Sequence[Any], goals: Sequence[Sequence[Array]]) -> bool:
    return all(
        np.abs(number - goal).max(initial=0.0) <= CLOSE * max(float(np.abs(goal).max(initial=0.0)), SMALL)
        for layer, wanted in zip(layers, goals, strict=True)
        for number, goal in zip(layer.get_weights(), wanted, strict=True)
    )
