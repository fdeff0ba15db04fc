"""Convolutional networks from the command line: compressed, checked, packed, again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.conftest import Answer

L = keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network for pictures of two textures, trained for a moment, and its data."""
    place, random = tmp_path_factory.mktemp("convolutions"), np.random.default_rng(0)
    y = random.integers(0, 4, 1200)
    waves = np.sin(np.arange(12)[None, :, None] * (1 + y[:, None, None]) * 0.7 + random.uniform(0, 6, (1200, 1, 1)))
    x = (waves[..., None] * np.ones((1, 1, 12, 3)) + random.normal(size=(1200, 12, 12, 3)) * 0.7).astype(np.float32)
    body = [
        L.Conv2D(16, 3, padding="same", use_bias=False, name="first"), L.BatchNormalization(), L.ReLU(),
        L.Conv2D(24, 3, strides=2, padding="same", name="second"), L.ReLU(),
        L.SeparableConv2D(24, 3, padding="same", activation="relu", name="third"),
        L.GlobalAveragePooling2D(), L.Dense(4, "softmax", name="end"),
    ]  # fmt: skip
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12, 12, 3), name="x"), *body], name="waves")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:900], y[:900], epochs=4, batch_size=32, verbose=0)
    model.save(place / "waves.keras")
    np.savez(
        place / "waves.npz", x_train=x[:700], y_train=y[:700], x_val=x[700:900], y_val=y[700:900],
        x_test=x[900:], y_test=y[900:],
    )  # fmt: skip
    return place


def asked(folder: Path, out: Path, *more: str) -> tuple[str, ...]:
    model, data = str(folder / "waves.keras"), str(folder / "waves.npz")
    return (
        "compress", model, "--data", data, "--search", "pareto", "--share", "0", "--limit", "3", "--epochs", "1",
        "--jobs", "0", "--max-drop", "30", "--out", str(out), "--json", *more,
    )  # fmt: skip


@pytest.mark.parametrize(("target", "dtype"), [("cortex-m4", "int8"), ("host", "float32")])
@pytest.mark.slow
def test_is_compressed_and_all_that_follows(
    folder: Path, edgett: Callable[..., Answer], tmp_path: Path, target: str, dtype: str
) -> None:
    run = tmp_path / "run"
    told = edgett(*asked(folder, run, "--target", target, "--dtype", dtype)).document
    assert "error" not in told, told["error"]
    assert told["check"]["ok"] and len(told["trials"]) == 3
    held = [held for trial in told["trials"] for held in trial["edits"].values()]
    assert any("window" in each for each in held)
    pick: dict[str, Any] = told["picks"]["lowest_memory"]
    assert pick["params"] < told["baseline"]["params"] and pick["flops"] < told["baseline"]["flops"]
    bare = keras.models.load_model(run / "artifacts" / "recommended.keras")
    assert all(type(layer).__module__.startswith("keras.") for layer in bare.layers)
    assert edgett("check", str(run), "--json").document["ok"]
    number, more = str(told["trials"][0]["solution"]), str(tmp_path / "more")
    assert edgett("export", str(run), "--solution", number, "--format", "onnx", "--out", more).code == 0
    edgett("report", str(run), "--format", "md", "--out", str(tmp_path / "report.md"))
    assert "3x3x16x24\\@6x6" in (tmp_path / "report.md").read_text()


def test_is_explored_without_data(folder: Path, edgett: Callable[..., Answer]) -> None:
    told = edgett("explore", str(folder / "waves.keras"), "--search", "pareto", "--json").document
    layers = {layer["name"]: layer for layer in told["layers"]}
    assert layers["second"]["window"] == "3x3x16x24@6x6" and layers["third"]["window"] == "1x1x24x24@6x6"
    forms = {point["spec"]["form"] for point in layers["second"]["front"]}
    assert len(forms) > 1 and layers["second"]["undominated"] == len(layers["second"]["front"])
    assert "depthwise" not in told["layers"][0]
    plain = edgett("explore", str(folder / "waves.keras"), "--search", "grid", "--json").document
    kinds = {layer["name"]: layer.get("kind") for layer in plain["layers"]}
    assert kinds["second"] == "Conv2D" and kinds["end"] is None


def test_an_example_without_data_is_explored_as_it_begins(edgett: Callable[..., Answer]) -> None:
    asked = ("explore", "example:dscnn", "--search", "pareto", "--only-layer", "pointwise3", "--json")
    first = edgett(*asked)
    assert first.code == 0, first.err
    assert "example:dscnn has no data of its own, so it is not trained here" in first.err
    assert "x_train (n, 49, 10, 1)" in first.err
    layers = {layer["name"]: layer for layer in first.document["layers"]}
    assert layers["conv1"]["window"] == "10x4x1x64@25x5" and layers["pointwise3"]["window"] == "1x1x64x64@25x5"
    assert {point["spec"]["form"] for point in layers["pointwise3"]["front"]} == {"pointwise_svd"}
    assert layers["depthwise3"]["kind"] == "DepthwiseConv2D"
    assert edgett(*asked).document == first.document


@pytest.mark.slow
def test_convolutions_of_resnet8_have_forms(edgett: Callable[..., Answer]) -> None:
    asked = ("explore", "example:resnet8", "--search", "pareto", "--rank-multiple", "16", "--json")
    told = edgett(*asked, "--only-layer", "conv2_1", "--only-layer", "shortcut3").document
    layers = {layer["name"]: layer for layer in told["layers"] if "window" in layer}
    assert len(layers) == 9 and layers["shortcut4"]["window"] == "1x1x32x64@8x8"
    forms = {name: {point["spec"]["form"] for point in layer["front"]} for name, layer in layers.items()}
    assert forms["shortcut3"] == {"pointwise_svd"} and len(forms["conv2_1"]) > 1


@pytest.mark.slow
def test_words_are_compressed_for_a_microcontroller(edgett: Callable[..., Answer], tmp_path: Path) -> None:
    """Twelve tones under noise, in the place of recordings."""
    random, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 480), ("val", 240), ("test", 240)):
        y = np.arange(count) % 12
        phase, frames = random.uniform(0, 2 * np.pi, (count, 1)), np.arange(49)
        tones = np.sin(0.25 * (1 + y)[:, None] * frames + phase)[..., None, None]
        noise = 0.3 * random.normal(size=(count, 49, 10, 1))
        arrays |= {f"x_{part}": (tones + noise).astype(np.float32), f"y_{part}": y}
    np.savez(tmp_path / "words.npz", **arrays)
    answer = edgett(
        "compress", "example:dscnn", "--data", str(tmp_path / "words.npz"), "--search", "pareto", "--target",
        "cortex-m4", "--dtype", "int8", "--epochs", "1", "--limit", "2", "--jobs", "0", "--max-drop", "30",
        "--out", str(tmp_path / "run"), "--json",
    )  # fmt: skip
    told = answer.document
    assert answer.code == 0, answer.err
    assert told["check"]["ok"]
    assert told["baseline"]["accuracy"][0]["value"] > 0.5
    assert {held["form"] for trial in told["trials"] for held in trial["edits"].values()} >= {"pointwise_svd"}
    assert edgett("firmware", "pack", str(tmp_path / "run"), "--out", str(tmp_path / "words")).code == 0


@pytest.mark.slow
def test_a_resumed_run_ends_as_one_that_was_not(folder: Path, edgett: Callable[..., Answer], tmp_path: Path) -> None:
    told = edgett(*asked(folder, tmp_path / "run", "--target", "host")).document
    again = edgett("compress", "--out", str(tmp_path / "run"), "--resume", "--json").document
    assert again["picks"] == told["picks"]
