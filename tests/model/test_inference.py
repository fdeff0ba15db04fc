"""The inference form gives what the model gives, and holds no more than it should."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.tt.shape import TTShape
from edgett.model.affine import Affine
from edgett.model.factored import Factored
from edgett.model.inference import inference_form
from edgett.model.layers import replace
from edgett.model.servable import Servable
from edgett.model.trace import Trace
from edgett.model.tt_dense import TTDense

L = keras.layers
RANDOM = np.random.default_rng(0)


def chain(shape: tuple[int, ...], *layers: Any, dtype: str = "float32") -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def bn(name: str = "bn", **keywords: Any) -> Any:
    return L.BatchNormalization(name=name, **keywords)


def dense(units: int = 4, name: str = "fc", **keywords: Any) -> Any:
    return L.Dense(units, name=name, **{"bias_initializer": "random_normal"} | keywords)


def conv(filters: int = 3, **keywords: Any) -> Any:
    return L.Conv2D(filters, 3, name="conv", **{"bias_initializer": "random_normal"} | keywords)


def tt(name: str = "fc", **keywords: Any) -> Any:
    keywords = {"bias_initializer": "random_normal"} | keywords
    return TTDense((2, 3), (2, 2), (1, 2, 1), name=name, **keywords)


def norm(**keywords: Any) -> Any:
    layer = L.Normalization(name="norm", **keywords)
    if "mean" not in keywords:
        layer.adapt(RANDOM.normal(3, 5, (50, 6)))
    return layer


def branching(build: Callable[[Any], Any], *shape: int) -> keras.Model:
    inputs = keras.Input(shape or (6,), name="x")
    return keras.Model(inputs, build(inputs))


def output_and_more(x: Any) -> Any:
    """The tensor between dense layer and normalisation is an output itself."""
    hidden = dense()(x)
    return [bn()(hidden), hidden]


def read_twice(x: Any) -> Any:
    hidden = dense()(x)
    return L.Add(name="add")([bn()(hidden), hidden])


def normalised_for_two(x: Any) -> Any:
    hidden = bn()(x)
    return L.Concatenate(name="join")([dense(3, "left")(hidden), dense(2, "right")(hidden)])


def shared(x: Any) -> Any:
    fc = dense(6)
    return fc(bn()(fc(x)))


def shared_normalisation(x: Any) -> Any:
    fc, norm = dense(6), bn()
    return norm(fc(norm(x)))


def residual(x: Any) -> Any:
    hidden = L.ReLU(name="relu")(bn("bn1")(dense(6, "fc1")(x)))
    return L.Activation("relu", name="end")(L.Add(name="add")([x, bn("bn2")(dense(6, "fc2")(hidden))]))


def nested(x: Any) -> Any:
    inner = chain((6,), bn(), dense(), L.Dropout(0.5), L.ReLU(name="relu"))
    inner.name = "inner"
    return bn("last")(inner(x))


def activated_for_two(x: Any) -> Any:
    hidden = dense()(x)
    return L.Add(name="add")([L.ReLU(name="relu")(hidden), hidden])


def recurrent(x: Any) -> Any:
    return L.ReLU(name="relu")(L.SimpleRNN(3, activation="linear", name="rnn")(x))


class Halved(L.Dense):
    """A Dense that is none."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        return super().call(inputs) / 2 + 1


class Gated(L.Layer):
    """Calls its activation in the middle of its work."""

    def __init__(self, activation: Any = "linear", **keywords: Any) -> None:
        super().__init__(**keywords)
        self.activation = keras.activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs) - 1

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


