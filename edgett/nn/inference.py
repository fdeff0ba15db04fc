"""The inference form of a model: what is left of it on a device.

Dropout is gone; batch normalisation, rescaling and normalisation are one multiplication and one addition, and those are
folded into the neighbouring dense or convolutional weights wherever the arithmetic allows. What is exported is this
form, so the converters find nothing to fold and the files hold what was predicted.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from edgett.nn.affine import Affine, Cast, as_affine, per_channel
from edgett.nn.layers import like
from edgett.nn.trace import Call, Trace, trace
from edgett.nn.tt_dense import TTDense
from edgett.space.graph import Graph, Step
from edgett.space.ordering import lightest

_L = keras.layers
_IDLE = (
    _L.Dropout,
    _L.GaussianNoise,
    _L.GaussianDropout,
    _L.AlphaDropout,
    _L.SpatialDropout1D,
    _L.SpatialDropout2D,
    _L.SpatialDropout3D,
    _L.ActivityRegularization,
    _L.Identity,
    _L.RandomBrightness,
    _L.RandomContrast,
    _L.RandomFlip,
    _L.RandomRotation,
    _L.RandomTranslation,
    _L.RandomZoom,
)
_CONVOLUTIONS = (_L.Conv1D, _L.Conv2D, _L.DepthwiseConv2D)
_SPELLED_OUT = (_L.SeparableConv2D, _L.Conv2DTranspose)
_PRODUCTS = (_L.Dense, TTDense, *_CONVOLUTIONS)
_NORM = _L.BatchNormalization
# Layers that only rearrange: a multiplication by one number, the same for all, may pass them.
_REARRANGING = (_L.Flatten, _L.Reshape, _L.Permute)


def inference_form(
    model: keras.Model, batch: int = 1, tt: frozenset[str] = frozenset(), *, untrained: bool = False
) -> Trace:
    """The calls that a model makes when it infers `batch` samples at a time.

    The dense layers named in `tt` are treated as if they were TT layers: nothing is folded into their weights. Of a
    model that is still to be trained (`untrained`), zeros are expected to become numbers like any other: for what is
    stored and computed then, not for what comes out.
    """
    form = trace(model, batch)
    if untrained:
        form = _without_zeros(form)
    for rewrite in (_without_idle, _with_affine, _without_zero_bias):
        form = rewrite(form)
    form = _with_loose_bias(form, tt)
    for fold in (_folded, _activated):
        while (smaller := fold(form, tt)) is not form:
            form = smaller
    return _ordered(form)


def _ordered(form: Trace) -> Trace:
    """The calls in the order that keeps the least alive between them; Keras runs all branches abreast.

    By what goes in and out of the calls alone, so that layers in TT form leave the order as it is.
    """
    names = {id(tensor): name for name, tensor in form.inputs.items()}
    sizes = {name: math.prod(tensor.shape) for name, tensor in form.inputs.items()}
    steps = []
    for call in form.calls:
        for tensor in call.writes:
            names[id(tensor)] = f"/{len(names)}"
            sizes[names[id(tensor)]] = math.prod(tensor.shape)
        reads, writes = (tuple(names[id(tensor)] for tensor in side) for side in (call.reads, call.writes))
        steps.append(Step(call.path, type(call.layer).__name__, reads, writes))
    outputs = tuple(names[id(tensor)] for tensor in form.outputs.values())
    order = lightest(Graph(tuple(steps), sizes, tuple(form.inputs), outputs))
    return replace(form, calls=tuple(form.calls[index] for index in order))


def _without_idle(form: Trace) -> Trace:
    return _spliced(form, [call for call in form.calls if isinstance(call.layer, _IDLE)])


def _with_affine(form: Trace) -> Trace:
    calls: list[Call] = []
    for call in form.calls:
        affine = as_affine(call)
        if affine is None:
            calls.append(call)
            continue
        (source,) = call.reads
        if "float" not in source.dtype:
            made = keras.KerasTensor(source.shape, "float32")
            calls.append(Call(call.path, Cast(name=affine.name), (source,), {}, made))
            source = made
        calls.append(Call(call.path, affine, (source,), {}, call.outputs))
    form = replace(form, calls=tuple(calls))
    return _spliced(form, [call for call in calls if _is_idle(call)])


def _with_loose_bias(form: Trace, tt: frozenset[str]) -> Trace:
    """A TT layer's bias and activation stand behind its last product: an affine step of their own, in its name."""
    calls: list[Call] = []
    twins: dict[int, Any] = {}
    for call in form.calls:
        layer = call.layer
        if not (isinstance(layer, TTDense) or call.path in tt):
            calls.append(call)
            continue
        if id(layer) not in twins:
            weights = layer.get_weights()
            bare = weights[:-1] if layer.use_bias else weights
            twins[id(layer)] = _twin(call, bare, use_bias=False, activation=keras.activations.linear)
        bias = np.asarray(layer.bias) if layer.use_bias else None
        late = Affine(None, bias, call.path.rsplit("/", 1)[-1], layer.activation)
        made = keras.KerasTensor(call.writes[0].shape, call.writes[0].dtype)
        calls.append(replace(call, layer=twins[id(layer)], outputs=made))
        calls.append(Call(call.path, late, (made,), {}, call.outputs))
    return _spliced(replace(form, calls=tuple(calls)), [call for call in calls if _is_idle(call)])


