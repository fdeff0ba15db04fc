"""Models from files and back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.saving import saving_lib

from edgett.errors import ModelError, UsageError
from edgett.forms.tt.shape import TTShape
from edgett.model.layers import replace
from edgett.model.models import load_model, pack_weights, save_model, unpack_weights
from edgett.system import folders

L = keras.layers
X = np.linspace(-1, 1, 48, dtype=np.float32).reshape(4, 12)
SHAPE = TTShape((4, 3), (2, 4), (1, 2, 1))


def plain() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [L.Dense(8, "relu", name="fc"), L.Dropout(0.5, name="drop"), L.Dense(3, name="out")]
    model = keras.Sequential([keras.Input((12,), name="x"), *layers], name="plain")
    model.compile("adam", "mse", metrics=["mae"])
    return model


def nested() -> keras.Model:
    """A train in a model in a model."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12,), name="z")
    inner = keras.Model(inputs, L.Dense(8, "relu", kernel_regularizer="l2", name="fc")(inputs), name="inner")
    outer = keras.Input((12,), name="x")
    model = keras.Model(outer, [L.Dense(2, name="a")(inner(outer)), L.Dense(3, name="b")(inner(outer))], name="outer")
    model.compile("sgd", keras.losses.MeanSquaredError(), run_eagerly=True)
    return replace(model, {"inner/fc": SHAPE})


@keras.saving.register_keras_serializable("tests")
class Offset(L.Layer):
    """Tells of objects in its configuration that live no longer than it takes to tell, as some layers of Keras do."""

    def __init__(self, low: object, high: object, **others: object) -> None:
        super().__init__(**others)
        self.low, self.high = (keras.saving.deserialize_keras_object(each).value for each in (low, high))

    def call(self, x: object) -> object:
        return x + (self.low + self.high)

    def get_config(self) -> dict[str, object]:
        told = {
            name: keras.saving.serialize_keras_object(keras.initializers.Constant(getattr(self, name)))
            for name in ("low", "high")
        }
        return {**super().get_config(), **told}


def sharing() -> keras.Model:
    """Layers, a model, an initialiser and a regulariser that are used more than once, and a layer of one's own."""
    keras.utils.set_random_seed(1)
    told = [keras.saving.serialize_keras_object(keras.initializers.Constant(value)) for value in (1.0, 2.0)]
    kept = {"kernel_regularizer": keras.regularizers.L2(1e-3), "kernel_initializer": keras.initializers.HeNormal(3)}
    x = keras.Input((12,), name="x")
    twice = L.Dense(12, **kept, name="twice")
    inner = keras.Sequential([keras.Input((12,), name="z"), L.Dense(12, **kept, name="fc")], name="inner")
    y = L.Dense(4, **kept, name="out")(inner(twice(inner(twice(x)))))
    model = keras.Model(x, Offset(*told, name="offset")(y), name="sharing")
    model.compile("adam", "mse", metrics=["mae"])
    return model


def saved(model: keras.Model, folder: Path, name: str = "model.keras") -> bytes:
    save_model(model, folder / name)
    return (folder / name).read_bytes()