ZOO: dict[str, tuple[Callable[[], keras.Model], list[str]]] = {
    "dense, bn": (lambda: chain((6,), dense(), bn()), ["fc"]),
    "dense without bias, bn": (lambda: chain((6,), dense(use_bias=False), bn()), ["fc"]),
    "dense, bn, relu": (lambda: chain((6,), dense(), bn(), L.ReLU(name="relu")), ["fc"]),
    "dense, relu, bn": (lambda: chain((6,), dense(activation="relu"), bn()), ["fc", "bn"]),
    "dense, relu, bn, dense": (lambda: chain((6,), dense(activation="relu"), bn(), dense(3, "out")), ["fc", "out"]),
    "bn, dense": (lambda: chain((6,), bn(), dense()), ["fc"]),
    "bn, bn, dense, bn, bn": (
        lambda: chain((6,), bn(), bn("b"), dense(), bn("c"), bn("d", scale=False, center=False)),
        ["fc"],
    ),
    "bn, dense without bias": (lambda: chain((6,), bn(), dense(use_bias=False)), ["fc"]),
    "bn alone": (lambda: chain((6,), bn()), ["bn"]),
    "bn, relu": (lambda: chain((6,), bn(), L.ReLU(name="relu")), ["bn"]),
    "dense on three axes, bn": (lambda: chain((5, 6), dense(), bn()), ["fc"]),
    "dense on three axes, bn on the middle one": (lambda: chain((5, 6), dense(), bn(axis=1)), ["fc", "bn"]),
    "bn, dense on three axes": (lambda: chain((5, 6), bn(), dense()), ["fc"]),
    "conv, bn, relu": (lambda: chain((6, 5, 2), conv(), bn(), L.ReLU(name="relu")), ["conv"]),
    "conv without bias, bn": (lambda: chain((6, 5, 2), conv(use_bias=False, strides=2), bn()), ["conv"]),
    "grouped conv, bn": (lambda: chain((6, 5, 4), conv(6, groups=2), bn()), ["conv"]),
    "conv, bn on an image axis": (lambda: chain((6, 5, 2), conv(), bn(axis=1)), ["conv", "bn"]),
    "bn, padded conv": (lambda: chain((6, 5, 2), bn(), conv(padding="same")), ["bn", "conv"]),
    "conv of one dimension, bn": (lambda: chain((7, 2), L.Conv1D(3, 3, name="conv"), bn()), ["conv"]),
    "depthwise, bn": (
        lambda: chain((6, 5, 2), L.DepthwiseConv2D(3, depth_multiplier=3, name="conv"), bn(), L.ReLU()),
        ["conv"],
    ),
    "separable, bn": (lambda: chain((6, 5, 2), L.SeparableConv2D(3, 3, name="conv"), bn()), ["conv"]),
    "transposed, bn": (lambda: chain((6, 5, 2), L.Conv2DTranspose(3, 3, name="conv"), bn()), ["conv"]),
    "conv, bn, pool, flatten, dense": (
        lambda: chain((6, 5, 2), conv(), bn(), L.MaxPooling2D(name="pool"), L.Flatten(name="flat"), dense()),
        ["conv", "pool", "flat", "fc"],
    ),
    "scaled image, conv": (lambda: chain((6, 5, 2), L.Rescaling(0.25, name="scale"), conv()), ["conv"]),
    "scaled image, padded conv": (lambda: chain((6, 5, 2), L.Rescaling(0.25), conv(padding="same")), ["conv"]),
    "shifted image, conv": (
        lambda: chain((6, 5, 2), L.Rescaling(0.25, -1.0, name="scale"), conv()),
        ["scale", "conv"],
    ),
    "scaled image, flatten, dense": (
        lambda: chain((3, 2), L.Rescaling(0.25), L.Flatten(name="flat"), dense()),
        ["flat", "fc"],
    ),
    "scaled image, reshape, tt": (
        lambda: chain((3, 2), L.Rescaling(0.25), L.Reshape((6,), name="flat"), tt()),
        ["flat", "fc"],
    ),
    "shifted, dense": (lambda: chain((6,), L.Rescaling(0.25, -1.0), dense()), ["fc"]),
    "bytes, dense": (lambda: chain((6,), L.Rescaling(1 / 255), dense(), dtype="uint8"), ["rescaling", "fc"]),
    "bytes, shifted, conv": (
        lambda: chain((6, 5, 2), L.Rescaling(1 / 127.5, -1, name="scale"), conv(), dtype="uint8"),
        ["scale", "conv"],
    ),
    "scaled there and back, flatten": (
        lambda: chain((3, 2), L.Rescaling(2.0), L.Rescaling(0.5), L.Flatten(name="flat"), dense()),
        ["flat", "fc"],
    ),
    "a scale for each channel": (
        lambda: chain((6, 5, 2), L.Rescaling([0.5, 2.0], [0.0, 1.0], name="scale"), conv()),
        ["scale", "conv"],
    ),
    "normalised, dense": (lambda: chain((6,), norm(), dense()), ["fc"]),
    "normalised by given numbers, dense": (lambda: chain((6,), norm(mean=3.0, variance=4.0), dense()), ["fc"]),
    "normalised as a whole, flatten": (
        lambda: chain((3, 2), norm(axis=None, mean=0.0, variance=4.0), L.Flatten(name="flat"), dense()),
        ["flat", "fc"],
    ),
    "one channel without a shift, flatten": (
        lambda: chain((6, 1), bn(center=False), L.Flatten(name="flat"), dense()),
        ["flat", "fc"],
    ),
    "dropout and its kind": (
        lambda: chain(
            (4, 6), L.SpatialDropout1D(0.5), L.GaussianNoise(1.0), L.GaussianDropout(0.5), L.AlphaDropout(0.5),
            L.Flatten(name="flat"), L.Dropout(0.5), L.ActivityRegularization(1.0), L.Identity(), dense(),
            L.Dropout(0.5),
        ),
        ["flat", "fc"],
    ),
    "clipped relu": (lambda: chain((6,), dense(), L.ReLU(6.0, name="relu")), ["fc"]),
    "leaky relu": (lambda: chain((6,), dense(), L.ReLU(negative_slope=0.1, name="relu")), ["fc"]),
    "an activation layer": (lambda: chain((6,), dense(), L.Activation("tanh", name="act")), ["fc"]),
    "two activation layers": (
        lambda: chain((6,), dense(), L.Activation("relu", name="a"), L.Activation("tanh", name="b")),
        ["fc", "b"],
    ),
    "softmax as an activation": (lambda: chain((6,), dense(), L.Activation("softmax", name="act")), ["fc"]),
    "softmax as a layer": (lambda: chain((6,), dense(), L.Softmax(name="soft")), ["fc", "soft"]),
    "a zero bias": (lambda: chain((6,), dense(bias_initializer="zeros")), ["fc"]),
    "tt, bn": (lambda: chain((6,), tt(), bn()), ["fc", "bn"]),
    "tt without bias, bn": (lambda: chain((6,), tt(use_bias=False), bn()), ["fc", "bn"]),
    "tt, bn, relu, tt": (
        lambda: chain((6,), tt(), bn(), L.ReLU(), dense(6, "mid"), tt("out")),
        ["fc", "bn", "mid", "out"],
    ),
    "bn, tt": (lambda: chain((6,), bn(), tt()), ["bn", "fc"]),
    "tt, relu": (lambda: chain((6,), tt(), L.ReLU(name="relu")), ["fc"]),
    "an output before bn": (lambda: branching(output_and_more), ["fc", "bn"]),
    "read beside bn": (lambda: branching(read_twice), ["fc", "bn", "add"]),
    "bn for two": (lambda: branching(normalised_for_two), ["bn", "left", "right", "join"]),
    "a shared dense": (lambda: branching(shared), ["fc", "bn", "fc"]),
    "a shared bn": (lambda: branching(shared_normalisation), ["fc"]),
    "relu for one of two": (lambda: branching(activated_for_two), ["fc", "relu", "add"]),
    "residual": (lambda: branching(residual), ["fc1", "fc2", "add", "end"]),
    "nested": (lambda: branching(nested), ["inner/fc", "last"]),
    "operations": (lambda: branching(lambda x: dense()(x * 2 + 1) - 0.5), ["fc"]),
    "a recurrent layer is no product": (lambda: branching(recurrent, 4, 3), ["rnn", "relu"]),
    "a kind of dense of its own": (lambda: chain((6,), Halved(4, name="fc"), bn()), ["fc", "bn"]),
    "a layer with an activation inside": (
        lambda: chain((6,), Gated(name="gate"), L.ReLU(name="relu")),
        ["gate", "relu"],
    ),
}  # fmt: skip


