"""Layers in forms as plain Keras layers, and back: a saved model needs no edgett.

Such a layer becomes a `keras.Sequential`, or a model where its plan branches, of its name: what its plan does to one
sample, operator by operator. A product is an `EinsumDense` with a matrix, the bias rides on the last one of some way to
the output, and the activation ends it. The name of its input says which form it is, for edgett to know it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from string import ascii_letters
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms import catalogue
from edgett.forms.convolution.chain import Chain
from edgett.forms.operators import Add, Mul, Operator, Product, Reshape, Transpose, sources
from edgett.forms.spec import Spec
from edgett.model.convolved import Convolved
from edgett.model.factored import Factored
from edgett.model.in_form import LayerInForm
from edgett.model.layers import substituted
from edgett.model.trace import trace

_L = keras.layers
_LETTERS = [letter for letter in ascii_letters if letter not in "brxy"]
Positions = tuple[int | None, ...]
"""The axes of an input between that of the batch and that of the features."""
_FREE = frozenset({"name", "trainable", "kernel_initializer", "bias_initializer"})
"""The settings of a plain layer that what it computes does not depend on."""


def portable(model: keras.Model) -> keras.Model:
    """Copy a model with plain layers of Keras in place of those in forms.

    Names, weights, losses and metrics stay, and what becomes of a batch, to float32 rounding. A kernel regulariser
    goes: no plain layer sees the weight that the factors stand for.

    Args:
        model: a Sequential or functional model.

    Returns:
        The copy; the very same model where it has no layer in a form.

    Raises:
        ModelError: when the model cannot be copied.
    """
    read = {id(call.layer): call.reads[0].shape[1:] for call in trace(model).calls}
    held = {id(layer): _plain(layer, read[id(layer)]) for layer in _parts(model) if isinstance(layer, LayerInForm)}
    return substituted(model, held) if held else model


def recognised(model: keras.Model) -> keras.Model:
    """Copy a model with layers in forms in place of the plain ones that `portable` has made of them.

    A name says which form it may be, the structure whether it is.

    Args:
        model: a Sequential or functional model.

    Returns:
        The copy; the very same model where there are none.

    Raises:
        ModelError: when the model cannot be copied.
    """
    found = {
        id(layer): _held(layer) for layer in _parts(model) if isinstance(layer, (keras.Sequential, keras.Function))
    }
    held = {key: layer for key, layer in found.items() if layer is not None}
    return substituted(model, held) if held else model


def _parts(model: keras.Model) -> Iterator[Any]:
    """The layers of a model, and of those inside it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, (keras.Sequential, keras.Function)):
            yield from _parts(layer)


def _plain(layer: LayerInForm, shape: Positions) -> keras.Model:
    """The plain layers that a built layer comes to, its weights in them; `shape` is that of a sample that it reads."""
    if isinstance(layer, Convolved):
        return layer.plain(shape)
    assert isinstance(layer, Factored), "there are two kinds of layers in forms"
    parts = _Parts(layer, shape[:-1])
    made = parts.model()
    for operator, part in parts.products:
        part.kernel.assign(np.reshape(_turned(np.asarray(layer.factors[operator.factor]), operator), part.kernel.shape))
        if part.bias is not None:
            part.bias.assign(np.reshape(parts.gathered(np.asarray(layer.bias)), part.bias.shape))
    made.trainable = layer.trainable
    return made


