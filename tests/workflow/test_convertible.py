"""What cannot be converted is said before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.errors import CheckFailed, ModelError
from edgett.meter import Silent
from edgett.model.layers import in_float32
from edgett.model.ready import ready
from edgett.train.data import data_from_arrays
from edgett.workflow import convertible
from edgett.workflow import inputs as sources
from edgett.workflow.convertible import converted
from edgett.workflow.files import Style, write

L = keras.layers


class Heard(Silent):
    """A meter that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def compiled(*layers: Any) -> keras.Model:
    model = keras.Sequential(list(layers))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def loaded(model: keras.Model, meter: Heard) -> sources.Inputs:
    random, (shape, dtype) = np.random.default_rng(0), (model.input_shape[1:], model.inputs[0].dtype)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 40), ("test", 20)):
        whole = random.integers(0, 8, (count, *shape)).astype(dtype)
        arrays[f"x_{part}"] = whole if "int" in dtype else random.normal(size=(count, *shape)).astype(np.float32)
        arrays[f"y_{part}"] = np.arange(count) % 4
    return sources.inputs(model, data_from_arrays(arrays, model, 0), meter)


def hashed() -> keras.Model:
    layers = [L.Hashing(8, name="hashed"), L.Embedding(8, 4), L.Flatten(), L.Dense(4, activation="softmax")]
    return compiled(keras.Input((3,), dtype="int32"), *layers)


def many_hot() -> keras.Model:
    layers = [L.CategoryEncoding(8, output_mode="multi_hot", name="hot"), L.Dense(4, activation="softmax")]
    return compiled(keras.Input((3,), dtype="int32"), *layers)


@pytest.mark.parametrize("needed", [".tflite", ".onnx"])
def test_a_format_that_the_target_needs_must_hold_the_model(needed: str, tmp_path: Path) -> None:
    given = loaded(hashed(), Heard())
    with pytest.raises(ModelError, match="cannot convert layer 'hashed'") as caught:
        converted(given, Style(), needed, tmp_path / "m", Heard())
    assert caught.value.exit_code == 3 and "Replace that layer" in caught.value.cure


def test_a_format_that_the_target_does_not_need_is_left_out(tmp_path: Path) -> None:
    meter = Heard()
    made = converted(loaded(many_hot(), meter), Style(), ".onnx", tmp_path / "m", meter)
    assert made.suffixes == (".onnx",) and all(path.is_file() for path in made.files)
    assert set(made.left_out) == {".tflite"} and "'hot'" in made.left_out[".tflite"]
    (line,) = (line for line in meter.said if ".tflite" in line)
    assert line.startswith("No .tflite files, which the target does not need: TensorFlow's converter to TFLite cannot")


def test_a_file_that_gives_something_else_is_a_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the file is that of a model with other weights."""
    model = compiled(keras.Input((6,)), L.Dense(4, activation="softmax"))
    given = loaded(model, Heard())
    other = keras.models.clone_model(given.model)

    def written(_: keras.Model, *how: Any) -> tuple[Path, ...]:
        return write(other, *how)

    monkeypatch.setattr(convertible, "write", written)
    with pytest.raises(CheckFailed, match=r"m\.onnx gives something else than Keras: an error of") as caught:
        converted(given, Style(), ".onnx", tmp_path / "m", Heard())
    assert caught.value.exit_code == 5


def test_inputs_that_tensorflow_takes_for_one() -> None:
    ends = [keras.Input((4,), name=name) for name in ("a.b", "a_b")]
    model = keras.Model(ends, L.Dense(4, activation="softmax")(L.Concatenate()(ends)))
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.ones((20, 4), np.float32)
    arrays = {f"x_{part}.{name}": x for part in ("train", "test") for name in ("a.b", "a_b")}
    arrays |= {f"y_{part}": np.arange(20) % 4 for part in ("train", "test")}
    with pytest.raises(ModelError, match=r"inputs 'a\.b' and 'a_b' cannot be told apart") as caught:
        sources.inputs(model, data_from_arrays(arrays, model, 0), Heard())
    assert caught.value.cure.startswith("Rename one of them")


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_a_model_of_another_precision_becomes_one_of_float32(policy: str, tmp_path: Path) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        layers = [L.Dense(8, activation="relu"), L.BatchNormalization(), L.Dense(4, activation="softmax")]
        model = compiled(keras.Input((12,), dtype="float64" if policy == "float64" else None), *layers)
    finally:
        keras.config.set_dtype_policy("float32")
    meter = Heard()
    given = loaded(ready(model, {}, meter.say), meter)
    assert "float32" in meter.said[0]
    plain = given.model
    assert {str(weight.dtype) for weight in plain.weights} == {"float32"} and plain.inputs[0].dtype == "float32"
    assert in_float32(plain) is plain and type(plain.optimizer) is keras.optimizers.Adam
    for suffix in (".tflite", ".onnx"):
        assert converted(given, Style(), suffix, tmp_path / "m", meter).left_out == {}
    x = given.data.test.x
    (name,) = x
    before, after = model.predict(x[name], verbose=0), plain.predict(x[name], verbose=0)
    # bfloat16 has three digits.
    np.testing.assert_allclose(np.asarray(before, np.float32), after, atol=2e-2)


def test_nothing_is_trained_when_the_target_s_format_cannot_hold_the_model(edgett: Any, tmp_path: Path) -> None:
    hashed().save(tmp_path / "m.keras")
    x, y = np.arange(120).reshape(40, 3) % 8, np.arange(40) % 4
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    answer = edgett("compress", "m.keras", "--data", "d.npz", "-t", "cortex-a53", "--out", "run")
    assert answer.code == 3 and "cannot convert layer 'hashed'" in answer.err
    assert not (tmp_path / "run").exists()
