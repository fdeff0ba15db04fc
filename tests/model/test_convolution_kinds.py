"""Which convolutions may be held in forms, and why others stay."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms import catalogue
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.front import Search
from edgett.forms.operators import Convolve
from edgett.forms.window import Padding, Window
from edgett.model.apart import apart
from edgett.model.inference import inference_form
from edgett.model.kinds import FULLY_CONNECTED, kind_of
from edgett.model.layers import kernels, replace
from edgett.model.predict import predict
from edgett.model.trace import trace
from edgett.model.weigh import inputs_of
from edgett.model.worth import Wish, replaceable

L = keras.layers
ALL = Wish(share=0)


def of(*layers: Any, shape: tuple[int | None, ...] = (8, 9, 6)) -> keras.Model:
    return keras.Sequential([keras.Input(shape, name="x"), *layers])


def reasons(model: keras.Model) -> dict[str, str | None]:
    return {item.layer.name: item.excluded for item in replaceable(model, ALL)}


class Own(L.Conv2D):
    """Somebody's own."""


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (L.Conv2D(6, 3, data_format="channels_first", name="c"), "data_format='channels_last'"),
        (L.Conv2D(6, 3, groups=2, name="c"), "2 groups of channels"),
        (L.Conv2D(6, 3, kernel_constraint="max_norm", name="c"), "constrained (MaxNorm)"),
        (Own(6, 3, name="c"), "a kind of Conv2D of its own"),
        (L.SeparableConv2D(6, 3, pointwise_constraint="max_norm", name="c"), "constrained (MaxNorm)"),
    ],
    ids=lambda part: part if isinstance(part, str) else type(part).__name__,
)
def test_what_stays_and_why(layer: Any, why: str) -> None:
    model = of(layer, shape=(6, 9, 6))
    (reason,) = reasons(model).values()
    assert reason is not None and why in reason


def test_a_causal_convolution_stays() -> None:
    (reason,) = reasons(of(L.Conv1D(6, 3, padding="causal", name="c"), shape=(8, 6))).values()
    assert reason is not None and "ZeroPadding1D" in reason


def test_an_image_of_any_size_stays() -> None:
    (reason,) = reasons(of(L.Conv2D(6, 3, name="c"), shape=(None, 9, 6))).values()
    assert reason is not None and "give the model's input a shape" in reason


def test_what_no_kind_is_for_is_told_with_the_reason() -> None:
    model = of(
        L.DepthwiseConv2D(3, name="deep"), L.Conv2DTranspose(6, 3, name="up"), L.Conv2D(6, 3, name="c"),
        L.SeparableConv2D(6, 3, name="s"),
    )  # fmt: skip
    told = {item.name: item.reason for item in apart(model)}
    assert set(told) == {"deep", "up"} and "small already" in told["deep"] and "transposed" in told["up"]
    grid = {item.name: item.reason for item in apart(model, FULLY_CONNECTED)}
    assert set(grid) == {"deep", "up", "c", "s"} and "--search pareto" in grid["c"] == grid["s"]
    assert replaceable(model, ALL, FULLY_CONNECTED) == ()


