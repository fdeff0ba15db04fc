"""The RAM of a model in C is foretold: never less than it takes, and not much more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import pytest

from edgett.export import c
from edgett.forms.tt.order import Order
from edgett.graph.c_view import compiled_bytes
from edgett.graph.memory import live_bytes
from edgett.model.tt_dense import TTDense
from tests.export import exported as zoo
from tests.export import test_int8
from tests.export.exported import CASES

L = keras.layers
QUICK = ("tensor trains", "nested", "shared", "sequences")
WHOLE = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES if not CASES[name].partial
]


def foretold(model: keras.Model, dtype: str, path: Path) -> float:
    """Bytes foretold for each that is taken: static ones, and its caller's for inputs and outputs."""
    made = zoo.export(model, zoo.ONNX, 1, path) if dtype == "float32" else test_int8.export(model, path)
    source = c.generate(path, "net", "1.2")
    used = source.workspace_bytes + sum(port.bytes for port in (*source.inputs, *source.outputs))
    return compiled_bytes(made.predicted, 4 if dtype == "float32" else 1) / used


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", WHOLE)
def test_of_every_case(name: str, dtype: str, tmp_path: Path) -> None:
    assert 1 <= foretold(zoo.lively(CASES[name].build()), dtype, tmp_path / "model.onnx") <= 1.2


def pooled() -> keras.Model:
    inputs = keras.Input((12, 12, 2))
    x = L.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    x = L.Conv2D(8, 3, use_bias=False)(L.MaxPooling2D(2)(x))
    x = L.AveragePooling2D(2)(L.LeakyReLU(0.1)(L.BatchNormalization()(x)))
    return keras.Model(inputs, L.Dense(5, activation="softmax")(L.Flatten()(x)))


def residual() -> keras.Model:
    inputs = keras.Input((12, 12, 4))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, padding="same", use_bias=False)(x)))
    x = L.ReLU()(L.Add()([x, L.BatchNormalization()(L.Conv2D(8, 3, padding="same", use_bias=False)(y))]))
    y = L.Conv2D(12, 3, strides=2, padding="same", activation="relu")(x)
    x = L.Add()([L.Conv2D(12, 1, strides=2)(x), L.Conv2D(12, 3, padding="same")(y)])
    return keras.Model(inputs, L.Dense(4, activation="softmax")(L.GlobalAveragePooling2D()(x)))


def inception() -> keras.Model:
    inputs = keras.Input((12, 12, 4))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    wide = L.Conv2D(6, 3, padding="same", activation="relu")(L.Conv2D(4, 1, activation="relu")(x))
    pool = L.Conv2D(3, 1)(L.MaxPooling2D(3, 1, padding="same")(x))
    x = L.MaxPooling2D(2)(L.Concatenate()([L.Conv2D(4, 1, activation="relu")(x), wide, pool]))
    return keras.Model(inputs, L.Dense(4, activation="softmax")(L.Flatten()(x)))


def decoder() -> keras.Model:
    inputs = keras.Input((10,))
    x = L.Reshape((4, 4, 5))(L.Dense(80, activation="relu")(inputs))
    x = L.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    x = L.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(inputs, L.Conv2D(2, 3, padding="same", activation="tanh")(x))


def enlarging() -> keras.Model:
    inputs = keras.Input((4, 4, 6))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(L.UpSampling2D()(inputs))
    x = L.Conv2D(6, 3, padding="same", activation="relu")(L.UpSampling2D((2, 1))(x))
    return keras.Model(inputs, L.Conv2D(2, 1, activation="sigmoid")(x))


def exciting() -> keras.Model:
    inputs = keras.Input((8, 8, 8))
    x = L.Conv2D(8, 3, padding="same", activation="silu")(inputs)
    scale = L.Dense(8, activation="sigmoid")(L.Dense(4, activation="relu")(L.GlobalAveragePooling2D()(x)))
    x = L.Multiply()([x, L.Reshape((1, 1, 8))(scale)])
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(L.Conv2D(4, 3, strides=2)(x))))


def mobile() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    x = L.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(inputs)
    for filters, strides in ((16, 1), (16, 2), (24, 1)):
        x = L.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
        x = L.ReLU(6.0)(L.BatchNormalization()(x))
        x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(filters, 1, use_bias=False)(x)))
    return keras.Model(inputs, L.Dense(4, activation="softmax")(L.GlobalMaxPooling2D()(x)))


def bent() -> keras.Model:
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(16, 3, padding="same", activation="gelu")(inputs)
    x = L.Conv2D(16, 3, padding="same", activation="mish")(x)
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def towers() -> keras.Model:
    inputs = [keras.Input((40,)) for _ in range(3)]
    ends = []
    for x in inputs:
        for units in (200, 100, 20):
            x = L.Dense(units, activation="relu")(x)
        ends.append(x)
    return keras.Model(inputs, L.Dense(4)(L.Concatenate()(ends)))


