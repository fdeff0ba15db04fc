"""Layers with weights that step 1 does not look at, for they are not fully connected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from edgett.model import keras_compat, kinds
from edgett.model.trace import trace


@dataclass(frozen=True)
class Apart:
    """A layer that stays as it is, the name of its class and why; `after` so many fully connected ones."""

    name: str
    kind: str
    params: int
    reason: str
    after: int


def apart(model: keras.Model) -> tuple[Apart, ...]:
    """Every layer with weights that is of no kind, in the order of the calls, nested ones included."""
    return tuple(_found(model))


def _found(model: keras.Model) -> Iterator[Apart]:
    seen, after = set[int](), 0
    for call in trace(model).calls:
        layer = call.layer
        if id(layer) in seen or not isinstance(layer, keras.layers.Layer):
            continue
        seen.add(id(layer))
        if kinds.is_any(layer):
            after += 1
            continue
        # One of a kind that it holds is told of by itself.
        inside = [one for one in keras_compat.nested(layer, itself=False) if kinds.is_any(one)]
        if params := layer.count_params() - sum(one.count_params() for one in inside):
            yield Apart(call.path, type(layer).__name__, params, _reason(layer), after)


def _reason(layer: Any) -> str:
    if not type(layer).__module__.startswith("keras."):
        return "a layer of one's own, which edgett does not open"
    return next((reason for kinds, reason in _REASONS if isinstance(layer, kinds)), "no fully connected layer")


_FULL = "edgett factorises fully connected layers"
_CONVOLUTIONS = tuple(
    getattr(keras.layers, f"{kind}{rank}D{way}")
    for kind, ranks, ways in (
        ("Conv", "123", ("", "Transpose")),
        ("DepthwiseConv", "12", ("",)),
        ("SeparableConv", "12", ("",)),
    )
    for rank in ranks
    for way in ways
)
_REASONS = (
    (_CONVOLUTIONS, f"a convolution: {_FULL}"),
    ((keras.layers.RNN, keras.layers.Bidirectional), f"a recurrent layer: {_FULL}"),
    (keras.layers.Embedding, "a table, of which rows are read: nothing is multiplied"),
    ((keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention), f"attention: {_FULL}"),
    (keras.layers.EinsumDense, f"a product by an equation of one's own: {_FULL}"),
    (
        (
            keras.layers.BatchNormalization,
            keras.layers.LayerNormalization,
            keras.layers.GroupNormalization,
            keras.layers.UnitNormalization,
            keras.layers.RMSNormalization,
            keras.layers.Normalization,
        ),
        "a normalisation: it has no matrix",
    ),
    (keras.layers.Wrapper, "it wraps another layer, which edgett does not open"),
)
"""Why layers of Keras stay, the first of what fits."""
