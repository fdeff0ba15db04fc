"""Layers in forms held against others: T3F's arithmetic for tensor trains, NumPy's in float64 for all other forms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.forms.convolution.chain import Chain
from edgett.forms.operators import Convolve, Moves, Mul, Product
from edgett.forms.tt.shape import TTShape
from edgett.model.convolved import DEPTHWISE_HALF, Convolved
from edgett.model.factored import Factored
from edgett.model.in_form import LayerInForm
from edgett.model.layers import factored_layers

Floats = NDArray[np.floating]

WHOLE = 1 << 18
"""Up to so many numbers a weight is compared whole."""

PROBES = 4
"""A larger one by what it makes of so many random inputs: only an error that is nothing to all of them is missed."""

_UNIT = 2.0**-24
"""What one operation in float32 rounds by at most, of its result."""


@dataclass(frozen=True)
class Deviation:
    """How far a layer is from what others rebuild of its factors, relative (L2), and how far rounding may bring it."""

    layer: str
    by: str
    error: float
    rounding: float

    @property
    def ok(self) -> bool:
        """Whether it is no more than rounding."""
        return self.error <= self.rounding

    @property
    def fault(self) -> str | None:
        """What is wrong, None where nothing is."""
        if self.ok:
            return None
        return (
            f"layer {self.layer} computes with another weight than {self.by} makes of its factors:"
            f" off by {self.error:.1e} (L2, relative), where float32 rounds by {self.rounding:.1e}"
        )


def deviations(model: keras.Model) -> tuple[Deviation, ...]:
    """Each layer in a form against what others make of its factors in float64: T3F of a tensor train, else NumPy.

    All that the layer has of the weight is held against it: the one that it rebuilds for training, and the product
    factor by factor as each runtime has it. A weight of up to `WHOLE` numbers is compared whole, `t3f.full` of the
    cores against what the layer makes of the identity; of a larger one, which would take seconds, the products of
    `PROBES` seeded random inputs, by `t3f.matmul`. Rounding is taken to come to n units where n products are summed,
    of the root of the sum of their squares, all paths through the factors counted: that much is left where they cancel.
    """
    return tuple(_deviation(path, layer) for path, layer in factored_layers(model).items())


def _deviation(path: str, layer: LayerInForm) -> Deviation:
    return _of_links(path, layer) if isinstance(layer, Convolved) else _of_factors(path, layer)


def _of_links(path: str, layer: Convolved) -> Deviation:
    """A convolution in a form against one convolution with the weight that NumPy joins its links to, in float64."""
    spec = layer.spec
    factors = [factor.astype(np.float64) for factor in layer.held()]
    x = np.random.default_rng(0).normal(size=(PROBES, *spec.window.size, spec.inputs))
    parts = [part for part in layer.parts if part.name != DEPTHWISE_HALF]
    found: Any = x.astype(np.float32)
    for part in parts:
        found = part(found[:, 0])[:, None] if part.rank == 1 else part(found)
    found = np.asarray(found) - (np.asarray(layer.bias) if layer.use_bias else 0)
    expected, squares = (
        _convolved(spec, x**power, spec.rebuild([factor**power for factor in factors])) for power in (1, 2)
    )
    terms = sum(operator.stored // operator.outputs for operator in spec.plan() if isinstance(operator, Convolve))
    norm = float(np.linalg.norm(expected)) or 1.0
    error = float(np.linalg.norm(found - expected)) / norm
    rounding = terms * _UNIT * math.sqrt(squares.sum()) / norm
    return Deviation(path, "NumPy", error if math.isfinite(error) else math.inf, rounding)


def _convolved(spec: Chain, x: Floats, weight: Floats) -> Floats:
    """One convolution with a weight (X, N), in float64."""
    window = spec.window
    strides, dilations = (1, *window.strides, 1), (1, *window.dilation, 1)
    kernel = weight.reshape(*window.kernel, spec.inputs, spec.outputs)
    return np.asarray(tf.nn.conv2d(x, kernel, strides, window.padding.value.upper(), dilations=dilations))


def _of_factors(path: str, layer: Any) -> Deviation:
    inputs, outputs = layer.spec.matrix
    whole = inputs * outputs <= WHOLE
    if whole:
        x = np.eye(inputs, dtype=np.float32)
    else:
        x = np.random.default_rng(0).normal(size=(PROBES, inputs)).astype(np.float32)
    with tf.device("CPU"):  # whatever else there is may round float32 more coarsely
        train = isinstance(layer.spec, TTShape)
        expected, squares = (
            (_by_t3f(layer, x, whole, squared=squared) if train else _by_numpy(layer, x, squared=squared))
            for squared in (False, True)
        )
        made = [*_contracted(layer, x), np.asarray(layer.kernel() if whole else x @ layer.kernel())]
    terms = sum(_terms(operator) for operator in layer.spec.plan()) + (0 if whole else inputs)
    norm = float(np.linalg.norm(expected)) or 1.0
    errors = [float(np.linalg.norm(one - expected)) / norm for one in made]
    error = max(errors) if all(map(math.isfinite, errors)) else math.inf
    return Deviation(path, "T3F" if train else "NumPy", error, terms * _UNIT * math.sqrt(squares.sum()) / norm)


def _terms(operator: Any) -> int:
    """How many products each number that it writes is the sum of."""
    return operator.inner if isinstance(operator, Product) else int(isinstance(operator, Mul))


def _by_numpy(layer: Factored, x: Floats, *, squared: bool) -> Floats:
    """The product of (n, X) with the weight, in float64; `squared`: of the squares of all numbers of both."""
    factors = [np.asarray(factor, np.float64) for factor in layer.factors]
    if squared:
        factors, x = [factor**2 for factor in factors], x**2
    return np.asarray(x @ layer.spec.rebuild(factors))


def _by_t3f(layer: Factored, x: Floats, whole: bool, *, squared: bool) -> Floats:
    """The same by T3F, of a tensor train."""
    import t3f

    cores = [tf.cast(core, tf.float64) for core in layer.factors]
    if squared:
        cores, x = [core**2 for core in cores], x**2
    train = t3f.TensorTrain(cores, tt_ranks=[1, *(shape[-1] for shape in layer.spec.factors)])
    return np.asarray(t3f.full(train) if whole else t3f.matmul(tf.constant(x, tf.float64), train))


def _contracted(layer: Factored, x: Floats) -> Iterator[Floats]:
    """What the layer makes of (n, X) factor by factor, in each way that a file has it."""
    before = layer.moves
    try:
        for layer.moves in Moves:
            yield np.asarray(layer.contract(tf.constant(x)))
    finally:
        layer.moves = before
