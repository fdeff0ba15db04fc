"""Copies of models with layers swapped: for those in forms, for other sizes, for other types of numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.errors import ModelError
from edgett.forms.site import Layer
from edgett.forms.spec import Factors, Spec
from edgett.model import keras_compat, kinds
from edgett.model.in_form import LayerInForm
from edgett.model.kinds.kind import Kind
from edgett.model.trace import Call, Trace, trace


def replace(model: keras.Model, edits: Mapping[str, Spec], factors: Mapping[str, Factors] | None = None) -> keras.Model:
    """Copy a model with some layers in forms, started from the trained weights; all else stays, training too.

    Args:
        model: the trained dense model.
        edits: by the path of a layer the form of its weight.
        factors: by path those that are known already; None: none are.

    Returns:
        The copy.

    Raises:
        ModelError: when the model cannot be copied.
        ValueError: for a layer that there is not, and when a spec is of another size than its layer.
    """
    places = spots_of(model, edits)
    if len(places) != len(edits):
        raise ValueError(f"no layers named {sorted(set(edits) - set(places))}")
    known = factors or {}
    twins = {
        id(place.layer): place.kind.twin(place.layer, {place.site: edits[path]}, known.get(path))
        for path, place in places.items()
    }
    return substituted(model, twins)


def substituted(model: keras.Model, twins: Mapping[int, Any]) -> keras.Model:
    """Copy a model with `twins` in place of the layers of these id()s. Raises ModelError if it cannot be copied."""
    return _copied(model, twins, _cloned)


def resized(model: keras.Model, shapes: Sequence[tuple[int | None, ...]]) -> keras.Model:
    """Copy a model for samples of other `shapes`, one an input. Raises ModelError if it cannot be copied."""
    sizes = iter(shapes)

    def cloned(model: keras.Model, copy: Any) -> keras.Model:
        if isinstance(model, keras.Sequential):
            entry = _input(model.inputs[0], next(sizes))
            return keras.Sequential([entry, *map(copy, model.layers)], name=model.name, trainable=model.trainable)
        inputs = keras.tree.map_structure(lambda tensor: _input(tensor, next(sizes)), model.input)
        return keras.models.clone_model(model, input_tensors=inputs, clone_function=copy)

    return _copied(model, {}, cloned)


def in_float32(model: keras.Model) -> keras.Model:
    """Copy a model with float32 in place of every other floating type; the very same one where there is no other.

    Devices calculate in it, or in int8, whatever a model was trained in.

    Raises:
        ModelError: when the model cannot be copied.
    """
    wide = [layer for layer in keras_compat.nested(model) if _is_foreign(layer)]
    if not wide:
        return model
    try:
        return _copied(model, {}, lambda inner, copy: _cloned(inner, copy, FLOAT32), FLOAT32)
    except ModelError as error:
        raise ModelError(
            f"model {model.name!r} calculates in {wide[0].dtype_policy.name} and cannot be had in float32:"
            f" {error.message}",
            "Build it with keras.config.set_dtype_policy('float32'), and load its weights.",
        ) from error


def _copied(model: keras.Model, twins: Mapping[int, Any], cloned: Any, floats: str | None = None) -> keras.Model:
    """A copy with the same weights, `twins` in the place of layers by their identity, compiled alike.

    `floats`: the type of all that calculates in a floating one. Raises ModelError.
    """
    copies: list[tuple[Any, Any]] = []

    def copy(layer: Any) -> Any:
        if id(layer) in twins or not isinstance(layer, keras.layers.Layer):
            return twins.get(id(layer), layer)
        if isinstance(layer, (keras.Sequential, keras.Function)):
            return _cloned(layer, once, floats)
        twin = like(layer, dtype=floats) if floats and _is_foreign(layer) else like(layer)
        copies.append((layer, twin))
        return twin

    once = _once(copy)
    try:
        with uncompiled(model):
            clone = cloned(model, once)
        for layer, twin in copies:
            _copy_state(layer, twin)
        if model.compiled:
            given = compilation(model)
            if floats:  # what kept the gradients of float16 from vanishing goes
                given["optimizer"] = getattr(given["optimizer"], "inner_optimizer", given["optimizer"])
            clone.compile(**given)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"model {model.name!r} cannot be copied: {error}", "Give every layer of yours a complete get_config()."
        ) from error
    return clone


FLOAT32 = "float32"


def _is_foreign(layer: Any) -> bool:
    """Whether a layer calculates, or stores numbers, in a floating type that is not float32."""
    types = (layer.compute_dtype, layer.variable_dtype)
    return any("float" in (kind or "") and kind != FLOAT32 for kind in types) and layer.quantization_mode is None


def compilation(model: keras.Model) -> dict[str, Any]:
    """The arguments of `compile` to train another model as this one: its losses, a fresh optimiser, fresh metrics."""

    def fresh(item: Any) -> Any:
        stateful = isinstance(item, (keras.Metric, keras.Optimizer))
        return item.__class__.from_config(item.get_config()) if stateful else item

    arguments = {
        name: keras.tree.map_structure(fresh, value) for name, value in keras_compat.compile_arguments(model).items()
    }
    return arguments | {"optimizer": fresh(model.optimizer)}


def kernels(model: keras.Model, paths: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """The dense weights (X, Y) of the layers of these paths."""
    return {path: place.kind.weight(place.layer, place.site) for path, place in spots_of(model, paths).items()}


def positions(model: keras.Model, paths: Collection[str]) -> dict[str, int]:
    """How often a sample meets the weight of each layer of these paths each time that it runs."""
    return {path: place.site.positions for path, place in spots_of(model, paths).items()}


def give(model: keras.Model, path: str, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
    """Assign a weight (X, Y), and a bias (Y,) where it has one, to the layer of this path."""
    place = spots_of(model, [path])[path]
    place.kind.give(place.layer, place.site, weight, bias)


def factored_layers(model: keras.Model) -> dict[str, LayerInForm]:
    """The layers of a model that are held in a form, by path."""
    return {call.path: call.layer for call in trace(model).calls if isinstance(call.layer, LayerInForm)}


def factored_positions(model: keras.Model) -> dict[str, int]:
    """How often a sample meets the weight of each layer in a form each time that it runs, by path."""
    calls = trace(model).calls
    return {
        call.path: math.prod(call.reads[0].shape[1:]) // call.layer.spec.reads
        for call in calls
        if isinstance(call.layer, LayerInForm)
    }


@dataclass(frozen=True)
class Spot:
    """A layer of a model whose weight may be replaced, where that is, and how."""

    layer: Any
    kind: Kind
    site: Layer


def spots_of(model: keras.Model, paths: Collection[str]) -> dict[str, Spot]:
    """Those of these paths that there are."""
    places = {}
    for call in first_calls(trace(model)):
        found = kinds.sites(call) if call.path in paths else ""
        kind = kinds.kind_of(call)
        if kind is not None and not isinstance(found, str):
            places[call.path] = Spot(call.layer, kind, found[0])
    return places


def first_calls(flow: Trace, of: Sequence[Kind] = kinds.KINDS) -> list[Call]:
    """Of each layer of one of these kinds the first call."""
    calls: dict[int, Call] = {}
    for call in flow.calls:
        if kinds.is_any(call.layer, of):
            calls.setdefault(id(call.layer), call)
    return list(calls.values())


def _cloned(model: keras.Model, copy: Any, floats: str | None = None) -> keras.Model:
    """A model of copied layers; with `floats` for the type of its floating inputs, if it is given.

    Left to itself, Keras names unnamed inputs anew, by a counter of the process.
    """
    if isinstance(model, keras.Sequential) and (floats is None or floats in model.inputs[0].dtype):
        return keras.models.clone_model(model, clone_function=copy)
    if isinstance(model, keras.Sequential):
        entry = _input(model.inputs[0], model.inputs[0].shape[1:], floats)
        return keras.models.clone_model(model, input_tensors=entry, clone_function=copy)
    inputs = keras.tree.map_structure(lambda tensor: _input(tensor, tensor.shape[1:], floats), model.input)
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=copy, call_function=_called)


def _called(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of a copy; where it stands for a model, which notes a mask in its calls, without that."""
    if isinstance(layer, LayerInForm):
        kwargs.pop("mask", None)
    return layer(*args, **kwargs)


