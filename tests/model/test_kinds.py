"""Kinds of layers: what each must keep, in every format, and one that lives here and nowhere in edgett."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgett.export.check import compare
from edgett.forms import cost
from edgett.forms.operators import Product
from edgett.forms.site import Found, Layer
from edgett.forms.spec import Spec
from edgett.forms.svd import SVDShape
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from edgett.graph.graph import Graph
from edgett.graph.memory import arena_bytes
from edgett.model import kinds, layers, weigh
from edgett.model.factored import Factored
from edgett.model.inference import inference_form
from edgett.model.kinds.dense import site_of
from edgett.model.kinds.positions import DenseOnPositions
from edgett.model.layers import factored_layers
from edgett.model.portable import portable, recognised
from edgett.model.predict import predict
from edgett.model.restore import dense_again
from edgett.model.trace import Call, trace
from edgett.model.worth import Wish, replaceable
from edgett.search.replaced import with_edits
from edgett.workflow.files import Style, batches, check, predicted, read, write
from tests.conftest import EASY, QUICK, Answer
from tests.export.exported import lively

L = keras.layers
RANDOM = np.random.default_rng(0)
SINGULAR = {"wide": SVDShape(12, 20, 3), "narrow": SVDShape(20, 8, 4)}
SHAPES: Mapping[str, Spec] = {
    "wide": TTShape((4, 3), (4, 5), (1, 3, 1)),
    "narrow": TTShape((4, 5), (4, 2), (1, 4, 1), Order.FIRST_LAST),
}


def rows() -> keras.Model:
    return chain((12,), L.Dense(3, "softmax", name="out"))


def steps() -> keras.Model:
    """A sequence."""
    return chain((6, 12), L.Flatten(), L.Dense(3, "softmax", name="out"))


def pixels() -> keras.Model:
    return chain((3, 4, 12), L.Dense(3, "tanh", name="out"))


def chain(shape: tuple[int, ...], *end: Any) -> keras.Model:
    wide, narrow = L.Dense(20, "relu", name="wide"), L.Dense(8, name="narrow")
    return lively(keras.Sequential([keras.Input(shape, name="x"), wide, narrow, *end], name="chain"))


MODELS: Mapping[str, Callable[[], keras.Model]] = {"rows": rows, "steps": steps, "pixels": pixels}
OF = {"rows": "DenseOnRows", "steps": "DenseOnPositions", "pixels": "DenseOnPositions"}
FORMATS = pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "int8"])


@pytest.fixture(
    params=["steps", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rows", "pixels"))], scope="module"
)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> keras.Model:
    return MODELS[name]()


@pytest.fixture(scope="module")
def small(model: keras.Model) -> keras.Model:
    return layers.replace(model, SHAPES)


def drawn(model: keras.Model, count: int = 32) -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(count, *model.input_shape[1:])).astype(np.float32)


def calls(model: keras.Model) -> Iterator[Call]:
    return (call for call in trace(model, 1).calls if isinstance(call.layer, L.Dense))


class TestEveryKind:
    def test_says_what_can_be_replaced(self, name: str, model: keras.Model) -> None:
        many = math.prod(model.input_shape[1:-1])
        for call in list(calls(model))[:2]:
            kind = kinds.kind_of(call)
            assert kind is not None and type(kind).__name__ == OF[name]
            (site,) = kind.sites(call)
            assert site == Layer(call.path, *call.layer.kernel.shape, positions=many)
            np.testing.assert_array_equal(kind.weight(call.layer, site), call.layer.kernel)
            (product,) = (operator for operator in kind.plan(call) if isinstance(operator, Product))
            assert (product.rows, product.inner, product.columns) == (many, site.inputs, site.outputs)
            assert kind.plain(call) is call.layer

    def test_takes_a_weight(self, model: keras.Model) -> None:
        twin = layers.replace(model, {})
        kernel, bias = RANDOM.normal(size=(12, 20)).astype(np.float32), np.arange(20, dtype=np.float32)
        layers.give(twin, "wide", kernel, bias)
        np.testing.assert_array_equal(layers.kernels(twin, ["wide"])["wide"], kernel)
        np.testing.assert_array_equal(twin.get_layer("wide").bias, bias)

    def test_computes_with_the_weight_that_its_cores_stand_for(self, model: keras.Model, small: keras.Model) -> None:
        assert factored_layers(small).keys() == SHAPES.keys()
        x = drawn(model)
        dense = dense_again(small, model, {})
        assert not factored_layers(dense)
        assert np.abs(model.predict(x, verbose=0) - dense.predict(x, verbose=0)).max() > 1e-3
        np.testing.assert_allclose(small.predict(x, verbose=0), dense.predict(x, verbose=0), atol=2e-5)

    def test_is_saved_as_plain_layers(self, small: keras.Model, tmp_path: Path) -> None:
        plain, x = portable(small), drawn(small)
        plain.save(tmp_path / "plain.keras")
        loaded = keras.models.load_model(tmp_path / "plain.keras")
        assert not factored_layers(loaded) and loaded.count_params() == small.count_params()
        np.testing.assert_allclose(loaded.predict(x, verbose=0), small.predict(x, verbose=0), atol=2e-5)
        again = recognised(loaded)
        assert {path: layer.spec for path, layer in factored_layers(again).items()} == SHAPES
        np.testing.assert_array_equal(again.predict(x, verbose=0), small.predict(x, verbose=0))

    def test_is_told_what_it_reads(self, model: keras.Model) -> None:
        x = drawn(model)
        seen = weigh.inputs_of(model, {"x": x}, ["wide"])["wide"]
        np.testing.assert_array_equal(seen, x.reshape(-1, 12))

    def test_costs_what_its_plan_says(self, model: keras.Model) -> None:
        """By the closed formulas, and by the steps of the graph."""
        dense, tt = (graph(model, ".onnx", "float32", shapes) for shapes in ({}, SHAPES))
        layer = replaceable(model, Wish(share=0))[0].layer
        assert (cost.dense(layer).params, cost.dense(layer).flops) == (dense.params("wide"), dense.flops("wide"))
        found, mine = cost.held(layer, SHAPES["wide"]), [step for step in tt.steps if step.layer == "wide"]
        assert (found.params, found.flops) == (tt.params("wide"), tt.flops("wide"))
        assert found.macs == sum(step.macs for step in mine)
        assert found.moved_elements == sum(tt.sizes[step.writes[0]] for step in mine if step.operator == "Transpose")
        assert found.peak_elements == max(tt.sizes[step.reads[0]] + tt.sizes[step.writes[0]] for step in mine)


def graph(model: keras.Model, suffix: str, dtype: str, shapes: Mapping[str, Spec]) -> Graph:
    """What is foretold of the file before anything is trained."""
    form = inference_form(model, 1, frozenset(shapes), untrained=bool(shapes))
    foretold = predict(form, fused=suffix == ".tflite", quantised=dtype == "int8")
    return with_edits(foretold, shapes)


@pytest.mark.slow
@FORMATS
@DTYPES
@pytest.mark.parametrize("edits", [SHAPES, SINGULAR], ids=["tt", "svd"])
def test_files_cost_what_was_foretold_before_training(
    model: keras.Model, edits: Mapping[str, Spec], suffix: str, dtype: str, tmp_path: Path
) -> None:
    small, x = layers.replace(model, edits), {"x": drawn(model)}
    style = Style(1, batches(x, 1) if dtype == "int8" else None)
    (path,) = write(small, style, tmp_path / "small", (suffix,))
    found, width = read(small, path, 1), style.width
    foretold = graph(model, suffix, dtype, edits)
    assert compare(foretold, found, "small", width).mismatches == ()
    assert (foretold.params(), foretold.flops(), foretold.macs) == (found.params(), found.flops(), found.macs)
    assert foretold.weight_bytes() == found.weight_bytes()
    if edits is SHAPES:
        assert arena_bytes(foretold, width) == arena_bytes(found, width)
    else:  # a fully connected operator of TFLite reads any axes: the reshape before it goes
        assert arena_bytes(foretold, width) >= arena_bytes(found, width)
    (held,) = check(small, x, [path], tmp_path, style).values()
    assert held.ok and held.paper.keys() == edits.keys()
    assert predicted(small, suffix, style).flops() == found.flops()
    assert held.numerics.l2_relative < (1e-5 if dtype == "float32" else 0.1)


@keras.saving.register_keras_serializable("toy")
class Halved(L.Dense):
    """A kind of Dense of its own: half of what it makes comes out."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return super().call(inputs) / 2


