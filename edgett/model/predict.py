"""What an exported model will hold and execute, foretold from its inference form, layer by layer.

A rule is a function from a call to steps. Products, convolutions and element-wise arithmetic are counted; activations,
pooling and whatever only moves numbers count nothing, as in the paper. A layer without a rule is one step with unknown
FLOPs, which makes every total "partial".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from edgett.forms.operators import Moves, Product, Reshape
from edgett.forms.window import Window
from edgett.graph.dtype import DType
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.int8 import mixed, narrow
from edgett.graph.op import ADD, CONVOLUTION, MULTIPLY, SUBTRACT, TRANSPOSED_CONVOLUTION, named
from edgett.graph.reshapes import reshaped_once
from edgett.graph.riding import with_riding_biases
from edgett.graph.traits import Op
from edgett.model.activations import CUSTOM, inside, name_of
from edgett.model.affine import Affine, Cast
from edgett.model.factored import Factored
from edgett.model.folding import DEPTHWISE, is_link
from edgett.model.kinds.dense import DenseKind
from edgett.model.trace import Call, Trace
from edgett.model.windows import window_of
from edgett.model.writer import Writer, elements_of
from edgett.search.replaced import joined, steps_of

_L = keras.layers


def _layers(which: Callable[[Op], bool]) -> tuple[type, ...]:
    """The classes of Keras's layers that are such an operator, by their names."""
    return tuple(kind for name, kind in vars(_L).items() if isinstance(kind, type) and which(named(name)))


_UNCOUNTED = _layers(lambda op: op.foretold and not op.rides)
_CONVOLUTIONS = _layers(lambda op: op.family in (CONVOLUTION, TRANSPOSED_CONVOLUTION))
# What walks over the pixels of an image: ONNX wants the channels first, and a 1-D one is an image of one row.
_SPATIAL = _layers(lambda op: op.spatial)
_ARITHMETIC = (ADD, SUBTRACT, MULTIPLY)


def predict(
    form: Trace, batch: int = 1, *, fused: bool = True, quantised: bool = False, floats: Collection[str] = ()
) -> Graph:
    """Predict the graph that a model is exported as.

    Args:
        form: its inference form.
        batch: samples at once.
        fused: whether bias and ReLU are a part of their product, as in TFLite, not in ONNX.
        quantised: whether numbers take a byte; a bias on its product takes four, once a call, by its input's scale.
        floats: the paths of layers that stay in float32 then.

    Returns:
        The graph; FLOPs of layers without a rule are None.
    """
    writer = Writer(form, batch, fused, quantised, {id(tensor): name for name, tensor in form.inputs.items()})
    writer.sizes.update({name: math.prod(tensor.shape) for name, tensor in form.inputs.items()})
    writer.widths.update(_whole((tensor, name) for name, tensor in form.inputs.items()))
    writer.shapes.update({name: tensor.shape for name, tensor in form.inputs.items()})
    for call in form.calls:
        results = _rule(call)(call, writer)
        writer.names.update((id(tensor), name) for tensor, name in zip(call.writes, results, strict=True))
        writer.widths.update(_whole(zip(call.writes, results, strict=True)))
        for tensor, name in zip(call.writes, results, strict=True):
            writer.shapes.setdefault(name, tensor.shape)
    outputs: list[str] = []
    for tensor in form.outputs.values():
        name = writer.names[id(tensor)]
        if fused and name not in outputs:
            outputs.append(name)
        elif not fused:
            outputs.append(writer.copy(name) if name in outputs or name in form.inputs else name)
    graph = Graph(tuple(writer.steps), writer.sizes, tuple(form.inputs), tuple(outputs), writer.widths, fused=fused)
    graph = reshaped_once(graph, writer.shapes) if fused else graph
    graph = narrow(graph, fused) if quantised else graph
    graph = with_riding_biases(graph) if fused else graph
    return mixed(graph, floats) if quantised else graph


def _whole(named: Iterable[tuple[Any, str]]) -> dict[str, int]:
    """The bytes of a number of each tensor that holds none with a point."""
    return {name: np.dtype(tensor.dtype).itemsize for tensor, name in named if "float" not in tensor.dtype}


