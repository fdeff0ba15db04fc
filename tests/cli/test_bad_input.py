"""Every kind of unusable input: a message with value and cure, the right exit code, no traceback, no leftovers."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Answer, Tiny

Call = Callable[..., Answer]


def refused(answer: Answer, code: int, *told: str) -> None:
    """It failed with that code, said so in words and in JSON, and left no run behind."""
    assert answer.code == code, answer.err
    assert "Traceback" not in answer.err
    message = answer.document["error"]["message"] + " " + answer.document["error"]["cure"]
    assert answer.document["error"]["code"] == code
    for words in told:
        assert words in message, message
    assert answer.document["error"]["message"] in answer.err
    assert not Path("run").exists()


def compress(edgett: Call, model: object, data: object, *more: str) -> Answer:
    return edgett("compress", model, "--data", data, "--target", "host", "--out", "run", "--json", *more)


def changed(tiny: Tiny, **arrays: Any) -> str:
    np.savez("changed.npz", **(tiny.arrays() | arrays))
    return "changed.npz"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.keras", None, "there is no model file none.keras"),
        ("bad.keras", b"not a model", "bad.keras is no Keras model"),
        ("empty.keras", b"", "empty.keras is empty"),
        ("bad.h5", b"not a model", "bad.h5 is no Keras model"),
        ("model.keras", b"\x1c\0\0\0TFL3", "a TFLite model"),
        ("model.pt", b"\x80\x02x", "Rebuild the network in Keras"),
        ("model.txt", b"x", "no Keras model"),
    ],
)
def test_model_file(edgett: Call, tiny: Tiny, name: str, content: bytes | None, told: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)

    refused(compress(edgett, name, tiny.data), 3, name, told)


def test_model_cut_short(edgett: Call, tiny: Tiny) -> None:
    Path("cut.keras").write_bytes(tiny.model.read_bytes()[:-400])

    refused(compress(edgett, "cut.keras", tiny.data), 3, "cut.keras cannot be loaded")


def test_saved_model(edgett: Call, tiny: Tiny) -> None:
    Path("saved").mkdir()
    Path("saved", "saved_model.pb").touch()

    refused(compress(edgett, "saved", tiny.data), 3, "SavedModel", "model.save('model.keras')")


def test_unknown_example(edgett: Call, tiny: Tiny) -> None:
    refused(compress(edgett, "example:lenet30", tiny.data), 3, "example:lenet300")


def test_example_without_data(edgett: Call) -> None:
    answer = edgett("compress", "example:lenet300", "--target", "host", "--out", "run", "--json")

    refused(answer, 3, "example:lenet300", "--data mnist.npz")


def test_model_of_ones_own_without_data(edgett: Call, tiny: Tiny) -> None:
    refused(edgett("compress", tiny.model, "--target", "host", "--out", "run", "--json"), 3, "Add --data")


def test_lambda_layer_stays_shut(edgett: Call, tiny: Tiny) -> None:
    import keras

    body = [keras.Input((64,)), keras.layers.Lambda(lambda x: 2 * x), keras.layers.Dense(10, activation="softmax")]
    keras.Sequential(body).save("lambda.keras")

    refused(compress(edgett, "lambda.keras", tiny.data), 3, "Lambda layer", "Rebuild the model")


def test_model_without_a_layer_worth_factorising(edgett: Call, tiny: Tiny) -> None:
    """It is a dense solution, which breaks a budget here: told with both reasons and what would help."""
    answer = compress(edgett, tiny.model, tiny.data, "--share", "0.9")

    assert answer.code == 4, answer.err
    for words in ("no layer is worth factorising", "wide: it holds 59.4%", "--share", "--model-bytes"):
        assert words in answer.err
    assert Path("run/artifacts/baseline.tflite").exists()


def test_layer_that_the_model_does_not_have(edgett: Call, tiny: Tiny) -> None:
    refused(compress(edgett, tiny.model, tiny.data, "--only-layer", "wyde"), 2, "'wyde'", "wide")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.npz", None, "there is no data file none.npz"),
        ("bad.npz", b"not a zip", "bad.npz is not an .npz file"),
        ("nowhere:data", None, "'nowhere'"),
    ],
)
def test_data_file(edgett: Call, tiny: Tiny, name: str, content: bytes | None, told: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)

    refused(compress(edgett, tiny.model, name), 3, told)


def test_data_cut_short(edgett: Call, tiny: Tiny) -> None:
    Path("cut.npz").write_bytes(tiny.data.read_bytes()[:-200])

    refused(compress(edgett, tiny.model, "cut.npz"), 3, "cut.npz")


def test_data_whose_bytes_are_damaged(edgett: Call, tiny: Tiny) -> None:
    content = bytearray(tiny.data.read_bytes())
    content[5000] ^= 0xFF
    Path("damaged.npz").write_bytes(content)

    refused(compress(edgett, tiny.model, "damaged.npz"), 3, "damaged.npz cannot be read")


def test_data_that_hold_pickles_are_not_unpickled(edgett: Call, tiny: Tiny) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (Path("exploded"),)

    shutil.copy(tiny.data, "pickled.npz")
    with zipfile.ZipFile("pickled.npz", "a") as file:
        header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        file.writestr("x_val.npy", header + text.ljust(117) + b"\n" + pickle.dumps([Bomb()]))

    refused(compress(edgett, tiny.model, "pickled.npz"), 3, "pickles", "Save plain arrays")
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("name", "array", "told"),
    [
        ("x_train", np.zeros((600, 8, 8), np.float32), ("(600, 8, 8)", "(n, 64)", "reshape(-1, 64)")),
        ("x_test", np.zeros((200, 63), np.float32), ("(200, 63)", "(n, 64)")),
        ("y_train", np.full(600, 10), ("label 10", "0..9", "Number the classes from 0")),
        ("y_test", np.full(200, -1), ("label -1", "0..9")),
        ("y_train", np.zeros(599, np.int64), ("x_train 600", "y_train 599")),
        ("x_train", np.full((600, 64), np.nan, np.float32), ("38400 values that are NaN", "[0, 0]")),
        ("x_test", np.full((200, 64), np.inf, np.float32), ("NaN or infinite",)),
        ("x_train", np.zeros((0, 64), np.float32), ("empty",)),
        ("y_train", np.full(600, "cat"), ("not numbers",)),
    ],
)
def test_data_that_do_not_fit(edgett: Call, tiny: Tiny, name: str, array: np.ndarray, told: tuple[str, ...]) -> None:
    refused(compress(edgett, tiny.model, changed(tiny, **{name: array})), 3, name, *told)


def test_data_that_lack_an_array(edgett: Call, tiny: Tiny) -> None:
    arrays = tiny.arrays()
    arrays["X_test"] = arrays.pop("x_test")
    np.savez("lacking.npz", **arrays)

    refused(compress(edgett, tiny.model, "lacking.npz"), 3, "no x_test", "'X_test'")


def test_unknown_target_suggests_the_nearest(edgett: Call) -> None:
    refused(edgett("compress", "--target", "cortex-a54", "--out", "run", "--json"), 3, "'cortex-a54'", "cortex-a53")


def test_no_target(edgett: Call) -> None:
    refused(edgett("compress", "--out", "run", "--json"), 2, "no target is named", "cortex-a53")


def test_profile_with_an_unknown_key(edgett: Call) -> None:
    from edgett.target.places import shipped_folder

    text = (shipped_folder() / "host.toml").read_text().replace('name = "host"', 'name = "mine"\ncolour = "red"')
    Path("mine.toml").write_text(text)

    answer = edgett("compress", "--target", "mine.toml", "--out", "run", "--json")
    refused(answer, 3, "mine.toml", "colour", "'red'", "title")
    answer = edgett("targets", "check", "mine.toml")
    assert answer.code == 3
    assert "colour is unknown" in answer.err


def test_out_that_is_a_file(edgett: Call) -> None:
    Path("taken").write_text("mine")

    answer = edgett("compress", "--target", "host", "--out", "taken", "--json")

    assert (answer.code, answer.document["error"]["message"]) == (2, "--out taken is a file.")
    assert Path("taken").read_text() == "mine"


def test_out_that_is_not_empty_and_no_run(edgett: Call) -> None:
    Path("taken").mkdir()
    Path("taken/thesis.tex").write_text("mine")

    answer = edgett("compress", "--target", "host", "--out", "taken", "--json")

    assert answer.code == 2
    assert "taken is not empty and no run" in answer.document["error"]["message"]
    assert [path.name for path in Path("taken").iterdir()] == ["thesis.tex"]


def test_out_that_cannot_be_made(edgett: Call) -> None:
    Path("file").write_text("")

    answer = edgett("compress", "--target", "host", "--out", "file/run", "--json")

    assert answer.code == 6
    assert "file/run cannot be written" in answer.document["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--limit", "x"), "--limit x is neither a number nor 'all'"),
        (("--limit", "0"), "--limit 0 is below 1"),
        (("--share", "1.5"), "--share 1.5"),
        (("--share", "nan"), "--share nan"),
        (("--ranks", "5:2"), "'5:2'"),
        (("--ranks", "many"), "'many'"),
        (("--grid", "0"), "--grid"),
        (("--epochs", "three"), "--epochs"),
        (("--max-drop", "nan"), "--max-drop nan is not from 0 to 100"),
        (("--max-drop", "inf"), "--max-drop inf is not from 0 to 100"),
        (("--latency-ms", "nan"), "--latency-ms nan is not above 0 and finite"),
        (("--latency-ms", "inf"), "--latency-ms inf is not above 0 and finite"),
        (("--max-drop", "-1"), "--max-drop -1 is not from 0 to 100"),
        (("--model-bytes", "12 parsecs"), "12 parsecs"),
        (("--flops", "lots"), "lots"),
        (("--objective", "beauty"), "--objective"),
        (("--seed", "4294967296"), "--seed 4294967296"),
        (("--frobnicate",), "--frobnicate"),
        (("a.keras", "b.keras"), "b.keras"),
    ],
)
def test_usage(edgett: Call, arguments: tuple[str, ...], told: str) -> None:
    refused(edgett("compress", "--target", "host", "--out", "run", "--json", *arguments), 2, told)


def test_failed_input_can_be_put_right_under_the_same_name(edgett: Call, tiny: Tiny) -> None:
    compress(edgett, "typo.keras", tiny.data)

    assert "there is a run" not in compress(edgett, "other.keras", tiny.data).err


def test_debug_shows_the_traceback_and_keeps_the_code(edgett: Call) -> None:
    answer = edgett("compress", "--target", "nope", "--json", "--debug")

    assert answer.code == 3
    assert "Traceback" in answer.err
    assert answer.document["error"]["code"] == 3


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (ZeroDivisionError("oops"), 1, "this is a bug in edgett: ZeroDivisionError: oops"),
        (MemoryError(), 6, "the memory does not suffice"),
        (PermissionError(13, "Permission denied", "/etc/x"), 6, "/etc/x: Permission denied"),
    ],
)
def test_the_unforeseen_is_told_in_one_line(
    edgett: Call, monkeypatch: pytest.MonkeyPatch, raised: Exception, code: int, told: str
) -> None:
    def fails(*_: object) -> None:
        raise raised

    monkeypatch.setattr("edgett.workflow.survey.over_grid", fails)

    refused(edgett("explore", "--layer", "64x48", "--json"), code, told)
