"""Models that meet every rule of the export, and what becomes of them. As a program: writes one of them to a folder."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgett.export import onnx, tflite
from edgett.export.owners import Owners
from edgett.forms.operators import Moves
from edgett.forms.tt.order import Order
from edgett.graph.graph import Graph
from edgett.model import ports
from edgett.model.inference import inference_form
from edgett.model.predict import predict
from edgett.model.servable import Servable
from edgett.model.tt_dense import TTDense

L = keras.layers
FIRST, LAST = Order.FIRST_LAST, Order.LAST_FIRST


@dataclass(frozen=True)
class Case:
    """A model, and what its TT layers must look like in a file: the cores of each, batch apart."""

    build: Callable[[], keras.Model]
    cores: dict[str, int]
    partial: frozenset[str] = frozenset()


def tensor_trains() -> keras.Model:
    inputs = keras.Input((24,), name="my-input")
    x = TTDense((4, 6), (5, 4), (1, 3, 1), activation="relu", name="fc.1-a>b")(inputs)
    x = L.BatchNormalization(name="norm")(x)
    x = TTDense((2, 5, 2), (3, 4, 2), (1, 2, 3, 1), FIRST, activation="tanh", name="tt3")(x)
    x = TTDense((2, 3, 2, 2), (2, 2, 3, 1), (1, 2, 3, 2, 1), use_bias=False, activation="gelu", name="tt4")(x)
    x = TTDense((4, 3), (2, 5), (1, 2, 1), FIRST, activation="silu", name="tt2")(x)
    x = TTDense((2, 5), (3, 4), (1, 2, 1), use_bias=False, name="bare")(x)
    x = L.BatchNormalization(name="late")(x)
    x = L.ReLU(name="relu")(x)
    return keras.Model(inputs, TTDense((4, 3), (2, 2), (1, 2, 1), activation="softmax", name="out")(x))


def images() -> keras.Model:
    inputs = keras.Input((13, 11, 3), name="image")
    x = L.Rescaling(1 / 255.0)(inputs)
    x = L.Conv2D(6, 3, strides=2, padding="same")(x)
    x = L.ReLU()(L.BatchNormalization()(x))
    x = L.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = L.SeparableConv2D(5, 3, depth_multiplier=2, activation="tanh", padding="same")(x)
    x = L.ReLU()(L.Add()([x, L.Conv2D(5, 1, use_bias=False)(x)]))
    x = L.MaxPooling2D(2)(L.ZeroPadding2D(1)(x))
    x = L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")(x)
    x = L.Conv2D(4, 3, dilation_rate=2, padding="same", activation="hard_silu")(L.UpSampling2D()(x))
    x = L.GlobalAveragePooling2D()(L.Concatenate()([x, x]))
    return keras.Model(inputs, L.Dense(7, name="logits")(x))


def sequences() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((16, 3)),
            L.Conv1D(4, 3, padding="same", activation="relu"),
            L.Conv1D(4, 3, padding="causal"),
            L.AveragePooling1D(2),
            L.BatchNormalization(),
            L.Dense(5, activation="relu"),
            L.Flatten(),
            L.Dense(3, activation="softmax", name="out"),
        ]
    )


def shared() -> keras.Model:
    a, b = keras.Input((12,), name="a"), keras.Input((12,), name="b.x")
    dense = L.Dense(8, activation="relu", name="dense")
    train = TTDense((2, 4), (4, 3), (1, 2, 1), name="0train", activation="relu")
    x, y = train(dense(a)), train(dense(b))
    difference, product = L.Subtract()([x, y]), L.Multiply(name="product")([x, y])
    classes = L.Dense(3, name="classes")(L.Concatenate()([difference, product]))
    return keras.Model([a, b], [classes, L.Dense(1, activation="sigmoid", name="score")(difference), product])


def named() -> keras.Model:
    """A dict in and out; an inner tensor, the input and a mere view among the outputs."""
    inputs = keras.Input((6,), name="in.one")
    hidden = L.Dense(5, activation="relu", name="activation")(inputs)
    result = L.Dense(4, name="o")(hidden)
    outputs = {
        "o/1 é": result,
        "h": hidden,
        "flat": L.Flatten(name="f")(L.Dense(3, name="e")(hidden)),
        "same": L.Dropout(0.5, name="drop")(inputs),
    }
    return keras.Model({"in.one": inputs}, outputs)


def nested() -> keras.Model:
    layers = [L.Dense(6, activation="relu", name="d"), L.Dropout(0.5), TTDense((2, 3), (2, 2), (1, 2, 1), name="t")]
    encoder = keras.Sequential([keras.Input((8,)), *layers], name="encoder")
    inputs = keras.Input((8,), name="x")
    x = encoder(inputs) + encoder(L.Dense(8, activation="mish", name="turn")(inputs))
    x = keras.ops.mean(keras.ops.reshape(keras.ops.relu(x), (-1, 2, 2)), axis=1)
    x = L.Add()([L.Dense(2, use_bias=False, name="skip")(x), x])
    return keras.Model(inputs, L.Activation("selu", name="end")(x))


def twins() -> keras.Model:
    """Two layers that begin with the same steps, of which converters keep one."""
    inputs = keras.Input((6,), name="x")
    x = L.Dense(24, activation="relu", name="d")(inputs)
    hour, minute = (TTDense((4, 6), (5, 4), (1, 3, 1), FIRST, name=name)(x) for name in ("hour", "minute"))
    return keras.Model(inputs, [L.Dense(3, name="a")(minute), L.Dense(2, name="b")(hour)])


def positions() -> keras.Model:
    """Products at every step of a sequence, of one length throughout: a feed-forward network with a way around it."""
    inputs = keras.Input((8, 16), name="steps")
    x = L.Dense(16, activation="relu", name="first")(inputs)
    wide = TTDense((4, 4), (8, 4), (1, 3, 1), activation="relu", name="wide")(x)
    narrow = TTDense((4, 2, 4), (2, 2, 4), (1, 2, 3, 1), FIRST, name="narrow")(wide)
    x = L.ReLU()(L.Add(name="around")([x, narrow]))
    x = L.BatchNormalization()(TTDense((4, 4), (2, 4), (1, 3, 1), use_bias=False, name="bare")(x))
    x = L.Dense(6, name="last")(TTDense((2, 4), (3, 4), (1, 2, 1), activation="tanh", name="late")(x))
    return keras.Model(inputs, L.Dense(3, activation="softmax", name="out")(L.Flatten()(x)))


def pixels() -> keras.Model:
    """Products at every pixel of an image."""
    inputs = keras.Input((6, 5, 3), name="image")
    x = L.Conv2D(12, 3, padding="same", activation="relu", name="conv")(inputs)
    x = TTDense((3, 4), (4, 5), (1, 3, 1), activation="relu", name="wide")(x)
    x = L.MaxPooling2D(2)(L.Dense(8, activation="tanh", name="narrow")(x))
    x = TTDense((2, 2, 2), (3, 1, 2), (1, 2, 2, 1), name="tt3")(x)
    return keras.Model(inputs, [L.Dense(2, name="each")(x), L.Dense(3, name="all")(L.Flatten()(x))])


def unruled() -> keras.Model:
    words = keras.Input((5,), dtype="int32", name="words")
    x = L.Embedding(9, 4, name="embedding")(words)
    x = L.LSTM(3, name="lstm")(L.LayerNormalization(name="norm")(L.Dense(4, name="d")(x)))
    return keras.Model(words, L.Dense(3, name="out")(x))


CASES = {
    "tensor trains": Case(tensor_trains, {"fc.1-a>b": 2, "tt3": 3, "tt4": 4, "tt2": 2, "bare": 2, "out": 2}),
    "images": Case(images, {}),
    "sequences": Case(sequences, {}),
    "shared": Case(shared, {"0train": 4}),
    "named": Case(named, {}),
    "nested": Case(nested, {"encoder/t": 4}),
    "positions": Case(positions, {"wide": 2, "narrow": 3, "bare": 2, "late": 2}),
    "pixels": Case(pixels, {"wide": 2, "tt3": 3}),
    "unruled": Case(unruled, {}, frozenset({"embedding", "norm", "lstm"})),
}


@dataclass(frozen=True)
class Format:
    """One file format: how to write and read it, and whether biases ride on their products there."""

    suffix: str
    fused: bool
    write: Callable[[Servable, Owners, Path], None]
    read: Callable[[Path, Owners], Graph]
    product: str


TFLITE = Format(".tflite", True, lambda model, _, path: tflite.write(model, path), tflite.read, "FULLY_CONNECTED")
ONNX = Format(".onnx", False, onnx.write, onnx.read, "MatMul")


@dataclass(frozen=True)
class Exported:
    """A model, its prediction, and the file."""

    model: keras.Model
    predicted: Graph
    owners: Owners
    path: Path
    batch: int

    def samples(self, count: int) -> dict[str, np.ndarray]:
        """Inputs by name."""
        numbers = np.random.default_rng(3)
        return {
            port.name: (numbers.integers(0, 9, (count, *port.shape)) if "int" in port.dtype
                        else numbers.normal(size=(count, *port.shape))).astype(port.dtype)
            for port in ports.input_ports(self.model)
        }  # fmt: skip

    def reference(self, samples: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Keras's outputs by name."""
        return ports.by_output(self.model, self.model.predict(ports.feed(self.model, samples), verbose=0))