class TestSave:
    def test_reads_back(self, tmp_path: Path) -> None:
        model = plain()
        save_model(model, tmp_path / "model.keras")
        again = load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(again(X), model(X))
        assert again.compiled and again.loss == "mse"

    @pytest.mark.parametrize("build", [plain, nested])
    def test_the_same_model_gives_the_same_bytes_however_many_were_built_before(
        self, build: Callable[[], keras.Model], tmp_path: Path
    ) -> None:
        model = build()
        first = saved(model, tmp_path)
        keras.Sequential([keras.Input((3,)), L.Dense(2), L.Dropout(0.5)])
        assert saved(build(), tmp_path) == first
        assert saved(model, tmp_path) == first

    def test_no_address_is_written(self, tmp_path: Path) -> None:
        """Two models that live at once: nothing of the second is where something of the first is."""
        first, second = sharing(), sharing()
        assert saved(first, tmp_path) == saved(second, tmp_path)
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            numbers = [int(found) for found in re.findall(rb'"shared_object_id": (\d+)', archive.read("config.json"))]
        assert set(numbers) == set(range(max(numbers) + 1)) and len(numbers) > max(numbers) + 1

    def test_nothing_is_taken_for_shared_that_is_not(self, tmp_path: Path) -> None:
        save_model(sharing(), tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        assert (again.get_layer("offset").low, again.get_layer("offset").high) == (1.0, 2.0)
        np.testing.assert_array_equal(again(X), sharing()(X))

    def test_a_swap_gives_the_same_bytes_however_many_were_made_before(self, tmp_path: Path) -> None:
        """Whatever Keras named or seeded by a counter or at random, the copy has it from the original."""
        inputs = keras.Input((12,))
        inner = keras.Model(inputs, L.Dropout(0.5)(L.Dense(8, name="fc")(inputs)), name="inner")
        outer = keras.Input((12,))
        model = keras.Model(outer, L.Dense(2)(inner(outer)))
        model.compile("adam", "mse")
        first = saved(replace(model, {"inner/fc": SHAPE}), tmp_path)
        assert saved(replace(model, {"inner/fc": SHAPE}), tmp_path) == first

    @pytest.mark.slow
    def test_another_process_writes_the_same_bytes(self, tmp_path: Path) -> None:
        code = (
            "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
            "import tests.model.test_models as t\n"
            "t.plain(); kept = [t.saved(getattr(t, name)(), pathlib.Path(sys.argv[2]), f'{name}.keras')\n"
            "    for name in ('nested', 'sharing')]\n"
        )
        environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        arguments = [sys.executable, "-c", code, str(Path(__file__).parents[2]), str(tmp_path)]
        subprocess.run(arguments, check=True, env=environment, capture_output=True)
        for build in (nested, sharing):
            assert (tmp_path / f"{build.__name__}.keras").read_bytes() == saved(build(), tmp_path)

    def test_the_date_and_the_training_leave_no_trace(self, tmp_path: Path) -> None:
        model = nested()
        fresh = saved(model, tmp_path)
        weights = model.get_weights()
        model.fit(X, [np.ones((4, 2)), np.ones((4, 3))], verbose=0)
        optimizer = model.optimizer
        assert saved(model, tmp_path) != fresh
        assert model.optimizer is optimizer and int(optimizer.iterations) == 1
        model.set_weights(weights)
        again = saved(model, tmp_path)
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert b'"date_saved": ""' in archive.read("metadata.json")
        assert again == fresh

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            save_model(plain(), tmp_path / "nowhere" / "model.keras")


class TestPack:
    def test_round_trip(self) -> None:
        model, other = nested(), nested()
        other.set_weights([weight + 1 for weight in other.get_weights()])
        unpack_weights(other, pack_weights(model))
        for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_more_than_ten_weights_keep_their_order(self) -> None:
        model = keras.Sequential([keras.Input((2,)), *(L.Dense(2, bias_initializer="ones") for _ in range(7))])
        wanted = [np.full(weight.shape, index) for index, weight in enumerate(model.get_weights())]
        model.set_weights(wanted)
        content = pack_weights(model)
        model.set_weights([weight * 0 for weight in wanted])
        unpack_weights(model, content)
        for mine, theirs in zip(model.get_weights(), wanted, strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_the_same_weights_are_the_same_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        early = pack_weights(plain())
        monkeypatch.setattr(time, "time", lambda: 2e9)  # archives have the time of day in them
        assert pack_weights(plain()) == early

    def test_weights_of_another_model_are_refused(self) -> None:
        with pytest.raises(ValueError, match="weight"):
            unpack_weights(plain(), pack_weights(nested()))


def refused(path: Path, **keywords: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_model(path, **keywords)
    assert caught.value.cure and str(path) in caught.value.message
    return caught.value


class TestLoad:
    def test_h5(self, tmp_path: Path) -> None:
        model = plain()
        with _quietly():
            model.save(tmp_path / "model.h5")
        np.testing.assert_array_equal(load_model(tmp_path / "model.h5")(X), model(X))

    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_a_lambda_is_refused(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"model{suffix}"
        with _quietly():
            keras.Sequential([keras.Input((2,)), L.Lambda(lambda x: x * 2), L.Dense(2)]).save(path)
        error = refused(path)
        assert "Lambda layer, which is code in a file: refused" in error.message
        assert "keras.ops" in error.cure

    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_a_lambda_inside_another_model_is_refused(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"model{suffix}"
        inner = keras.Sequential([keras.Input((2,)), L.Lambda(lambda x: x * 2, output_shape=(2,))])
        with _quietly():
            keras.Sequential([keras.Input((2,)), inner, L.Dense(2)]).save(path)
        assert "code in a file: refused" in refused(path).message

    @pytest.mark.parametrize("name", ["model.H5", "model", "model.keras", "model.tflite"])
    def test_the_name_does_not_matter(self, name: str, tmp_path: Path) -> None:
        model = plain()
        for suffix in (".h5", ".keras"):
            with _quietly():
                model.save(tmp_path / f"saved{suffix}")
            (tmp_path / f"saved{suffix}").replace(tmp_path / name)
            np.testing.assert_array_equal(load_model(tmp_path / name)(X), model(X))

    def test_missing(self, tmp_path: Path) -> None:
        assert "there is no model file" in refused(tmp_path / "nope.keras").message

    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_cut_off(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"model{suffix}"
        with _quietly():
            plain().save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert "cannot be loaded" in refused(path).message

    def test_a_damaged_byte(self, tmp_path: Path) -> None:
        path = tmp_path / "model.keras"
        content = bytearray(saved(plain(), tmp_path))
        middle = len(content) // 2
        content[middle : middle + 40] = bytes(40)
        path.write_bytes(content)
        assert "cannot be loaded" in refused(path).message

    def test_a_layer_alone_is_no_model(self, tmp_path: Path) -> None:
        path = tmp_path / "model.keras"
        layer = L.Dense(2)
        layer.build((None, 3))
        saving_lib.save_model(layer, path)
        refused(path)

    def test_a_sequential_model_without_an_input(self, tmp_path: Path) -> None:
        path = tmp_path / "model.keras"
        with _quietly():
            keras.Sequential([L.Dense(2)]).save(path)
        with pytest.raises(ModelError, match="no input of known shape"):
            load_model(path)

    def test_a_trained_train_is_a_model_like_any_other(self, tmp_path: Path) -> None:
        model = nested()
        save_model(model, tmp_path / "model.keras")
        for mine, theirs in zip(load_model(tmp_path / "model.keras")(X), model(X), strict=True):
            np.testing.assert_array_equal(mine, theirs)


MODULE = """
import keras

class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2

    def compute_output_shape(self, input_shape):
        return input_shape

def bent(x):
    return keras.ops.tanh(x) * 2

def lost(wanted, found):
    return keras.ops.mean(keras.ops.abs(wanted - found) ** 3)
"""


class TestCustomObjects:
    @pytest.fixture
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A model of layers that only a module in the working directory knows."""
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "layers.py").write_text(MODULE)
        monkeypatch.chdir(tmp_path)
        scope: dict[str, Any] = {"__name__": "somewhere.else"}
        exec(MODULE, scope)
        model = keras.Sequential([keras.Input((12,)), scope["Doubled"](), L.Dense(8, scope["bent"], name="fc")])
        model.compile("sgd", scope["lost"])
        model.save(tmp_path / "model.keras")
        np.save(tmp_path / "wanted.npy", np.asarray(model(X)))
        yield tmp_path / "model.keras"
        for name in [name for name in sys.modules if name == "mine" or name.startswith("mine.")]:
            del sys.modules[name]

    def test_a_module_of_the_working_directory(self, path: Path, tmp_path: Path) -> None:
        before = list(sys.path)
        model = load_model(path, "mine.layers")
        assert sys.path == before
        np.testing.assert_allclose(model(X), np.load(tmp_path / "wanted.npy"), atol=1e-6)
        assert model.compiled and model.loss.__name__ == "lost"

    def test_and_the_swap_works_on_it(self, path: Path) -> None:
        model = load_model(path, "mine.layers")
        full = TTShape((4, 3), (2, 4), (1, 8, 1))
        np.testing.assert_allclose(replace(model, {"fc": full})(X), model(X), atol=1e-5)

    def test_without_the_module(self, path: Path) -> None:
        error = refused(path)
        assert "needs something that Keras does not have" in error.message and "Doubled" in error.message
        assert "--custom-objects" in error.cure

    @pytest.mark.parametrize("content", [None, "raise RuntimeError('broken inside')", "x ="])
    def test_a_module_that_cannot_be_imported(
        self, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        if content is not None:
            (tmp_path / "faulty_objects.py").write_text(content)
        save_model(plain(), tmp_path / "model.keras")
        with pytest.raises(UsageError, match="--custom-objects faulty_objects cannot be imported") as caught:
            load_model(tmp_path / "model.keras", "faulty_objects")
        assert caught.value.cure


def test_a_loss_that_cannot_be_read_back_does_not_keep_the_weights_from_use(tmp_path: Path) -> None:
    model = plain()
    model.compile("sgd", _cubed)
    model.save(tmp_path / "model.keras")
    scope = {"_cubed": globals().pop("_cubed")}
    try:
        again = load_model(tmp_path / "model.keras")
    finally:
        globals().update(scope)
    assert not again.compiled
    np.testing.assert_array_equal(again(X), model(X))


def _cubed(wanted: Any, found: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(wanted - found) ** 3)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keras warns of .h5 and of models without weights; they are what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_what_autograph_writes_goes_with_the_process() -> None:
    from tensorflow.python.autograph.pyct import loader

    module, name = loader.load_source("answer = 42", delete_on_exit=True)
    assert module.answer == 42
    assert Path(name).parent == folders.lasting() and folders.lasting().name.startswith("edgett-scratch-")
