"""Vela's summary, by Vela itself: this part is left out where it is not installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.errors import ToolError
from edgett.export import tflite
from edgett.firmware import vela
from edgett.model.inference import inference_form
from edgett.model.servable import Servable
from edgett.model.tt_dense import TTDense
from edgett.target.profile import list_targets

INSTALLED = pytest.mark.skipif(
    importlib.util.find_spec(vela.PACKAGE) is None and os.environ.get("CI") != "true",
    reason="ethos-u-vela not installed",
)
NPU = "ethos-u55-128"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """relu(TT(x)) W in float32 and in int8."""
    layers = [TTDense((4, 6), (5, 4), (1, 3, 1), activation="relu", name="tt"), keras.layers.Dense(3, name="y")]
    servable = Servable(inference_form(keras.Sequential([keras.Input((24,), name="x"), *layers]), 1))
    numbers = np.random.default_rng(2)
    folder = tmp_path_factory.mktemp("vela")
    tflite.write(servable, folder / "float32.tflite")
    samples = [{"x": numbers.normal(size=(1, 24)).astype("f4")} for _ in range(16)]
    tflite.write(servable, folder / "int8.tflite", samples)
    return {dtype: folder / f"{dtype}.tflite" for dtype in ("float32", "int8")}


@INSTALLED
def test_an_int8_model_runs_on_the_npu(files: dict[str, Path]) -> None:
    found = vela.run(files["int8"], NPU)
    assert found is not None
    assert found.npu_operators > 0 and (found.cpu_operators, found.left) == (0, ())
    # A product for each core: 4 x 6 by 6 x (4 3), then 4 x (4 3) by (4 3) x 5; and the dense layer's.
    assert found.macs == 4 * 6 * 12 + 4 * 12 * 5 + 20 * 3
    assert 20 < found.sram_bytes < 2048
    assert 100 < found.flash_bytes < 4096
    assert found.cycles > found.macs / 128
    assert (found.accelerator, found.system) == (NPU, "Ethos_U55_High_End_Embedded")


@INSTALLED
def test_a_float_model_stays_on_the_processor(files: dict[str, Path]) -> None:
    found = vela.run(files["float32"], NPU)
    assert found is not None
    assert (found.npu_operators, found.sram_bytes, found.macs) == (0, 0, 0)
    assert found.cpu_operators == len(found.left) > 3
    assert any(name.startswith("tt/") for name in found.left)


@INSTALLED
def test_a_larger_npu_takes_fewer_cycles(files: dict[str, Path]) -> None:
    small, large = (vela.run(files["int8"], f"ethos-u55-{macs}") for macs in (32, 256))
    assert small is not None and large is not None
    assert small.cycles >= large.cycles and small.macs == large.macs


@INSTALLED
def test_what_it_refuses(files: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(files["int8"].read_bytes()[:500])
    with pytest.raises(ToolError, match=r"does not compile broken\.tflite for ethos-u55-128"):
        vela.run(broken, NPU)
    with pytest.raises(ToolError, match=r"does not compile int8\.tflite for ethos-u1"):
        vela.run(files["int8"], "ethos-u1")
    with pytest.raises(ToolError, match=r"more than 0\.01 s"):
        vela.run(files["int8"], NPU, limit=0.01)


def test_without_vela_there_is_no_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == vela.PACKAGE else found(name))
    assert vela.run(tmp_path / "none.tflite", NPU) is None


def test_the_accelerators_are_of_targets() -> None:
    assert vela.ACCELERATORS.keys() <= {target.name for target in list_targets()[0]}