class _Parts:
    """The plan of a layer for one row, which the layers of Keras run for each position of each sample of a batch."""

    def __init__(self, layer: Factored, positions: Positions = ()) -> None:
        self.positions, self.sizes = positions, tuple(-1 if size is None else size for size in positions)
        self.front = "b" + "".join(_LETTERS[: len(positions)])
        self.layer, self.dtype, self.plan = layer, layer.dtype_policy, layer.spec.plan(1)
        self.reads = list(sources(self.plan))
        self.last, self.way = self._last()
        self.products: list[tuple[Product | Mul, Any]] = []

    def model(self) -> keras.Model:
        """All of them."""
        layer = self.layer
        name = json.dumps(catalogue.document(layer.spec))
        shape = (*self.positions, layer.spec.matrix[0])
        entry = keras.Input(shape, dtype=layer.compute_dtype, name=name)  # integers are cast there
        tensors = [entry]
        for index, operator in enumerate(self.plan):
            tensors.append(self._made(index, operator, *(tensors[read] for read in self.reads[index])))
        tensor = self._activated(tensors[-1])
        return keras.Model(entry, tensor, name=layer.name)

    def gathered(self, bias: NDArray[np.floating]) -> NDArray[np.floating]:
        """The bias of the outputs as the product on which it rides has it: the transposes behind that undone."""
        for operator in self.way:
            if isinstance(operator, Transpose):  # a swap of the first two axes undoes itself
                bias = bias.reshape(operator.made).transpose(operator.axes)
        return bias

    def spread(self, bias: NDArray[np.floating]) -> NDArray[np.floating]:
        """The bias of the outputs (Y,) from that of the product on which it rides."""
        for operator in reversed(self.way):
            if isinstance(operator, Transpose):
                bias = bias.reshape(operator.dims).transpose(operator.axes)
        return bias.reshape(-1)

    def _made(self, index: int, operator: Operator, *tensors: Any) -> Any:
        match operator:
            case Product(_, rows, inner, columns):
                return self._product(index, operator, "rx,xy->", "ry")(self._shaped(tensors[0], (rows, inner), index))
            case Mul(_, rows, columns):
                return self._product(index, operator, "rx,x->", "rx")(self._shaped(tensors[0], (rows, columns), index))
            case Reshape(dims):
                return self._shaped(tensors[0], dims, index)
            case Transpose():
                turn = _L.Permute(self._behind(operator.axes), name=f"transpose_{index}", dtype=self.dtype)
                return turn(self._shaped(tensors[0], operator.dims, index))
            case Add(rows, columns):
                terms = [self._shaped(tensor, (rows, columns), index, f"_{at}") for at, tensor in enumerate(tensors)]
                return _L.Add(name=f"add_{index}", dtype=self.dtype)(terms)

    def _shaped(self, tensor: Any, dims: tuple[int, ...], index: int, suffix: str = "") -> Any:
        """A sample of these sizes; nothing where it has them already."""
        if tuple(tensor.shape[1:]) == (*self.positions, *dims):
            return tensor
        return _L.Reshape((*self.sizes, *dims), name=f"reshape_{index}{suffix}", dtype=self.dtype)(tensor)

    def _behind(self, axes: Sequence[int]) -> list[int]:
        """Axes of a row as a permutation of those behind the batch's: the positions stay in front."""
        first = 1 + len(self.positions)
        return [*range(1, first), *(first + axis for axis in axes)]

    def _product(self, index: int, operator: Product | Mul, equation: str, made: str) -> Any:
        layer, biased = self.layer, self.layer.use_bias and index == self.last
        part = _L.EinsumDense(
            f"{self.front}{equation}{self.front}{made}",
            (*self.positions, operator.rows, operator.columns),
            bias_axes=made if biased else None,
            kernel_initializer=keras.initializers.RandomNormal(stddev=layer.spec.deviation()),
            bias_initializer=_bias_initializer(layer),
            bias_regularizer=layer.bias_regularizer if biased else None,
            bias_constraint=_over([0, 1], layer.bias_constraint) if biased else None,
            name=f"factor_{operator.factor}",
            dtype=self.dtype,
        )
        self.products.append((operator, part))
        return part

    def _activated(self, tensor: Any) -> Any:
        layer, last = self.layer, {"activity_regularizer": self.layer.activity_regularizer}
        linear = layer.activation is keras.activations.linear
        shape = (*self.sizes, layer.spec.matrix[1])
        join = _L.Reshape(shape, name="join", dtype=self.dtype, **(last if linear else {}))
        tensor = join(tensor)
        if linear:
            return tensor
        return _L.Activation(layer.activation, name="activation", dtype=self.dtype, **last)(tensor)

    def _last(self) -> tuple[int, list[Operator]]:
        """The operator on which the bias rides, the first factor on some way from the output back; and that way."""
        ahead: list[tuple[int, list[Operator]]] = [(len(self.plan), [])]
        while ahead:
            result, way = ahead.pop()
            if result == 0:
                continue
            operator = self.plan[result - 1]
            if isinstance(operator, (Product, Mul)):
                return result - 1, way
            ahead += [(read, [*way, operator]) for read in self.reads[result - 1]]
        raise ValueError(f"{self.layer.spec} has a plan without a factor")


