"""An inference form that computes as its int8 file does."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device import local
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.svd import SVDShape
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window
from edgett.model.inference import inference_form
from edgett.model.layers import replace, substituted
from edgett.model.unfolded import give_back
from edgett.train.emulation import Emulation
from edgett.train.storage import ONNX, TFLITE, Scheme
from edgett.workflow.files import Style, batches, write

_L = keras.layers
SCHEMES = {".tflite": TFLITE, ".onnx": ONNX}


def network(*, average: bool = True) -> keras.Model:
    """Convolutions, a branch that is added, pools, and dense layers in forms."""
    keras.utils.set_random_seed(1)
    wide = keras.initializers.RandomNormal(stddev=0.5)
    entry = keras.Input((12, 12, 3), name="image")
    x = _L.Conv2D(8, 3, padding="same", name="first")(_L.Rescaling(1 / 255)(entry))
    x = _L.ReLU()(_L.BatchNormalization()(x))
    y = _L.Conv2D(8, 3, padding="same", name="held", activation="relu")(x)
    x = _L.ReLU()(_L.Add()([x, _L.Conv2D(8, 1, name="side")(y)]))
    x = _L.MaxPooling2D(2)(_L.DepthwiseConv2D(3, padding="same", name="deep")(x))
    x = (_L.AveragePooling2D if average else _L.MaxPooling2D)(2)(x)
    x = _L.Dense(24, activation="relu", name="train", bias_initializer=wide)(_L.Flatten()(x))
    x = _L.Dense(16, activation="tanh", name="factored", bias_initializer=wide)(x)
    model = keras.Model(entry, _L.Dense(5, name="last")(x))
    edits = {
        "held": SpatialSVD(Window((3, 3), (12, 12)), 8, 8, 6),
        "train": TTShape((8, 9), (6, 4), (1, 5, 1)),
        "factored": SVDShape(24, 16, 7),
    }
    return replace(model, edits)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (200, 12, 12, 3)).astype(np.float32)


@pytest.mark.parametrize("suffix", SCHEMES)
def test_a_file_puts_out_what_is_emulated(suffix: str, images: np.ndarray, tmp_path: Path) -> None:
    """With weights that are multiples of their scales no rounding is left to the converter.

    ONNX Runtime divides in float32 what it averages, so that nobody knows where ties go.
    """
    model, calibration = network(average=suffix == ".tflite"), batches({"image": images[:100]}, 1)
    first = Emulation(inference_form(model), SCHEMES[suffix])
    snapped = substituted(model, {})
    give_back(snapped, first.stored())
    emulation = Emulation(inference_form(snapped), SCHEMES[suffix])
    emulation.calibrate(calibration)
    (path,) = write(snapped, Style(1, calibration), tmp_path / "model", (suffix,))
    found = local.run(path, {"image": images[100:]}, 1)["last"]
    emulated = np.asarray(emulation({"image": images[100:]})["last"])
    exact = np.asarray(snapped(images[100:]))
    noise = np.linalg.norm(found - exact)
    assert np.linalg.norm(found - emulated) < 0.3 * noise, "most of what int8 adds is foretold"
    assert noise > 1e-3 * np.linalg.norm(exact)


def test_weights_that_are_stored_stay_so(images: np.ndarray) -> None:
    model = network()
    emulation = Emulation(inference_form(model), TFLITE)
    give_back(model, emulation.stored())
    again = Emulation(inference_form(model), TFLITE).stored()
    for mine, theirs in zip(again, emulation.stored(), strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * max(np.abs(other).max(), 0.1))


def test_fewer_bits_of_a_weight_are_coarser(images: np.ndarray) -> None:
    model, calibration = network(), batches({"image": images[:50]}, 1)
    exact, errors = np.asarray(model(images)), []
    for bits in (8, 4):
        emulation = Emulation(inference_form(model), Scheme(True, False, {}, bits=bits))
        emulation.calibrate(calibration)
        errors.append(np.linalg.norm(np.asarray(emulation({"image": images})["last"]) - exact))
    assert errors[1] > 2 * errors[0] > 0


def test_a_frozen_layer_is_stored_and_not_trained() -> None:
    model = network()
    every = len(Emulation(inference_form(model), TFLITE).weights)
    model.get_layer("last").trainable = False
    emulation = Emulation(inference_form(model), TFLITE)
    assert len(emulation.weights) == every - 1, "its kernel; a bias of zeros is none of the form"
    give_back(model, emulation.stored())


def test_the_model_it_is_of_stays_as_it_is(images: np.ndarray) -> None:
    model = network()
    before = model.get_weights()
    emulation = Emulation(inference_form(model), ONNX)
    for weight in emulation.weights:
        weight.assign(weight + 1)
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