def train(order: Order) -> keras.Model:
    inputs = keras.Input((16,))
    return keras.Model(inputs, L.Dense(3)(TTDense((4, 4), (8, 8), (1, 16, 1), order)(inputs)))


def positions() -> keras.Model:
    """A row of results that is read as rows."""
    inputs = keras.Input((12,))
    x = L.Reshape((16, 16))(L.Dense(256, use_bias=False)(inputs))
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(L.Dense(4)(x))))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(
    "build", [*(partial(train, order) for order in Order), positions], ids=[*(order.value for order in Order), "rows"]
)
def test_of_products_that_are_computed_together(build: Callable[[], keras.Model], dtype: str, tmp_path: Path) -> None:
    """Exactly, with no whole tensor between them."""
    keras.utils.set_random_seed(0)
    assert foretold(build(), dtype, tmp_path / "model.onnx") == 1
    assert "net_fused_" in c.generate(tmp_path / "model.onnx", "net", "1.2").code


def block() -> keras.Model:
    """Two 3x3 convolutions beside an image that is kept."""
    inputs = keras.Input((16, 16, 3))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    y = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = L.Add()([x, L.Conv2D(8, 3, padding="same")(y)])
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def groups() -> keras.Model:
    """Convolutions in groups, which write over nothing."""
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(8, 1, groups=2)(L.Conv2D(8, 3, padding="same", groups=4)(L.Conv2D(8, 3, padding="same")(inputs)))
    return keras.Model(inputs, L.Dense(2)(L.Flatten()(x)))


def pixels() -> keras.Model:
    """Convolutions of single pixels into more channels and fewer, and depthwise ones that make images smaller."""
    inputs = keras.Input((16, 16, 3))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    x = L.DepthwiseConv2D(3, padding="same")(L.Conv2D(16, 1, activation="relu")(x))
    x = L.DepthwiseConv2D(3, strides=2)(L.Conv2D(8, 1)(x))
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(
    ("build", "numbers"), [(block, 2 * 2048 + 3 * 16 * 8), (pixels, 4096 + 18 * 18), (groups, 1024)]
)
def test_of_images_that_are_written_over(
    build: Callable[[], keras.Model], numbers: int, dtype: str, tmp_path: Path
) -> None:
    """Exactly: two images and three rows, one image and a channel, two images; patches come on top."""
    keras.utils.set_random_seed(0)
    assert foretold(build(), dtype, tmp_path / "model.onnx") == 1
    width, patches = (4, 4 * 8 * 9) if dtype == "float32" else (1, 6 * 8 * 9)
    assert c.generate(tmp_path / "model.onnx", "net", "1.2").workspace_bytes <= width * numbers + patches + 4 * 16


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(
    "build",
    [pooled, residual, decoder]
    + [pytest.param(build, marks=pytest.mark.slow) for build in (inception, enlarging, exciting, mobile, bent)],
)
def test_of_the_usual_networks(build: Callable[[], keras.Model], dtype: str, tmp_path: Path) -> None:
    assert 1 <= foretold(zoo.lively(build()), dtype, tmp_path / "model.onnx") <= 1.2


ACTIVATIONS = (
    "linear relu relu6 leaky_relu elu selu gelu silu mish tanh sigmoid softplus softsign hard_sigmoid hard_silu "
    "exponential softmax log_softmax"
).split()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(
    "activation",
    [name if name in ("mish", "selu") else pytest.param(name, marks=pytest.mark.slow) for name in ACTIVATIONS],
)
def test_of_every_activation_inside_and_at_the_end(activation: str, dtype: str, tmp_path: Path) -> None:
    layers = [L.Dense(24, activation=activation), L.Dense(30, activation=activation)]
    model = zoo.lively(keras.Sequential([keras.Input((20,)), *layers]))
    assert 1 <= foretold(model, dtype, tmp_path / "model.onnx") <= 1.2


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", pytest.param("int8", marks=pytest.mark.slow)])
def test_branches_run_one_after_the_other(dtype: str, tmp_path: Path) -> None:
    """All three abreast, as Keras runs them, would keep 3 x 200 numbers alive at once."""
    path = tmp_path / "model.onnx"
    model = zoo.lively(towers())
    assert foretold(model, dtype, path) == 1
    source = c.generate(path, "net", "1.2")
    width = 4 if dtype == "float32" else 1
    assert source.workspace_bytes <= width * (200 + 100 + 2 * 20 + 4) + 4 * 16


@pytest.mark.parametrize("form", [zoo.ONNX, zoo.TFLITE], ids=lambda form: form.suffix)
def test_files_keep_that_order(form: zoo.Format, tmp_path: Path) -> None:
    made = zoo.export(zoo.lively(towers()), form, 1, tmp_path / f"model{form.suffix}")
    read = form.read(made.path, made.owners)
    assert list(dict.fromkeys(step.layer for step in read.steps)) == list(
        dict.fromkeys(step.layer for step in made.predicted.steps)
    )
    assert live_bytes(read) == live_bytes(made.predicted)
