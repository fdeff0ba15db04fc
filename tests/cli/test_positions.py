"""A small encoder, its layers met at every step of a sequence: explored, compressed and deployed, in both types."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.device import local
from tests.conftest import EASY, Answer

Call = Callable[..., Answer]
FEW = ("--limit", "2", "--epochs", "1", "--batch-size", "64", "--jobs", "0", *EASY)
STEPS, WIDE, DEEP = 8, 64, 32


@dataclass(frozen=True)
class Encoder:
    """Files of a model and of its data."""

    model: Path
    data: Path

    @property
    def arguments(self) -> tuple[object, ...]:
        return self.model, "--data", self.data, "--target", "cortex-a53"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    centres, arrays = random.normal(size=(4, STEPS, 16)), dict[str, Any]()
    for part, count in (("train", 240), ("test", 80)):
        y = np.arange(count) % 4
        x = (centres[y] + 1.5 * random.normal(size=(count, STEPS, 16))).astype(np.float32)
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    path = tmp_path_factory.mktemp("steps") / "steps.npz"
    np.savez(path, **arrays)
    return path


def saved(data: Path, normed: bool) -> Encoder:
    from edgett.model import ports  # first, so that TensorFlow loads in silence

    keras = ports.keras
    kit = keras.layers
    keras.utils.set_random_seed(1)
    entry = keras.Input((STEPS, 16), name="steps")
    x = kit.Dense(DEEP, activation="relu", name="embed")(entry)
    y = kit.LayerNormalization(name="norm")(x) if normed else x
    y = kit.Dense(DEEP, name="down")(kit.Dense(WIDE, activation="relu", name="up")(y))
    x = kit.Flatten()(kit.Add(name="around")([x, y]))
    model = keras.Model(entry, kit.Dense(4, activation="softmax", name="out")(x), name="encoder")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    with np.load(data) as arrays:
        model.fit(arrays["x_train"], arrays["y_train"], epochs=3, batch_size=32, verbose=0)
    path = data.with_name("normed.keras" if normed else "plain.keras")
    model.save(path)
    return Encoder(path, data)


@pytest.fixture(scope="module")
def plain(data: Path) -> Encoder:
    """Of operators that all have a rule."""
    return saved(data, normed=False)


@pytest.fixture(scope="module")
def normed(data: Path) -> Encoder:
    """With a layer normalisation, which has none."""
    return saved(data, normed=True)


@pytest.mark.parametrize("search", ["grid", "pareto"])
def test_every_position_counts(edgett: Call, plain: Encoder, search: str) -> None:
    options = ("--ranks", "2:4") if search == "grid" else ("--max-rank", "8")
    document = edgett("explore", plain.model, "--search", search, *options, "--json").document
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert {name: (layer["positions"], layer["flops"]) for name, layer in layers.items()} == {
        "embed": (STEPS, STEPS * (2 * 16 * DEEP + DEEP)),
        "up": (STEPS, STEPS * (2 * DEEP * WIDE + WIDE)),
        "down": (STEPS, STEPS * (2 * WIDE * DEEP + DEEP)),
        "out": (1, 2 * STEPS * DEEP * 4 + 4),
    }
    assert layers["up"]["excluded"] is None and layers["up"]["solutions"] > 0
    assert "32x64 at 8 positions" in edgett("explore", plain.model, "--search", search, *options).out


def test_a_bound_on_the_peak_is_one_on_all_positions(edgett: Call, plain: Encoder) -> None:
    for most, fits in ((2 * STEPS * WIDE, True), (2 * STEPS * WIDE // 2, False)):
        options = ("--search", "pareto", "--max-rank", "8", "--max-peak", most)
        document = edgett("explore", plain.model, *options, "--only-layer", "up", "--json").document
        (layer,) = (layer for layer in document["layers"] if layer["name"] == "up")
        peaks = [entry["peak_elements"] for entry in layer["front"]]
        assert bool(peaks) is fits and all(peak <= most for peak in peaks)


@pytest.mark.slow
def test_compressed_it_needs_no_edgett(edgett: Call, plain: Encoder, tmp_path: Path) -> None:
    answer = edgett("compress", *plain.arguments, *FEW, "--flops", "60 %", "--out", "run", "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    assert document["check"]["ok"] and document["check"]["artifacts"]
    for checked in document["check"]["artifacts"].values():
        assert checked["params"]["predicted"] == checked["params"]["found"] > 0
        assert checked["flops"]["predicted"] == checked["flops"]["found"] > 0
    picked = document["picks"]["recommended"]
    assert picked["flops"] <= 0.6 * document["baseline"]["flops"]
    files = {kind: tmp_path / "run" / entry["path"] for kind, entry in picked["artifacts"].items()}
    with np.load(plain.data) as arrays:
        x = arrays["x_test"]
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, keras, numpy as np\n"
        "model, x = keras.models.load_model(sys.argv[1]), np.load(sys.argv[2])\n"
        "np.save(sys.argv[3], model.predict(x, verbose=0))\n"
        "assert not any(name.split('.')[0] == 'edgett' for name in sys.modules)\n"
    )
    arguments = [files["keras"], tmp_path / "x.npy", tmp_path / "y.npy"]
    subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True, capture_output=True)
    (found,) = local.run(files["tflite"], {"steps": x}, 1).values()
    np.testing.assert_allclose(found, np.load(tmp_path / "y.npy"), atol=1e-5)


@pytest.mark.slow
def test_of_what_no_rule_counts_the_rest_is_checked_all_the_same(edgett: Call, normed: Encoder) -> None:
    options = ("--dtype", "int8", "--recover", "distill", "--search", "pareto", "--max-rank", "8", "--share", "0.1")
    answer = edgett("compress", *normed.arguments, *FEW, *options, "--out", "run", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["check"]["ok"]
    assert answer.document["picks"]["recommended"]["params"] < answer.document["baseline"]["params"]
    assert edgett("check", "run").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_deployed_as_it_is(edgett: Call, plain: Encoder, dtype: str) -> None:
    answer = edgett("deploy", *plain.arguments, "--dtype", dtype, *EASY, "--out", "run", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["check"]["ok"]
    for kind in ("c", "tflm"):
        assert edgett("export", "run", "--solution", "baseline", "--format", kind, "--out", kind).code == 0
