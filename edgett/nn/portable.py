"""TT layers as plain Keras layers, and back: a saved model needs no edgett.

A TT layer becomes a `keras.Sequential` of its name: the input as a tensor of its factors, one `EinsumDense` a core,
whose kernel is the core in T3F's layout, the bias in the last of them, the outputs as a row again, and the activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_letters
from typing import Any

import keras
import numpy as np

from edgett.nn.layers import substituted
from edgett.nn.tt_dense import TTDense
from edgett.values import Order, TTShape

_L = keras.layers
_BATCH, _BEFORE, _IN, _OUT, _AFTER = "BPXYQ"
_AXES = [letter for letter in ascii_letters if letter not in (_BATCH, _BEFORE, _IN, _OUT, _AFTER)]
_FREE = frozenset({"name", "trainable", "kernel_initializer", "bias_initializer"})
"""The settings of a plain layer that what it computes does not depend on."""


def portable(model: keras.Model) -> keras.Model:
    """A copy of the model with plain layers in place of its TT layers; the very same one where it has none.

    Names, weights, losses and metrics stay, and what becomes of a batch, to float32 rounding. A kernel regulariser
    goes: no plain layer sees the weight that the cores stand for. Raises ModelError when the model cannot be copied.
    """
    trains = {id(layer): _plain(layer) for layer in _parts(model) if isinstance(layer, TTDense)}
    return substituted(model, trains) if trains else model


def recognised(model: keras.Model) -> keras.Model:
    """A copy of the model with TT layers in place of what `portable` makes of them; the same one where there is none.

    They are told by their structure, not by a name. Raises ModelError when the model cannot be copied.
    """
    found = {id(layer): _train(layer) for layer in _parts(model) if type(layer) is keras.Sequential}
    trains = {key: train for key, train in found.items() if train is not None}
    return substituted(model, trains) if trains else model


def _parts(model: keras.Model) -> Iterator[Any]:
    """The layers of a model, and of those inside it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, (keras.Sequential, keras.Function)):
            yield from _parts(layer)


def _plain(layer: TTDense) -> keras.Sequential:
    """The plain layers that a built TT layer comes to, its weights in them."""
    kept = {"dtype": layer.dtype_policy}
    last = {"activity_regularizer": layer.activity_regularizer}
    shape, linear = layer.shape, layer.activation is keras.activations.linear
    parts = [_L.Reshape((*shape.inputs, 1), name="split", **kept)]
    parts += [_core(layer, turn, **kept) for turn in range(shape.length)]
    parts.append(_L.Reshape((shape.matrix[1],), name="join", **kept, **(last if linear else {})))
    if not linear:
        parts.append(_L.Activation(layer.activation, name="activation", **kept, **last))
    entry = keras.Input((shape.matrix[0],), dtype=layer.compute_dtype, name="input")  # integers are cast there
    made = keras.Sequential([entry, *parts], name=layer.name)
    products = parts[1 : 1 + shape.length]
    for turn, product in enumerate(products):
        product.kernel.assign(layer.cores[_in_turn(shape)[turn]])
    if layer.use_bias:
        products[-1].bias.assign(np.reshape(layer.bias, products[-1].bias.shape))
    made.trainable = layer.trainable
    return made


def _in_turn(shape: TTShape) -> range:
    """The cores in the order in which an input meets them."""
    return range(shape.length)[:: -1 if shape.order is Order.LAST_FIRST else 1]