def _without_zeros(form: Trace) -> Trace:
    """Ones in place of weights that are all zeros, as biases are before training."""
    twins: dict[int, Any] = {}
    for call in form.calls:
        weights = call.layer.get_weights() if _is_product(call.layer) or type(call.layer) is _NORM else []
        if any(not np.any(array) for array in weights) and id(call.layer) not in twins:
            twins[id(call.layer)] = _twin(call, [array if np.any(array) else np.ones_like(array) for array in weights])
    calls = (replace(call, layer=twins.get(id(call.layer), call.layer)) for call in form.calls)
    return replace(form, calls=tuple(calls))


def _without_zero_bias(form: Trace) -> Trace:
    """A bias of zeros adds nothing, and some converters drop it: drop it here, for all of them."""
    twins: dict[int, Any] = {}
    for call in form.calls:
        layer = call.layer
        if _is_product(layer) and layer.use_bias and not np.any(layer.bias):
            twins.setdefault(id(layer), _twin(call, layer.get_weights()[:-1], use_bias=False))
    calls = (replace(call, layer=twins.get(id(call.layer), call.layer)) for call in form.calls)
    return replace(form, calls=tuple(calls))


def _folded(form: Trace, tt: frozenset[str]) -> Trace:
    """The form with one more affine step folded away; the very same form when there is none left to fold."""
    for call in form.calls:
        if not isinstance(call.layer, Affine):
            continue
        if _is_idle(call):
            return _spliced(form, [call])
        pairs = _pairs(call, form)
        backward = [(before, late, _into_previous(before, late, tt)) for before, late in pairs]
        if backward and all(folded is not None for _, _, folded in backward):
            for before, late, folded in backward:
                form = _merged(form, before, late, folded or ())
            return form
        after = form.readers(call.writes[0])
        if len(after) == 1 and _alone(after[0], form) and not _is_output(call.writes[0], form):
            forward = _into_next(call, after[0], tt)
            if forward is not None:
                return _merged(form, call, after[0], forward)
    return form


def _pairs(affine: Call, form: Trace) -> list[tuple[Call, Call]]:
    """The call before an affine step, and every other call of that layer, each with the same affine step behind it.

    Empty when some call has something else behind it, or hands its result to more than one.
    """
    before = _before(affine, form)
    if before is None:
        return []
    pairs = []
    for call in form.calls_of(before.layer):
        after = form.readers(call.writes[0])
        if len(after) != 1 or not isinstance(after[0].layer, Affine) or _is_output(call.writes[0], form):
            return []
        pairs.append((call, after[0]))
    return pairs if len({late.path for _, late in pairs}) == 1 else []


def _before(call: Call, form: Trace) -> Call | None:
    return next((other for other in form.calls if any(made is call.reads[0] for made in other.writes)), None)


def _activated(form: Trace, tt: frozenset[str]) -> Trace:
    """The form with one more activation taken over by the layer before it; the very same form at the end."""
    for call in form.calls:
        activation = _activation(call.layer)
        before = _before(call, form)
        if activation is None or before is None or _is_output(call.reads[0], form):
            continue
        if _ends_linear(before.layer) and _alone(before, form) and form.readers(call.reads[0]) == (call,):
            return _merged(form, before, call, (_with_activation(before, call, activation),))
    return form


def _activation(layer: Any) -> Any:
    """The function that an activation layer applies; None for any other layer."""
    if isinstance(layer, _L.Activation):
        return layer.activation
    if isinstance(layer, _L.ReLU) and layer.max_value is None and not layer.negative_slope and not layer.threshold:
        return keras.activations.relu
    return None


def _with_activation(before: Call, call: Call, activation: Any) -> Call:
    layer = before.layer
    if isinstance(layer, Affine):
        twin: Any = Affine(layer.scale, layer.shift, layer.name, activation)
    else:
        twin = _twin(before, layer.get_weights(), activation=activation)
    return Call(before.path, twin, before.args, before.kwargs, call.outputs)


def _into_previous(before: Call, affine: Call, tt: frozenset[str]) -> tuple[Call, ...] | None:
    """`before`, then the affine step, as one call. None when they stay two.

    A scale for each of a TT layer's Y outputs is no product of factors for y_1 ... y_L: it cannot join a core.
    """
    layer, scale, shift = before.layer, affine.layer.scale, affine.layer.shift
    if isinstance(layer, Affine) and _is_linear(layer.activation):
        return (_between(before, affine, layer.then(affine.layer)),)
    foldable = _is_product(layer) or type(layer) in _SPELLED_OUT
    if not foldable or isinstance(layer, TTDense) or before.path in tt or not _is_linear(layer.activation):
        return None
    outputs = before.writes[0].shape[-1]
    factor = per_channel(scale, outputs, len(before.writes[0].shape), 1.0)
    offset = per_channel(shift, outputs, len(before.writes[0].shape), 0.0)
    if factor is None or offset is None or getattr(layer, "data_format", None) == "channels_first":
        return None
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(1, np.float32)
    kernels = layer.get_weights()[:-1] if layer.use_bias else layer.get_weights()
    if isinstance(layer, _L.DepthwiseConv2D):
        kernels[-1] = kernels[-1] * factor.reshape(kernels[-1].shape[-2:])
    elif isinstance(layer, _L.Conv2DTranspose):
        kernels[-1] = kernels[-1] * factor[:, None]
    else:
        kernels[-1] = kernels[-1] * factor
    total = np.broadcast_to(bias * factor + offset, (outputs,))
    return (_between(before, affine, _twin(before, [*kernels, total], use_bias=True)),)


