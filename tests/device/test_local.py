"""Artefacts run on this machine: batches, names, and files that do not run."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device import local
from edgett.errors import ToolError
from edgett.export import onnx, tflite
from edgett.export.owners import Owners
from edgett.model.inference import inference_form
from edgett.model.servable import Servable

WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """y = x W for batches of 4."""
    inputs = keras.Input((4,), name="x")
    layer = keras.layers.Dense(3, use_bias=False, name="y")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([WEIGHT])
    servable = Servable(inference_form(model, 4))
    folder = tmp_path_factory.mktemp("files")
    paths = {suffix: folder / f"model{suffix}" for suffix in (".tflite", ".onnx")}
    tflite.write(servable, paths[".tflite"])
    onnx.write(servable, Owners(servable.paths, frozenset({"y"}), servable.producers), paths[".onnx"])
    return paths


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
class TestLocal:
    @pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
    def test_any_number_of_samples_fills_the_batches(self, files: dict[str, Path], suffix: str, count: int) -> None:
        x = np.random.default_rng(count).normal(size=(count, 4))
        found = local.run(files[suffix], {"x": x, "unused": x}, 4)
        assert list(found) == ["y"]
        np.testing.assert_allclose(found["y"], x @ WEIGHT, rtol=1e-5, atol=1e-5)

    def test_a_file_of_another_batch(self, files: dict[str, Path], suffix: str) -> None:
        with pytest.raises(ToolError, match="does not run here") as caught:
            local.run(files[suffix], {"x": np.ones((4, 4))}, 2)
        assert "its batch is 2" in caught.value.cure

    def test_a_missing_input(self, files: dict[str, Path], suffix: str) -> None:
        with pytest.raises(ToolError, match="does not run here"):
            local.run(files[suffix], {"z": np.ones((4, 4))}, 4)

    def test_a_broken_file(self, files: dict[str, Path], suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(files[suffix].read_bytes()[:50])
        with pytest.raises(ToolError, match=f"broken{suffix} does not run here"):
            local.run(path, {"x": np.ones((4, 4))}, 4)

    def test_no_file(self, suffix: str, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match=f"none{suffix}"):
            local.run(tmp_path / f"none{suffix}", {"x": np.ones((4, 4))}, 4)
