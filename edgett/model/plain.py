"""Layers that Keras has a name of its own for, as the plain ones that they are when a model infers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from edgett.model.kinds import kind_of
from edgett.model.trace import Call

_L = keras.layers


def as_plain(call: Call) -> Any:
    """The plain layer that a call amounts to; None for any other call."""
    layer, kind = call.layer, kind_of(call)
    if kind is not None:
        return None if (plain := kind.plain(call)) is layer else plain
    if type(layer) is _L.AveragePooling2D and _sees_all(layer, call.reads[0].shape):
        # In int8 an average over a window has the scale of what it reads, which is coarse for it; a mean has its own.
        name = call.path.rsplit("/", 1)[-1]
        return _L.GlobalAveragePooling2D(keepdims=True, data_format=layer.data_format, name=name)
    if type(layer) is _L.SpectralNormalization:
        return layer.layer  # its norm is divided out while it is trained
    if type(layer) is _L.EinsumDense and _is_product(layer):
        bias = layer.bias is not None
        name = call.path.rsplit("/", 1)[-1]
        twin = _L.Dense(layer.kernel.shape[-1], activation=layer.activation, use_bias=bias, name=name)
        twin.build(call.reads[0].shape)
        twin.set_weights(layer.get_weights())
        return twin
    return None


def _sees_all(layer: Any, shape: tuple[int | None, ...]) -> bool:
    """Whether a window sees all of an image, once."""
    plane = shape[1:-1] if layer.data_format == "channels_last" else shape[2:]
    return layer.padding == "valid" and tuple(plane) == tuple(layer.pool_size)


def _is_product(layer: Any) -> bool:
    """Whether an EinsumDense is a product of the last axis with a matrix, and a bias a column."""
    one = "([a-zA-Z])"
    rows = r"(\.\.\.)?([a-zA-Z]*)" + one
    found = re.fullmatch(f"{rows},{one}{one}->{rows}", layer.equation)
    if found is None or layer.quantization_mode is not None or layer.lora_enabled:
        return False
    before, others, inner, row, column, behind, kept, made = found.groups()
    plain = (before, others, inner, column) == (behind, kept, row, made) and column not in f"{others}{inner}"
    return plain and (layer.bias is None or len(layer.bias.shape) == 1)


class GroupedConv1D(keras.layers.Conv1D):
    """Conv1D in groups: Keras compiles it by XLA, which ONNX has nothing for."""

    def call(self, inputs: Any) -> Any:
        if self.padding == "causal":
            inputs = tf.pad(inputs, self._compute_causal_padding())
        return _convolved(self, inputs)


class GroupedConv2D(keras.layers.Conv2D):
    """Conv2D in groups, likewise."""

    def call(self, inputs: Any) -> Any:
        return _convolved(self, inputs)


_GROUPED: Mapping[type, Any] = {_L.Conv1D: GroupedConv1D, _L.Conv2D: GroupedConv2D}


def is_grouped(layer: Any) -> bool:
    """Whether it is a convolution in groups that Keras compiles."""
    return type(layer) in _GROUPED and layer.groups > 1 and layer.data_format == "channels_last"


def grouped(call: Call) -> Any:
    """The layer of a convolution in groups, in a form that every converter knows."""
    layer = call.layer
    twin = _GROUPED[type(layer)].from_config(layer.get_config() | {"activation": None})
    twin.activation = layer.activation
    twin.build(call.reads[0].shape)
    twin.set_weights(layer.get_weights())
    return twin


def _convolved(layer: Any, inputs: Any) -> Any:
    padding = "SAME" if layer.padding == "same" else "VALID"
    kernel = tf.convert_to_tensor(layer.kernel)
    outputs = tf.nn.convolution(inputs, kernel, layer.strides, padding, dilations=layer.dilation_rate)
    return layer.activation(tf.nn.bias_add(outputs, layer.bias) if layer.use_bias else outputs)
