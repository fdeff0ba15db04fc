"""Layers with weights that step 1 does not look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from edgett.model import keras_compat, kinds
from edgett.model.kinds.kind import Kind
from edgett.model.trace import trace


@dataclass(frozen=True)
class Apart:
    """A layer that stays as it is, the name of its class and why; `after` so many that could be replaced."""

    name: str
    kind: str
    params: int
    reason: str
    after: int


def apart(model: keras.Model, of: Sequence[Kind] = kinds.KINDS) -> tuple[Apart, ...]:
    """Every layer with weights that is of none of these kinds, in the order of the calls, nested ones included."""
    return tuple(_found(model, of))


def _found(model: keras.Model, of: Sequence[Kind]) -> Iterator[Apart]:
    seen, after = set[int](), 0
    for call in trace(model).calls:
        layer = call.layer
        if id(layer) in seen or not isinstance(layer, keras.layers.Layer):
            continue
        seen.add(id(layer))
        if kinds.is_any(layer, of):
            after += 1
            continue
        # One of a kind that it holds is told of by itself.
        inside = [one for one in keras_compat.nested(layer, itself=False) if kinds.is_any(one, of)]
        if params := layer.count_params() - sum(one.count_params() for one in inside):
            yield Apart(call.path, type(layer).__name__, params, _reason(layer), after)


def _reason(layer: Any) -> str:
    if not type(layer).__module__.startswith("keras."):
        return "a layer of one's own, which edgett does not open"
    return next(
        (reason for kinds, reason in _REASONS if isinstance(layer, kinds)), "no layer that edgett has forms for"
    )


_FULL = "edgett factorises fully connected layers and convolutions"
_L = keras.layers
_REASONS = (
    ((_L.DepthwiseConv1D, _L.DepthwiseConv2D), "a window for each channel by itself: it is small already"),
    ((_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose), "a transposed convolution: there is no form for it"),
    ((_L.Conv1D, _L.Conv2D, _L.SeparableConv2D), "a convolution: only --search pareto has forms for it"),
    ((_L.Conv3D, _L.SeparableConv1D), "a convolution for which there is no form"),
    ((_L.RNN, _L.Bidirectional), f"a recurrent layer: {_FULL}"),
    (_L.Embedding, "a table, of which rows are read: nothing is multiplied"),
    ((_L.MultiHeadAttention, _L.GroupQueryAttention), f"attention: {_FULL}"),
    (_L.EinsumDense, f"a product by an equation of one's own: {_FULL}"),
    (
        (
            _L.BatchNormalization,
            _L.LayerNormalization,
            _L.GroupNormalization,
            _L.UnitNormalization,
            _L.RMSNormalization,
            _L.Normalization,
        ),
        "a normalisation: it has no matrix",
    ),
    (_L.Wrapper, "it wraps another layer, which edgett does not open"),
)
"""Why layers of Keras stay, the first of what fits."""
