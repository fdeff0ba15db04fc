import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.errors import DataError
from edgett.model.ports import feed, input_ports
from edgett.train.data import Data, Split, data_from_arrays, load_data, scaling_warning, set_aside
from tests.train.conftest import model_of

Arrays = dict[str, np.ndarray]


def arrays_of(shape: tuple[int, ...] = (4,), train: int = 60, test: int = 9, classes: int = 3) -> Arrays:
    random = np.random.default_rng(1)
    return {
        "x_train": random.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": np.arange(train) % classes,
        "x_test": random.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": np.arange(test) % classes,
    }


def two_by_two_arrays(train: int = 30, test: int = 6) -> Arrays:
    arrays = {}
    for part, n in (("train", train), ("test", test)):
        arrays |= {f"x_{part}.a": np.ones((n, 4), np.float32), f"x_{part}.b": np.ones((n, 2), np.float32)}
        arrays |= {f"y_{part}.hour": np.arange(n) % 3, f"y_{part}.size": np.ones(n, np.float32)}
    return arrays


def refused(arrays: Arrays, model: keras.Model, message: str, cure: str = "") -> None:
    with pytest.raises(DataError, match=message) as caught:
        data_from_arrays(arrays, model, 0)
    assert cure in caught.value.cure
    assert caught.value.cure


class TestNpz:
    def test_is_read_split_and_left_in_its_dtype(self, tmp_path: Path, model: keras.Model) -> None:
        arrays = arrays_of()
        np.savez(tmp_path / "d.npz", note=np.zeros(3), **arrays)
        data = load_data(str(tmp_path / "d.npz"), model, seed=0)
        assert (len(data.train), len(data.validation), len(data.test)) == (54, 6, 9)
        assert data.train.x["image"].dtype == np.uint8
        np.testing.assert_array_equal(data.test.x["image"], arrays["x_test"])
        np.testing.assert_array_equal(data.test.y["class"], arrays["y_test"])

    def test_its_own_validation_data_are_taken(self, tmp_path: Path, model: keras.Model) -> None:
        arrays = arrays_of()
        own = {"x_val": arrays["x_test"][:5], "y_val": arrays["y_test"][:5]}
        np.savez_compressed(tmp_path / "d.npz", **arrays, **own)
        data = load_data(str(tmp_path / "d.npz"), model, seed=0)
        np.testing.assert_array_equal(data.validation.x["image"], own["x_val"])
        np.testing.assert_array_equal(data.train.x["image"], arrays["x_train"])

    def test_half_validation_data(self, model: keras.Model) -> None:
        refused(arrays_of() | {"x_val": np.zeros((2, 4))}, model, "the data have no y_val")

    def test_several_inputs_and_outputs(self, two_by_two: keras.Model) -> None:
        data = data_from_arrays(two_by_two_arrays(), two_by_two, 0)
        assert {name: a.shape for name, a in data.train.x.items()} == {"a": (27, 4), "b": (27, 2)}
        assert {name: a.shape for name, a in data.train.y.items()} == {"hour": (27,), "size": (27, 1)}

    def test_a_single_input_may_be_named(self, model: keras.Model) -> None:
        arrays = arrays_of()
        named = {f"{key}.{'image' if key[0] == 'x' else 'class'}": array for key, array in arrays.items()}
        assert data_from_arrays(named, model, 0).digest == data_from_arrays(arrays, model, 0).digest

    def test_no_file(self, model: keras.Model) -> None:
        with pytest.raises(DataError, match=r"no data file nowhere\.npz"):
            load_data("nowhere.npz", model, 0)

    def test_a_directory(self, tmp_path: Path, model: keras.Model) -> None:
        with pytest.raises(DataError, match="is a directory"):
            load_data(str(tmp_path), model, 0)

    @pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", pickle.dumps([1])])
    def test_not_a_zip(self, tmp_path: Path, model: keras.Model, content: bytes) -> None:
        (tmp_path / "d.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"is not an \.npz file"):
            load_data(str(tmp_path / "d.npz"), model, 0)

    def test_cut_short(self, tmp_path: Path, model: keras.Model) -> None:
        np.savez(tmp_path / "d.npz", **arrays_of())
        whole = (tmp_path / "d.npz").read_bytes()
        (tmp_path / "d.npz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="cut short"):
            load_data(str(tmp_path / "d.npz"), model, 0)

    def test_corrupt_inside(self, tmp_path: Path, model: keras.Model) -> None:
        np.savez_compressed(tmp_path / "d.npz", **arrays_of())
        broken = bytearray((tmp_path / "d.npz").read_bytes())
        broken[80:160] = bytes(80)
        (tmp_path / "d.npz").write_bytes(broken)
        with pytest.raises(DataError, match="cannot be read"):
            load_data(str(tmp_path / "d.npz"), model, 0)

    def test_a_header_that_claims_too_much(self, tmp_path: Path, model: keras.Model) -> None:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000,), }\n"
        with zipfile.ZipFile(tmp_path / "d.npz", "w") as file:
            file.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        with pytest.raises(DataError, match="cannot be read"):
            load_data(str(tmp_path / "d.npz"), model, 0)

    def test_pickles_are_never_opened(self, tmp_path: Path, model: keras.Model) -> None:
        marker = tmp_path / "opened"

        class Trap:
            def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
                return Path.touch, (marker,)

        np.savez(tmp_path / "d.npz", **arrays_of() | {"x_train": np.array([Trap(), Trap()], dtype=object)})
        with pytest.raises(DataError, match=r"object arrays.*refused") as caught:
            load_data(str(tmp_path / "d.npz"), model, 0)
        assert "np.savez" in caught.value.cure
        assert not marker.exists()


