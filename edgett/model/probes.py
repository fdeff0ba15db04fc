"""The probes of a calibration as Keras models."""

from __future__ import annotations

import math

import keras
import numpy as np

from edgett.forms.convolution.chain import Chain
from edgett.forms.spec import Spec
from edgett.model.convolved import Convolved
from edgett.model.factored import Factored

_L = keras.layers
_SIZES = {"MaxPooling2D": (2,), "AveragePooling2D": (2,)}
_MERGING = (_L.Add, _L.Subtract, _L.Multiply, _L.Maximum, _L.Minimum, _L.Concatenate)


def product(inner: int, columns: int) -> keras.Model:
    """A product of as many rows as samples."""
    return _lively([keras.Input((inner,), name="x")], [_L.Dense(columns, use_bias=False, name="p")])


def in_form(spec: Spec, bias: bool = False) -> keras.Model:
    """A layer in a form."""
    if isinstance(spec, Chain):
        image = keras.Input((*spec.window.size, spec.inputs), name="x")
        return _lively([image], [Convolved(spec, use_bias=bias, name="w")])
    return _lively([keras.Input((spec.matrix[0],), name="x")], [Factored(spec, use_bias=bias, name="t")])


def chain(length: int) -> keras.Model:
    """Products of 8 by 8 numbers, one after the other."""
    layers = [_L.Dense(8, use_bias=False, name=f"c{index}") for index in range(length)]
    return _lively([keras.Input((8,), name="x")], layers)


def sum_of_two(count: int) -> keras.Model:
    """Two inputs added up."""
    inputs = [keras.Input((count,), name=name) for name in ("x", "z")]
    return keras.Model(inputs, _L.Add(name="s")(inputs))


def layer(name: str, shape: tuple[int, ...], *, summed: bool = False) -> keras.Model:
    """A layer by its class, or an activation by its name; one that merges takes two inputs. See `LayerProbe`."""
    made = _L.Activation(name) if name.islower() else getattr(_L, name)(*_SIZES.get(name, ()))
    count = 1 + isinstance(made, _MERGING)
    if summed:
        inputs = [keras.Input(shape, name=f"x{index}") for index in range(2 * count)]
        given = [_L.Add(name=f"s{index}")(inputs[2 * index : 2 * index + 2]) for index in range(count)]
    else:
        inputs = given = [keras.Input(shape, name=f"x{index}") for index in range(count)]
    return keras.Model(inputs, made(given if count > 1 else given[0]))


def convolution(
    size: tuple[int, int],
    kernel: tuple[int, int],
    inputs: int,
    outputs: int | None,
    stride: int = 1,
    *,
    roomy: bool = False,
) -> keras.Model:
    """A window over an image, zeros around it; see `ConvolutionProbe`."""
    common = {"kernel_size": kernel, "strides": stride, "padding": "same", "use_bias": False, "name": "w"}
    layer = _L.DepthwiseConv2D(**common) if outputs is None else _L.Conv2D(outputs, **common)
    given, before = size, []
    if roomy:
        given, before = (
            (2 * size[0], 2 * size[1]),
            [_L.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name="v")],
        )
    return _lively([keras.Input((*given, inputs), name="x")], [*before, layer])


def stack(size: tuple[int, int], kernel: tuple[int, int], channels: int, stride: int, layers: int) -> keras.Model:
    """Windows one behind the other; see `StackProbe`."""
    common = {"kernel_size": kernel, "strides": stride, "padding": "same", "use_bias": False}
    made = [_L.DepthwiseConv2D(**common, name=f"w{index}") for index in range(layers)]
    return _lively([keras.Input((*size, channels), name="x")], made)


def _lively(inputs: list[keras.KerasTensor], layers: list[keras.layers.Layer]) -> keras.Model:
    """With numbers that a product of them does not make large or tiny: some processors are slow at those."""
    (tensor,) = inputs
    for layer in layers:
        tensor = layer(tensor)
    model = keras.Model(inputs, tensor)
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape) / math.sqrt(math.prod(weight.shape[:2])))
    return model
