"""Dense layers with the weights that int8 factors rebuild."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.forms import catalogue
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.svd import SVDShape
from edgett.forms.tt.shape import tt_shape
from edgett.forms.window import Window
from edgett.model.held import HeldModel, rebuilt_from_factors
from edgett.model.layers import replace
from tests.forms.toy import DiagonalPlus, Toy

L = keras.layers


def dense() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        keras.Input((8, 8, 3), name="x"),
        L.Conv2D(8, 3, padding="same", use_bias=False, name="first"),
        L.BatchNormalization(),
        L.ReLU(),
        L.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="second"),
        L.Flatten(),
        L.Dense(20, activation="relu", name="wide"),
        L.Dense(20, name="square"),
        L.Dense(4, activation="softmax", name="last"),
    ])  # fmt: skip
    random = np.random.default_rng(4)
    for weight in model.weights:  # a normalisation with scales of both signs, means, variances
        value = random.normal(size=weight.shape)
        weight.assign(np.abs(value) + 0.5 if "variance" in weight.path else 0.3 * value)
    return model


EDITS = {
    "first": CP(Window((3, 3), (8, 8)), 3, 8, 6),
    "second": SpatialSVD(Window((3, 3), (8, 8), strides=(2, 2)), 8, 12, 9),
    "wide": tt_shape((12, 4, 4), (5, 2, 2), 6),
    "square": SVDShape(20, 20, 5),
}


def held() -> HeldModel:
    original = dense()
    return rebuilt_from_factors(replace(original, EDITS), original)


def test_they_are_near_the_factors_and_their_codes_are_those_of_int8() -> None:
    original = dense()
    model = replace(original, EDITS)
    found = rebuilt_from_factors(model, original)
    x = np.random.default_rng(5).normal(size=(16, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(found.model(x), model(x), atol=0.05)
    assert float(np.abs(found.model(x) - model(x)).max()) > 0
    for path, made in found.rebuilt.items():
        kernel = np.asarray(found.model.get_layer(path).kernel, np.float64).reshape(EDITS[path].matrix)
        scales = np.abs(kernel).max(axis=0) / 127
        np.testing.assert_array_equal(np.rint(kernel / scales), made.codes().reshape(kernel.shape))


def test_what_is_no_product_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "FORMS", (*catalogue.FORMS, Toy()))
    original = dense()
    with pytest.raises(ModelError, match="'square' is no product of matrices"):
        rebuilt_from_factors(replace(original, {"square": DiagonalPlus(20)}), original)