class TestChecks:
    def test_missing_arrays_are_listed_with_near_names(self, model: keras.Model) -> None:
        arrays = arrays_of()
        arrays["y_trian"] = arrays.pop("y_train")
        refused(arrays, model, "no y_train; found: .*y_trian", "Is 'y_trian' meant to be 'y_train'?")

    def test_a_name_that_is_not_read(self, model: keras.Model) -> None:
        refused(arrays_of() | {"x_valid.": np.zeros(2)}, model, "no x_val, y_val; found")
        refused(arrays_of() | {"x_dev": np.zeros(2)}, model, "hold x_dev, which this model has no use for", "x_val")

    def test_a_missing_output_of_several(self, two_by_two: keras.Model) -> None:
        arrays = two_by_two_arrays()
        del arrays["y_test.size"]
        refused(arrays, two_by_two, r"no y_test\.size; found", r"Needed: x_train.a, x_train.b, y_train.hour")

    @pytest.mark.parametrize(
        ("key", "array", "message", "cure"),
        [
            ("y_test", np.zeros(8, int), "x_test 9, y_test 8", "one row a sample"),
            ("x_train", np.zeros((0, 4)), r"x_train is empty: its shape is \(0, 4\)", "at least one"),
            ("x_train", np.float32(1), r"x_train is empty", "at least one"),
            ("x_train", np.full((60, 4), "a"), "x_train holds <U1, not numbers", "numeric"),
            ("x_train", np.zeros((60, 4), complex), "x_train holds complex128", "numeric"),
            ("y_train", np.array([None] * 60), "y_train holds object", "numeric"),
            ("x_test", np.zeros((9, 5)), r"shape \(9, 5\), but input 'image' of the model takes \(n, 4\)", "Resize"),
            ("x_test", np.zeros((9, 2, 2)), r"shape \(9, 2, 2\)", "x_test.reshape(-1, 4)"),
            ("y_train", np.arange(60), r"label 3 at \[3\], but sparse.* 0\.\.2", "from 0"),
            ("y_test", np.arange(9) - 1, r"label -1 at \[0\]", "from 0"),
            ("y_test", np.full(9, 1.5), r"label 1\.5 at \[0\]", "from 0"),
            ("y_test", np.zeros((9, 3)), r"y_test has shape \(9, 3\), but sparse.* class numbers", "y_test.argmax(-1)"),
            ("y_test", np.zeros((9, 2)), r"y_test has shape \(9, 2\)", "Reshape the labels"),
        ],
    )
    def test_what_does_not_fit(self, model: keras.Model, key: str, array: np.ndarray, message: str, cure: str) -> None:
        refused(arrays_of() | {key: array}, model, message, cure)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_not_finite(self, model: keras.Model, value: float) -> None:
        arrays = arrays_of()
        arrays["x_train"] = arrays["x_train"].astype("float32")
        arrays["x_train"][7, 2] = arrays["x_train"][9, 1] = value
        refused(arrays, model, rf"x_train has 2 values that are NaN or infinite, the first is {value} at \[7, 2\]")

    @pytest.mark.parametrize(
        ("expected", "given", "cure"),
        [
            ((28, 28, 1), (28, 28), "Add the channel axis: x_train[..., np.newaxis]."),
            ((28, 28), (28, 28, 1), "x_train.reshape(-1, 28, 28)"),
            ((8, 8, 3), (3, 8, 8), "np.moveaxis(x_train, 1, -1)"),
            ((784,), (28, 28), "x_train.reshape(-1, 784)"),
        ],
    )
    def test_how_to_reshape(self, expected: tuple[int, ...], given: tuple[int, ...], cure: str) -> None:
        refused(arrays_of(given), model_of(expected), "x_train has shape", cure)

    def test_an_axis_of_any_size(self) -> None:
        entry = keras.Input((None, 4))
        model = keras.Model(entry, keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling1D()(entry)))
        assert len(data_from_arrays(arrays_of((7, 4)), model, 0).test) == 9
        refused(arrays_of((7, 5)), model, r"takes \(n, any, 4\)", "Reshape it")

    def test_fractions_into_an_integer_input(self) -> None:
        entry = keras.Input((4,), dtype="int32")
        tokens = keras.layers.Flatten()(keras.layers.Embedding(256, 2)(entry))
        model = keras.Model(entry, keras.layers.Dense(3, "softmax")(tokens))
        assert scaling_warning(model, data_from_arrays(arrays_of(), model, 0)) is None
        refused(arrays_of() | {"x_test": np.full((9, 4), 0.5)}, model, "fractions in float64, but .* takes int32")

    def test_columns_of_class_numbers_are_flattened(self, model: keras.Model) -> None:
        arrays = arrays_of()
        column = arrays | {"y_train": arrays["y_train"][:, np.newaxis], "y_test": arrays["y_test"][:, np.newaxis]}
        assert data_from_arrays(column, model, 0).digest == data_from_arrays(arrays, model, 0).digest

    def test_class_numbers_for_a_loss_of_one_hot_rows(self) -> None:
        model = model_of(loss="categorical_crossentropy")
        refused(arrays_of(), model, r"y_train has shape \(60,\), but categorical", "to_categorical(y_train, 3)")

    def test_one_hot_rows(self) -> None:
        arrays = arrays_of()
        arrays |= {key: np.eye(3)[arrays[key]] for key in ("y_train", "y_test")}
        data = data_from_arrays(arrays, model_of(loss="categorical_crossentropy"), 0)
        np.testing.assert_array_equal(data.validation.y["class"].sum(0), [2, 2, 2])
        arrays["y_test"] = arrays["y_test"] * 2
        refused(arrays, model_of(loss="categorical_crossentropy"), "one-hot rows in 0..1", "encode")

    def test_labels_beyond_zero_and_one(self) -> None:
        model = model_of(units=1, activation="sigmoid", loss="binary_crossentropy")
        assert data_from_arrays(arrays_of(classes=2), model, 0).train.y["class"].shape == (54, 1)
        refused(arrays_of(), model, r"label 2 at \[2, 0\], but binary_crossentropy .* zeros and ones in 0\.\.1")

    def test_signs(self) -> None:
        arrays = arrays_of(classes=2)
        arrays |= {key: arrays[key] * 2 - 1 for key in ("y_train", "y_test")}
        assert len(data_from_arrays(arrays, model_of(units=1, activation="tanh", loss="hinge"), 0).validation) == 6

    def test_values_of_another_shape(self) -> None:
        refused(arrays_of() | {"y_test": np.zeros((9, 2))}, model_of(units=1, activation=None, loss="mse"), r"\(9, 2\)")

    def test_a_loss_of_the_users_own_takes_any_labels(self) -> None:
        def own(y: object, p: Any) -> Any:
            return keras.ops.mean(p)

        arrays = arrays_of() | {"y_train": np.zeros((60, 7)), "y_test": np.zeros((9, 7))}
        assert data_from_arrays(arrays, model_of(loss=own), 0).test.y["class"].shape == (9, 7)


