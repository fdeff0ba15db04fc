"""The inference form of a model: what is left of it on a device.

Dropout is gone; batch normalisation, rescaling and normalisation are one multiplication and one addition, and those are
folded into the neighbouring dense or convolutional weights wherever the arithmetic allows. What is exported is this
form, so the converters find nothing to fold and the files hold what was predicted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgett.nn.layers import like
from edgett.nn.trace import Call, Trace, trace
from edgett.nn.tt_dense import TTDense

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
)
_CONVOLUTIONS = (_L.Conv1D, _L.Conv2D, _L.DepthwiseConv2D)
_PRODUCTS = (_L.Dense, TTDense, *_CONVOLUTIONS)
# Layers that only rearrange: a multiplication by one number, the same for all, may pass them.
_REARRANGING = (_L.Flatten, _L.Reshape, _L.Permute)


class Affine(keras.layers.Layer):
    """x * scale + shift with constants that broadcast; a scale of ones or a shift of zeros (None) costs nothing."""

    def __init__(self, scale: Any, shift: Any, name: str, activation: Any = keras.activations.linear) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.scale = None if scale is None or np.all(scale == 1) else _constant(scale)
        self.shift = None if shift is None or not np.any(shift) else _constant(shift)

    def call(self, inputs: Any) -> Any:
        inputs = tf.cast(inputs, self.compute_dtype)
        outputs = inputs if self.scale is None else inputs * tf.constant(self.scale)
        return self.activation(outputs if self.shift is None else outputs + tf.constant(self.shift))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _constant(value: Any) -> Any:
    """In float32; a single number without axes, so that it broadcasts to tensors of any rank."""
    array = np.asarray(value, np.float32)
    return array.reshape(()) if array.size == 1 else array


def inference_form(model: keras.Model, batch: int = 1, tt: frozenset[str] = frozenset()) -> Trace:
    """The calls that a model makes when it infers `batch` samples at a time.

    The dense layers named in `tt` are treated as if they were TT layers: nothing is folded into their weights.
    """
    form = trace(model, batch)
    for rewrite in (_without_idle, _with_affine, _without_zero_bias):
        form = rewrite(form)
    for fold in (_folded, _activated):
        while (smaller := fold(form, tt)) is not form:
            form = smaller
    return form


def _without_idle(form: Trace) -> Trace:
    return _spliced(form, [call for call in form.calls if isinstance(call.layer, _IDLE)])


def _with_affine(form: Trace) -> Trace:
    calls = []
    for call in form.calls:
        affine = _affine(call)
        calls.append(call if affine is None else replace(call, layer=affine, kwargs={}, args=call.reads))
    form = replace(form, calls=tuple(calls))
    return _spliced(form, [call for call in form.calls if _is_idle_affine(call)])


def _is_idle_affine(call: Call) -> bool:
    return isinstance(call.layer, Affine) and call.layer.scale is None and call.layer.shift is None


def _affine(call: Call) -> Affine | None:
    """The multiplication and addition that a normalising layer is when it infers; None for any other layer."""
    layer, name = call.layer, call.path.rsplit("/", 1)[-1]
    if isinstance(layer, _L.BatchNormalization):
        wide = [1] * len(call.reads[0].shape)
        wide[layer.axis] = call.reads[0].shape[layer.axis]
        spread = np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
        scale = (np.asarray(layer.gamma) if layer.scale else 1.0) / spread
        shift = (np.asarray(layer.beta) if layer.center else 0.0) - np.asarray(layer.moving_mean) * scale
        return Affine(scale.reshape(wide), shift.reshape(wide), name)
    if isinstance(layer, _L.Rescaling):
        return Affine(np.float64(layer.scale), np.float64(layer.offset), name)
    if isinstance(layer, _L.Normalization) and not layer.invert:
        spread = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), keras.config.epsilon())
        return Affine(1 / spread, -np.asarray(layer.mean) / spread, name)
    return None


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
        if _is_idle_affine(call):
            return _spliced(form, [call])
        before = next((other for other in form.calls if any(made is call.reads[0] for made in other.writes)), None)
        after = form.readers(call.writes[0])
        private = form.readers(call.reads[0]) == (call,) and not _is_output(call.reads[0], form)
        if before is not None and _alone(before, form) and private:
            folded = _into_previous(before, call, tt)
            if folded is not None:
                return _merged(form, before, call, folded)
        if len(after) == 1 and _alone(after[0], form) and not _is_output(call.writes[0], form):
            folded = _into_next(call, after[0], tt)
            if folded is not None:
                return _merged(form, call, after[0], folded)
    return form


def _activated(form: Trace, tt: frozenset[str]) -> Trace:
    """The form with one more activation taken over by the layer before it; the very same form at the end."""
    for call in form.calls:
        activation = _activation(call.layer)
        before = next((other for other in form.calls if any(made is call.reads[0] for made in other.writes)), None)
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
    """`before`, then the affine step, as fewer or cheaper calls. None when they stay as they are."""
    layer, scale, shift = before.layer, affine.layer.scale, affine.layer.shift
    if isinstance(layer, Affine) and _is_linear(layer.activation):
        return (_between(before, affine, _chained(layer, affine.layer)),)
    if not _is_product(layer) or not _is_linear(layer.activation):
        return None
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(1, np.float32)
    if isinstance(layer, TTDense) or before.path in tt:
        # A scale for each of the Y outputs is no product of factors for y_1 ... y_L: it cannot join a core.
        if not layer.use_bias:
            return None
        bare = replace(before, layer=_twin(before, layer.get_weights()[:-1], use_bias=False))
        late = Affine(scale, _chained(Affine(None, bias, affine.layer.name), affine.layer).shift, affine.layer.name)
        return bare, replace(affine, layer=late)
    outputs = before.writes[0].shape[-1]
    factor = _per_channel(scale, outputs, len(before.writes[0].shape), 1.0)
    offset = _per_channel(shift, outputs, len(before.writes[0].shape), 0.0)
    if factor is None or offset is None or getattr(layer, "data_format", None) == "channels_first":
        return None
    kernel = np.asarray(layer.kernel)
    if isinstance(layer, _L.DepthwiseConv2D):
        kernel = kernel * factor.reshape(kernel.shape[-2:])
    else:
        kernel = kernel * factor
    twin = _twin(before, [kernel, np.broadcast_to(bias * factor + offset, (outputs,))], use_bias=True)
    return (_between(before, affine, twin),)


def _into_next(affine: Call, after: Call, tt: frozenset[str]) -> tuple[Call, ...] | None:
    """The affine step, then `after`, as fewer calls or the other way round. None when they stay as they are."""
    layer, scale, shift = after.layer, affine.layer.scale, affine.layer.shift
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
        factor, offset = _per_channel(scale, inputs, 2, 1.0), _per_channel(shift, inputs, 2, 0.0)
        if factor is None or offset is None or (after.path in tt and not (uniform and shift is None)):
            return None
        kernel, *bias = layer.get_weights()
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


def _chained(first: Affine, second: Affine) -> Affine:
    scale = 1.0 if second.scale is None else second.scale
    return Affine(
        (1.0 if first.scale is None else first.scale) * scale,
        (0.0 if first.shift is None else first.shift) * scale + (0.0 if second.shift is None else second.shift),
        second.name,
    )


def _per_channel(value: Any, channels: int, rank: int, neutral: float) -> Any:
    """A broadcasting constant as one number a channel; None when it varies along another axis than the last."""
    if value is None:
        return np.full(channels, neutral, np.float32)
    wide = np.reshape(value, (1,) * (rank - np.ndim(value)) + np.shape(value))
    if any(size > 1 for size in wide.shape[:-1]):
        return None
    return np.broadcast_to(wide.reshape(-1), (channels,))


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
    known = _is_product(layer) or type(layer) in (Affine, _L.SeparableConv2D, _L.Conv2DTranspose)
    return known and _is_linear(layer.activation)


def _is_linear(activation: Any) -> bool:
    return activation is keras.activations.linear
