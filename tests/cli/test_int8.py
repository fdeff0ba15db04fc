"""`edgett compress --dtype int8`: what the files say is what is judged, and they can be checked and made again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgett.cli import run
from tests.conftest import EASY, Answer, Tiny

Call = Callable[..., Answer]


@pytest.fixture(scope="module")
def quantised(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "run"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert run(["compress", *tiny.arguments, *EASY, "--dtype", "int8", "--out", str(path)]) == 0
    return path


@pytest.fixture
def document(quantised: Path) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads((quantised / "run.json").read_text())["outcome"]
    return outcome


def classes(path: Path, images: np.ndarray) -> np.ndarray:
    """What an int8 .tflite takes them for, by the formulas of its scales and zero points."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert entry["dtype"] == end["dtype"] == np.int8
    scale, zero = entry["quantization"]
    found = []
    for image in images:
        interpreter.set_tensor(entry["index"], np.clip(np.round(image[None] / scale) + zero, -128, 127).astype(np.int8))
        interpreter.invoke()
        found.append(interpreter.get_tensor(end["index"])[0].argmax())
    return np.array(found)


def test_the_accuracy_told_is_that_of_the_files(tiny: Tiny, quantised: Path, document: dict[str, Any]) -> None:
    arrays = tiny.arrays()
    for name, pick in document["picks"].items():
        path = quantised / pick["artifacts"]["tflite"]["path"]
        right = classes(path, arrays["x_test"].astype(np.float32)) == arrays["y_test"]
        assert pick["test_accuracy"][0]["value"] == pytest.approx(float(right.mean()), abs=1e-9), name


def test_the_check_holds_and_bytes_are_a_quarter(document: dict[str, Any]) -> None:
    assert document["target"]["dtype"] == "int8" and document["check"]["ok"]
    for path, check in document["check"]["artifacts"].items():
        assert check["params"]["predicted"] == check["params"]["found"], path
        assert check["flops"]["predicted"] == check["flops"]["found"], path
        assert check["peak_bytes"]["found"] <= check["peak_bytes"]["predicted"] <= 160, path
    assert document["baseline"]["peak_activation_bytes"] == 64 + 48


def test_checked_and_exported_again(edgett: Call, quantised: Path, document: dict[str, Any], tmp_path: Path) -> None:
    assert edgett("check", quantised).code == 0
    number = document["picks"]["recommended"]["solution"]
    assert edgett("export", quantised, "--solution", number, "--out", tmp_path / "again").code == 0
    for kind in ("tflite", "onnx"):
        content = (tmp_path / "again" / f"solution-{number}.{kind}").read_bytes()
        assert hashlib.sha256(content).hexdigest() == document["picks"]["recommended"]["artifacts"][kind]["sha256"]


def test_without_what_it_was_calibrated_on_nothing_is_written_in_another_type(
    edgett: Call, quantised: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(quantised, tmp_path / "run")
    (tmp_path / "run" / "artifacts" / "calibration.npz").unlink()
    for command in (("check", "run"), ("export", "run", "--out", "again")):
        answer = edgett(*command)
        assert answer.code == 2 and "calibration.npz cannot be read" in answer.err
    assert not list((tmp_path / "again").glob("*"))


def test_recurrent_layers_are_refused_before_anything_is_trained(edgett: Call, tmp_path: Path) -> None:
    """TensorFlow's converter would end the process."""
    layers = [keras.Input((8, 4)), keras.layers.LSTM(6, name="memory"), keras.layers.Dense(64), keras.layers.Dense(3)]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    x, y = np.zeros((30, 8, 4), np.float32), np.arange(30) % 3
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    answer = edgett("compress", "model.keras", "--data", "data.npz", "-t", "host", "--dtype", "int8", "--out", "run")
    assert answer.code == 3 and "cannot be exported in int8: memory" in answer.err
    assert not (tmp_path / "run").exists()


def test_screen_says_whose_accuracy_it_is(edgett: Call, quantised: Path) -> None:
    answer = edgett("compress", "--out", quantised, "--resume")
    assert answer.code == 0 and "the picks' is that of their int8 files" in " ".join(answer.out.split())


@pytest.mark.slow
def test_what_int8_loses_counts_against_the_budget(
    edgett: Call, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that says something else than the model gives way to the next; when none is left it is exit 4."""
    from edgett.device import local

    whole = local.run

    def wrong(path: Path, inputs: Any, batch: int) -> Any:
        shift = 0 if path.stem == "baseline" else 1
        return {name: np.roll(values, shift, axis=-1) for name, values in whole(path, inputs, batch).items()}

    monkeypatch.setattr(local, "run", wrong)
    answer = edgett(
        "compress", *tiny.arguments, *EASY, "--max-drop", "30", "--dtype", "int8", "--out", tmp_path / "run"
    )
    assert answer.code == 4 and "accuracy_drop_pp binds" in answer.err


def test_an_unknown_type_is_refused(edgett: Call, tiny: Tiny) -> None:
    answer = edgett("compress", *tiny.arguments, "--dtype", "int4")
    assert answer.code == 2 and "float32" in answer.err and "int8" in answer.err
