"""Models that Keras runs, of whose files the cross-check has nothing to say: unusual layers, names, types of number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.model import ports
from edgett.model.tt_dense import TTDense
from edgett.workflow.files import Style, batches, check, write

L = keras.layers


def chain(*layers: Any, shape: tuple[int, ...] = (12,), dtype: str = "float32") -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype, name="x"), *layers, L.Dense(3, name="end")])


def outputs_of_one_name() -> keras.Model:
    inputs = keras.Input((12,), name="x")
    hidden = L.Dense(8, activation="relu", name="h")(inputs)
    return keras.Model(inputs, {"y": L.Dense(3, name="a")(hidden), "Y": L.Dense(4, name="A")(hidden)})


def dense(name: str = "fc", **more: Any) -> Any:
    return L.Dense(8, name=name, **more)


def train() -> Any:
    return TTDense((3, 4), (2, 4), (1, 2, 1), activation="relu", name="tt")


CASES: dict[str, Callable[[], keras.Model]] = {
    "layers that differ in case": lambda: chain(dense(activation="relu"), dense("FC", activation="relu")),
    "outputs that differ in case": outputs_of_one_name,
    "dense after dense": lambda: chain(dense(), dense("next")),
    "dense after dense, in rows": lambda: chain(dense(), dense("next"), shape=(4, 12)),
    "dense after dense, in TT form": lambda: chain(train(), dense("next")),
    "TT layers behind each other": lambda: chain(
        TTDense((3, 4), (2, 4), (1, 2, 1), use_bias=False, name="tt"),
        TTDense((2, 4), (3, 4), (1, 4, 1), "first_last", use_bias=False, name="second"),
        L.Reshape((3, 4), name="r"),
        L.Flatten(),
    ),
    "products of pixels": lambda: chain(
        L.Conv2D(4, 3, activation="relu"), dense(activation="relu"), dense("next"), L.Flatten(), shape=(6, 6, 3)
    ),
    "factors of one": lambda: chain(
        TTDense((12, 1), (1, 8), (1, 3, 1), activation="tanh", name="tt"),
        TTDense((1, 8), (6, 1), (1, 2, 1), "first_last", name="second"),
    ),
    "RMS normalisation": lambda: chain(dense(activation="relu"), L.RMSNormalization(name="n"), dense("next")),
    "RMS normalisation of a sum": lambda: chain(dense(), L.RMSNormalization(name="n"), dense("b", activation="relu")),
    "a product by Einstein": lambda: chain(
        dense(), L.EinsumDense("ab,bc->ac", output_shape=6, bias_axes="c", activation="relu", name="n"), dense("next")
    ),
    "a product of rows by Einstein": lambda: chain(
        dense(activation="relu"), L.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d", name="n"), shape=(4, 12)
    ),
    "spectral normalisation": lambda: chain(dense(), L.SpectralNormalization(L.Dense(6), name="n"), dense("next")),
    "a convolution in groups": lambda: chain(
        L.Conv2D(6, 3, groups=2, activation="relu", name="c"), L.Flatten(), shape=(8, 8, 4)
    ),
    "a sequence in groups": lambda: chain(
        L.Conv1D(6, 3, groups=2, padding="causal", strides=2, name="c"), L.Flatten(), shape=(8, 4)
    ),
    "normalisation inverted": lambda: chain(L.Normalization(mean=[1.0] * 12, variance=[4.0] * 12, invert=True)),
    "flipped bytes": lambda: chain(L.RandomFlip(), L.Conv2D(4, 3), L.Flatten(), shape=(6, 6, 3), dtype="uint8"),
    "bytes": lambda: chain(dense(activation="relu"), dtype="uint8"),
    "integers": lambda: chain(dense(activation="relu"), dtype="int32"),
    "bytes in TT form": lambda: chain(train(), dtype="uint8"),
    "scaled bytes": lambda: chain(
        L.Rescaling(1 / 255), L.Conv2D(4, 3), L.Flatten(), shape=(6, 6, 3), dtype="uint8"
    ),
}  # fmt: skip
PARTIAL = frozenset({"RMS normalisation", "RMS normalisation of a sum"})
INTEGERS = ("flipped bytes", "bytes", "integers", "bytes in TT form", "a convolution in groups")


def made(name: str) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """The model, every weight of which is another number, and samples of it."""
    keras.utils.set_random_seed(6)
    model, random = CASES[name](), np.random.default_rng(6)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.3 * random.normal(size=weight.shape))
    samples = {
        port.name: random.normal(size=(24, *port.shape)).astype(np.float32)
        if port.dtype == "float32"
        else random.integers(0, 9, (24, *port.shape)).astype(port.dtype)
        for port in ports.input_ports(model)
    }
    return model, samples


@pytest.mark.parametrize("suffix", [pytest.param(".tflite", marks=pytest.mark.slow), ".onnx"])
@pytest.mark.parametrize("name", CASES)
def test_in_float32(name: str, suffix: str, tmp_path: Path) -> None:
    model, samples = made(name)
    (path,) = write(model, Style(), tmp_path / "m", (suffix,))
    (found,) = check(model, samples, [Path(path.name)], tmp_path, Style()).values()
    assert found.ok and found.graph.mismatches == ()
    assert bool(found.graph.partial) == (name in PARTIAL)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("name", [name for name in CASES if "TT" in name or "factors" in name])
def test_in_batches(name: str, suffix: str, tmp_path: Path) -> None:
    model, samples = made(name)
    style = Style(4)
    (path,) = write(model, style, tmp_path / "m", (suffix,))
    (found,) = check(model, samples, [Path(path.name)], tmp_path, style).values()
    assert found.ok and found.graph.mismatches == found.graph.partial == ()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("name", INTEGERS)
def test_in_int8(name: str, suffix: str, tmp_path: Path) -> None:
    model, samples = made(name)
    style = Style(1, batches(samples, 1))
    (path,) = write(model, style, tmp_path / "m", (suffix,))
    (found,) = check(model, samples, [Path(path.name)], tmp_path, style).values()
    assert found.graph.mismatches == () and found.graph.partial == ()
    assert found.numerics.l2_relative < 0.05


def test_a_tensor_train_reads_integers_as_a_dense_layer_does() -> None:
    model, samples = made("bytes in TT form")
    exact = samples["x"].astype(np.float32)
    layer = model.get_layer("tt")
    np.testing.assert_allclose(model.predict(samples["x"], verbose=0), model.predict(exact, verbose=0), rtol=1e-6)
    assert layer(samples["x"], training=True).dtype == "float32"
