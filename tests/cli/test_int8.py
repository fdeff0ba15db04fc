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

pytestmark = pytest.mark.slow

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
    for name, pick in {"baseline": document["baseline"], **document["picks"]}.items():
        path = quantised / pick["artifacts"]["tflite"]["path"]
        right = classes(path, arrays["x_test"].astype(np.float32)) == arrays["y_test"]
        assert pick["test_accuracy"][0]["value"] == pytest.approx(float(right.mean()), abs=1e-9), name
        original = document["baseline"]["original"]["test_accuracy"][0]["value"]
        assert pick["test_drop"] == pytest.approx(100 * (original - right.mean()), abs=1e-9), name


@pytest.mark.slow
def test_what_the_dense_model_loses_in_int8_counts(
    edgett: Call, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file says something else than Keras: what is told beside its bytes is what the file says."""
    from edgett.workflow import terms

    whole = terms.local.run

    def wrong(path: Path, inputs: Any, batch: int) -> Any:
        return {name: np.roll(values, 1, axis=-1) for name, values in whole(path, inputs, batch).items()}

    asking = type("Local", (), {"run": staticmethod(wrong)})
    monkeypatch.setattr(terms, "local", asking)
    command = ("deploy", tiny.model, "--data", tiny.data, "--target", "cortex-m4", "--dtype", "int8", "--json")
    answer = edgett(*command, "--out", "run")
    assert answer.code == 4 and "accuracy_drop_pp is" in answer.err
    dense = answer.document["baseline"]
    for found, key in ((dense, "accuracy"), (dense, "test_accuracy")):
        assert found[key][0]["value"] < 0.5 < dense["original"][key][0]["value"]
    assert dense["drop"] > 50 and dense["test_drop"] > 50
    assert answer.document["picks"]["recommended"] is None
    assert edgett(*command, "--out", "loose", "--max-drop", "100").code == 0


def test_the_check_holds_and_bytes_are_a_quarter(document: dict[str, Any]) -> None:
    assert document["target"]["dtype"] == "int8" and document["check"]["ok"]
    for path, check in document["check"]["artifacts"].items():
        assert check["params"]["predicted"] == check["params"]["found"], path
        assert check["flops"]["predicted"] == check["flops"]["found"], path
        assert check["peak_bytes"]["found"] <= check["peak_bytes"]["predicted"] <= 512, path
    assert document["baseline"]["peak_activation_bytes"] == 64 + 48


@pytest.mark.slow
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
    said = " ".join(answer.out.split())
    assert answer.code == 0 and "Accuracies are those of the int8 files" in said
    assert "the worst tensor of each replaced layer" in said and " dB" in said


BALANCED = ("--int8-epochs", "0", "--max-drop", "25", "--model-bytes", "200 %", "--epochs", "20", "--dtype", "int8")
"""A budget that float32 holds, and int8 only if no layer is badly off."""


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every solution, the last bond of the layer "wide" gets a loud channel and as faint a one: all int8's fault.

    TensorFlow rounds alone: weights that are rounded together make up for it.
    """
    from edgett.export import tflite
    from edgett.model import models
    from edgett.model.layers import factored_layers

    plain = models.unpack_weights

    def unpack(model: keras.Model, weights: bytes) -> None:
        plain(model, weights)
        layer = factored_layers(model)["wide"]
        values, last = layer.get_weights(), layer.spec.length - 1
        values[last - 1][..., 0] /= 3e3
        values[last][0] *= 3e3
        layer.set_weights(values)

    monkeypatch.setattr(models, "unpack_weights", unpack)
    monkeypatch.setattr(tflite, "refined", lambda content, *others: content)


@pytest.mark.slow
@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("target", "to"),
    [("ethos-u55", "dense_int8"), pytest.param("cortex-a53", "float32", marks=pytest.mark.slow)],
)
def test_a_layer_that_int8_breaks_goes_back(edgett: Call, tiny: Tiny, tmp_path: Path, target: str, to: str) -> None:
    """Until the budget holds: to float32 where the target knows that; and the run can be checked and exported again."""
    answer = edgett("compress", *tiny.arguments, "--target", target, *BALANCED, "--out", "run")
    assert answer.code == 0, answer.err
    document = json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]
    pick = document["picks"]["recommended"]
    (step,) = pick["reverted"]
    assert (step["layer"], step["to"]) == ("wide", to)
    assert step["drop_before"] > 25 >= step["drop_after"] == pick["drop"] and step["snr_db"] < 10
    (trial,) = (item for item in document["trials"] if item["solution"] == pick["solution"])
    assert trial["reverted"] == pick["reverted"] and trial["feasible"] and trial["drop"] == pick["drop"]
    taken = {layer["name"] for layer in document["layers"] if layer["excluded"] is None}
    assert set(pick["edits"]) == (taken - {"wide"} if to == "dense_int8" else taken)
    said = " ".join(answer.out.split())
    assert f"wide went back to {to.replace('_', ' ')}" in said and "added the most noise in int8" in said
    check = document["check"]["artifacts"][pick["artifacts"]["tflite"]["path"]]
    assert check["ok"] and check["params"]["found"] == pick["params"]
    assert check["peak_bytes"]["predicted"] == pick["peak_activation_bytes"]
    wide = next(row for row in check["layers"] if row["name"] == "wide")
    assert wide["weight_bytes"]["found"] == wide["params"]["found"] * 4 - (0 if to == "float32" else 3 * 64 * 48)

    assert edgett("check", "run").code == 0
    assert json.loads((tmp_path / "run" / "check.json").read_text()) == document["check"]
    assert edgett("export", "run", "--solution", pick["solution"], "--out", "again").code == 0
    for kind in ("keras", "tflite", "onnx"):
        content = (tmp_path / "again" / f"solution-{pick['solution']}.{kind}").read_bytes()
        assert hashlib.sha256(content).hexdigest() == pick["artifacts"][kind]["sha256"], kind


