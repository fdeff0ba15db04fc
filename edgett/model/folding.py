"""Affine steps and activations folded into the weights and the operators beside them, where arithmetic allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from edgett.model.activations import of_layer
from edgett.model.affine import Affine, per_channel
from edgett.model.factored import Factored
from edgett.model.layers import like
from edgett.model.trace import Call, Trace

_L = keras.layers
DEPTHWISE = (_L.DepthwiseConv1D, _L.DepthwiseConv2D)
CONVOLUTIONS = (_L.Conv1D, _L.Conv2D, *DEPTHWISE)
SPELLED_OUT = (_L.SeparableConv2D, _L.Conv2DTranspose)
PRODUCTS = (_L.Dense, Factored, *CONVOLUTIONS)
# Layers that only rearrange: a multiplication by one number, the same for all, may pass them.
_REARRANGING = (_L.Flatten, _L.Reshape, _L.Permute)


def folded(form: Trace, held: frozenset[str]) -> Trace:
    """The form with one more affine step folded away; the very same form when there is none left to fold."""
    for call in form.calls:
        if not isinstance(call.layer, Affine):
            continue
        if is_idle(call):
            return spliced(form, [call])
        pairs = _pairs(call, form)
        backward = [(before, late, _into_previous(before, late, held)) for before, late in pairs]
        if backward and all(folded is not None for _, _, folded in backward):
            for before, late, folded in backward:
                form = _merged(form, before, late, folded or ())
            return form
        after = form.readers(call.writes[0])
        if len(after) == 1 and _alone(after[0], form) and not is_output(call.writes[0], form):
            forward = _into_next(call, after[0], held)
            if forward is not None:
                return _merged(form, call, after[0], forward)
    return form


def handed_on(form: Trace, held: frozenset[str]) -> Trace:
    """The form with the bias of one more dense layer added to that of the next; the very same form at the end.

    TFLite's converter does so where nothing lies between two of them.
    """
    for call in form.calls:
        after = form.readers(call.writes[0])
        if len(after) != 1 or call.path in held or after[0].path in held or is_output(call.writes[0], form):
            continue
        pair = call, after[0]
        plain = all(type(one.layer) is _L.Dense and is_product(one.layer) and _alone(one, form) for one in pair)
        if plain and call.layer.use_bias and _is_linear(call.layer.activation):
            kernel, bias = call.layer.get_weights()
            second, *more = after[0].layer.get_weights()
            total = (bias.astype(np.float64) @ second + (more[0] if more else 0)).astype(np.float32)
            twins = (
                replace(call, layer=twin_of(call, [kernel], use_bias=False)),
                replace(after[0], layer=twin_of(after[0], [second, total], use_bias=True)),
            )
            return _merged(_merged(form, call, call, twins[:1]), after[0], after[0], twins[1:])
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
        if len(after) != 1 or not isinstance(after[0].layer, Affine) or is_output(call.writes[0], form):
            return []
        pairs.append((call, after[0]))
    return pairs if len({late.path for _, late in pairs}) == 1 else []


def _before(call: Call, form: Trace) -> Call | None:
    return next((other for other in form.calls if any(made is call.reads[0] for made in other.writes)), None)


def activated(form: Trace, held: frozenset[str]) -> Trace:
    """The form with one more activation taken over by the layer before it; the very same form at the end."""
    for call in form.calls:
        activation = of_layer(call.layer)
        before = _before(call, form)
        if activation is None or before is None or is_output(call.reads[0], form):
            continue
        if _ends_linear(before.layer) and _alone(before, form) and form.readers(call.reads[0]) == (call,):
            return _merged(form, before, call, (_with_activation(before, call, activation),))
    return form


def _with_activation(before: Call, call: Call, activation: Any) -> Call:
    layer = before.layer
    if isinstance(layer, Affine):
        twin: Any = Affine(layer.scale, layer.shift, layer.name, activation)
    else:
        twin = twin_of(before, layer.get_weights(), activation=activation)
    return Call(before.path, twin, before.args, before.kwargs, call.outputs)


def _into_previous(before: Call, affine: Call, held: frozenset[str]) -> tuple[Call, ...] | None:
    """`before`, then the affine step, as one call. None when they stay two.

    A scale for each of the outputs joins no factor of a layer in a form: none need have all of them as an axis.
    """
    layer, scale, shift = before.layer, affine.layer.scale, affine.layer.shift
    if isinstance(layer, Affine) and _is_linear(layer.activation):
        return (_between(before, affine, layer.then(affine.layer)),)
    foldable = is_product(layer) or type(layer) in SPELLED_OUT
    if not foldable or isinstance(layer, Factored) or before.path in held or not _is_linear(layer.activation):
        return None
    outputs = before.writes[0].shape[-1]
    factor = per_channel(scale, outputs, len(before.writes[0].shape), 1.0)
    offset = per_channel(shift, outputs, len(before.writes[0].shape), 0.0)
    if factor is None or offset is None or getattr(layer, "data_format", None) == "channels_first":
        return None
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(1, np.float32)
    kernels = layer.get_weights()[:-1] if layer.use_bias else layer.get_weights()
    if isinstance(layer, DEPTHWISE):
        kernels[-1] = kernels[-1] * factor.reshape(kernels[-1].shape[-2:])
    elif isinstance(layer, _L.Conv2DTranspose):
        kernels[-1] = kernels[-1] * factor[:, None]
    else:
        kernels[-1] = kernels[-1] * factor
    total = np.broadcast_to(bias * factor + offset, (outputs,))
    return (_between(before, affine, twin_of(before, [*kernels, total], use_bias=True)),)


def _into_next(affine: Call, after: Call, held: frozenset[str]) -> tuple[Call, ...] | None:
    """The affine step, then `after`, as fewer calls or the other way round. None when they stay as they are."""
    layer, scale, shift = after.layer, affine.layer.scale, affine.layer.shift
    if not _is_linear(affine.layer.activation):
        return None
    if isinstance(layer, _REARRANGING):
        if shift is not None or scale.size > 1:
            return None
        moved = keras.KerasTensor(after.writes[0].shape, after.writes[0].dtype)
        return replace(after, args=affine.args, outputs=moved), replace(affine, args=(moved,), outputs=after.outputs)
    if not is_product(layer):
        return None
    uniform = scale is None or scale.size == 1
    if isinstance(layer, Factored) and shift is None and uniform:
        return (_between(affine, after, twin_of(after, layer.spec.scaled(layer.get_weights(), scale))),)
    if isinstance(layer, _L.Dense):
        inputs, axes = affine.reads[0].shape[-1], len(affine.reads[0].shape)
        factor, offset = per_channel(scale, inputs, axes, 1.0), per_channel(shift, inputs, axes, 0.0)
        if factor is None or offset is None or (after.path in held and not (uniform and shift is None)):
            return None
        kernel, *bias = layer.get_weights()
        if shift is None:
            return (_between(affine, after, twin_of(after, [kernel * factor[:, None], *bias])),)
        total = offset @ kernel + (bias[0] if bias else 0)
        return (_between(affine, after, twin_of(after, [kernel * factor[:, None], total], use_bias=True)),)
    if isinstance(layer, CONVOLUTIONS) and shift is None and uniform:
        kernel, *bias = layer.get_weights()
        return (_between(affine, after, twin_of(after, [kernel * scale, *bias])),)
    return None


def twin_of(call: Call, weights: list[Any], **changes: Any) -> Any:
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


def spliced(form: Trace, idle: list[Call]) -> Trace:
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


def is_output(tensor: Any, form: Trace) -> bool:
    return any(tensor is output for output in form.outputs.values())


def is_product(layer: Any) -> bool:
    """Whether a kernel, a bias and an activation are all that the layer is: no subclass, no adapter, no integers."""
    known = type(layer) in PRODUCTS or (isinstance(layer, Factored) and type(layer).call is Factored.call)
    return known and layer.quantization_mode is None and not getattr(layer, "lora_enabled", False)


def _ends_linear(layer: Any) -> bool:
    """Whether the last thing that the layer does is to apply its activation, and that does nothing."""
    known = is_product(layer) or type(layer) in (Affine, *SPELLED_OUT)
    return known and _is_linear(layer.activation)


def is_link(call: Call) -> bool:
    """Whether it is one of the convolutions that stand for one: a layer of another name than its path."""
    return isinstance(call.layer, CONVOLUTIONS) and call.layer.name != call.path.rsplit("/", 1)[-1]


def is_idle(call: Call) -> bool:
    return isinstance(call.layer, Affine) and call.layer.is_idle


def _is_linear(activation: Any) -> bool:
    return activation is keras.activations.linear
