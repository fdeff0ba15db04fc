"""A model whose layers in forms are dense again, with the weights that int8 factors rebuild on a device."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from edgett.errors import ModelError
from edgett.forms.integers import Rebuilding, quantised
from edgett.model.layers import factored_layers, give
from edgett.model.restore import dense_again


@dataclass(frozen=True)
class HeldModel:
    """A model of dense layers, and by the path of each that was in a form how its weight is rebuilt."""

    model: keras.Model
    rebuilt: dict[str, Rebuilding]


def rebuilt_from_factors(model: keras.Model, original: keras.Model) -> HeldModel:
    """Give dense layers the weights that the factors of a fine-tuned model come to in whole numbers.

    Each column of a weight has codes up to 127 and a step of its own, so that a converter to int8 finds the same codes.

    Args:
        model: fine-tuned, with layers in forms.
        original: the dense model that it was made from.

    Returns:
        The dense model, and the factors.

    Raises:
        ModelError: for a form that is no product of matrices, and for factors that cannot be held so.
    """
    dense = dense_again(model, original, {})
    rebuilt = dict[str, Rebuilding]()
    for path, layer in factored_layers(model).items():
        stages = layer.spec.stages(layer.held())
        if not stages:
            raise ModelError(f"the weight of {path!r} is no product of matrices.", "Leave out --hold factors.")
        rebuilt[path] = made = quantised(stages, layer.spec.matrix[1])
        weight = made.steps * made.codes().reshape(layer.spec.matrix)
        give(dense, path, weight.astype(np.float32), np.asarray(layer.bias) if layer.use_bias else None)
    return HeldModel(dense, rebuilt)