def _into_next(affine: Call, after: Call, tt: frozenset[str]) -> tuple[Call, ...] | None:
    """The affine step, then `after`, as fewer calls or the other way round. None when they stay as they are."""
    layer, scale, shift = after.layer, affine.layer.scale, affine.layer.shift
    if not _is_linear(affine.layer.activation):
        return None
    if isinstance(layer, _REARRANGING):
        if shift is not None or scale.size > 1:
            return None
        moved = keras.KerasTensor(after.writes[0].shape, after.writes[0].dtype)
        return replace(after, args=affine.args, outputs=moved), replace(affine, args=(moved,), outputs=after.outputs)
    if not _is_product(layer):
        return None
    uniform = scale is None or scale.size == 1
    if isinstance(layer, TTDense) and shift is None and uniform:
        cores = layer.get_weights()
        return (_between(affine, after, _twin(after, [cores[0] * scale, *cores[1:]])),)
    if isinstance(layer, _L.Dense) and len(affine.reads[0].shape) == 2:
        inputs = affine.reads[0].shape[-1]
        factor, offset = per_channel(scale, inputs, 2, 1.0), per_channel(shift, inputs, 2, 0.0)
        if factor is None or offset is None or (after.path in tt and not (uniform and shift is None)):
            return None
        kernel, *bias = layer.get_weights()
        if shift is None:
            return (_between(affine, after, _twin(after, [kernel * factor[:, None], *bias])),)
        total = offset @ kernel + (bias[0] if bias else 0)
        return (_between(affine, after, _twin(after, [kernel * factor[:, None], total], use_bias=True)),)
    if isinstance(layer, _CONVOLUTIONS) and shift is None and uniform:
        kernel, *bias = layer.get_weights()
        return (_between(affine, after, _twin(after, [kernel * scale, *bias])),)
    return None


def _twin(call: Call, weights: list[Any], **changes: Any) -> Any:
    """A layer like the call's own, with other weights."""
    twin = like(call.layer, **changes)
    twin.build(call.reads[0].shape)
    twin.set_weights(weights)
    return twin


def _between(first: Call, last: Call, layer: Any) -> Call:
    """One call in place of two neighbours, under the name of the one that holds the weights."""
    path = last.path if isinstance(first.layer, Affine) else first.path
    return Call(path, layer, first.args, first.kwargs, last.outputs)


def _merged(form: Trace, first: Call, second: Call, instead: tuple[Call, ...]) -> Trace:
    calls: list[Call] = []
    for call in form.calls:
        if call is second:
            calls += instead
        elif call is not first:
            calls.append(call)
    return replace(form, calls=tuple(calls))


def _spliced(form: Trace, idle: list[Call]) -> Trace:
    """The form without calls that hand on what they read."""
    through = {id(call.writes[0]): call.reads[0] for call in idle}

    def source(tensor: Any) -> Any:
        while id(tensor) in through:
            tensor = through[id(tensor)]
        return tensor

    calls: list[Call] = []
    for call in form.calls:
        if call not in idle:
            args, kwargs = keras.tree.map_structure(source, (call.args, dict(call.kwargs)))
            calls.append(replace(call, args=tuple(args), kwargs=kwargs))
    outputs = {name: source(tensor) for name, tensor in form.outputs.items()}
    return Trace(form.inputs, outputs, tuple(calls))


def _alone(call: Call, form: Trace) -> bool:
    """Whether the layer is called once, so that its weights may change."""
    return len(form.calls_of(call.layer)) == 1


def _is_output(tensor: Any, form: Trace) -> bool:
    return any(tensor is output for output in form.outputs.values())


def _is_product(layer: Any) -> bool:
    """Whether a kernel, a bias and an activation are all that the layer is: no subclass, no adapter, no integers."""
    plain = type(layer) in _PRODUCTS and layer.quantization_mode is None
    return plain and not getattr(layer, "lora_enabled", False)


def _ends_linear(layer: Any) -> bool:
    """Whether the last thing that the layer does is to apply its activation, and that does nothing."""
    known = _is_product(layer) or type(layer) in (Affine, *_SPELLED_OUT)
    return known and _is_linear(layer.activation)


def _is_idle(call: Call) -> bool:
    return isinstance(call.layer, Affine) and call.layer.is_idle


def _is_linear(activation: Any) -> bool:
    return activation is keras.activations.linear