def shaken(model: keras.Model) -> keras.Model:
    """Random statistics, scales and shifts in every batch normalisation."""
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, L.BatchNormalization):
            for weight in layer.weights:
                low = -1.0 if weight.name in ("beta", "moving_mean") else 0.3
                weight.assign(RANDOM.uniform(low, 2.0, weight.shape))
            if not layer.center:
                layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
    return model


def run(form: Trace, arrays: list[Any]) -> list[Any]:
    """The form's outputs, call by call, as any reader of it would compute them."""
    known = {id(spec): array for spec, array in zip(form.inputs.values(), arrays, strict=True)}

    def value(leaf: Any) -> Any:
        return known[id(leaf)] if isinstance(leaf, keras.KerasTensor) else leaf

    for call in form.calls:
        args, kwargs = keras.tree.map_structure(value, (call.args, dict(call.kwargs)))
        for spec, made in zip(call.writes, keras.tree.flatten(call.layer(*args, **kwargs)), strict=True):
            assert made.shape == spec.shape
            known[id(spec)] = made
    return [known[id(tensor)] for tensor in form.outputs.values()]


def samples(model: keras.Model, batch: int) -> Any:
    (tensor,) = model.inputs
    if tensor.dtype == "uint8":
        return RANDOM.integers(0, 256, (batch, *tensor.shape[1:])).astype(np.uint8)
    return RANDOM.normal(size=(batch, *tensor.shape[1:])).astype(np.float32)