def _input(tensor: Any, shape: tuple[int | None, ...], floats: str | None = None) -> Any:
    """An input of the same name, and of the same type but where `floats` is given for a floating one."""
    kind = floats if floats and "float" in tensor.dtype else tensor.dtype
    return keras.Input(batch_shape=(tensor.shape[0], *shape), dtype=kind, name=keras_compat.maker(tensor)[0].name)


def like(layer: Any, **changes: Any) -> Any:
    """A layer of the same class and settings, `changes` apart, with weights of its own."""
    settings = layer.get_config()
    if isinstance(layer, LayerInForm) or type(layer).__module__.startswith("keras."):
        # A configuration only names functions, and one of the user's own is not found by its name.
        held = {name: item for name, item in vars(layer).items() if name in settings and callable(item)}
        settings |= {name: item for name, item in held.items() if not isinstance(item, keras.layers.Layer)}
    return layer.__class__.from_config(settings | changes)


def _copy_state(layer: Any, twin: Any) -> None:
    """The weights, and what random layers draw from."""
    for mine, theirs in zip(layer.variables, twin.variables, strict=True):
        theirs.assign(mine)
    if isinstance(layer, keras.layers.Normalization):
        twin.finalize_state()


@contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Let Keras take a model, and those inside it, for uncompiled inside the `with`, and so leave compiling to us."""
    compiled = [item for item in keras_compat.nested(model) if isinstance(item, keras.Model) and item.compiled]
    for item in compiled:
        item.compiled = False
    try:
        yield
    finally:
        for item in compiled:
            item.compiled = True


def _once(copy: Any) -> Any:
    """A layer that the model calls several times, or holds at several places, is copied once."""
    copies: dict[int, Any] = {}

    def once(layer: Any) -> Any:
        if id(layer) not in copies:
            copies[id(layer)] = copy(layer)
        return copies[id(layer)]

    return once