def _rule(call: Call) -> Callable[[Call, Writer], tuple[str, ...]]:
    layer = call.layer
    if isinstance(layer, Factored):
        return _factored
    if type(layer) is _L.Dense:
        return _dense
    if isinstance(layer, _CONVOLUTIONS):
        return _convolution
    if isinstance(layer, Affine):
        return _affine
    if isinstance(layer, Cast):
        return _cast
    if named(type(layer).__name__) in _ARITHMETIC:
        return _elementwise
    if isinstance(layer, _L.Activation):
        return _bent
    if isinstance(layer, (_L.UpSampling1D, _L.UpSampling2D)):
        return _upsampled
    if isinstance(layer, _UNCOUNTED) or named(type(layer).__name__).foretold:
        return _uncounted
    return _unknown


def _factored(call: Call, writer: Writer) -> tuple[str, ...]:
    """Its plan for the rows of all samples; where they have more axes than one, between two reshapes."""
    layer, (source,), framed = call.layer, writer.reads(call), len(call.reads[0].shape) != 2
    begun = len(writer.steps)
    if framed:
        (source,) = writer.add(call, "Reshape", (source,), writer.sizes[source])
    target = f"t{len(writer.sizes)}"
    writer.sizes[target] = elements_of(call)
    bias = (Constant("bias", layer.spec.matrix[1]),) if layer.use_bias else ()
    step = Step(call.path, "Factored", (source,), (target,), bias)
    writer.steps += steps_of(step, layer.spec, writer.sizes, Moves.RUNS if writer.fused else Moves.NUMBERS)
    if framed:
        (target,) = writer.add(call, "Reshape", (target,), writer.sizes[target])
        writer.steps[begun:] = joined(writer.steps[begun:], {call.path})
    return _activated(call, writer, (target,))