def assert_same(model: keras.Model, form: Trace, batch: int) -> None:
    x = samples(model, batch)
    wanted = keras.tree.flatten(model(x, training=False))
    for mine, theirs in zip(run(form, [keras.ops.convert_to_tensor(x)]), wanted, strict=True):
        scale = float(np.abs(theirs).max())
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * max(scale, 1.0))  # a few float32 roundings


def folded(form: Trace) -> list[str]:
    """The paths of what is left; a train and its bias, or a cast and its scale, are neighbours of one path."""
    return [path for path, _ in itertools.groupby(call.path for call in form.calls)]


@pytest.mark.parametrize("name", ZOO)
def test_the_form_gives_what_the_model_gives_and_what_can_be_folded_is(name: str) -> None:
    build, remaining = ZOO[name]
    model = shaken(build())
    weights = model.get_weights()
    for batch in (1, 3):
        form = inference_form(model, batch)
        assert_same(model, form, batch)
        names = [path if "/" in path else path.rstrip("_0123456789") for path in folded(form)]
        assert names == remaining or folded(form) == remaining
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "name", ["dense, bn", "bn, dense", "bn, dense without bias", "nested", "residual", "shifted, dense"]
)
def test_nothing_is_folded_into_a_layer_that_will_be_a_train(name: str) -> None:
    model = shaken(ZOO[name][0]())
    every = frozenset(call.path for call in inference_form(model).calls if isinstance(call.layer, L.Dense))
    assert every
    form = inference_form(model, 2, every)
    assert_same(model, form, 2)
    kernels = {call.path: np.asarray(call.layer.kernel) for call in form.calls if isinstance(call.layer, L.Dense)}
    originals = {path: _layer(model, path) for path in every}
    for path, kernel in kernels.items():
        np.testing.assert_array_equal(kernel, originals[path].kernel)


def _layer(model: keras.Model, path: str) -> Any:
    for name in path.split("/"):
        model = model.get_layer(name)
    return model


