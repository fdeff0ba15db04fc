"""Layers fitted to what the network before them, already in forms, feeds them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgett.forms.convolution.channel_svd import ChannelSVD, Side
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.start import Start, fitted
from edgett.forms.window import Window
from edgett.model.layers import kernels, replace
from edgett.model.shifts import shift
from edgett.model.weigh import moments
from edgett.train.following import Following

L = keras.layers
EDITS = {
    "a": ChannelSVD(Window((3, 3), (8, 8)), 4, 8, 2, Side.OUTPUTS),
    "b": SpatialSVD(Window((3, 3), (8, 8)), 8, 8, 5),
    "c": SpatialSVD(Window((3, 3), (8, 8), strides=(2, 2)), 8, 8, 5),
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    body = [
        L.Conv2D(8, 3, padding="same", use_bias=False, name="a"), L.BatchNormalization(), L.ReLU(),
        L.Conv2D(8, 3, padding="same", name="b"), L.ReLU(), L.Conv2D(8, 3, strides=2, padding="same", name="c"),
    ]  # fmt: skip
    made = keras.Sequential([keras.Input((8, 8, 4), name="x"), *body])
    random = np.random.default_rng(0)
    weights = [0.4 * random.normal(size=weight.shape) for weight in made.get_weights()]
    made.set_weights([np.abs(one) + 0.5 if one.ndim == 1 else one for one in weights])
    return made


def inputs(count: int, seed: int) -> np.ndarray:
    """Images whose channels depend on one another."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, 8, 8, 4)) @ np.random.default_rng(9).normal(size=(4, 4))
    return mixed.astype(np.float32)


def begun(model: keras.Model, starts: dict[str, Start]) -> keras.Model:
    twin = replace(model, EDITS, {path: start.factors for path, start in starts.items()})
    shift(twin, {path: start.shift for path, start in starts.items() if start.shift is not None})
    return twin


def test_the_end_is_nearer_than_with_each_layer_for_itself(model: keras.Model) -> None:
    x, new = {"x": inputs(512, 0)}, inputs(128, 1)
    seen = moments(model, x, EDITS, lambda samples: None)
    starts = {path: fitted(spec, seen[path]) for path, spec in EDITS.items()}
    alone = begun(model, starts)
    following = begun(model, Following(model, x).starts(EDITS, starts))
    expected = np.asarray(model(new))
    lost = [np.square(np.asarray(one(new)) - expected).sum() for one in (alone, following)]
    assert lost[1] < 0.95 * lost[0]
    mean = np.abs((np.asarray(following(new)) - expected).mean(axis=(0, 1, 2)))
    assert mean.max() < 0.1 * np.abs(expected).mean()


def test_the_first_layer_is_fitted_as_it_was(model: keras.Model) -> None:
    x = {"x": inputs(256, 0)}
    only = {"a": EDITS["a"]}
    seen = moments(model, x, only, lambda samples: None)
    plain = fitted(EDITS["a"], seen["a"])
    found = Following(model, x).starts(only, {"a": plain})["a"]
    spec = EDITS["a"]
    np.testing.assert_allclose(spec.dense(found.factors), spec.dense(plain.factors), rtol=1e-2, atol=1e-2)


def test_the_model_stays_as_it_was(model: keras.Model) -> None:
    before = [weight.copy() for weight in model.get_weights()]
    weights = kernels(model, EDITS)
    Following(model, {"x": inputs(64, 0)}).starts(
        EDITS, {path: Start(spec.best(weights[path])) for path, spec in EDITS.items()}
    )
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
