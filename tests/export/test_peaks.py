"""The peak of convolutions, pools and activations: what is predicted is what the files have, in both formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from edgett.graph.memory import arena_bytes, live_bytes
from edgett.workflow import files
from edgett.workflow.files import Style

L = keras.layers
Build = Callable[[], keras.Model]


def chain(shape: tuple[int, ...], *layers: keras.layers.Layer) -> keras.Model:
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def residual() -> keras.Model:
    inputs = keras.Input((20, 24))
    first = L.Conv1D(24, 3, padding="same", activation="relu", name="a")(inputs)
    return keras.Model(inputs, L.Add()([first, L.Conv1D(24, 3, padding="same", name="b")(first)]))


def two_ends() -> keras.Model:
    inputs = keras.Input((20, 8))
    first = L.Conv1D(8, 3, padding="same", activation="relu", name="a")(inputs)
    return keras.Model(inputs, [L.Conv1D(4, 3, name="b")(first), first])


MODELS: dict[str, Build] = {
    "two of them": lambda: chain((20, 4), L.Conv1D(24, 3, activation="relu"), L.Conv1D(4, 3, activation="relu")),
    "then a pool": lambda: chain((20, 4), L.Conv1D(24, 3, padding="same", activation="relu"), L.MaxPooling1D(2)),
    "then twice as long": lambda: chain((20, 4), L.Conv1D(24, 3, activation="relu"), L.UpSampling1D(2)),
    "then a product": lambda: chain((20, 4), L.Conv1D(8, 3, activation="relu"), L.Flatten(), L.Dense(3)),
    "from rows": lambda: chain((160,), L.Reshape((20, 8)), L.Conv1D(8, 3, activation="relu"), L.Reshape((-1, 4))),
    "an activation between": lambda: chain((20, 4), L.Conv1D(24, 3, activation="tanh"), L.Conv1D(4, 3)),
    "normalised": lambda: chain((20, 4), L.Conv1D(24, 3), L.BatchNormalization(), L.ReLU(), L.MaxPooling1D(2)),
    "products of rows": lambda: chain((20, 8), L.Dense(24, activation="relu"), L.Dense(4)),
    "residual": residual,
    "two ends": two_ends,
}


def agrees(model: keras.Model, suffix: str, batch: int, folder: Path) -> None:
    for weight in model.weights:
        weight.assign(weight + 0.5)
    style = Style(batch)
    (path,) = files.write(model, style, folder / "model", (suffix,))
    found, predicted = files.read(model, path, batch), files.predicted(model, suffix, style)
    assert live_bytes(predicted) == live_bytes(found)
    assert arena_bytes(predicted) >= live_bytes(found)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())
def test_what_stands_behind_a_convolution_leaves_the_peak_right(build: Build, suffix: str, tmp_path: Path) -> None:
    agrees(build(), suffix, 1, tmp_path)


def test_reshapes_that_undo_each_other_are_foretold_to_go(tmp_path: Path) -> None:
    """Twice what the first makes would be alive with them: a model was refused for it."""
    model = chain((100, 50), L.Conv1D(200, 3, padding="same", activation="relu"), L.Conv1D(50, 3, activation="relu"))
    assert live_bytes(files.predicted(model, ".tflite", Style())) == 4 * (100 * 50 + 100 * 200)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize(("activation", "batch"), [("relu", 1), ("tanh", 3)])
@pytest.mark.parametrize(
    "options",
    [{}, {"padding": "same"}, {"padding": "causal"}, {"strides": 2}, {"strides": 2, "padding": "same"},
     {"dilation_rate": 2}, {"dilation_rate": 2, "padding": "same"}, {"dilation_rate": 2, "padding": "causal"}],
    ids=str,
)  # fmt: skip
def test_every_way_to_convolve_a_sequence(
    options: dict[str, object], activation: str, batch: int, suffix: str, tmp_path: Path
) -> None:
    first = L.Conv1D(24, 3, activation=activation, **options)
    agrees(chain((20, 4), first, L.Conv1D(4, 3, activation=activation)), suffix, batch, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize(("activation", "batch"), [("relu", 1), ("tanh", 3)])
@pytest.mark.parametrize("kind", [L.Conv2D, L.DepthwiseConv2D, L.SeparableConv2D, L.Conv2DTranspose])
@pytest.mark.parametrize(
    "options", [{}, {"padding": "same"}, {"strides": 2}, {"strides": 2, "padding": "same"}], ids=str
)
def test_every_way_to_convolve_an_image(
    options: dict[str, object], kind: type, activation: str, batch: int, suffix: str, tmp_path: Path
) -> None:
    sizes = (3,) if kind is L.DepthwiseConv2D else (6, 3)
    agrees(chain((9, 8, 4), kind(*sizes, activation=activation, **options)), suffix, batch, tmp_path)
