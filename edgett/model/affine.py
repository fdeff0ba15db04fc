"""A multiplication and an addition with constants: what normalising layers are when a model infers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgett.model.trace import Call

_L = keras.layers


class Affine(keras.layers.Layer):
    """x * scale + shift with constants that broadcast; a scale of ones or a shift of zeros (None) costs nothing."""

    def __init__(self, scale: Any, shift: Any, name: str, activation: Any = keras.activations.linear) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.scale = None if scale is None or np.all(scale == 1) else _constant(scale)
        self.shift = None if shift is None or not np.any(shift) else _constant(shift)

    def call(self, inputs: Any) -> Any:
        outputs = inputs if self.scale is None else inputs * tf.constant(self.scale)
        return self.activation(outputs if self.shift is None else outputs + tf.constant(self.shift))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    @property
    def is_idle(self) -> bool:
        """Whether the layer hands on what it reads."""
        return self.scale is None and self.shift is None and self.activation is keras.activations.linear

    def then(self, second: Affine) -> Affine:
        """This layer and the second behind it as one; this one must end linear."""
        scale = 1.0 if second.scale is None else second.scale
        return Affine(
            (1.0 if self.scale is None else self.scale) * scale,
            (0.0 if self.shift is None else self.shift) * scale + (0.0 if second.shift is None else second.shift),
            second.name,
            second.activation,
        )


class Cast(keras.layers.Layer):
    """Integers as floats."""

    def call(self, inputs: Any) -> Any:
        return tf.cast(inputs, self.compute_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, self.compute_dtype)


def as_affine(call: Call) -> Affine | None:
    """The affine layer that a call amounts to when it infers; None for any other call."""
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
    if isinstance(layer, _L.Normalization):
        spread = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), keras.config.epsilon())
        if layer.invert:
            return Affine(spread, np.asarray(layer.mean), name)
        return Affine(1 / spread, -np.asarray(layer.mean) / spread, name)
    return _of_operation(call, name)


def per_channel(value: Any, channels: int, rank: int, neutral: float) -> Any:
    """A broadcasting constant as one number a channel; None when it varies along another axis than the last."""
    if value is None:
        return np.full(channels, neutral, np.float32)
    wide = np.reshape(value, (1,) * (rank - np.ndim(value)) + np.shape(value))
    if any(size > 1 for size in wide.shape[:-1]):
        return None
    return np.broadcast_to(wide.reshape(-1), (channels,))


def _of_operation(call: Call, name: str) -> Affine | None:
    """A bare operation such as x * 2.0 or 1.0 - x, on floats and with a number that broadcasts to x."""
    if isinstance(call.layer, keras.layers.Layer) or len(call.args) != 2 or len(call.reads) != 1:
        return None
    left, right = call.args
    forward = left is call.reads[0]
    number = right if forward else left
    if not isinstance(number, (int, float)) or "float" not in call.reads[0].dtype:
        return None
    value = np.float64(number)
    match type(call.layer).__name__:
        case "Multiply":
            return Affine(value, None, name)
        case "Add":
            return Affine(None, value, name)
        case "Subtract":
            return Affine(None, -value, name) if forward else Affine(np.float64(-1), value, name)
        case "TrueDivide" | "Divide" if forward and value:
            return Affine(1 / value, None, name)
    return None


def _constant(value: Any) -> Any:
    """In float32; a single number without axes, so that it broadcasts to tensors of any rank."""
    array = np.asarray(value, np.float32)
    return array.reshape(()) if array.size == 1 else array