@pytest.mark.slow
@pytest.mark.usefixtures("planted")
def test_a_layer_that_went_back_has_to_fit_all_the_same(edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
    """Cores in float32 take four times the room: the layer stays, and the other one is not to blame."""
    answer = edgett("compress", *tiny.arguments, *BALANCED, "--model-bytes", "5.3 KB", "--out", "run")
    assert answer.code == 4 and "accuracy_drop_pp binds" in answer.err
    document = json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]
    assert document["picks"]["recommended"] is None
    for trial in document["trials"]:
        assert trial["drop"] > 25 and trial["bytes"] <= 5_400
        assert "wide" not in {step["layer"] for step in trial["reverted"]}


@pytest.mark.slow
@pytest.mark.usefixtures("planted")
def test_a_learnt_file_that_does_not_run_is_not_kept(edgett: Call, tiny: Tiny) -> None:
    """What is learnt from the noise of such a layer has scales that no runtime takes."""
    answer = edgett("compress", *tiny.arguments, *BALANCED, "--int8-epochs", "1", "--out", "run", "--json")
    assert answer.code == 0 and "learns with the numbers of int8" in answer.err
    assert all(trial["int8"] is None for trial in answer.document["trials"])


def test_the_tensors_inside_are_told_and_the_bytes_are_counted(document: dict[str, Any]) -> None:
    for path, check in document["check"]["artifacts"].items():
        assert check["weight_bytes"]["predicted"] == check["weight_bytes"]["found"] > check["params"]["found"], path
        assert 2 * check["macs"]["predicted"] == 2 * check["macs"]["found"] < check["flops"]["found"], path
        rows = check["tensors"]
        if "baseline" in path:
            assert rows == []
            continue
        assert {row["role"] for row in rows} == {"input", "product", "output"}
        # Six quantised tensors in a row, each with a step of 1/256 of its range, are still far above their noise.
        assert all(row["snr_db"] is None or row["snr_db"] > 15 for row in rows), path
        assert {row["layer"] for row in rows} == {layer["name"] for layer in document["layers"]}


def test_a_float_model_for_integers_only_is_refused_at_once(edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
    answer = edgett("compress", *tiny.arguments, "--target", "ethos-u55", "--dtype", "float32", "--out", "run")
    assert answer.code == 2 and "ethos-u55" in answer.err and "'float32'" in answer.err and "--dtype int8" in answer.err
    assert not (tmp_path / "run").exists()


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
    budgets = ("--max-drop", "30", "--model-bytes", "70 %")  # which the dense model is over
    answer = edgett("compress", *tiny.arguments, *budgets, "--dtype", "int8", "--out", tmp_path / "run")
    assert answer.code == 4 and "accuracy_drop_pp binds" in answer.err


def test_an_unknown_type_is_refused(edgett: Call, tiny: Tiny) -> None:
    answer = edgett("compress", *tiny.arguments, "--dtype", "int4")
    assert answer.code == 2 and "float32" in answer.err and "int8" in answer.err