class HalvedKind(DenseOnPositions):
    """Its weight is half of its kernel."""

    keras: type = Halved

    def sites(self, call: Call) -> tuple[Layer, ...] | str:
        return (site_of(call, math.prod(call.reads[0].shape[1:-1])),)

    def weight(self, layer: Any, site: Layer) -> NDArray[np.float32]:
        return np.asarray(layer.kernel) / 2

    def give(self, layer: Any, site: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        layer.set_weights([2 * weight] if bias is None else [2 * weight, 2 * bias])

    def plain(self, call: Call) -> Any:
        return self._dense(call.layer)

    def twin(self, layer: Any, chosen: Mapping[Layer, Spec], factors: Any = None) -> Factored:
        return super().twin(self._dense(layer), chosen, factors)

    def _dense(self, layer: Any) -> Any:
        made = L.Dense.from_config(layer.get_config())
        made.build((None, layer.kernel.shape[0]))
        made.set_weights([weight / 2 for weight in layer.get_weights()])
        return made


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> keras.Model:
    """A model with a layer that edgett knows nothing of, its kind listed beside edgett's own."""
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, HalvedKind()))
    body = [L.Dense(64, "relu", name="wide"), Halved(48, name="half"), L.ReLU(), L.Flatten(), L.Dense(3, "softmax")]
    return lively(keras.Sequential([keras.Input((6, 12), name="x"), *body], name="toy"))