@pytest.mark.parametrize(
    "layer", [L.Conv2D(8, 2, strides=3, name="c"), L.Conv2D(8, 1, strides=2, name="c"), L.Conv2D(8, 3, name="c")]
)
def test_a_site_says_how_the_window_moves(layer: Any) -> None:
    (found,) = replaceable(of(layer), ALL)
    window = Window(layer.kernel_size, (8, 9), layer.strides, padding=Padding.VALID)
    assert found.layer.window == window and found.layer.positions == window.positions
    assert found.layer.channels == 6 and found.layer.reads == 8 * 9 * 6
    assert found.layer.size == f"{'x'.join(map(str, window.kernel))}x6x8@{'x'.join(map(str, window.made))}"


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (L.Conv2D(5, 3, padding="same", strides=2, name="c"), (8, 9, 6)),
        (L.Conv2D(5, (2, 3), dilation_rate=2, name="c"), (8, 9, 6)),
        (L.Conv2D(5, 2, strides=3, name="c"), (8, 9, 6)),
        (L.Conv1D(5, 3, padding="same", name="c"), (8, 6)),
        (L.SeparableConv2D(5, 3, depth_multiplier=2, name="c"), (8, 9, 6)),
        (L.Conv2D(5, 3, padding="same", name="c"), (1, 1, 6)),
    ],
    ids=["strided", "dilated", "wide steps", "sequence", "separable", "one pixel"],
)
def test_what_the_weight_meets_gives_what_the_layer_makes(layer: Any, shape: tuple[int, ...]) -> None:
    """A convolution is a product on the pixels under its window: all its positions, in whatever order."""
    model = of(layer, shape=shape)
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    rows = inputs_of(model, {"x": x}, ["c"])["c"] @ kernels(model, ["c"])["c"]
    made = np.asarray(model(x)).reshape(-1, 5)
    if len(made) == len(rows):
        np.testing.assert_allclose(rows, made, rtol=1e-4, atol=1e-4)
    else:  # some positions of each sample, drawn by chance
        nearest = np.abs(rows[:, None] - made[None]).max(axis=2).min(axis=1)
        assert nearest.max() < 1e-4 and len(rows) == 3 * 16


def shared() -> keras.Model:
    x, layer = keras.Input((8, 9, 6), name="x"), L.Conv2D(6, 3, padding="same", name="c")
    return keras.Model(x, layer(layer(x)))


def nested() -> keras.Model:
    return of(of(L.Conv2D(8, 3, name="c"), L.ReLU()), L.Flatten(), L.Dense(2, name="end"))


@pytest.mark.parametrize("build", [shared, nested])
def test_shared_and_nested_ones_are_replaced(build: Any) -> None:
    model = build()
    found = next(item.layer for item in replaceable(model, ALL) if item.layer.window)
    weight = kernels(model, [found.name])[found.name]
    front = catalogue.front(found, weight, Search())
    twin = replace(model, {found.name: front.specs[-1]})
    x = np.random.default_rng(0).normal(size=(3, 8, 9, 6)).astype(np.float32)
    error, scale = np.abs(twin(x) - model(x)).max(), np.abs(model(x)).max()
    assert 0 < error < scale


def test_a_shared_one_on_images_of_two_sizes_stays() -> None:
    layer = L.Conv2D(6, 3, name="c")
    a, b = keras.Input((8, 9, 6), name="a"), keras.Input((5, 5, 6), name="b")
    model = keras.Model([a, b], [layer(a), layer(b)])
    (reason,) = reasons(model).values()
    assert reason is not None and "5x5 positions and 8x9 positions" in reason


@pytest.mark.parametrize("channels", [1, 2])
def test_too_few_channels(channels: int) -> None:
    (found,) = replaceable(of(L.Conv2D(2, 1, name="c"), shape=(8, 9, channels)), ALL)
    reason = catalogue.unfit(found.layer)
    assert found.excluded is None and reason is not None and "no chain of smaller convolutions" in reason


def test_one_channel_is_enough_for_a_large_window() -> None:
    """The first convolution of DS-CNN."""
    model = of(L.Conv2D(64, (10, 4), strides=2, padding="same", name="c"), shape=(49, 10, 1))
    (found,) = replaceable(model, ALL)
    weight = kernels(model, ["c"])["c"]
    front = catalogue.front(found.layer, weight, Search())
    assert {type(spec) for spec in front.specs} >= {CP, SpatialSVD}
    assert all(each.params < 64 * 40 for each in front.costs)


@pytest.mark.parametrize(
    "layer", [L.Conv2D(8, 3, strides=2, use_bias=False, name="c"), L.SeparableConv2D(8, 3, use_bias=False, name="c")]
)
def test_its_plan_is_what_the_dense_layer_is_predicted_to_do(layer: Any) -> None:
    model = of(layer)
    (call,), graph = trace(model, 1).calls, predict(inference_form(model))
    kind = kind_of(call)
    assert kind is not None
    plan = kind.plan(call)
    assert sum(operator.macs for operator in plan) == graph.macs
    assert sum(operator.stored for operator in plan if isinstance(operator, Convolve)) == graph.params()
