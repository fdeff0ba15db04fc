"""A form of somebody else's through the whole tool: explored, fine-tuned, exported, checked, told of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms import catalogue
from tests import schemas
from tests.conftest import Answer, blobs
from tests.forms.toy import Toy

L = keras.layers


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A model with a square layer, and its data."""
    keras.utils.set_random_seed(0)
    layers = [L.Dense(48, "relu", name="wide"), L.Dense(48, "relu", name="square"), L.Dense(10, "softmax", name="end")]
    model = keras.Sequential([keras.Input((64,), name="x"), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    arrays = blobs()
    model.fit(arrays["x_train"], arrays["y_train"], epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "model.keras", tmp_path / "data.npz"


@pytest.fixture(autouse=True)
def schemas_anew() -> Iterator[None]:
    """The printed schemas list the forms there are."""
    schemas.validator.cache_clear()
    yield
    schemas.validator.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_from_exploring_to_the_report(
    edgett: Any, files: tuple[Path, Path], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "FORMS", (Toy(), *catalogue.FORMS))
    model, data = files
    explored: Answer = edgett("explore", model, "--search", "pareto", "--json")
    (layer,) = [layer for layer in explored.document["layers"] if layer["name"] == "square"]
    assert "diagonal_plus" in {row["spec"]["form"] for row in layer["front"]}

    monkeypatch.setattr(catalogue, "FORMS", (Toy(),))
    run = edgett(
        "compress", model, "--data", data, "--target", "cortex-a53", "--search", "pareto", "--epochs", "2",
        "--max-drop", "100", "--model-bytes", "1 MiB", "--dtype", dtype, "--jobs", "0", "--out", "run", "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    pick = run.document["picks"]["recommended"]
    assert pick["edits"] == {"square": {"form": "diagonal_plus", "size": 48}}
    assert pick["layers"][0]["held"]["params"] == 3 * 48 + 48
    assert run.document["check"]["ok"] and len(pick["artifacts"]) == 3
    for suffix in ("tflite", "onnx", "c"):
        made = edgett("export", "run", "--solution", pick["solution"], "--format", suffix)
        assert made.code == 0, made.err
    assert edgett("check", "run").code == 0
    assert edgett("report", "run").code == 0
    assert "diagonal of 48 plus rank one" in Path("run/report.html").read_text()
