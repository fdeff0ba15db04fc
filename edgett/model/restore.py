"""Dense layers again in place of factored ones that have been fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from edgett.forms.spec import Spec
from edgett.model.in_form import LayerInForm
from edgett.model.layers import compilation, give, replace
from edgett.model.trace import trace


def dense_again(model: keras.Model, original: keras.Model, edits: Mapping[str, Spec]) -> keras.Model:
    """The fine-tuned `model` with only the layers named in `edits` left in their forms; `original` has none of them.

    The weight of a `Dense` that comes back is what the factors stand for, not the original one: the layers around it
    have learnt to live with that, and in float32 the model computes what it did.
    """
    layers = _by_path(model)
    factors = {path: layers[path].held() for path in edits}
    twin = replace(original, edits, factors)
    if model.compiled and not twin.compiled:
        twin.compile(**compilation(model))
    for path, layer in _by_path(twin).items():
        source = layers[path]
        if isinstance(source, LayerInForm) and not isinstance(layer, LayerInForm):
            bias = np.asarray(source.bias) if source.use_bias else None
            give(twin, path, source.spec.dense(source.held()).astype(np.float32), bias)
        else:
            layer.set_weights(source.get_weights())
            layer.trainable = source.trainable
    return twin


def _by_path(model: keras.Model) -> dict[str, Any]:
    return {call.path: call.layer for call in trace(model).calls if isinstance(call.layer, keras.layers.Layer)}
