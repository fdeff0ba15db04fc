"""What a model file is, by its content; and each cure of a refusal, tried."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from edgett.errors import ModelError
from edgett.job.origin import Container, origin
from edgett.model.models import load_model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="fc")], name="small")


def refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        origin(path)
    assert str(path) in caught.value.message and caught.value.cure
    return caught.value


@pytest.mark.parametrize(("suffix", "form"), [("keras", Container.ARCHIVE), ("h5", Container.HDF5)])
def test_keras_3(suffix: str, form: Container, model: keras.Model, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / f"m.{suffix}")
    found = origin((tmp_path / f"m.{suffix}").rename(tmp_path / "model.bin"))
    assert found.form is form and found.writer == keras.__version__ and not found.old
    assert str(found) == f"model.bin: {form.value}, written by Keras {keras.__version__}"


def tflite(path: Path) -> None:
    add = tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec([1, 4])])
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([add.get_concrete_function()]).convert())


def onnx_file(path: Path) -> None:
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, 4]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())


def torch(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/version", "3\n")


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = [1, 2]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (tflite, "is a TFLite model"),
        (onnx_file, "is an ONNX model"),
        (torch, "is a PyTorch model"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1}, 2)), "is a pickle, as PyTorch writes them"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("just some text"), "begins with b'just som'"),
        (lambda path: path.write_bytes(bytes(range(256)) * 8), "is no Keras model"),
        (other_archive, "is an archive without a Keras model in it"),
        (other_hdf5, "is HDF5, but no Keras model"),
        (lambda path: path.write_bytes(b"PK\3\4" + bytes(40)), "is damaged or cut off"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40)), "is damaged or cut off"),
        (lambda path: path.mkdir(), "is a directory, and no model"),
    ],
)
def test_anything_else_under_any_name(make: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    make(tmp_path / "model.keras")
    assert told in refused(tmp_path / "model.keras").message


def test_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", a=np.ones(3))
    assert "arrays of NumPy's and no model" in refused(tmp_path / "weights.npz").message


def test_a_keras_before_the_second(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs.update({"keras_version": "1.2.2", "model_config": "{}"})
    assert "written by Keras 1.2.2; those of Keras 2 and 3" in refused(tmp_path / "model.h5").message


def test_a_saved_model_for_serving(model: keras.Model, tmp_path: Path) -> None:
    model.export(tmp_path / "saved", verbose=False)
    assert "for serving" in refused(tmp_path / "saved").message
    assert "Name its directory" in refused(tmp_path / "saved" / "saved_model.pb").cure


def test_the_cure_of_weights_alone(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model.save_weights("only.weights.h5")
    error = refused(Path("only.weights.h5"))
    assert "holds the weights of a model, and not the model" in error.message
    assert "model.load_weights('only.weights.h5') and model.save('model.keras')" in error.cure
    again = keras.models.clone_model(model)
    again.load_weights("only.weights.h5")
    again.save("model.keras")
    np.testing.assert_array_equal(load_model(Path("model.keras")).get_weights()[0], model.get_weights()[0])


def test_the_cure_of_an_architecture(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.json").write_text(model.to_json())
    model.save_weights("w.weights.h5")
    assert "keras.models.model_from_json(text), model.load_weights(...)" in refused(Path("model.json")).cure
    again = keras.models.model_from_json(Path("model.json").read_text())
    again.load_weights("w.weights.h5")
    again.save("model.keras")
    assert load_model(Path("model.keras")).count_params() == 15


def test_the_cure_of_an_unpacked_archive(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / "unpacked", zipped=False)
    code = refused(tmp_path / "unpacked").cure.removeprefix("Pack it: ")
    exec(code, {"keras": keras})
    assert load_model(Path("model.keras")).count_params() == 15


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_cut_off_or_damaged_anywhere(suffix: str, model: keras.Model, tmp_path: Path) -> None:
    """It loads as it was, or it is refused; never anything else."""
    path, random = tmp_path / f"model.{suffix}", np.random.default_rng(14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    whole, refusals = path.read_bytes(), 0
    for turn in range(10):
        content = bytearray(whole)
        if turn % 2:
            content = content[: int(random.integers(1, len(whole)))]
        else:
            start = int(random.integers(len(whole)))
            content[start : start + 30] = random.bytes(30)
        path.write_bytes(content)
        try:
            load_model(path)
        except ModelError:
            refusals += 1
    assert refusals >= 5


@pytest.mark.parametrize(("text", "told"), [("not json", "damaged"), ('{"keras_version": 3}', "written by Keras 3;")])
def test_metadata_that_are_none(text: str, told: str, model: keras.Model, tmp_path: Path) -> None:
    assert told in refused(with_metadata(model, text, tmp_path)).message


def test_an_archive_that_does_not_say(model: keras.Model, tmp_path: Path) -> None:
    path = with_metadata(model, "[]", tmp_path)
    assert str(origin(path)).endswith("written by a Keras that does not say which")
    np.testing.assert_array_equal(load_model(path).get_weights()[0], model.get_weights()[0])


def with_metadata(model: keras.Model, text: str, folder: Path) -> Path:
    model.save(folder / "m.keras")
    with zipfile.ZipFile(folder / "m.keras") as source, zipfile.ZipFile(folder / "n.keras", "w") as target:
        for name in source.namelist():
            target.writestr(name, text if name == "metadata.json" else source.read(name))
    return folder / "n.keras"
