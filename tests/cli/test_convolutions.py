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
    plain = edgett("explore", str(folder / "waves.keras"), "--json").document
    kinds = {layer["name"]: layer.get("kind") for layer in plain["layers"]}
    assert kinds["second"] == "Conv2D" and kinds["end"] is None


@pytest.mark.slow
def test_a_resumed_run_ends_as_one_that_was_not(folder: Path, edgett: Callable[..., Answer], tmp_path: Path) -> None:
    told = edgett(*asked(folder, tmp_path / "run", "--target", "host")).document
    again = edgett("compress", "--out", str(tmp_path / "run"), "--resume", "--json").document
    assert again["picks"] == told["picks"]