def export(model: keras.Model, form: Format, batch: int, path: Path) -> Exported:
    """Predict and write a model."""
    calls = inference_form(model, batch)
    servable = Servable(calls, Moves.RUNS if form is TFLITE else Moves.NUMBERS)
    owners = Owners(servable.paths, frozenset(predict(calls, batch).layers), servable.producers)
    form.write(servable, owners, path)
    return Exported(model, predict(calls, batch, fused=form.fused), owners, path, batch)


def lively(model: keras.Model) -> keras.Model:
    """The model with weights as if it had been trained: no zeros, no ones. The same ones each time."""
    numbers = np.random.default_rng(1)
    for weight in model.weights:
        if "float" in weight.dtype:
            drawn = numbers.normal(size=weight.shape) * 0.4
            weight.assign(np.abs(drawn) + 0.5 if "variance" in weight.name else drawn)
    return model


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="exported-")


@functools.cache
def exported(name: str, suffix: str, batch: int) -> Exported:
    """A case, exported once for all tests."""
    form: Any = TFLITE if suffix == ".tflite" else ONNX
    path = Path(folder().name) / f"{name.replace(' ', '_')}-{batch}{suffix}"
    return export(lively(CASES[name].build()), form, batch, path)


def fresh(name: str) -> keras.Model:
    """A case as a process builds it that has built nothing before."""
    keras.utils.clear_session()
    return lively(CASES[name].build())


COMPARED = ("tensor trains", "images", "sequences")

if __name__ == "__main__":
    for case in COMPARED:
        for wanted in (TFLITE, ONNX):
            export(fresh(case), wanted, 1, Path(sys.argv[1]) / f"{case}{wanted.suffix}")