def _turned(factor: NDArray[Any], operator: Any) -> NDArray[Any]:
    """A factor as the matrix of its product."""
    return factor.transpose(operator.axes) if isinstance(operator, Product) and operator.axes else factor


def _restored(matrix: NDArray[Any], shape: tuple[int, ...], operator: Any) -> NDArray[Any]:
    """The factor of that shape whose `_turned` the matrix is."""
    if not (isinstance(operator, Product) and operator.axes):
        return matrix.reshape(shape)
    turned = matrix.reshape([shape[axis] for axis in operator.axes])
    return turned.transpose(np.argsort(operator.axes))


def _bias_initializer(layer: Factored) -> Any:
    """That of the layer; not numbers for each output, whose shape is another one here."""
    given = layer.bias_initializer
    return "zeros" if np.ndim(getattr(given, "value", 0)) else given


def _over(axes: Any, constraint: Any) -> Any:
    """A constraint that takes a norm over these axes, if it takes one."""
    settings = constraint.get_config() if isinstance(constraint, keras.constraints.Constraint) else {}
    return type(constraint).from_config(settings | {"axis": axes}) if "axis" in settings else constraint


def _held(made: keras.Model) -> LayerInForm | None:
    """The layer in a form that plain layers are what became of; None for any others."""
    spec = _told(made)
    if spec is None:
        return None
    if isinstance(spec, Chain):
        layer = Convolved.of(made, spec)
        return layer if layer is not None and _alike(layer.plain(made.input_shape[1:]), made) else None
    return _factored(made, spec)


def _told(made: keras.Model) -> Spec | None:
    """The form that the name of its only input tells; None where it tells of none."""
    if not made.built or len(made.inputs) != 1:
        return None
    try:
        return catalogue.read(json.loads(made.inputs[0].name))
    except (ValueError, TypeError, AttributeError):
        return None


def _factored(made: keras.Model, spec: Spec) -> Factored | None:
    products = [layer for layer in made.layers if type(layer) is _L.EinsumDense]
    if not products or any(part.quantization_mode is not None or part.lora_enabled for part in products):
        return None
    if len({part.trainable for part in products}) != 1:
        return None
    layer = _twin(made, products, spec)
    parts = _Parts(layer, made.input_shape[1:-1])
    plain = parts.model()
    if not _alike(plain, made):
        return None
    stored = {id(part): operator for operator, part in parts.products}
    alike = (part for part in plain.layers if id(part) in stored)
    for known, part in zip(alike, products, strict=True):  # both in the order that Keras gives them
        operator = stored[id(known)]
        restored = _restored(np.asarray(part.kernel), spec.factors[operator.factor], operator)
        layer.factors[operator.factor].assign(restored)
    return layer


def _twin(made: keras.Model, products: list[Any], spec: Spec) -> Factored:
    """A layer in that form with the bias and, as far as plain layers have them, the settings."""
    biased = next((part for part in products if part.bias is not None), None)
    end = made.layers[-1]
    layer = Factored(
        spec, name=made.name, trainable=products[0].trainable, dtype=products[0].dtype_policy,
        use_bias=biased is not None, bias_initializer=biased.bias_initializer if biased else "zeros",
        bias_regularizer=biased.bias_regularizer if biased else None,
        bias_constraint=_over(0, biased.bias_constraint) if biased else None,
        activity_regularizer=end.activity_regularizer,
        activation=end.activation if type(end) is _L.Activation else None,
    )  # fmt: skip
    layer.build((None, spec.matrix[0]))
    if biased is not None:
        layer.bias.assign(_Parts(layer).spread(np.asarray(biased.bias)))
    return layer


def _alike(one: keras.Model, other: keras.Model) -> bool:
    """Whether both are made of layers of the same kinds and settings, which read one another alike."""
    return [*_structure(one)] == [*_structure(other)]


def _structure(model: keras.Model) -> Iterator[tuple[type, dict[str, Any], tuple[int, ...]]]:
    """Each layer: its kind, its settings, and which results it reads: 0 is the input."""
    flow = trace(model)
    places = {id(tensor): 0 for tensor in flow.inputs.values()}
    for place, call in enumerate(flow.calls, 1):
        places.update((id(tensor), place) for tensor in call.writes)
        settings = {key: value for key, value in call.layer.get_config().items() if key not in _FREE}
        yield type(call.layer), settings, tuple(places[id(tensor)] for tensor in call.reads)
