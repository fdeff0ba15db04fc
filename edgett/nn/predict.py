"""What an exported model will hold and execute, foretold from its inference form, layer by layer.

A rule is a function from a call to steps. Products, convolutions and element-wise arithmetic are counted; activations,
pooling and whatever only moves numbers count nothing, as in the paper. A layer without a rule is one step with unknown
FLOPs, which makes every total "partial".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from edgett.nn.inference import Affine
from edgett.nn.trace import Call, Trace
from edgett.nn.tt_dense import TTDense
from edgett.space.graph import Constant, Graph, Step, tt_steps

_L = keras.layers
_UNCOUNTED = (
    _L.Flatten, _L.Reshape, _L.Permute, _L.Concatenate, _L.ZeroPadding1D, _L.ZeroPadding2D, _L.Cropping1D,
    _L.Cropping2D, _L.UpSampling1D, _L.UpSampling2D, _L.RepeatVector, _L.MaxPooling1D, _L.MaxPooling2D,
    _L.AveragePooling1D, _L.AveragePooling2D, _L.GlobalMaxPooling1D, _L.GlobalMaxPooling2D,
    _L.GlobalAveragePooling1D, _L.GlobalAveragePooling2D, _L.ReLU, _L.Softmax, _L.Activation, _L.LeakyReLU, _L.ELU,
    _L.Maximum, _L.Minimum,
)  # fmt: skip
_ELEMENTWISE = frozenset({"Add", "Subtract", "Multiply"})
# Activations that a TFLite operator carries itself.
_FUSED = frozenset({"linear", "relu", "relu6"})


@dataclass
class _Writer:
    """Collects steps and names tensors: `fused` says that biases and simple activations ride on their product."""

    batch: int
    fused: bool
    names: dict[int, str]
    steps: list[Step] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def reads(self, call: Call) -> tuple[str, ...]:
        return tuple(self.names[id(tensor)] for tensor in call.reads)

    def add(self, call: Call, operator: str, source: tuple[str, ...], elements: int, **rest: Any) -> tuple[str, ...]:
        target = f"t{len(self.sizes)}"
        self.sizes[target] = elements
        self.steps.append(Step(call.path, operator, source, (target,), **rest))
        return (target,)


def predict(form: Trace, batch: int = 1, *, fused: bool = True) -> Graph:
    """The steps of an inference form. `fused`: bias and ReLU are part of their product, as TFLite has it and ONNX has not."""
    writer = _Writer(batch, fused, {id(tensor): name for name, tensor in form.inputs.items()})
    writer.sizes.update({name: math.prod(tensor.shape) for name, tensor in form.inputs.items()})
    for call in form.calls:
        results = _rule(call)(call, writer)
        writer.names.update((id(tensor), name) for tensor, name in zip(call.writes, results, strict=True))
    outputs = tuple(dict.fromkeys(writer.names[id(tensor)] for tensor in form.outputs.values()))
    return Graph(tuple(writer.steps), writer.sizes, tuple(form.inputs), outputs)


def _rule(call: Call) -> Callable[[Call, _Writer], tuple[str, ...]]:
    layer = call.layer
    if isinstance(layer, TTDense):
        return _tt
    if type(layer) is _L.Dense:
        return _dense
    if isinstance(layer, (_L.Conv1D, _L.Conv2D, _L.DepthwiseConv2D, _L.SeparableConv2D, _L.Conv2DTranspose)):
        return _convolution
    if isinstance(layer, Affine):
        return _affine
    if type(layer).__name__ in _ELEMENTWISE:
        return _elementwise
    if isinstance(layer, _UNCOUNTED):
        return _uncounted
    return _unknown


def _tt(call: Call, writer: _Writer) -> tuple[str, ...]:
    layer = call.layer
    target = f"t{len(writer.sizes)}"
    writer.sizes[target] = _elements(call)
    bias = (Constant("bias", layer.shape.matrix[1]),) if layer.use_bias else ()
    step = Step(call.path, "TTDense", writer.reads(call), (target,), bias)
    writer.steps += tt_steps(step, layer.shape, writer.batch, writer.sizes)
    return _activated(call, writer, (target,))


def _dense(call: Call, writer: _Writer) -> tuple[str, ...]:
    inputs, outputs = call.layer.kernel.shape
    flops = 2 * math.prod(call.reads[0].shape) * outputs
    kernel = Constant("kernel", inputs * outputs)
    return _biased(call, writer, "Dense", kernel, flops)


def _convolution(call: Call, writer: _Writer) -> tuple[str, ...]:
    layer, source, made = call.layer, math.prod(call.reads[0].shape), _elements(call)
    if isinstance(layer, _L.SeparableConv2D):
        deep, point = (math.prod(kernel.shape) for kernel in (layer.depthwise_kernel, layer.pointwise_kernel))
        pixels = made // layer.filters
        flops = 2 * pixels * (deep + point)
        return _biased(call, writer, "SeparableConv", Constant("kernel", deep + point), flops)
    count = math.prod(layer.kernel.shape)
    if isinstance(layer, _L.Conv2DTranspose):
        flops = 2 * source // layer.kernel.shape[-1] * count
    elif isinstance(layer, _L.DepthwiseConv2D):
        flops = 2 * made * math.prod(layer.kernel_size)
    else:
        flops = 2 * made * count // layer.filters
    return _biased(call, writer, "Convolution", Constant("kernel", count), flops)


def _biased(call: Call, writer: _Writer, name: str, kernel: Constant, flops: int) -> tuple[str, ...]:
    """A product, then its bias and its activation: in one step when `fused`."""
    made, source = _elements(call), writer.reads(call)
    if not call.layer.use_bias:
        result = writer.add(call, name, source, made, constants=(kernel,), flops=flops, macs=flops // 2)
        return _activated(call, writer, result)
    bias = Constant("bias", math.prod(call.layer.bias.shape))
    if writer.fused or (name == "Dense" and len(call.reads[0].shape) == 2):
        result = writer.add(call, name, source, made, constants=(kernel, bias), flops=flops + made, macs=flops // 2)
    else:
        result = writer.add(call, name, source, made, constants=(kernel,), flops=flops, macs=flops // 2)
        result = writer.add(call, "Add", result, made, constants=(bias,), flops=made)
    return _activated(call, writer, result)


def _activated(call: Call, writer: _Writer, source: tuple[str, ...]) -> tuple[str, ...]:
    name = getattr(call.layer.activation, "__name__", "custom")
    if name == "linear" or (writer.fused and name in _FUSED):
        return source
    return writer.add(call, name, source, _elements(call))


def _affine(call: Call, writer: _Writer) -> tuple[str, ...]:
    result, made = writer.reads(call), _elements(call)
    for name, constant in (("Mul", call.layer.scale), ("Add", call.layer.shift)):
        if constant is not None:
            stored = (Constant(name, constant.size),)
            result = writer.add(call, name, result, made, constants=stored, flops=made)
    return _activated(call, writer, result)


def _elementwise(call: Call, writer: _Writer) -> tuple[str, ...]:
    """Sums, differences and products of tensors, and of tensors with constants, one FLOP an element and operand more."""
    result, made = writer.reads(call)[:1], _elements(call)
    for other in writer.reads(call)[1:]:
        result = writer.add(call, type(call.layer).__name__, (*result, other), made, flops=made)
    for index, operand in enumerate(_constants(call)):
        stored = (Constant(f"operand_{index}", int(np.size(operand))),)
        result = writer.add(call, type(call.layer).__name__, result, made, constants=stored, flops=made)
    return result


def _uncounted(call: Call, writer: _Writer) -> tuple[str, ...]:
    return writer.add(call, type(call.layer).__name__, writer.reads(call), _elements(call))


def _unknown(call: Call, writer: _Writer) -> tuple[str, ...]:
    stored = tuple(
        Constant(f"weight_{index}", math.prod(weight.shape))
        for index, weight in enumerate(getattr(call.layer, "weights", ()))
    )
    writer.add(call, type(call.layer).__name__, writer.reads(call), _elements(call), constants=stored, flops=None)
    names = [writer.steps[-1].writes[0]]
    for extra in call.writes[1:]:
        names.append(f"t{len(writer.sizes)}")
        writer.sizes[names[-1]] = math.prod(extra.shape)
    last = writer.steps[-1]
    writer.steps[-1] = Step(last.layer, last.operator, last.reads, tuple(names), last.constants, None)
    return tuple(names)


def _constants(call: Call) -> list[Any]:
    leaves = keras.tree.flatten((call.args, dict(call.kwargs)))
    return [leaf for leaf in leaves if isinstance(leaf, (int, float, np.ndarray)) and not isinstance(leaf, bool)]


def _elements(call: Call) -> int:
    return math.prod(call.writes[0].shape)