class TestToyKind:
    def test_without_its_kind_it_stays(self) -> None:
        model = keras.Sequential([keras.Input((6, 12)), Halved(8, name="half")])
        (found,) = replaceable(model)
        assert found == Found(Layer("half", 12, 8), "it is a Halved, a kind of Dense of its own")

    @pytest.mark.slow
    def test_is_explored_and_compressed(self, toy: keras.Model, edgett: Callable[..., Answer], tmp_path: Path) -> None:
        x = np.random.default_rng(4).normal(size=(160, 6, 12)).astype(np.float32)
        y = toy.predict(x, verbose=0).argmax(axis=1)
        toy.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        toy.save(tmp_path / "toy.keras")
        np.savez(tmp_path / "toy.npz", x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
        answer = edgett("explore", "toy.keras", "--ranks", "2:4", "--json")
        assert answer.code == 0, answer.err
        sizes = {layer["name"]: layer for layer in answer.document["layers"]}
        assert sizes["half"]["flops"] == 6 * (2 * 64 * 48 + 48) and sizes["half"]["excluded"] is None

        options = ("--data", "toy.npz", "--target", "cortex-a53", *QUICK, *EASY, "--only-layer", "half")
        answer = edgett("compress", "toy.keras", *options, "--out", "run", "--json")
        assert answer.code == 0, answer.err
        assert answer.document["check"]["ok"]
        picked = answer.document["picks"]["recommended"]["artifacts"]["keras"]["path"]
        loaded = keras.models.load_model(tmp_path / "run" / picked)
        assert not any(isinstance(layer, Halved) for layer in loaded.layers) and len(recognised(loaded).layers) == 5

    def test_takes_the_weight_that_its_cores_stand_for(self, toy: keras.Model) -> None:
        x = drawn(toy)
        small = layers.replace(toy, {"half": TTShape((8, 8), (6, 8), (1, 4, 1))})
        dense = dense_again(small, toy, {})
        assert isinstance(dense.get_layer("half"), Halved)
        np.testing.assert_allclose(small.predict(x, verbose=0), dense.predict(x, verbose=0), atol=2e-5)
