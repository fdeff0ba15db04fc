"""An inference form that computes as its int8 file does, and whose weights can be trained so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.export.ranges import Ends, Histogram, some
from edgett.forms.operators import Product
from edgett.graph.op import named
from edgett.model import keras_compat
from edgett.model.activations import name_of, of_layer
from edgett.model.affine import Affine
from edgett.model.factored import Factored, in_rows
from edgett.model.folding import DEPTHWISE, is_output, is_product, twin_of
from edgett.model.trace import Call, Trace
from edgett.train.storage import Rounded, Scheme, Storage, Unrounded

_L = keras.layers
_LINEAR = keras.activations.linear
Arrays = Mapping[str, NDArray[Any]]

_SAME = tuple(
    getattr(_L, name)
    for name in "Flatten Reshape Permute MaxPooling1D MaxPooling2D GlobalMaxPooling1D GlobalMaxPooling2D ZeroPadding1D "
    "ZeroPadding2D Cropping1D Cropping2D UpSampling1D UpSampling2D AveragePooling1D AveragePooling2D".split()
)
"""Layers whose results have the scale of what they read, whatever their range is."""

SMALLEST = 1e-8
"""The width of a range that calibration has found nothing in."""

_JOINING = (_L.Add, _L.Subtract, _L.Multiply)


class Emulation:
    """Runs an inference form with the numbers of its int8 file. The weights that it trains are its own."""

    def __init__(self, form: Trace, scheme: Scheme) -> None:
        """Take a form, whose layers stay as they are.

        Args:
            form: of a model, for any batch.
            scheme: how its numbers are stored.
        """
        self._form, self._scheme = form, scheme
        self._twins: dict[int, Any] = {}
        self._free: list[Any] = []
        for call in form.calls:
            if is_product(call.layer) and id(call.layer) not in self._twins:
                twin = twin_of(call, call.layer.get_weights(), activation=_LINEAR)
                self._free += [twin] if twin.trainable else []
                twin.trainable = True  # a frozen one is stored like the others
                self._twins[id(call.layer)] = twin
        self._limits: list[Any] = []
        self._ends: set[int] = set()  # what goes in, and what comes out: their ranges hold all numbers

    @property
    def layers(self) -> list[Any]:
        """Those whose weights are rounded, in the order in which they first run."""
        return list(self._twins.values())

    @property
    def weights(self) -> list[Any]:
        """What is trained: kernels, factors and biases, those of frozen layers apart."""
        return [weight for layer in self._free for weight in layer.trainable_variables]

    @property
    def variables(self) -> list[Any]:
        """All that changes."""
        return [*self.weights, *self._limits]

    def __call__(self, x: Mapping[str, Any], *, ends: bool = True) -> dict[str, Any]:
        """Compute as the file does.

        Args:
            x: inputs by name, (n, ...) each.
            ends: whether probabilities are rounded, too.

        Returns:
            Outputs by name, (n, ...) each.
        """
        return self._run(x, Rounded(self._scheme, self._limits, ends=ends))

    def calibrate(self, batches: Sequence[Arrays]) -> None:
        """Set the ranges of tensors by what flows through the form in float32.

        Args:
            batches: inputs by name.
        """
        ends = Ends()
        for batch in batches:
            ends.add(self._seen(batch))
        found = list(ends.found.values())
        if self._scheme.narrowed:
            histograms = [Histogram(*limits) for limits in found]
            for batch in batches:
                for index, numbers in self._seen(batch).items():
                    histograms[index].add(some(numbers))
            inside = [index not in self._ends for index in range(len(found))]
            found = [
                histogram.narrowed() if narrow else limits
                for narrow, histogram, limits in zip(inside, histograms, found, strict=True)
            ]
        self._limits = self._limits or [tf.Variable(tf.zeros(2), trainable=False) for _ in found]
        for limits, (low, high) in zip(self._limits, found, strict=True):
            limits.assign([low, max(high, low + SMALLEST)])

    def _seen(self, batch: Arrays) -> dict[int, NDArray[Any]]:
        """The tensors that ranges are needed of, in float32, by the order in which they are computed."""
        tensors = self._look({name: tf.convert_to_tensor(array) for name, array in batch.items()})
        return {index: tensor.numpy() for index, tensor in enumerate(tensors)}

    @cached_property
    def _look(self) -> Any:
        def look(x: Mapping[str, Any]) -> list[Any]:
            storage = Unrounded()
            made = self._run(x, storage)
            self._ends = {
                index
                for index, tensor in enumerate(storage.tensors)
                if index < len(x) or any(tensor is end for end in made.values())
            }
            return storage.tensors

        return tf.function(look, autograph=False)

    def stored(self) -> list[list[NDArray[np.float32]]]:
        """Round the weights as they are stored. A file in which they are rounded again has the same ones.

        Returns:
            Of each of `layers` the kernels or factors, and the bias, which is as it was, if it has one.
        """
        rounded = Rounded(self._scheme, [])
        return [[np.asarray(value) for value in self._values(layer, rounded)] for layer in self.layers]

    def _run(self, x: Mapping[str, Any], storage: Storage) -> dict[str, Any]:
        form = self._form
        known = {id(spec): _kept(tf.cast(x[name], spec.dtype), storage) for name, spec in form.inputs.items()}

        def value(leaf: Any) -> Any:
            return known[id(leaf)] if isinstance(leaf, keras.KerasTensor) else leaf

        for call in form.calls:
            args, kwargs = keras.tree.map_structure(value, (call.args, dict(call.kwargs)))
            made = keras.tree.flatten(self._made(call, args, kwargs, storage))
            known.update((id(spec), tensor) for spec, tensor in zip(call.writes, made, strict=True))
        return {name: known[id(tensor)] for name, tensor in form.outputs.items()}

    def _made(self, call: Call, args: Any, kwargs: Any, storage: Storage) -> Any:
        """What a call puts out, as it is stored."""
        twin = self._twins.get(id(call.layer))
        if twin is not None:
            pairs = zip(twin.trainable_variables, self._values(twin, storage, args[0]), strict=True)
            with keras.StatelessScope(state_mapping=list(pairs)):
                made = _contracted(twin, args[0], storage) if isinstance(twin, Factored) else twin(*args)
            return self._activated(call, call.layer.activation, made, storage)
        if isinstance(call.layer, Affine):
            return self._affine(call, args[0], storage)
        if keras_compat.takes_training(call.layer):
            kwargs["training"] = False
        made = call.layer(*args, **kwargs)
        if isinstance(call.layer, _SAME):
            return storage.alike(made, args[0])
        own = keras.activations.softmax if isinstance(call.layer, _L.Softmax) else of_layer(call.layer)
        if own is not None:
            return self._ended(own, made, storage)
        return keras.tree.map_structure(
            lambda tensor: tensor if self._taken_over(call) else _kept(tensor, storage), made
        )

    def _activated(self, call: Call, function: Any, tensor: Any, storage: Storage) -> Any:
        """The result of a product with its activation; of one that rides on products nothing is between the two."""
        if function is _LINEAR:
            return tensor if self._taken_over(call) else _kept(tensor, storage)
        before = tensor if named(name_of(function)).rides else _kept(tensor, storage)
        return self._ended(function, function(before), storage)

    def _affine(self, call: Call, tensor: Any, storage: Storage) -> Any:
        """A multiplication and an addition with constants, each an operator; a bias that rides on a product is none."""
        layer = call.layer
        if layer.scale is not None:
            tensor = tensor * storage.constant(layer.scale)
            tensor = tensor if layer.shift is None else _kept(tensor, storage)
        if layer.shift is not None:
            rides = any(made is call.reads[0] for made in self._ridden)
            tensor = tensor + (layer.shift if rides else storage.constant(layer.shift))
        return self._activated(call, layer.activation, tensor, storage)

    @cached_property
    def _ridden(self) -> list[Any]:
        """What layers in forms put out that a bias rides on, and an activation: there is no tensor in between."""
        if not self._scheme.rides:
            return []
        form, found = self._form, []
        for call in form.calls:
            after = form.readers(call.writes[0]) if isinstance(call.layer, Factored) else ()
            lone = len(after) == 1 and not is_output(call.writes[0], form)
            if lone and isinstance(after[0].layer, Affine) and after[0].layer.scale is None:
                plan = [one for one in call.layer.spec.plan() if one.flops]
                found += [call.writes[0]] if isinstance(plan[-1], Product) and plan[-1].rows == 1 else []
        return found

    def _ended(self, function: Any, tensor: Any, storage: Storage) -> Any:
        """The result of an activation, as it is stored."""
        limits = self._scheme.fixed.get(name_of(function))
        return _kept(tensor, storage) if limits is None else storage.fixed(tensor, *limits)

    def _taken_over(self, call: Call) -> bool:
        """Whether an activation that rides on what is before it alone reads the result."""
        form = self._form
        if any(made is call.writes[0] for made in self._ridden):
            return True
        joined = isinstance(call.layer, _JOINING) or id(call.layer) in self._twins
        if not joined or is_output(call.writes[0], form):
            return False
        after = [of_layer(reader.layer) for reader in form.readers(call.writes[0])]
        return len(after) == 1 and after[0] is not None and named(name_of(after[0])).rides

    def _values(self, layer: Any, storage: Storage, source: Any = None) -> list[Any]:
        """The weights of a layer that reads a tensor, as they are stored, in the order of its variables."""
        weights = layer.trainable_variables
        kernels = weights[: len(weights) - bool(layer.use_bias)]
        biases = [tf.convert_to_tensor(weight) for weight in weights[len(kernels) :]]
        if isinstance(layer, Factored):
            whole = lambda matrix: storage.weight(matrix, self._alike(matrix, 1))  # noqa: E731
            return [layer.by_matrix(index, whole) for index in range(len(kernels))] + biases
        # A filter of a depthwise convolution is told by two axes, another by one.
        own = 2 if isinstance(layer, DEPTHWISE) else 1
        (kernel,) = (tf.convert_to_tensor(kernel) for kernel in kernels)
        axes = self._alike(kernel, own)
        return [storage.weight(kernel, axes), *(storage.bias(bias, kernel, axes, source) for bias in biases)]

    def _alike(self, weight: Any, own: int) -> list[int]:
        """The axes along which a scale is the same."""
        axes = len(weight.shape)
        columns = axes > 2 or (axes == 2 and self._scheme.columns)
        return list(range(axes - own if columns else axes))


def _contracted(layer: Factored, inputs: Any, storage: Storage) -> Any:
    made = in_rows(inputs, lambda rows: layer.contract(rows, storage.tensor))
    return tf.nn.bias_add(made, tf.convert_to_tensor(layer.bias)) if layer.use_bias else made


def _kept(tensor: Any, storage: Storage) -> Any:
    """A tensor as it is stored; integers are what they are."""
    return storage.tensor(tensor) if tensor.dtype.is_floating else tensor
