"""Where data come from: a function of the user's, and the data sets that Keras downloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.errors import DataError
from edgett.train.data import load_data
from tests.train.conftest import model_of
from tests.train.test_data import arrays_of

FUNCTIONS = """
import numpy as np, tensorflow as tf
x, y = np.arange(80, dtype="float32").reshape(20, 4), np.arange(20) % 3
slices = lambda: tf.data.Dataset.from_tensor_slices((x, y))
def mapping(): return {"x_train": x, "y_train": y, "x_test": x[:6], "y_test": y[:6]}
def pairs(): return (x, y), (x[:6], y[:6])
def three(): return (x, y), (x[:6], y[:6]), (x[:5], y[:5])
def lists(): return (x.tolist(), y.tolist()), (x[:6].tolist(), y[:6].tolist())
def batched(): return slices().batch(3), slices().take(6).batch(4)
def unbatched(): return {"train": slices(), "test": slices().take(6), "validation": slices().take(5)}
def named(): return {k: d.map(lambda x, y: ({"image": x}, {"class": y})) for k, d in unbatched().items()}
def endless(): return slices().repeat(), slices()
def empty(): return slices().take(0), slices()
def number(): return 3
def four(): return 1, 2, 3, 4
def triple(): return (x, y, y), (x, y)
def ragged(): return ([[1, 2], [3]], [0, 1]), (x, y)
def broken(): raise KeyError("no such table")
"""


class TestFunction:
    @pytest.fixture(autouse=True)
    def _module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        (tmp_path / "user_data.py").write_text(FUNCTIONS)
        (tmp_path / "user_bad.py").write_text("import nothing_of_this_name")
        monkeypatch.chdir(tmp_path)
        yield
        import sys

        sys.modules.pop("user_data", None)

    @pytest.mark.parametrize(
        ("name", "validation"),
        [("mapping", 2), ("pairs", 2), ("three", 5), ("lists", 2), ("batched", 2), ("unbatched", 5), ("named", 5)],
    )
    def test_forms(self, model: keras.Model, name: str, validation: int) -> None:
        data = load_data(f"user_data:{name}", model, 0)
        assert len(data.test) == 6
        assert len(data.validation) == (validation if validation == 5 else 3)
        np.testing.assert_array_equal(data.test.x["image"], np.arange(24).reshape(6, 4))
        np.testing.assert_array_equal(data.test.y["class"], np.arange(6) % 3)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("user_data:endless", "repeats for ever"),
            ("user_data:empty", "a data set is empty"),
            ("user_data:number", "gave: int"),
            ("user_data:four", "gave: tuple of 4"),
            ("user_data:triple", "the train data are no pair .* tuple of 3"),
            ("user_data:ragged", "x_train is no array"),
            ("user_data:broken", "failed: KeyError: 'no such table'"),
            ("user_data:mising", "has no function 'mising'"),
            ("user_data:x", "has no function 'x'"),
            ("user_bad:f", "'user_bad' of --data user_bad:f cannot be imported: No module named"),
            ("no_such_module:f", "'no_such_module' of --data"),
            (":f", "cannot be imported"),
            ("cifar100", "no data file cifar100"),
        ],
    )
    def test_what_cannot_be_used(self, model: keras.Model, spec: str, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_data(spec, model, 0)
        assert caught.value.cure

    def test_lists_of_several_inputs(self, two_by_two: keras.Model, tmp_path: Path) -> None:
        (tmp_path / "user_data.py").write_text(
            "import numpy as np\n"
            "def f():\n    part = ([np.ones((9, 4)), np.ones((9, 2))], [np.arange(9) % 3, np.ones(9)])\n"
            "    return part, part\n"
        )
        assert set(load_data("user_data:f", two_by_two, 0).test.y) == {"hour", "size"}


class TestDownload:
    @pytest.mark.parametrize("name", ["mnist", "cifar10"])
    def test_without_a_network(
        self, model: keras.Model, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from keras.src.backend import config

        monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
        for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(variable, "http://127.0.0.1:9")
        for variable in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        with pytest.raises(DataError, match=f"{name} could not be downloaded") as caught:
            load_data(name, model, 0)
        assert f"--data {name}.npz" in caught.value.cure

    @pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1)])
    def test_mnist_from_the_cache_in_the_models_shape(
        self, shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Keras takes a file of this name for the data set, unless its hash is that of another one.
        from keras.src.backend import config
        from keras.src.utils import file_utils

        monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
        monkeypatch.setattr(file_utils, "validate_file", lambda *args, **kwargs: True)
        (tmp_path / "datasets").mkdir()
        np.savez(tmp_path / "datasets" / "mnist.npz", **arrays_of((28, 28), classes=10))
        data = load_data("mnist", model_of(shape, units=10), 0)
        assert data.test.x["image"].shape == (9, *shape)