class TestSetAside:
    @settings(max_examples=60)
    @given(st.lists(st.integers(0, 4), min_size=2, max_size=300), st.integers(0, 2**32))
    def test_every_class_gives_a_tenth_and_at_least_one(self, labels: list[int], seed: int) -> None:
        classes = np.array(labels)
        mask = set_aside(len(classes), classes, seed)
        assert 1 <= mask.sum() < len(mask)
        for c, total in zip(*np.unique(classes, return_counts=True), strict=True):
            taken = mask[classes == c].sum()
            if len(set(labels)) < len(labels):
                assert (taken == 0) if total == 1 else (1 <= taken < total and abs(taken - total / 10) <= 1)
        if min(np.bincount(classes, minlength=5)) >= 10:
            assert mask.sum() == round(len(classes) / 10)
        np.testing.assert_array_equal(mask, set_aside(len(classes), classes, seed))

    @settings(max_examples=30)
    @given(st.integers(2, 500), st.integers(0, 2**32))
    def test_without_classes_a_tenth(self, count: int, seed: int) -> None:
        assert set_aside(count, None, seed).sum() == max(1, round(count / 10))

    @settings(max_examples=20)
    @given(st.integers(4, 80), st.integers(0, 9))
    def test_the_parts_are_disjoint_and_make_up_the_whole(self, count: int, seed: int) -> None:
        arrays = arrays_of(train=count) | {"x_train": np.arange(count * 4, dtype="float32").reshape(count, 4)}
        data = data_from_arrays(arrays, _MODEL, seed)
        rows = np.concatenate([data.train.x["image"], data.validation.x["image"]])
        np.testing.assert_array_equal(rows[rows[:, 0].argsort()], arrays["x_train"])
        for split in (data.train, data.validation):
            np.testing.assert_array_equal(split.y["class"], split.x["image"][:, 0] // 4 % 3)

    def test_another_seed_draws_others(self) -> None:
        assert (set_aside(200, None, 0) != set_aside(200, None, 1)).any()

    def test_one_sample_cannot_be_shared(self, model: keras.Model) -> None:
        refused(arrays_of(train=1), model, "x_train has 1 sample")

    def test_values_are_not_taken_for_classes(self) -> None:
        # Stratified, each of 60 values would be a class of its own.
        model = model_of(units=1, activation=None)
        arrays = arrays_of() | {"y_train": np.repeat(np.arange(30), 2)}
        assert len(data_from_arrays(arrays, model, 0).validation) == 6


_MODEL = model_of()


class TestDigest:
    def test_is_that_of_the_content(self, model: keras.Model) -> None:
        arrays = arrays_of()
        digest = data_from_arrays(arrays, model, 0).digest
        assert digest == data_from_arrays({k: a.copy() for k, a in reversed(arrays.items())}, model, 0).digest
        assert len(digest) == 64

    @pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
    def test_changes_with_every_array(self, model: keras.Model, key: str) -> None:
        arrays = arrays_of()
        digest = data_from_arrays(arrays, model, 0).digest
        changed = arrays[key].copy()
        changed[0] = (changed[0] + 1) % 3
        assert data_from_arrays(arrays | {key: changed}, model, 0).digest != digest
        assert data_from_arrays(arrays | {key: arrays[key].astype("int16")}, model, 0).digest != digest

    def test_changes_with_the_split(self) -> None:
        half = Split({"a": np.zeros((2, 1))}, {"b": np.zeros(2)})
        whole = Split({"a": np.zeros((4, 1))}, {"b": np.zeros(4)})
        assert Data(half, whole, half).digest != Data(whole, half, half).digest


class TestScalingWarning:
    @staticmethod
    def _of(*layers: keras.layers.Layer, x: np.ndarray | None = None) -> str | None:
        model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3, "softmax")])
        arrays = arrays_of()
        if x is not None:
            arrays["x_train"] = x
        return scaling_warning(model, data_from_arrays(arrays, model, 0))

    def test_raw_bytes_into_a_model_that_does_not_scale(self) -> None:
        warning = self._of(keras.layers.Dense(5), keras.layers.BatchNormalization())
        assert warning is not None
        assert "to 255" in warning
        assert "Rescaling(1 / 255)" in warning

    def test_raw_values_as_floats(self) -> None:
        assert self._of(x=np.full((60, 4), 200.0)) is not None

    @pytest.mark.parametrize(
        "layer",
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Normalization(mean=1.0, variance=2.0),
            keras.layers.BatchNormalization(),
            keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(1 / 255)]),
        ],
        ids=lambda layer: layer.name,
    )
    def test_a_model_that_scales(self, layer: keras.layers.Layer) -> None:
        assert self._of(layer) is None

    def test_arithmetic_scales(self) -> None:
        entry = keras.Input((4,))
        model = keras.Model(entry, keras.layers.Dense(3, "softmax")(entry / 255.0))
        assert scaling_warning(model, data_from_arrays(arrays_of(), model, 0)) is None

    @pytest.mark.parametrize("x", [np.ones((60, 4), np.uint8), np.full((60, 4), 7.5), np.full((60, 4), 0.25)])
    def test_data_that_are_not_raw(self, x: np.ndarray) -> None:
        assert self._of(x=x) is None