def _dense(call: Call, writer: Writer) -> tuple[str, ...]:
    """As its kind plans it; a bias that does not ride on the product is added at the end."""
    layer, made, result = call.layer, elements_of(call), writer.reads(call)
    plan = DenseKind().plan(call)
    rides = layer.use_bias and (writer.fused or len(plan) == 1)
    bias = Constant("bias", math.prod(layer.bias.shape)) if layer.use_bias else None
    if bias and rides and writer.quantised:
        bias = replace(bias, key=f"bias/{len(writer.steps)}")
    for operator in plan:
        if isinstance(operator, Product):
            stored = Constant("kernel", operator.inner * operator.columns), *((bias,) if bias and rides else ())
            flops = operator.flops + made * rides
            result = writer.add(call, "Dense", result, made, constants=stored, flops=flops, macs=operator.flops // 2)
            writer.shapes[result[0]] = (operator.rows, operator.columns)
        elif isinstance(operator, Reshape):
            result = writer.add(call, "Reshape", result, operator.writes)
            writer.shapes[result[0]] = operator.dims
    if bias and not rides:
        result = writer.add(call, "Add", result, made, constants=(bias,), flops=made)
    return _activated(call, writer, result)


def _convolution(call: Call, writer: Writer) -> tuple[str, ...]:
    layer, elements, made = call.layer, math.prod(call.reads[0].shape), elements_of(call)
    source = writer.reads(call)
    if layer.padding == "causal":
        before = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
        elements += before * elements // call.reads[0].shape[1]
        source = writer.add(call, "Pad", source, elements)
    source = writer.into(call, source, elements)
    if isinstance(layer, _L.SeparableConv2D):
        pixels, deep = made // layer.filters, math.prod(layer.depthwise_kernel.shape)
        wide = pixels * layer.pointwise_kernel.shape[-2]
        stored, work = (Constant("depthwise_kernel", deep, channels=wide // pixels),), pixels * deep
        of = {"constants": stored, "flops": 2 * work, "macs": work, "depthwise": True, "window": window_of(call)}
        source = writer.add(call, "Convolution", source, wide, **of)
        point = math.prod(layer.pointwise_kernel.shape)
        return _biased(call, writer, source, Constant("kernel", point, channels=layer.filters), 2 * pixels * point)
    count = math.prod(layer.kernel.shape)
    if isinstance(layer, _L.Conv2DTranspose):
        flops = 2 * elements // layer.kernel.shape[-1] * count
    elif isinstance(layer, DEPTHWISE):
        flops = 2 * made * math.prod(layer.kernel_size)
    else:
        flops = 2 * made * count // layer.filters
    key = layer.name if is_link(call) else "kernel"
    return _biased(call, writer, source, Constant(key, count, channels=call.writes[0].shape[-1]), flops)


def _biased(call: Call, writer: Writer, source: tuple[str, ...], kernel: Constant, flops: int) -> tuple[str, ...]:
    """A convolution, then its bias and its activation: in one step when `fused`."""
    made = elements_of(call)
    name = "ConvTranspose" if isinstance(call.layer, _L.Conv2DTranspose) else "Convolution"
    stored: tuple[Constant, ...] = (kernel,)
    bias = (
        (Constant("bias", math.prod(call.layer.bias.shape), channels=kernel.channels),) if call.layer.use_bias else ()
    )
    if bias and writer.quantised and (writer.fused or len(call.reads[0].shape) == 4):
        bias = (replace(bias[0], key=f"bias/{len(writer.steps)}"),)
    of = {"macs": flops // 2, "depthwise": isinstance(call.layer, DEPTHWISE), "window": _moves(call)}
    if bias and writer.fused:
        result = writer.add(call, name, source, made, constants=stored + bias, flops=flops + made, **of)
        return _activated(call, writer, writer.out_of(call, result))
    result = writer.add(call, name, source, made, constants=stored, flops=flops, **of)
    result = writer.out_of(call, result)
    if bias:
        result = writer.add(call, "Add", result, made, constants=bias, flops=made)
    return _activated(call, writer, result)


def _moves(call: Call) -> Window | None:
    """How the last convolution of a call moves; None where it spreads pixels."""
    if isinstance(call.layer, _L.Conv2DTranspose):
        return None
    window = window_of(call)
    return Window((1, 1), window.made) if isinstance(call.layer, _L.SeparableConv2D) else window


def _activated(call: Call, writer: Writer, source: tuple[str, ...]) -> tuple[str, ...]:
    name = name_of(call.layer.activation)
    if name == "linear" or (writer.fused and named(name).rides):
        return source
    return _bent(call, writer, source)


def _bent(call: Call, writer: Writer, source: tuple[str, ...] = ()) -> tuple[str, ...]:
    """An activation, with what it keeps alive inside; of one that Keras does not have nobody knows."""
    function, made = call.layer.activation, elements_of(call)
    name = name_of(function)
    if not source and writer.fused and named(name).rides and _rides(call, writer.form):
        return writer.reads(call)
    result = writer.add(call, name, source or writer.reads(call), made)
    if name == CUSTOM:
        writer.steps[-1] = replace(writer.steps[-1], layer=f"{call.path}, activation", flops=None)
        return result
    kept = inside(function, fused=writer.fused, quantised=writer.quantised)
    if kept is not None:
        wide = DType.INT8.size if writer.quantised else DType.FLOAT32.size
        kept -= _copied_first(writer, writer.reads(call), made) if kept > DType.FLOAT32.size else 0
        # What is read later, too, stays while something further inside is at its largest.
        kept += 0 if source or not _read_later(call, writer.form) else wide
        spare = f"{result[0]}/inside"
        writer.widths[spare] = wide if kept % wide == 0 else 1
        writer.sizes[spare] = kept * made // writer.widths[spare]
        writer.steps[-1] = replace(writer.steps[-1], writes=(*result, spare))
    return result


def _copied_first(writer: Writer, source: tuple[str, ...], made: int) -> int:
    """The bytes an element of the float copy of an input that an activation reads; the rest of what is inside is later.

    What TFLite computes in float32 in an int8 file has its inputs copied before anything else runs.
    """
    if not (writer.fused and writer.quantised and source[0] in writer.form.inputs):
        return 0
    copy = f"{source[0]}/Dequantize/{len(writer.steps)}"
    writer.sizes[copy], writer.widths[copy] = made, DType.FLOAT32.size
    writer.steps.insert(0, Step("", "Dequantize", source, (copy,)))
    writer.steps[-1] = replace(writer.steps[-1], reads=(*writer.steps[-1].reads, copy))
    return DType.FLOAT32.size


def _read_later(call: Call, form: Trace) -> bool:
    source = call.reads[0]
    return len(form.readers(source)) > 1 or any(source is made for made in form.outputs.values())


def _rides(call: Call, form: Trace) -> bool:
    """Whether TFLite makes the activation a part of the operator before it, which nothing else may read."""
    source = call.reads[0]
    maker = next((other.layer for other in form.calls if any(made is source for made in other.writes)), None)
    adds = named(type(maker).__name__) in _ARITHMETIC
    carries = isinstance(maker, (_L.Dense, Factored, Affine, *_CONVOLUTIONS)) or adds
    return carries and len(form.readers(source)) == 1 and not any(source is made for made in form.outputs.values())


def _affine(call: Call, writer: Writer) -> tuple[str, ...]:
    result, made = writer.reads(call), elements_of(call)
    for name, constant in (("Mul", call.layer.scale), ("Add", call.layer.shift)):
        if constant is not None:
            stored = (Constant(name, constant.size),)
            result = writer.add(call, name, result, made, constants=stored, flops=made)
    return _activated(call, writer, result)


def _cast(call: Call, writer: Writer) -> tuple[str, ...]:
    """Integers as floats, which int8 is made of then."""
    result = writer.add(call, "Cast", writer.reads(call), elements_of(call))
    if writer.quantised:
        writer.widths[result[0]] = DType.FLOAT32.size
        result = writer.add(call, "Quantize", result, elements_of(call))
    return result


def _elementwise(call: Call, writer: Writer) -> tuple[str, ...]:
    """Sums, differences and products of tensors and constants: one FLOP an element for each operand but the first."""
    result, made = writer.reads(call)[:1], elements_of(call)
    for other in writer.reads(call)[1:]:
        result = writer.add(call, type(call.layer).__name__, (*result, other), made, flops=made)
    for index, operand in enumerate(_constants(call)):
        stored = (Constant(f"operand_{index}", int(np.size(operand))),)
        result = writer.add(call, type(call.layer).__name__, result, made, constants=stored, flops=made)
    return result


def _uncounted(call: Call, writer: Writer) -> tuple[str, ...]:
    source, made, name = writer.reads(call), elements_of(call), type(call.layer).__name__
    if not isinstance(call.layer, _SPATIAL):
        return writer.add(call, name, source, made)
    source = writer.into(call, source, math.prod(call.reads[0].shape))
    return writer.out_of(call, writer.add(call, name, source, made))


def _upsampled(call: Call, writer: Writer) -> tuple[str, ...]:
    """ONNX repeats one axis after the other, in the layout of Keras; those of a sequence come out crosswise."""
    source, elements, size = writer.reads(call), math.prod(call.reads[0].shape), call.layer.size
    if writer.fused or getattr(call.layer, "interpolation", "nearest") != "nearest":
        return _uncounted(call, writer)
    if isinstance(call.layer, _L.UpSampling1D):
        source = writer.add(call, "ExpandDims", source, elements)
        for operator in ("Tile", "Transpose", "Reshape"):
            source = writer.add(call, operator, source, size * elements)
        return source
    for times in size:
        elements *= times
        source = writer.add(call, "Tile", source, elements)
    return source


def _unknown(call: Call, writer: Writer) -> tuple[str, ...]:
    stored = tuple(
        Constant(f"weight_{index}", math.prod(weight.shape))
        for index, weight in enumerate(getattr(call.layer, "weights", ()))
    )
    # As if every weight met every position of the input: so it is in a recurrent layer, and in attention nearly so.
    guess = 2 * math.prod(call.reads[0].shape[:-1]) * sum(constant.count for constant in stored)
    first = writer.add(
        call, type(call.layer).__name__, writer.reads(call), elements_of(call),
        constants=stored, flops=None, guess=guess,
    )  # fmt: skip
    more = {f"{first[0]}/{index}": math.prod(extra.shape) for index, extra in enumerate(call.writes[1:], 1)}
    writer.sizes.update(more)
    writer.steps[-1] = replace(writer.steps[-1], writes=(*first, *more))
    return (*first, *more)


def _constants(call: Call) -> list[Any]:
    leaves = keras.tree.flatten((call.args, dict(call.kwargs)))
    return [leaf for leaf in leaves if isinstance(leaf, (int, float, np.ndarray)) and not isinstance(leaf, bool)]
