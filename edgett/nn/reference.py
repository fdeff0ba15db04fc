"""TT layers held against T3F: arithmetic that is none of edgett's says what weight their cores stand for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.nn.layers import tt_layers
from edgett.nn.tt_dense import TTDense
from edgett.space.contraction import Moves, Product, plan

Floats = NDArray[np.floating]

WHOLE = 1 << 18
"""Up to so many numbers a weight is compared whole."""

PROBES = 4
"""A larger one by what it makes of so many random inputs: only an error that is nothing to all of them is missed."""

_UNIT = 2.0**-24
"""What one operation in float32 rounds by at most, of its result."""


@dataclass(frozen=True)
class Deviation:
    """How far a TT layer is from `t3f.full` of its cores, relative (L2), and how far rounding may bring it."""

    layer: str
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
            f"layer {self.layer} computes with another weight than T3F makes of its cores: off by {self.error:.1e}"
            f" (L2, relative), where float32 rounds by {self.rounding:.1e}"
        )


def deviations(model: keras.Model) -> tuple[Deviation, ...]:
    """Each TT layer of a model against T3F, whose own operations rebuild the weight in float64.

    All that the layer has of the weight is held against it: the one that it rebuilds for training, and the product core
    by core as each runtime has it. A weight of up to `WHOLE` numbers is compared whole, `t3f.full` of the cores against
    what the layer makes of the identity; of a larger one, which would take seconds, the products of `PROBES` seeded
    random inputs, by `t3f.matmul`. Rounding is taken to come to n units where n products are summed, of the root of the
    sum of their squares, all paths through the ranks counted: that much is left where they cancel.
    """
    return tuple(_deviation(path, layer) for path, layer in tt_layers(model).items())


def _deviation(path: str, layer: TTDense) -> Deviation:
    inputs, outputs = layer.shape.matrix
    whole = inputs * outputs <= WHOLE
    if whole:
        x = np.eye(inputs, dtype=np.float32)
    else:
        x = np.random.default_rng(0).normal(size=(PROBES, inputs)).astype(np.float32)
    with tf.device("CPU"):  # whatever else there is may round float32 more coarsely
        expected, squares = _by_t3f(layer, x, whole), _by_t3f(layer, x, whole, squared=True)
        made = [*_contracted(layer, x), np.asarray(layer.kernel() if whole else x @ layer.kernel())]
    terms = sum(step.inner for step in plan(layer.shape) if isinstance(step, Product)) + (0 if whole else inputs)
    norm = float(np.linalg.norm(expected)) or 1.0
    errors = [float(np.linalg.norm(one - expected)) / norm for one in made]
    error = max(errors) if all(map(math.isfinite, errors)) else math.inf
    return Deviation(path, error, terms * _UNIT * math.sqrt(squares.sum()) / norm)


def _by_t3f(layer: TTDense, x: Floats, whole: bool, squared: bool = False) -> Floats:
    """The product of (n, X) with the weight, in float64; `squared`: of the squares of all numbers of both."""
    import t3f

    train = t3f.cast(layer.to_t3f(), tf.float64)
    if squared:
        train, x = t3f.TensorTrain([core**2 for core in train.tt_cores], tt_ranks=list(layer.shape.ranks)), x**2
    return np.asarray(t3f.full(train) if whole else t3f.matmul(tf.constant(x, tf.float64), train))


def _contracted(layer: TTDense, x: Floats) -> Iterator[Floats]:
    """What the layer makes of (n, X) core by core, in each way that a file has it."""
    before = layer.moves
    try:
        for layer.moves in Moves:
            yield np.asarray(layer.contract(tf.constant(x)))
    finally:
        layer.moves = before