def test_bytes_and_their_floats_are_the_same_to_the_model(model: keras.Model) -> None:
    data = data_from_arrays(arrays_of(), model, 0)
    floats = {name: array.astype("float32") for name, array in data.test.x.items()}
    np.testing.assert_array_equal(
        model.predict(feed(model, data.test.x), verbose=0), model.predict(feed(model, floats), verbose=0)
    )


def test_fewer_samples_than_a_batch_train() -> None:
    model = model_of(loss="sparse_categorical_crossentropy")
    data = data_from_arrays(arrays_of(train=3, test=1), model, 0)
    assert (len(data.train), len(data.validation)) == (2, 1)
    history = model.fit(feed(model, data.train.x), data.train.y["class"], batch_size=128, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_take_keeps_rows_together(model: keras.Model) -> None:
    data = data_from_arrays(arrays_of(), model, 0)
    first = data.train.take(slice(5))
    assert len(first) == 5
    np.testing.assert_array_equal(first.x[input_ports(model)[0].name], data.train.x["image"][:5])
    np.testing.assert_array_equal(first.y["class"], data.train.y["class"][:5])


class TestWithoutLabels:
    def test_x_train_is_enough(self, model: keras.Model) -> None:
        data = data_from_arrays({"x_train": arrays_of(train=100)["x_train"]}, model, 0)
        assert (len(data.train), len(data.validation), len(data.test)) == (81, 10, 9)
        assert (data.labelled, data.aside, dict(data.train.y)) == (False, True, {})
        rows = np.concatenate([part.x["image"] for part in (data.train, data.validation, data.test)])
        given = arrays_of(train=100)["x_train"]
        np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(given, axis=0))

    def test_other_parts_are_taken_where_they_are_given(self, two_by_two: keras.Model) -> None:
        inputs = {key: array for key, array in two_by_two_arrays().items() if key[0] == "x"}
        inputs |= {"x_val.a": np.ones((3, 4)), "x_val.b": np.ones((3, 2))}
        data = data_from_arrays(inputs, two_by_two, 0)
        assert (len(data.train), len(data.validation), len(data.test), data.aside) == (30, 3, 6, False)

    def test_the_models_outputs_stand_for_them_and_change_no_digest(self, model: keras.Model) -> None:
        data = data_from_arrays({"x_train": arrays_of()["x_train"]}, model, 0)
        known = data.labelled_by(lambda x: {"class": x["image"].astype(np.float32)})
        np.testing.assert_array_equal(known.validation.y["class"], data.validation.x["image"])
        assert (known.labelled, known.aside, known.digest) == (False, True, data.digest)

    @pytest.mark.parametrize(
        ("code", "sizes"),
        [
            ("x", (5, 1, 1)),
            ("tf.data.Dataset.from_tensor_slices(x).batch(3)", (5, 1, 1)),
            ("tf.data.Dataset.from_tensor_slices(x)", (5, 1, 1)),
            (
                "{'train': tf.data.Dataset.from_tensor_slices(x), 'val': tf.data.Dataset.from_tensor_slices(x)}",
                (6, 7, 1),
            ),
            ("{'x_train': x, 'x_test': x[:2]}", (6, 1, 2)),
        ],
    )
    def test_functions_may_leave_them_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: keras.Model, code: str, sizes: tuple[int, ...]
    ) -> None:
        name = f"bare_{abs(hash(code))}"
        text = f"import numpy as np, tensorflow as tf\nx = np.ones((7, 4), np.float32)\ndef f(): return {code}\n"
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.chdir(tmp_path)
        data = load_data(f"{name}:f", model, 0)
        assert (len(data.train), len(data.validation), len(data.test)) == sizes
        assert not data.labelled

    def test_too_few_samples(self, model: keras.Model) -> None:
        refused({"x_train": np.ones((2, 4))}, model, "x_train has 1 sample", "3 without labels")

    @pytest.mark.parametrize("missing", ["y_train", "y_test"])
    def test_some_labels_are_no_labels(self, model: keras.Model, missing: str) -> None:
        arrays = arrays_of()
        del arrays[missing]
        refused(arrays, model, f"the data have no {missing}")


