"""Channels between links on one level, and not a bit of the outputs another."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.window import Window
from edgett.model.layers import factored_layers, replace
from edgett.model.levels import level

L = keras.layers
IMAGE = Window((3, 3), (6, 6))
LINE = Window((1, 3), (1, 9))


def layers(model: keras.Model) -> dict[str, Any]:
    return dict(factored_layers(model))


def made(layer: Any, spec: Any, shape: tuple[int, ...]) -> keras.Model:
    x = keras.Input(shape, name="x")
    dense = keras.Model(x, L.ReLU()(L.BatchNormalization()(layer(x))))
    model = replace(dense, {layer.name: spec})
    random = np.random.default_rng(0)
    for factor in layers(model)[layer.name].factors:
        count = max(factor.shape[-1], factor.shape[-2] if factor.shape[-1] == 1 else 1)
        apart = np.geomspace(2**-6, 2**6, count).reshape((-1, 1) if factor.shape[-1] == 1 else -1)
        factor.assign(random.normal(size=factor.shape) * apart)
    return model


def magnitudes(layer: Any, x: Any) -> list[Any]:
    found = []
    for part in layer.parts[:-1]:
        x = part(x)
        found.append(np.abs(np.asarray(x)).max(axis=tuple(range(x.ndim - 1))))
    return found


CASES = {
    "cp": (L.Conv2D(5, 3, padding="same", name="c"), CP(IMAGE, 4, 5, 3), (6, 6, 4)),
    "spatial": (L.Conv2D(5, 3, padding="same", use_bias=False, name="c"), SpatialSVD(IMAGE, 4, 5, 6), (6, 6, 4)),
    "tucker": (L.Conv2D(5, 3, padding="same", name="c"), Tucker2(IMAGE, 4, 5, 2, 3), (6, 6, 4)),
    "tt": (L.Conv2D(5, 3, padding="same", name="c"), TTConv(IMAGE, 4, 5, 2, 4, 3), (6, 6, 4)),
    "line": (L.Conv1D(5, 3, padding="same", name="c"), CP(LINE, 4, 5, 3), (9, 4)),
    "separable": (
        L.SeparableConv2D(5, 3, padding="same", name="c"), PointwiseSVD(Window((1, 1), (6, 6)), 4, 5, 2), (6, 6, 4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_levelled_and_the_same(case: str) -> None:
    model = made(*CASES[case])
    (layer,) = layers(model).values()
    x = np.random.default_rng(1).normal(size=(300, *CASES[case][2])).astype(np.float32)
    before = np.asarray(model(x))
    apart = [each.max() / each.min() for each in magnitudes(layer, x)]
    level(model, {"x": x})
    assert max(apart) > 4
    own = 0 if case != "separable" else 1  # the depthwise half stays as it is
    for each in magnitudes(layer, x)[own:]:
        assert each.max() / each.min() <= 2.0001
    np.testing.assert_array_equal(np.asarray(model(x)), before)


def test_a_channel_that_is_always_0_stays() -> None:
    model = made(*CASES["cp"])
    (layer,) = layers(model).values()
    near = np.asarray(layer.factors[0]).copy()
    near[..., 1] = 0.0
    layer.factors[0].assign(near)
    x = np.random.default_rng(1).normal(size=(20, 6, 6, 4)).astype(np.float32)
    before = np.asarray(model(x))
    level(model, {"x": x})
    np.testing.assert_array_equal(np.asarray(model(x)), before)
    assert all(np.isfinite(np.asarray(factor)).all() for factor in layer.factors)
    level(model, {"x": 0 * x})
    np.testing.assert_array_equal(np.asarray(model(x)), before)