SHAPE = TTShape((2, 3), (2, 3), (1, 4, 1))


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [dense(6), bn()],
        lambda: [dense(6, activation="relu"), bn()],
        lambda: [bn(), dense(6)],
        lambda: [L.Rescaling(0.25), dense(6), bn(), L.ReLU()],
        lambda: [L.Rescaling(0.25, 1.0), dense(6, use_bias=False), bn(), L.ReLU()],
        lambda: [dense(6, bias_initializer="zeros"), L.Activation("relu")],
        lambda: [dense(6, bias_initializer="zeros"), bn(center=False), dense(3, "out")],
    ],
)
def test_what_is_foretold_of_a_train_is_what_the_swapped_model_becomes(layers: Any) -> None:
    model = shaken(chain((6,), *layers()))
    foretold = inference_form(model, 1, frozenset({"fc"}))
    became = inference_form(replace(model, {"fc": SHAPE}), 1)
    assert folded(foretold) == folded(became)
    for before, after in zip(foretold.calls, became.calls, strict=True):
        assert type(before.layer) is type(after.layer) or isinstance(after.layer, Factored)
        assert getattr(before.layer, "use_bias", None) == getattr(after.layer, "use_bias", None)
        if isinstance(before.layer, Affine):
            assert (before.layer.scale is None, before.layer.shift is None) == (
                after.layer.scale is None,
                after.layer.shift is None,
            )


def test_a_bias_of_zeros_is_dropped() -> None:
    model = chain((6,), dense(bias_initializer="zeros"), dense(3, "out"))
    first, second = (call.layer for call in inference_form(model).calls)
    assert (first.use_bias, second.use_bias) == (False, True)


def test_a_shared_layer_without_its_zero_bias_stays_shared() -> None:
    fc = dense(6, bias_initializer="zeros")
    form = inference_form(branching(lambda x: fc(L.Activation("tanh")(fc(x)))))
    layers = [call.layer for call in form.calls if call.path == "fc"]
    assert layers[0] is layers[1] and not layers[0].use_bias


@pytest.mark.parametrize("change", ["quantised", "with a LoRA adapter"])
def test_layers_whose_weights_are_more_than_a_kernel_and_a_bias(change: str) -> None:
    model = shaken(chain((6,), dense(bias_initializer="zeros"), bn(), L.ReLU()))
    fc = model.get_layer("fc")
    if change == "quantised":
        fc.quantize("int8")
    else:
        fc.enable_lora(2)
        fc.lora_kernel_b.assign(RANDOM.normal(size=fc.lora_kernel_b.shape))
    assert_same(model, inference_form(model, 2), 2)


@pytest.mark.parametrize(
    "name", ["nested", "residual", "tt, bn", "a recurrent layer is no product", "an output before bn"]
)
def test_it_runs_as_a_graph(name: str) -> None:
    model = shaken(ZOO[name][0]())
    form = inference_form(model, 2)
    x = samples(model, 2)
    found = Servable(form).serve(x)
    for mine, theirs in zip(found.values(), keras.tree.flatten(model(x, training=False)), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


class TestAffine:
    def test_ones_and_zeros_cost_nothing(self) -> None:
        idle = Affine(np.ones(3), np.zeros(3), "idle")
        assert (idle.scale, idle.shift) == (None, None)
        x = np.ones((1, 3), np.float32)
        np.testing.assert_array_equal(idle(x), x)

    def test_scale_then_shift_then_activation(self) -> None:
        layer = Affine(np.array([2.0, 3.0]), np.array([-3.0, 1.0]), "affine", keras.activations.relu)
        np.testing.assert_array_equal(layer(np.ones((1, 2), np.float32)), [[0.0, 4.0]])

    def test_a_single_number_keeps_the_rank(self) -> None:
        assert Affine(np.full((1, 1, 1, 1), 2.0), None, "affine")(np.ones((1, 3), np.float32)).shape == (1, 3)
