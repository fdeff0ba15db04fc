"""Instructions counted for a profile, and foretold by those that are shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.device import emulator
from edgett.device.counted import COUNTED
from edgett.errors import ProfileError, ToolError, UsageError
from edgett.graph.dtype import DType
from edgett.meter import Silent
from edgett.model.tt_dense import TTDense
from edgett.target.profile import load_profile, load_target, with_dtype
from edgett.workflow import bench, count, files
from edgett.workflow.files import Style
from tests.conftest import Answer
from tests.firmware.tools import needs
from tests.graph.test_c_work import foretold, residual

L = keras.layers
ON_BOARD = needs("qemu-system-arm", "arm-none-eabi-gcc")


def lenet300(*specs: tuple[Any, ...]) -> keras.Model:
    """LeNet300 with its first two layers in these tensor trains."""
    x = h = keras.Input((784,), name="x")
    for index, spec in enumerate(specs, 1):
        h = TTDense(*spec, activation="relu", name=f"fc{index}")(h)
    return keras.Model(x, L.Dense(10, "softmax", name="fc3")(h))


def trains() -> keras.Model:
    return lenet300(((7, 4, 28), (3, 50, 2), (1, 8, 8, 1)), ((6, 2, 25), (10, 5, 2), (1, 9, 9, 1)))


def separable() -> keras.Model:
    x = h = keras.Input((25, 10, 1), name="x")
    h = L.Conv2D(24, (10, 4), strides=2, padding="same", activation="relu")(h)
    for _ in range(2):
        h = L.DepthwiseConv2D(3, padding="same", activation="relu")(h)
        h = L.Conv2D(24, 1, activation="relu")(h)
    return keras.Model(x, L.Dense(12, "softmax")(L.Flatten()(L.AveragePooling2D((13, 5))(h))))


HELD_OUT: dict[str, Callable[[], keras.Model]] = {"residual": residual, "trains": trains, "separable": separable}
"""Most of none is the mathematical library's, whose functions take as many instructions as the numbers ask for."""


@ON_BOARD
@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("name", HELD_OUT)
def test_what_is_shipped_foretells_other_models(name: str, dtype: DType, tmp_path: Path) -> None:
    """Within 5 % of what the emulator counts; none of these is a probe."""
    keras.utils.set_random_seed(0)
    rates, model = with_dtype(load_target("cortex-m4"), dtype).rates, HELD_OUT[name]()
    assert rates is not None
    random = np.random.default_rng(0)
    inputs = random.normal(size=(16, *model.inputs[0].shape[1:])).astype(np.float32)
    batches = [{"x": inputs[index : index + 1]} for index in range(16)]
    style = Style(1, batches if dtype is DType.INT8 else None)
    (made,) = files.write(model, style, tmp_path / "m", [".onnx"])
    found = emulator.count_on_board(bench.program(made, "model"), {"x": inputs[:1]}, "mps2-an386").instructions
    assert rates.total(foretold(model, dtype), dtype.size) == pytest.approx(found, rel=0.05)


@pytest.mark.slow
@ON_BOARD
def test_a_board_is_counted_and_the_profile_says_so(
    edgett: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a few probes: all of them take minutes."""
    monkeypatch.setattr(count, "COUNTED", COUNTED[2:50:3])
    monkeypatch.setattr(count, "IN_FLOAT32", ())
    monkeypatch.setattr(count, "IN_INT8", ())
    out = tmp_path / "mine.toml"
    made = edgett("calibrate", "--device", "emulator", "--target", "cortex-m4", "--out", out, "--json")
    assert made.code == 0
    assert made.document["probes"] == 32 and made.document["median_error"] < 0.05
    found, shipped = load_profile(out).rates, load_target("cortex-m4").rates
    assert found is not None and shipped is not None
    assert found.kernels["row_float"].macs == pytest.approx(shipped.kernels["row_float"].macs, rel=0.1)
    assert load_profile(out).instructions.counted == made.document["measured"]
    shown = edgett("calibrate", "--device", "emulator", "--target", out, "--out", out)
    assert shown.code == 0 and "row_int8" in shown.out and "Predicted with an error of" in shown.out


class TestRefused:
    def test_an_emulator_that_runs_no_programs_of_ours(self, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="cannot run programs on qemu-system-xtensa"):
            count.calibrate("esp32-s3", tmp_path / "x.toml", 60, Silent())

    @pytest.mark.parametrize(
        ("base", "out", "words"),
        [("host", "x.toml", "names no emulator"), ("cortex-m4", "x.txt", "is no profile"),
         ("cortex-m4", "nowhere/x.toml", "does not exist")],
    )  # fmt: skip
    def test_before_anything_is_counted(self, base: str, out: str, words: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=words):
            count.calibrate(base, tmp_path / out, 60, Silent())

    def test_no_profile(self, tmp_path: Path) -> None:
        with pytest.raises(ProfileError, match="no target 'cortex-m44'"):
            count.calibrate("cortex-m44", tmp_path / "x.toml", 60, Silent())


def test_without_an_fpu_float32_is_not_to_be_foretold() -> None:
    """What stands for one takes as many instructions as the numbers ask for."""
    assert {dtype for _, dtype in count.wanted(load_target("rp2040"))} == {DType.INT8}
    assert {dtype for _, dtype in count.wanted(load_target("cortex-m4"))} == set(DType)
