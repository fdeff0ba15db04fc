"""Files of Keras 2: each difference in a small file, and real ones by tf-keras and in MLPerf Tiny."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.model.models import load_model, save_model
from tests.model.old_files import WRITE, Weights, entry, functional, layer, numbers, write

L = keras.layers
INITIALISER = {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}}
PLAIN: dict[str, Any] = {"trainable": True, "dtype": "float32"}


def dense(name: str, reads: Any, units: int = 3, **settings: Any) -> dict[str, Any]:
    return layer(
        "Dense", name, reads, **PLAIN, units=units, activation="linear", kernel_initializer=INITIALISER, **settings
    )


def kernel(name: str, *shape: int, seed: int = 0) -> list[tuple[str, np.ndarray]]:
    return [(f"{name}/kernel:0", numbers(*shape, seed=seed)), (f"{name}/bias:0", numbers(shape[-1], seed=seed + 1))]


def loaded(folder: Path, config: Any, weights: Weights | None = None, training: Any = None) -> keras.Model:
    return load_model(write(folder / "old.h5", config, weights, training))


def chain(*layers: dict[str, Any], shape: tuple[int | None, ...] = (4,)) -> dict[str, Any]:
    """A model of one layer after the other."""
    names = ["x", *(item["name"] for item in layers)]
    for item, before in zip(layers, names, strict=False):
        item["inbound_nodes"] = item["inbound_nodes"] or [[[before, 0, 0, {}]]]
    return functional([entry("x", *shape), *layers], [[names[-1], 0, 0]])


class TestLayers:
    def test_settings_that_are_gone(self, tmp_path: Path) -> None:
        """`groups` of a depthwise convolution, `dtype` of initialisers, the axis of a normalisation as a list."""
        depthwise = layer(
            "DepthwiseConv2D", "dw", **PLAIN, kernel_size=[3, 3], groups=1, use_bias=False,
            depthwise_initializer=INITIALISER,
        )  # fmt: skip
        norm = layer("BatchNormalization", "bn", **PLAIN, axis=[3], renorm=False, fused=True)
        deep, scales = numbers(3, 3, 2, 1), [np.abs(numbers(2, seed=i)) + 0.1 for i in range(4)]
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        weights = {
            "dw": [("dw/depthwise_kernel:0", deep)],
            "bn": [(f"bn/{name}:0", one) for name, one in zip(names, scales, strict=True)],
        }
        model = loaded(tmp_path, chain(depthwise, norm, shape=(5, 5, 2)), weights)
        x = numbers(2, 5, 5, 2)
        twin = keras.Sequential([keras.Input((5, 5, 2)), L.DepthwiseConv2D(3, use_bias=False), L.BatchNormalization()])
        twin.set_weights([deep, *scales])
        np.testing.assert_allclose(model(x), twin(x), atol=1e-5)

    def test_attention_that_knows_its_shapes_and_reads_by_name(self, tmp_path: Path) -> None:
        shape = [None, 5, 8]
        attention = layer(
            "MultiHeadAttention", "mha", [[["x", 0, 0, {"value": ["x", 0, 0], "key": ["y", 0, 0]}]]], **PLAIN,
            num_heads=2, key_dim=4, query_shape=shape, key_shape=shape, value_shape=shape,
        )  # fmt: skip
        config = functional([entry("x", 5, 8), entry("y", 5, 8), attention], [["mha", 0, 0]])
        first, second = keras.Input((5, 8)), keras.Input((5, 8))
        inner = L.MultiHeadAttention(2, 4)
        twin = keras.Model([first, second], inner(first, first, second))
        values = [numbers(*weight.shape, seed=i) for i, weight in enumerate(inner.weights)]
        inner.set_weights(values)
        names = [f"mha/{weight.path.split('/', 1)[1]}:0" for weight in inner.weights]
        model = loaded(tmp_path, config, {"mha": list(zip(names, values, strict=True))})
        x = [numbers(2, 5, 8, seed=8), numbers(2, 5, 8, seed=9)]
        np.testing.assert_allclose(model(x), twin(x), atol=1e-5)

    def test_a_hard_sigmoid_is_another_line_today(self, tmp_path: Path) -> None:
        model = loaded(tmp_path, chain(layer("Activation", "a", **PLAIN, activation="hard_sigmoid")))
        x = np.array([[-3, -1, 0.5, 2.75]], np.float32)
        wanted = [[0, 0.3, 0.6, 1]]
        np.testing.assert_allclose(model(x), wanted, atol=1e-6)
        save_model(model, tmp_path / "again.keras")
        np.testing.assert_allclose(load_model(tmp_path / "again.keras")(x), wanted, atol=1e-6)

    def test_branches_keep_their_weights_whatever_their_order(self, tmp_path: Path) -> None:
        branches = [dense(name, ("x",)) for name in "cab"]
        joined = layer("Subtract", "sub", ("a", "b"), **PLAIN)
        config = functional([entry("x", 4), *branches, joined], [["sub", 0, 0], ["c", 0, 0]])
        weights = {name: kernel(name, 4, 3, seed=ord(name)) for name in "cab"}
        x = numbers(2, 4)
        made = {name: x @ arrays[0][1] + arrays[1][1] for name, arrays in weights.items()}
        difference, third = loaded(tmp_path, config, weights)(x)
        np.testing.assert_allclose(difference, made["a"] - made["b"], atol=1e-5)
        np.testing.assert_allclose(third, made["c"], atol=1e-5)

    def test_models_in_a_model_count_their_calls_from_one(self, tmp_path: Path) -> None:
        """And names with a slash, which Keras 3 does not have."""
        inner = functional([entry("z", 4), dense("block/fc", ("z",), 4)], [["block/fc", 0, 0]], "inner")
        twice = [[["x", 0, 0, {}]], [["inner", 1, 0, {}]]]
        config = functional(
            [entry("x", 4), {**inner, "name": "inner", "inbound_nodes": twice}], [["inner", 1, 0], ["inner", 2, 0]]
        )
        weights = {"inner": kernel("block/fc", 4, 4)}
        x, (matrix, bias) = numbers(2, 4), (array for _, array in weights["inner"])
        once, again = loaded(tmp_path, config, weights)(x)
        np.testing.assert_allclose(once, x @ matrix + bias, atol=1e-5)
        np.testing.assert_allclose(again, (x @ matrix + bias) @ matrix + bias, atol=1e-5)

    def test_a_sequential_whose_first_layer_knows_its_input(self, tmp_path: Path) -> None:
        only = dense("fc", ())
        only["config"]["batch_input_shape"] = [None, 4]
        weights = {"fc": kernel("fc", 4, 3)}
        for settings in ([only], {"name": "s", "layers": [only]}):
            model = loaded(tmp_path, {"class_name": "Sequential", "config": settings}, weights)
            np.testing.assert_allclose(model(np.eye(4)), weights["fc"][0][1] + weights["fc"][1][1], atol=1e-5)

    def test_a_state_behind_the_sequence(self, tmp_path: Path) -> None:
        settings = {**PLAIN, "units": 2, "time_major": False, "implementation": 2}
        first = layer("GRU", "a", ("x",), **settings, return_state=True, return_sequences=True)
        second = layer("GRU", "b", [[["a", 0, 0, {}], ["a", 0, 1, {}]]], **settings)
        x = keras.Input((3, 4))
        layers = [L.GRU(2, return_state=True, return_sequences=True), L.GRU(2)]
        sequence, state = layers[0](x)
        twin = keras.Model(x, layers[1](sequence, initial_state=state))
        weights = {}
        for name, twin_layer in zip("ab", layers, strict=True):
            twin_layer.set_weights([numbers(*w.shape, seed=i) for i, w in enumerate(twin_layer.get_weights())])
            names = (f"{name}/gru_cell/{part}:0" for part in ("kernel", "recurrent_kernel", "bias"))
            weights[name] = list(zip(names, twin_layer.get_weights(), strict=True))
        model = loaded(tmp_path, functional([entry("x", 3, 4), first, second], [["b", 0, 0]]), weights)
        samples = numbers(2, 3, 4)
        np.testing.assert_allclose(model(samples), twin(samples), atol=1e-5)

    @pytest.mark.parametrize(
        ("kind", "settings", "told"),
        [
            ("LSTM", {"units": 2, "time_major": True}, "layer 'a' has time_major True"),
            ("DepthwiseConv2D", {"kernel_size": [1, 1], "groups": 2}, "layer 'a' has groups 2"),
            ("BatchNormalization", {"renorm": True}, "layer 'a' has renorm True"),
            ("Odd", {}, "needs Odd, which Keras does not have"),
        ],
    )
    def test_what_keras_3_does_not_do(self, kind: str, settings: Any, told: str, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=told) as caught:
            loaded(tmp_path, chain(layer(kind, "a", **PLAIN, **settings), shape=(3, 3, 4)))
        assert caught.value.cure


def function(name: str, given: Any, number: int = 0, **arguments: Any) -> dict[str, Any]:
    reads = [[given, 0, 0, {**arguments, "name": None}]] if isinstance(given, str) else given
    return layer("TFOpLambda", f"tf.{name}_{number}", reads, **PLAIN, function=name)


class TestFunctions:
    @pytest.mark.parametrize(
        ("item", "wanted"),
        [
            (function("__operators__.add", "x", y=["x", 0, 0]), lambda x: 2 * x),
            (function("math.multiply", "x", y=2.0), lambda x: 2 * x),
            (function("math.subtract", [["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0]}]]), lambda x: 1 - x),
            (function("math.truediv", "x", y=4.0), lambda x: x / 4),
            (function("nn.relu", "x"), lambda x: np.maximum(x, 0)),
            (function("nn.leaky_relu", "x", alpha=0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
            (function("math.reduce_mean", "x", axis=[1], keepdims=True), lambda x: x.mean(1, keepdims=True)),
            (function("reshape", "x", shape=[-1, 6]), lambda x: x.reshape(-1, 6)),
            (function("compat.v1.transpose", "x", perm=[0, 2, 1], conjugate=False), lambda x: x.transpose(0, 2, 1)),
            (function("expand_dims", "x", axis=-1), lambda x: x[..., None]),
            (function("linalg.matmul", "x", b=["x", 0, 0], transpose_b=True), lambda x: x @ x.transpose(0, 2, 1)),
            (function("clip_by_value", "x", clip_value_min=0.0, clip_value_max=0.2), lambda x: x.clip(0, 0.2)),
            (function("compat.v1.pad", "x", paddings=[[0, 0], [1, 0], [0, 0]], mode="CONSTANT", constant_values=0),
             lambda x: np.pad(x, [[0, 0], [1, 0], [0, 0]])),
            (function("concat", [[["x", 0, 0, {"axis": 1}], ["x", 0, 0, {"axis": 1}]]]),
             lambda x: np.concatenate([x, x], 1)),
            (function("math.softplus", "x"), lambda x: np.log1p(np.exp(x))),
        ],
        ids=lambda item: item["name"] if isinstance(item, dict) else "",
    )  # fmt: skip
    def test_what_stands_for_it(self, item: Any, wanted: Any, tmp_path: Path) -> None:
        x = numbers(2, 2, 3)
        model = loaded(tmp_path, functional([entry("x", 2, 3), item], [[item["name"], 0, 0]]))
        np.testing.assert_allclose(model(x), wanted(x), atol=1e-5)

    def test_a_slice(self, tmp_path: Path) -> None:
        every = {"start": None, "stop": None, "step": None}
        reads = [["x", 0, 0, {"slice_spec": [every, {"start": 1, "stop": 3, "step": None}, 0]}]]
        item = layer("SlicingOpLambda", "cut", reads, **PLAIN, function="__operators__.getitem")
        model = loaded(tmp_path, functional([entry("x", 4, 3), item], [["cut", 0, 0]]))
        x = numbers(2, 4, 3)
        np.testing.assert_array_equal(model(x), x[:, 1:3, 0])

    @pytest.mark.parametrize("name", ["io.read_file", "py_function", "numpy_function", "__class__", "os.system"])
    def test_any_other_is_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="has no counterpart among the layers of Keras 3") as caught:
            loaded(tmp_path, functional([entry("x", 4), function(name, "x")], [[f"tf.{name}_0", 0, 0]]))
        assert "set_weights" in caught.value.cure


class TestTraining:
    def model(self, folder: Path, said: list[str] | None = None, **training: Any) -> keras.Model:
        optimizer = {"class_name": "Custom>Adam", "config": {
            "name": "Adam", "learning_rate": 0.002, "decay": 0.0, "is_legacy_optimizer": False, "jit_compile": True,
        }}  # fmt: skip
        asked = {"optimizer_config": optimizer, "metrics": None, "weighted_metrics": None, "loss_weights": None}
        config, weights = chain(dense("fc", ())), {"fc": kernel("fc", 4, 3)}
        path = write(folder / "old.h5", config, weights, asked | training)
        return load_model(path, say=(said if said is not None else []).append)

    def test_a_metric_whose_function_is_a_string(self, tmp_path: Path) -> None:
        wrapped = [[{"class_name": "MeanMetricWrapper", "config": {"name": "mae", "dtype": "float32", "fn": fn}}
                    for fn in ("mean_absolute_error", "categorical_accuracy")]]  # fmt: skip
        loss = {"class_name": "CategoricalCrossentropy", "config": {
            "reduction": "auto", "name": "c", "from_logits": True, "fn": "categorical_crossentropy"}}  # fmt: skip
        model = self.model(tmp_path, loss=loss, metrics=wrapped)
        found = model.evaluate(np.eye(4), np.eye(4, 3), verbose=0, return_dict=True)
        assert set(found) == {"loss", "mae", "accuracy"} and np.isfinite(found["loss"])
        assert float(model.optimizer.learning_rate) == pytest.approx(0.002)

    def test_a_rate_that_decays(self, tmp_path: Path) -> None:
        optimizer = {"class_name": "SGD", "config": {"learning_rate": 0.1, "decay": 0.5, "momentum": 0.9}}
        model = self.model(tmp_path, loss="mse", optimizer_config=optimizer)
        assert [float(model.optimizer._learning_rate(step)) for step in (0, 2)] == pytest.approx([0.1, 0.05])

    def test_what_cannot_be_read_is_said(self, tmp_path: Path) -> None:
        said: list[str] = []
        model = self.model(tmp_path, said, loss={"class_name": "Custom>Mine", "config": {}})
        assert not model.compiled
        assert len(said) == 1 and said[0].startswith(
            "old.h5: its optimiser, loss and metrics cannot be read (Could not"
        )


class TestHostile:
    """Whatever a file says: a ModelError, and nothing of it is run."""

    @pytest.mark.parametrize(
        "config",
        [
            None, 7, [], {}, {"class_name": "Functional"}, {"class_name": "Functional", "config": []},
            {"class_name": ["Functional"], "config": {}}, {"class_name": "Sequential", "config": {"layers": [3]}},
            functional([], []), functional([{"class_name": "Dense", "name": "a"}], [["a", 0, 0]]),
            functional([entry("x", 4)], [["y", 0, 0]]), functional([entry("x", 4)], [["x", 9, 0]]),
            functional([entry("x", 4)], 5), functional([entry("x", 4), dense("a", 3)], [["a", 0, 0]]),
            functional([entry("x", 4), dense("a", [[["b", 0, 0, {}]]])], [["a", 0, 0]]),
            functional([entry("x", 4), dense("a", [[["x", 0, 0, 5]]])], [["a", 0, 0]]),
            chain({**dense("a", ()), "module": "os", "class_name": "system", "registered_name": "os>system"}),
            chain({**dense("a", ()), "module": "builtins", "class_name": "eval"}),
            chain(layer("Lambda", "a", function=["4wEAAAA", None, None], function_type="lambda")),
            chain(dense("a", (), kernel_regularizer={"class_name": "Lambda", "config": {"function": "x"}})),
            chain(layer("Activation", "a", activation={"class_name": "__lambda__", "config": {"value": "x"}})),
            chain(layer("Activation", "a", activation={"module": "os", "class_name": "function", "config": "system"})),
            chain(layer("TimeDistributed", "a", layer={"class_name": "Lambda", "config": {"name": "l"}})),
            chain(dense("../../etc/passwd", ())), chain(dense("a" * 100_000, ())),
        ],
    )  # fmt: skip
    def test_configurations(self, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "system", lambda *_: pytest.fail("code was run"))
        with pytest.raises(ModelError):
            loaded(tmp_path, config)

    @pytest.mark.parametrize("depth", [300, 100_000])
    def test_nesting(self, depth: int, tmp_path: Path) -> None:
        path = write(tmp_path / "deep.h5", {})
        with h5py.File(path, "a") as file:
            del file.attrs["model_config"]
            text = '{"class_name":"TimeDistributed","config":{"layer":' * depth + "1" + "}}" * depth
            file.attrs.create("model_config", text.encode(), dtype=h5py.string_dtype())
        with pytest.raises(ModelError):
            load_model(path)

    def test_weights_in_another_file(self, tmp_path: Path) -> None:
        config, weights = chain(dense("fc", ())), {"fc": kernel("fc", 4, 3)}
        write(tmp_path / "other.h5", config, weights)
        for link in (h5py.ExternalLink("other.h5", "/model_weights/fc"), h5py.SoftLink("/elsewhere")):
            path = write(tmp_path / "linked.h5", config, weights)
            with h5py.File(path, "a") as file:
                file["elsewhere"] = file["model_weights/fc"]
                del file["model_weights/fc"]
                file["model_weights"]["fc"] = link
            with pytest.raises(ModelError, match="is a link"):
                load_model(path)

    def test_weights_of_another_size_or_none(self, tmp_path: Path) -> None:
        for weights, told in (
            ({"fc": kernel("fc", 5, 3)}, r"has the shape \(5, 3\), layer 'fc' takes \(4, 3\)"),
            ({"fc": kernel("fc", 4, 3)[:1]}, "layer 'fc' takes 2 weights, the file has 1"),
            ({}, "no weights for layer 'fc'"),
        ):
            with pytest.raises(ModelError, match=told):
                loaded(tmp_path, chain(dense("fc", ())), weights)

    def test_mutations(self, tmp_path: Path) -> None:
        """A configuration in which anything is replaced by anything: it loads, or it is refused."""
        random = np.random.default_rng(14)
        text = json.dumps(chain(dense("fc", ()), function("nn.relu", "fc"), dense("b", (), 2)))
        weights = {"fc": kernel("fc", 4, 3), "b": kernel("b", 3, 2)}
        refused = 0
        for _ in range(60):
            config = json.loads(text)
            _mutate(config, random)
            try:
                loaded(tmp_path, config, weights)
            except ModelError:
                refused += 1
        assert 10 < refused < 60


def _mutate(value: Any, random: np.random.Generator) -> None:
    """Replace one thing, anywhere."""
    anything = [None, -1, 10**12, "", "x", [], {}, [["x", 0, 0]], {"class_name": "Lambda"}, 0.5, True, "../../x"]
    while True:
        key = random.choice(list(value)) if isinstance(value, dict) else int(random.integers(len(value)))
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and random.random() < 0.85:
            value = inner
            continue
        value[key] = anything[int(random.integers(len(anything)))]
        return


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that tf-keras wrote, in a process of its own."""
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf-keras is not installed")
    folder = tmp_path_factory.mktemp("tf-keras")
    done = subprocess.run([sys.executable, "-c", WRITE, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def same(model: keras.Model, arrays: Path) -> None:
    with np.load(arrays) as stored:
        made = keras.tree.flatten(model(stored["x"], training=False))
        for index, output in enumerate(made):
            np.testing.assert_allclose(output, stored[f"y{index}"], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("name", ["mobile", "transformer", "recurrent", "nested", "arithmetic"])
def test_what_tf_keras_wrote(name: str, suffix: str, written: Path, tmp_path: Path) -> None:
    model = load_model(written / f"{name}.{suffix}")
    same(model, written / f"{name}.npz")
    save_model(model, tmp_path / "again.keras")
    same(load_model(tmp_path / "again.keras"), written / f"{name}.npz")


@pytest.mark.slow
def test_the_cure_of_a_saved_model(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="a SavedModel of Keras 2") as caught:
        load_model(written / "saved")
    monkeypatch.chdir(tmp_path)
    code = caught.value.cure.split('-c "')[1].rstrip('"')
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert load_model(tmp_path / "model.keras").count_params() > 0


@pytest.mark.parametrize(
    ("name", "version", "parameters"),
    [
        ("ad01", "2.4.0", 269_992),
        ("pretrainedResnet", "2.4.0", 78_666),
        ("vww_96", "2.4.0", 221_794),
        ("str_ww_ref_model", "2.14.0", 47_707),
    ],
)
def test_mlperf_tiny(name: str, version: str, parameters: int, mlperf: Path) -> None:
    from edgett.job.origin import origin

    path = mlperf / f"{name}.h5"
    assert str(origin(path)) == f"{name}.h5: HDF5, written by Keras {version}"
    model = load_model(path)
    assert model.count_params() == parameters and model.compiled
    assert np.isfinite(model(numbers(2, *model.input_shape[1:]))).all()