class TestIndices:
    def tables(self, size: int = 20) -> keras.Model:
        words, kind = keras.Input((6,), name="words"), keras.Input((1,), dtype="int32", name="kind")
        looked_up = keras.layers.Embedding(size, 3, name="table")(keras.layers.Reshape((6,))(words))
        coded = keras.layers.CategoryEncoding(4, "one_hot", name="coded")(kind)
        joined = keras.layers.Concatenate()([keras.layers.Flatten()(looked_up), coded])
        return keras.Model([words, kind], keras.layers.Dense(2, "softmax", name="class")(joined))

    def arrays(self) -> Arrays:
        random = np.random.default_rng(0)
        arrays = {}
        for part, count in (("train", 30), ("test", 12)):
            arrays[f"x_{part}.words"] = random.integers(0, 20, (count, 6))
            arrays[f"x_{part}.kind"] = random.integers(0, 4, (count, 1))
            arrays[f"y_{part}"] = random.integers(0, 2, count)
        return arrays

    def test_those_that_the_tables_have_are_taken(self) -> None:
        data = data_from_arrays(self.arrays(), self.tables(), 0)
        assert {name: str(array.dtype) for name, array in data.test.x.items()} == {"words": "int64", "kind": "int32"}

    @pytest.mark.parametrize(
        ("part", "side", "value", "layer", "last"),
        [("test", "words", 20, "table", 19), ("train", "words", -1, "table", 19), ("test", "kind", 4, "coded", 3)],
    )
    def test_others_are_found_when_data_are_loaded(
        self, tmp_path: Path, part: str, side: str, value: int, layer: str, last: int
    ) -> None:
        arrays = self.arrays()
        arrays[f"x_{part}.{side}"][7, 0] = value
        np.savez(tmp_path / "d.npz", **arrays)
        message = (
            rf"d\.npz: x_{part}\.{side} has the index {value} at \[7, 0\], but layer '{layer}' knows 0 to {last}\."
        )
        with pytest.raises(DataError, match=message):
            load_data(str(tmp_path / "d.npz"), self.tables(), 0)

    def test_labels_out_of_range_are_told_with_file_array_and_row(self, tmp_path: Path, model: keras.Model) -> None:
        arrays = arrays_of()
        arrays["y_test"][5] = 3
        np.savez(tmp_path / "d.npz", **arrays)
        with pytest.raises(DataError, match=r"d\.npz: y_test has the label 3 at \[5\].*in 0\.\.2"):
            load_data(str(tmp_path / "d.npz"), model, 0)

    def test_whole_numbers_have_the_type_that_the_input_takes(self) -> None:
        image = keras.Input((4,), dtype="uint8", name="image")
        model = keras.Model(image, keras.layers.Dense(3, "softmax")(image))
        arrays = arrays_of()
        arrays |= {key: arrays[key].astype("float64") for key in ("x_train", "x_test")}
        assert data_from_arrays(arrays, model, 0).train.x["image"].dtype == np.uint8
        arrays["x_test"][2, 1] = 256
        refused(arrays, model, r"x_test has 256.0 at \[2, 1\], but input 'image' takes uint8, from 0 to 255")