def _core(layer: TTDense, turn: int, **kept: Any) -> Any:
    """The product with the core whose turn it is.

    What it reads has an axis for every pair of factors, which is the input's until its core has met it, and the rank in
    the last one. The bias is added where all are the outputs'.
    """
    shape, index = layer.shape, _in_turn(layer.shape)[turn]
    met = _in_turn(shape)[: turn + 1]
    axes = _AXES[: shape.length]
    before, after = (_AFTER, _BEFORE) if shape.order is Order.LAST_FIRST else (_BEFORE, _AFTER)
    read, made = ("".join([*axes[:index], own, *axes[index + 1 :]]) for own in (_IN, _OUT))
    sizes = [shape.outputs[axis] if axis in met else shape.inputs[axis] for axis in range(shape.length)]
    rank = shape.ranks[index if shape.order is Order.LAST_FIRST else index + 1]
    biased = layer.use_bias and turn == shape.length - 1
    return _L.EinsumDense(
        f"{_BATCH}{read}{before},{_BEFORE}{_IN}{_OUT}{_AFTER}->{_BATCH}{made}{after}",
        (*sizes, rank),
        bias_axes=made if biased else None,
        kernel_initializer=keras.initializers.RandomNormal(stddev=layer.deviation),
        bias_initializer=_bias_initializer(layer),
        bias_regularizer=layer.bias_regularizer if biased else None,
        bias_constraint=_over(list(range(shape.length + 1)), layer.bias_constraint) if biased else None,
        name=f"core_{index}",
        **kept,
    )


def _bias_initializer(layer: TTDense) -> Any:
    """That of the layer; not numbers for each output, whose shape is another one here."""
    given = layer.bias_initializer
    return "zeros" if np.ndim(getattr(given, "value", 0)) else given


def _over(axes: Any, constraint: Any) -> Any:
    """A constraint that takes a norm over these axes, if it takes one."""
    settings = constraint.get_config() if isinstance(constraint, keras.constraints.Constraint) else {}
    return type(constraint).from_config(settings | {"axis": axes}) if "axis" in settings else constraint


def _train(made: keras.Sequential) -> TTDense | None:
    """The TT layer that plain layers are what became of; None for any others."""
    cores = [layer for layer in made.layers if type(layer) is _L.EinsumDense]
    if not made.built or any(core.quantization_mode is not None or core.lora_enabled for core in cores):
        return None
    for order in Order:
        shape = _shape(cores, order)
        if shape is not None and len({core.trainable for core in cores}) == 1:
            layer = _twin(made, cores, shape)
            if _alike(_plain(layer), made):
                return layer
    return None


def _shape(cores: list[Any], order: Order) -> TTShape | None:
    """What the kernels are the cores of when the input meets them in this order."""
    kernels = [tuple(core.kernel.shape) for core in cores][:: -1 if order is Order.LAST_FIRST else 1]
    if len(kernels) < 2 or any(len(kernel) != 4 for kernel in kernels):
        return None
    befores, inputs, outputs, afters = zip(*kernels, strict=True)
    if befores != (1, *afters[:-1]) or afters[-1] != 1:
        return None
    return TTShape(inputs, outputs, (*befores, 1), order)


def _twin(made: keras.Sequential, cores: list[Any], shape: TTShape) -> TTDense:
    """A TT layer of that shape with the weights and, as far as plain layers have them, the settings."""
    last, end = cores[-1], made.layers[-1]
    layer = TTDense(
        shape.inputs, shape.outputs, shape.ranks, shape.order, name=made.name, trainable=last.trainable,
        dtype=last.dtype_policy, use_bias=last.bias is not None, bias_initializer=last.bias_initializer,
        bias_regularizer=last.bias_regularizer, bias_constraint=_over(0, last.bias_constraint),
        activity_regularizer=end.activity_regularizer,
        activation=end.activation if type(end) is _L.Activation else None,
    )  # fmt: skip
    layer.build((None, shape.matrix[0]))
    kernels = dict(zip(_in_turn(shape), cores, strict=True))
    bias = [] if last.bias is None else [np.reshape(last.bias, -1)]
    layer.set_weights([*(np.asarray(kernels[index].kernel) for index in range(shape.length)), *bias])
    return layer


def _alike(one: keras.Sequential, other: keras.Sequential) -> bool:
    """Whether the layers of both are of the same kinds and settings."""
    return [*map(_settings, one.layers)] == [*map(_settings, other.layers)]


def _settings(layer: Any) -> tuple[type, dict[str, Any]]:
    return type(layer), {key: value for key, value in layer.get_config().items() if key not in _FREE}
