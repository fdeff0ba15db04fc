"""TT layers as plain Keras layers: the same model to Keras alone, and the same TT layers again to edgett."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.forms import catalogue
from edgett.forms.operators import Product
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from edgett.model.factored import Factored
from edgett.model.layers import factored_layers
from edgett.model.models import load_model, save_model
from edgett.model.portable import portable, recognised
from edgett.model.ready import ready
from edgett.model.tt_dense import TTDense
from edgett.train.assess import outputs
from tests.conftest import Finished
from tests.export import exported
from tests.model.test_tt_dense import ORDERS, SMALL

L = keras.layers
ACTIVATIONS = ["linear", "relu", "gelu", "softmax", "log_softmax"]


def small(order: Order = Order.LAST_FIRST, **more: Any) -> TTDense:
    return TTDense(SMALL.inputs, SMALL.outputs, SMALL.ranks, order, **{"name": "fc", **more})


def of(layer: TTDense) -> keras.Model:
    """A model of the layer alone, none of its weights 0."""
    model = keras.Sequential([keras.Input((layer.spec.matrix[0],), name="x"), layer], name="m")
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def samples(model: keras.Model, count: int = 5) -> Any:
    random = np.random.default_rng(1)
    return {tensor.name: random.normal(size=(count, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs}


def all_layers(model: keras.Model) -> list[Any]:
    return list(model._flatten_layers(include_self=False))


def assert_plain(model: keras.Model) -> None:
    assert {type(layer).__module__.split(".")[0] for layer in all_layers(model)} == {"keras"}


def assert_the_same(layer: Factored, other: Factored) -> None:
    assert other.spec == layer.spec and Factored.get_config(other) == Factored.get_config(layer)
    for mine, theirs in zip(other.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@st.composite
def layers(draw: st.DrawFn) -> TTDense:
    length = draw(st.integers(2, 4))
    inputs, outputs = (draw(st.lists(st.integers(1, 4), min_size=length, max_size=length)) for _ in range(2))
    ranks = draw(st.lists(st.integers(1, 3), min_size=length - 1, max_size=length - 1))
    activation, bias = draw(st.sampled_from(ACTIVATIONS)), draw(st.booleans())
    order = draw(st.sampled_from(Order))
    return TTDense(inputs, outputs, [1, *ranks, 1], order, activation=activation, use_bias=bias, name="fc")


@pytest.mark.filterwarnings("ignore:You are using a softmax")
@settings(max_examples=12, deadline=None)
@given(layers())
def test_every_shape_is_the_same_to_keras_and_comes_back(layer: TTDense) -> None:
    model = of(layer)
    plain = portable(model)
    assert_plain(plain)
    x = samples(model)["x"]
    # A few dozen products of numbers about 1 each, summed in another order.
    np.testing.assert_allclose(plain(x), model(x), rtol=1e-4, atol=1e-4)
    for operator in layer.spec.plan():
        if isinstance(operator, Product):
            kernel = plain.get_layer("fc").get_layer(f"factor_{operator.factor}").kernel
            matrix = np.transpose(layer.factors[operator.factor], operator.axes)
            np.testing.assert_array_equal(kernel, np.reshape(matrix, kernel.shape))
    sizes = [sorted(int(np.prod(item.shape)) for item in each.trainable_weights) for each in (plain, model)]
    assert sizes[0] == sizes[1]
    assert_the_same(layer, recognised(plain).get_layer("fc"))


@pytest.mark.parametrize(
    "setting",
    [
        {"bias_regularizer": keras.regularizers.L1L2(0.1, 0.2)},
        {"activity_regularizer": "l2"},
        {"activity_regularizer": "l2", "activation": "relu"},
        {"bias_constraint": "non_neg"},
        {"bias_constraint": keras.constraints.MaxNorm(0.5)},
        {"bias_constraint": keras.constraints.UnitNorm()},
        {"bias_initializer": "ones"},
        {"trainable": False},
        {"dtype": "mixed_bfloat16"},
        {"dtype": "float64"},
        {"activation": L.LeakyReLU(0.3, name="leaky")},
        {"name": "fc.1-a>b"},
        {"name": "ä ö?"},
    ],
    ids=lambda setting: " ".join(setting),  # values may print their address, which tells processes apart
)
@ORDERS
def test_settings_survive(setting: dict[str, Any], order: Order, tmp_path: Path) -> None:
    layer = small(order, **setting)
    model = of(layer)
    plain = portable(model)
    x = samples(model)["x"]
    assert plain(x).dtype == model(x).dtype
    rounding = 1e-2 if layer.compute_dtype == "bfloat16" else 1e-5
    np.testing.assert_allclose(plain(x), model(x), rtol=rounding, atol=10 * rounding)
    assert len(plain.trainable_weights) == len(model.trainable_weights)
    np.testing.assert_allclose(sum(plain.losses), sum(model.losses), rtol=1e-5)
    save_model(model, tmp_path / "m.keras")
    raw, again = keras.models.load_model(tmp_path / "m.keras"), load_model(tmp_path / "m.keras")
    assert len(raw.trainable_weights) == len(model.trainable_weights)
    (found,) = factored_layers(again).values()
    assert_the_same(layer, found)


def test_a_constraint_sees_the_whole_bias() -> None:
    layer = small(bias_constraint=keras.constraints.MaxNorm(0.5))
    plain, bias = portable(of(layer)), layer.bias
    theirs = plain.get_layer("fc").get_layer("factor_0").bias
    wanted = layer.bias_constraint(bias)
    assert np.linalg.norm(bias) > 0.5
    np.testing.assert_allclose(np.sort(theirs.constraint(theirs), None), np.sort(wanted), rtol=1e-6)


def test_training_takes_the_same_steps() -> None:
    x = np.random.default_rng(2).normal(size=(32, 24)).astype(np.float32)
    y = np.tanh(x[:, :12])
    model = of(small(activation="tanh", bias_regularizer="l2"))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    plain = portable(model)
    losses = [
        each.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0).history["loss"] for each in (model, plain)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_a_kernel_regulariser_goes() -> None:
    layer = small(kernel_regularizer="l2")
    plain = portable(of(layer))
    assert plain.losses == [] and recognised(plain).get_layer("fc").kernel_regularizer is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensor_trains", "shared", "nested"])
def test_whole_models(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = getattr(exported, name)()
    model.compile("adam", "mse")
    save_model(model, tmp_path / "m.keras")
    raw, again = keras.models.load_model(tmp_path / "m.keras"), load_model(tmp_path / "m.keras")
    assert_plain(raw)
    assert raw.compiled and again.compiled
    x = samples(model)
    wanted = outputs(model, x)
    for each, rounding in ((raw, 1e-5), (again, 0)):
        found = outputs(each, x)
        assert found.keys() == wanted.keys()
        for key, array in wanted.items():
            np.testing.assert_allclose(found[key], array, atol=rounding)
        assert len(each.trainable_weights) == len(model.trainable_weights)
    assert [*factored_layers(again)] == [*factored_layers(model)]
    for mine, theirs in zip(factored_layers(again).values(), factored_layers(model).values(), strict=True):
        assert_the_same(mine, theirs)
    assert recognised(again) is again and portable(raw) is raw


def test_integers_are_cast_as_a_dense_layer_does(tmp_path: Path) -> None:
    entry = keras.Input((24,), dtype="uint8", name="x")
    model = keras.Model(entry, small()(entry))
    save_model(model, tmp_path / "m.keras")
    x = np.arange(48, dtype=np.uint8).reshape(2, 24)
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "m.keras")(x), model(x), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(load_model(tmp_path / "m.keras")(x), model(x))


def test_files_depend_on_the_model_alone(tmp_path: Path) -> None:
    model = of(small())
    for name in ("one", "other"):
        save_model(model, tmp_path / name)
        keras.Sequential([keras.Input((3,)), L.Reshape((3, 1)), L.Dense(2)])  # counts on in Keras's names
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_many_cores() -> None:
    layer = TTDense((2,) * 12, (1, 2) * 6, (1, *(2,) * 11, 1), name="fc")
    model = of(layer)
    x = samples(model)["x"]
    wanted = np.asarray(model(x))
    np.testing.assert_allclose(portable(model)(x), wanted, atol=1e-4 * np.abs(wanted).max())


class TestRecognised:
    """What is, and what is not, a TT layer by its structure."""

    def changed(self, which: str, **settings: Any) -> keras.Model:
        """The plain form of a layer, one of its parts with other settings."""
        plain = portable(of(small(activation="relu")))
        made = plain.get_layer("fc")
        entry, *parts = [type(part).from_config(part.get_config()) for part in made.layers]
        (index,) = [index for index, part in enumerate(parts) if part.name == which]
        parts[index] = type(parts[index]).from_config(parts[index].get_config() | settings)
        twin = keras.Sequential([entry, *parts], name="fc")
        twin.set_weights(made.get_weights())
        return keras.Sequential([keras.Input((24,)), twin])

    def test_names_and_initialisers_do_not_matter(self) -> None:
        model = self.changed("factor_1", name="another", kernel_initializer="zeros", bias_initializer="ones")
        found = recognised(model).get_layer("fc")
        assert type(found) is Factored
        np.testing.assert_allclose(recognised(model)(np.ones((2, 24))), model(np.ones((2, 24))), rtol=1e-5)

    @pytest.mark.parametrize(
        ("part", "settings"),
        [
            ("factor_2", {"kernel_regularizer": "l2"}),
            ("factor_1", {"kernel_constraint": "non_neg"}),
            ("factor_2", {"activation": "relu"}),
            ("factor_2", {"trainable": False}),
            ("reshape_0", {"dtype": "float64"}),
            ("join", {"activity_regularizer": "l2"}),
        ],
        ids=str,
    )
    def test_what_no_tt_layer_does_stays(self, part: str, settings: dict[str, Any]) -> None:
        model = self.changed(part, **settings)
        assert recognised(model) is model

    def test_other_products_stay(self) -> None:
        parts = [
            L.Reshape((4, 6, 1)),
            L.EinsumDense("BaXQ,PXYQ->BaYP", (4, 2, 3)),
            L.EinsumDense("BXbQ,PXYQ->BbYP", (2, 5, 1)),  # the factors of the output change places
            L.Reshape((10,)),
        ]
        name = json.dumps(catalogue.document(TTShape((4, 6), (2, 5), (1, 3, 1))))
        made = keras.Sequential([keras.Input((24,), name=name), *parts], name="core_0")
        model = keras.Sequential([keras.Input((24,)), made, keras.Sequential([keras.Input((10,)), L.Dense(3)])])
        assert recognised(model) is model

    def test_a_model_that_was_trained_on_elsewhere(self, tmp_path: Path) -> None:
        plain = portable(of(small(activation="relu")))
        plain.compile("adam", "mse")
        x = samples(plain)["x"]
        plain.fit(x, np.zeros((5, 12)), verbose=0)
        plain.save(tmp_path / "m.keras")
        again = load_model(tmp_path / "m.keras")
        assert type(again.get_layer("fc")) is Factored
        np.testing.assert_allclose(again(x), plain(x), rtol=1e-4, atol=1e-4)

    def test_a_model_that_is_handed_over(self) -> None:
        assert type(ready(portable(of(small())), {}, print).get_layer("fc")) is Factored

    def test_files_that_hold_tt_layers_themselves(self, tmp_path: Path) -> None:
        model = of(small())
        model.save(tmp_path / "m.keras")  # as edgett wrote them before
        assert_the_same(model.get_layer("fc"), load_model(tmp_path / "m.keras").get_layer("fc"))


ALONE = """
import sys
sys.modules["edgett"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
data = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict(data["x_test"], verbose=0))
losses = model.fit(data["x_train"], data["y_train"], epochs=2, verbose=0).history["loss"]
assert losses[1] < losses[0], losses
print(len(model.trainable_weights), model.count_params())
try:
    import edgett
except ImportError:
    print("alone")
"""


@pytest.mark.slow
def test_a_compressed_model_needs_no_edgett(finished: Finished, tiny: Any, tmp_path: Path) -> None:
    path = finished.path / "artifacts" / "recommended.keras"
    command = [sys.executable, "-c", ALONE, str(path), str(tiny.data), str(tmp_path / "y.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model = load_model(path)
    assert done.stdout.split() == [str(len(model.trainable_weights)), str(model.count_params()), "alone"]
    assert len(factored_layers(model)) == 2
    wanted = model.predict(tiny.arrays()["x_test"], verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, atol=1e-5)


@pytest.mark.slow
def test_a_compressed_model_is_deployed_as_it_was(edgett: Any, finished: Finished, tiny: Any, tmp_path: Path) -> None:
    path = finished.path / "artifacts" / "recommended.keras"
    options = ("--target", "cortex-a53", "--model-bytes", "100 %", "--out", tmp_path / "run")
    assert edgett("deploy", path, "--data", tiny.data, *options).code == 0
    for suffix in (".tflite", ".onnx"):
        made = tmp_path / "run" / "artifacts" / f"baseline{suffix}"
        assert made.read_bytes() == path.with_suffix(suffix).read_bytes()
