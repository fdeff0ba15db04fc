"""Dense layers again in place of TT layers that have been fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from edgett.nn.decompose import rebuild
from edgett.nn.layers import compilation, replace
from edgett.nn.trace import trace
from edgett.nn.tt_dense import TTDense
from edgett.values import TTShape


def dense_again(model: keras.Model, original: keras.Model, shapes: Mapping[str, TTShape]) -> keras.Model:
    """The fine-tuned `model` with only the layers named in `shapes` left as TT layers; `original` has none of them.

    The weight of a `Dense` that comes back is what the cores stand for, not the original one: the layers around it
    have learnt to live with that, and in float32 the model computes what it did.
    """
    layers = _by_path(model)
    cores = {path: tuple(np.asarray(core) for core in layers[path].cores) for path in shapes}
    twin = replace(original, shapes, cores)
    if model.compiled and not twin.compiled:
        twin.compile(**compilation(model))
    for path, layer in _by_path(twin).items():
        source = layers[path]
        if isinstance(source, TTDense) and not isinstance(layer, TTDense):
            bias = [np.asarray(source.bias)] if source.use_bias else []
            layer.set_weights([rebuild(tuple(map(np.asarray, source.cores))).astype(np.float32), *bias])
        else:
            layer.set_weights(source.get_weights())
            layer.trainable = source.trainable
    return twin


def _by_path(model: keras.Model) -> dict[str, Any]:
    return {call.path: call.layer for call in trace(model).calls if isinstance(call.layer, keras.layers.Layer)}
