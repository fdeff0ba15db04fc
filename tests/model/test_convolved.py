"""Convolutions in forms as layers of Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.spec import Spec
from edgett.forms.window import Window
from edgett.model.convolved import Convolved
from edgett.model.layers import factored_layers, replace
from edgett.model.models import load_model, save_model
from edgett.model.restore import dense_again

L = keras.layers
SPATIAL = SpatialSVD(Window((3, 3), (6, 5)), 4, 8, 6)
POINT = PointwiseSVD(Window((1, 1), (6, 5)), 4, 8, 3)


def network(body: Any, channels: int = 4) -> keras.Model:
    layers = [body, L.BatchNormalization(name="bn"), L.ReLU(), L.Flatten(), L.Dense(3, name="end")]
    model = keras.Sequential([keras.Input((6, 5, channels), name="x"), *layers])
    random = np.random.default_rng(0)
    model.set_weights([np.abs(random.normal(size=weight.shape)) for weight in model.get_weights()])
    return model


def separable() -> keras.Model:
    return network(L.SeparableConv2D(8, 3, padding="same", dilation_rate=2, name="c"))


def plain(**settings: Any) -> keras.Model:
    return network(L.Conv2D(8, 3, padding="same", name="c", **settings))


def images(count: int = 4) -> Any:
    return np.random.default_rng(1).normal(size=(count, 6, 5, 4)).astype(np.float32)


@pytest.mark.parametrize(("model", "spec"), [(plain(), SPATIAL), (separable(), POINT)], ids=["plain", "separable"])
def test_survives_saving_and_copying(model: keras.Model, spec: Spec, tmp_path: Path) -> None:
    twin = replace(model, {"c": spec})
    (layer,) = factored_layers(twin).values()
    assert isinstance(layer, Convolved) and layer.spec == spec
    save_model(twin, tmp_path / "a.keras")
    bare = keras.models.load_model(tmp_path / "a.keras")
    kinds = {type(part) for made in bare.layers for part in getattr(made, "layers", [made])}
    assert all(kind.__module__.startswith("keras.") for kind in kinds)
    again = load_model(tmp_path / "a.keras")
    assert type(again.get_layer("c")) is Convolved and again.get_layer("c").spec == spec
    twin.save(tmp_path / "b.keras")  # as it is: Keras writes down a layer of our own
    for other in (bare, again, replace(again, {}), keras.models.load_model(tmp_path / "b.keras")):
        np.testing.assert_array_equal(other(images()), twin(images()))


def test_a_whole_rank_changes_nothing() -> None:
    model = separable()
    full = replace(model, {"c": PointwiseSVD(POINT.window, 4, 8, 4)})
    np.testing.assert_allclose(full(images()), model(images()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("model", "spec"), [(plain(), SPATIAL), (separable(), POINT)], ids=["plain", "separable"])
def test_becomes_dense_again_with_what_the_links_stand_for(model: keras.Model, spec: Spec) -> None:
    twin = replace(model, {"c": spec})
    dense = dense_again(twin, model, {})
    assert type(dense.get_layer("c")) is type(model.get_layer("c"))
    np.testing.assert_allclose(dense(images()), twin(images()), rtol=1e-4, atol=1e-4)


def test_regularisers_see_the_weight_that_it_stands_for() -> None:
    model = plain(kernel_regularizer=keras.regularizers.L2(0.5), bias_regularizer=keras.regularizers.L2(0.25))
    (layer,) = factored_layers(replace(model, {"c": SPATIAL})).values()
    weight, bias = SPATIAL.dense(layer.held()), np.asarray(layer.bias)
    np.testing.assert_allclose(sum(layer.losses), 0.5 * np.sum(weight**2) + 0.25 * np.sum(bias**2), rtol=1e-4)


def test_what_only_looks_like_one_stays_what_it_is(tmp_path: Path) -> None:
    twin = replace(plain(), {"c": SPATIAL})
    save_model(twin, tmp_path / "a.keras")
    bare = keras.models.load_model(tmp_path / "a.keras")
    made = bare.get_layer("c")
    made.layers[1].trainable = False  # one link of the two alone
    bare.save(tmp_path / "b.keras")
    assert factored_layers(load_model(tmp_path / "b.keras")) == {}
    for wrong in (L.Conv2D(6, 3, padding="same"), L.Dense(6), L.ReLU()):
        entry = keras.Input((6, 5, 4), name=made.inputs[0].name)
        other = keras.Model(entry, L.Conv2D(8, 1)(wrong(entry)), name="c")
        model = keras.Sequential([keras.Input((6, 5, 4)), other])
        model.save(tmp_path / "c.keras")
        assert factored_layers(load_model(tmp_path / "c.keras")) == {}


def test_a_weight_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot take"):
        replace(plain(), {"c": SpatialSVD(Window((3, 3), (6, 5)), 4, 6, 2)})
