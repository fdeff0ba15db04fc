"""Weights of an inference form given back to the model that it is of."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.svd import SVDShape
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window
from edgett.model.inference import inference_form
from edgett.model.layers import replace
from edgett.model.unfolded import give_back, products

_L = keras.layers


def network() -> keras.Model:
    """Everything that folds: a scale in front, normalisations behind each convolution, forms, two dense in a row."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            _L.Rescaling(1 / 255),
            _L.Conv2D(6, 3, padding="same", use_bias=False, name="first"),
            _L.BatchNormalization(),
            _L.ReLU(),
            _L.DepthwiseConv2D(3, padding="same", name="deep"),
            _L.BatchNormalization(),
            _L.ReLU(),
            _L.Conv2D(8, 3, padding="same", name="held"),
            _L.BatchNormalization(),
            _L.ReLU(),
            _L.Flatten(),
            _L.Dense(12, name="train", activation="relu"),
            _L.Dense(10, name="factored", activation="relu"),
            _L.Dense(6, name="linear"),
            _L.Dense(4, name="last", activation="softmax"),
        ]
    )
    random = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([random.uniform(0.3, 1.5, weight.shape) for weight in layer.get_weights()])
    for name in ("first", "deep", "held", "train", "factored", "linear", "last"):
        layer = model.get_layer(name)
        layer.set_weights([random.normal(size=weight.shape) for weight in layer.get_weights()])
    edits = {
        "held": SpatialSVD(Window((3, 3), (8, 8)), 6, 8, 4),
        "train": TTShape((16, 32), (4, 3), (1, 3, 1)),
        "factored": SVDShape(12, 10, 3),
    }
    return replace(model, edits)


def stored(model: keras.Model) -> list[list[np.ndarray]]:
    return [layer.get_weights() for layers in products(inference_form(model)).values() for layer in layers]


def bent(weights: list[list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    random = np.random.default_rng(1)
    for layer in weights:
        yield [array + 0.1 * random.normal(size=array.shape).astype(np.float32) for array in layer]


def test_the_form_holds_what_was_wanted() -> None:
    model = network()
    wanted = list(bent(stored(model)))
    others = [layer.get_weights()[0] for layer in model.layers if type(layer) is _L.BatchNormalization]
    give_back(model, wanted)
    found = stored(model)
    assert len(found) == 8, "first, deep, two links, a train, an SVD, and the last two"
    for mine, theirs in zip(found, wanted, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5 * max(np.abs(other).max(), 1))
    for before, layer in zip(others, [x for x in model.layers if type(x) is _L.BatchNormalization], strict=True):
        np.testing.assert_array_equal(layer.get_weights()[0], before)


def test_what_is_given_back_unchanged_changes_nothing() -> None:
    model = network()
    x = np.random.default_rng(2).uniform(0, 255, (5, 8, 8, 3))
    before = np.asarray(model(x))
    give_back(model, stored(model))
    np.testing.assert_allclose(np.asarray(model(x)), before, rtol=1e-4, atol=1e-6)


def test_a_bias_that_nothing_can_take_is_told() -> None:
    """A mean that is subtracted becomes a bias of the form; the layer itself has none."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            _L.Normalization(mean=[1.0] * 5, variance=[4.0] * 5),
            _L.Dense(3, use_bias=False, activation="relu", name="bare"),
            _L.Dense(2, name="last"),
        ]
    )
    wanted = stored(model)
    wanted[0][-1] = wanted[0][-1] + 1
    with pytest.raises(ValueError, match="bare"):
        give_back(model, wanted)
