"""What every form must do: one suite, over all that there are and one of somebody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgett.export.check import Verdict
from edgett.forms import catalogue, cost
from edgett.forms.convolution.chain import Chain
from edgett.forms.convolution.channel_svd import ChannelSVD, Side
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.front import Search
from edgett.forms.operators import Add, Convolve, Moves, Mul, Product, Reshape, Transpose, sources
from edgett.forms.site import Layer
from edgett.forms.spec import Spec
from edgett.forms.svd import SVDShape
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Padding, Window
from edgett.model.convolved import Convolved
from edgett.model.factored import Factored
from edgett.model.in_form import LayerInForm
from edgett.model.kinds import KINDS
from edgett.model.kinds.kind import Kind
from edgett.model.layers import factored_layers, replace
from edgett.model.models import load_model, save_model
from edgett.model.portable import portable
from edgett.workflow.files import Style, check, write
from tests.export.compiled import build
from tests.firmware.tools import needs
from tests.forms.toy import DiagonalPlus, Toy

SPECS = (
    TTShape((4, 6), (3, 8), (1, 5, 1)),
    TTShape((2, 3, 4), (4, 3, 2), (1, 4, 3, 1), Order.FIRST_LAST),
    SVDShape(24, 24, 5),
    SVDShape(24, 7, 3),
    DiagonalPlus(24),
)
STRIDED = Window((3, 3), (7, 6), strides=(2, 2))
CHAINS = (
    PointwiseSVD(Window((1, 1), (5, 6), strides=(2, 1)), 6, 8, 3),
    PointwiseSVD(Window((1, 1), (5, 6)), 6, 8, 3),
    SpatialSVD(Window((3, 2), (5, 6), padding=Padding.VALID), 6, 8, 5),
    ChannelSVD(STRIDED, 6, 8, 4, Side.INPUTS),
    ChannelSVD(Window((3, 3), (5, 6), dilation=(2, 2)), 6, 8, 4, Side.OUTPUTS),
    Tucker2(STRIDED, 6, 8, 3, 5),
    TTConv(STRIDED, 6, 8, 3, 5, 4),
    CP(Window((3, 3), (5, 6)), 6, 8, 7),
)
SEQUENCES = (
    ChannelSVD(Window((1, 5), (1, 11), strides=(1, 2)), 6, 8, 4, Side.INPUTS),
    CP(Window((1, 3), (1, 11), dilation=(1, 2), padding=Padding.VALID), 6, 8, 4),
    Tucker2(Window((1, 3), (1, 11)), 6, 8, 3, 5),
    PointwiseSVD(Window((1, 1), (1, 11)), 6, 8, 3),
)
ROWS, POSITIONS, IMAGES, STEPS, SEPARABLE = KINDS
CASES = (
    *((spec, kind) for kind in (ROWS, POSITIONS) for spec in SPECS),
    *((spec, IMAGES) for spec in CHAINS),
    *((spec, STEPS) for spec in SEQUENCES),
    (CHAINS[1], SEPARABLE),
)
OFTEN = (*SPECS, CHAINS[2], CHAINS[-1])
"""What is tried by default; the others take the same ways."""


def _marked(spec: Spec, *more: Any, rare: bool = False) -> Any:
    return pytest.param(spec, *more, marks=pytest.mark.slow if rare or spec not in OFTEN else ())


EVERY_CASE = pytest.mark.parametrize(
    ("spec", "kind"),
    [_marked(spec, kind, rare=kind not in (ROWS, IMAGES) or spec is CHAINS[-1]) for spec, kind in CASES],
    ids=lambda part: f"{part.form} {part}" if isinstance(part, Spec) else part.keras.__name__,
)
EVERY = pytest.mark.parametrize(
    "spec", [_marked(spec) for spec in (*SPECS, *CHAINS, *SEQUENCES)], ids=lambda spec: f"{spec.form} {spec}"
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form more than edgett has."""
    monkeypatch.setattr(catalogue, "FORMS", (*catalogue.FORMS, Toy()))


def weight_for(spec: Spec) -> Any:
    return np.random.default_rng(3).normal(size=spec.matrix).astype(np.float32)


def entry(spec: Spec) -> tuple[int, ...]:
    """The shape of a sample; that of a sequence as an image of one row."""
    return (*spec.window.size, spec.inputs) if isinstance(spec, Chain) else (spec.matrix[0],)


def site(spec: Spec, **settings: Any) -> Layer:
    if not isinstance(spec, Chain):
        return Layer("fc", *spec.matrix, **settings)
    return Layer("fc", *spec.matrix, **settings, positions=spec.window.positions, window=spec.window)


def layer_of(spec: Spec, **settings: Any) -> LayerInForm:
    """A built layer, none of whose numbers is 0."""
    layer = (Convolved if isinstance(spec, Chain) else Factored)(spec, **{"name": "fc", **settings})
    layer.build((None, *entry(spec)))
    random = np.random.default_rng(1)
    layer.set_weights([0.5 * random.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def model_of(spec: Spec) -> keras.Model:
    body = [layer_of(spec, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input(entry(spec), name="x"), *body])


def samples(spec: Spec, count: int = 6) -> Any:
    return np.random.default_rng(2).normal(size=(count, *entry(spec))).astype(np.float32)


def applied(spec: Spec, x: Any, weight: Any) -> Any:
    """A dense weight (X, Y) met by rows, or by images as one convolution."""
    if not isinstance(spec, Chain):
        return x @ weight
    return convolved(x, weight.reshape(*spec.window.kernel, spec.inputs, spec.outputs), spec.window)


def convolved(x: Any, kernel: Any, window: Window, *, depthwise: bool = False) -> Any:
    """A convolution as its definition says, pixel by pixel."""
    kernel_size, steps, holes = window.kernel, window.strides, window.dilation
    spans = [(size - 1) * hole + 1 for size, hole in zip(kernel_size, holes, strict=True)]
    if window.padding is Padding.SAME:
        sizes = zip(window.made, steps, spans, window.size, strict=True)
        wide = [max((made - 1) * step + span - size, 0) for made, step, span, size in sizes]
        x = np.pad(x, ((0, 0), *((each // 2, each - each // 2) for each in wide), (0, 0)))
    made = np.zeros((len(x), *window.made, kernel.shape[2] if depthwise else kernel.shape[3]), x.dtype)
    for i, j in np.ndindex(*window.made):
        top, left = i * steps[0], j * steps[1]
        seen = x[:, top : top + spans[0] : holes[0], left : left + spans[1] : holes[1]]
        if depthwise:
            made[:, i, j] = np.einsum("bhwc,hwc->bc", seen, kernel[..., 0])
        else:
            made[:, i, j] = np.einsum("bhwc,hwcn->bn", seen, kernel)
    return made


def executed(spec: Spec, factors: Any, x: Any, moves: Moves) -> tuple[Any, int, int]:
    """What NumPy makes of a plan, and the multiplications and additions that it counts on the way."""
    tensors, work, most = [x], 0, 0
    plan = spec.plan(len(x), moves)
    for operator, reads in zip(plan, sources(plan), strict=True):
        given = [tensors[read] for read in reads]
        match operator:
            case Product(factor, _, inner, columns, axes):
                matrix = (factors[factor].transpose(axes) if axes else factors[factor]).reshape(inner, columns)
                made = given[0] @ matrix
                work += 2 * len(given[0]) * matrix.size
            case Convolve(factor, _, window):
                made = convolved(given[0], factors[factor], window, depthwise=operator.depthwise)
                work += 2 * made[..., 0].size * factors[factor].size
            case Mul(factor):
                made = given[0] * factors[factor]
                work += made.size
            case Add():
                made = given[0] + given[1]
                work += made.size
            case Reshape(dims):
                made = given[0].reshape(dims)
            case Transpose():
                made = given[0].transpose(operator.axes).copy()
        tensors.append(made)
        most = max(most, made.size + sum(each.size for each in given))
    return tensors[-1], work, most


@EVERY
@pytest.mark.parametrize("moves", Moves)
def test_the_plan_is_the_product_with_the_rebuilt_weight(spec: Spec, moves: Moves) -> None:
    factors = [np.random.default_rng(4).normal(size=shape) for shape in spec.factors]
    x = samples(spec).astype(np.float64)
    made, work, _ = executed(spec, factors, x, moves)
    np.testing.assert_allclose(made, applied(spec, x, spec.rebuild(factors)), rtol=1e-10, atol=1e-10)
    assert work == sum(operator.flops for operator in spec.plan(len(x), moves))


@EVERY
def test_costs_are_those_of_the_plan(spec: Spec) -> None:
    layer = site(spec, bias=False)
    held = cost.held(layer, spec)
    _, work, most = executed(spec, [np.ones(shape) for shape in spec.factors], samples(spec, 1), Moves.NUMBERS)
    assert held.params == sum(np.prod(shape) for shape in spec.factors) == spec.params
    assert held.flops == work and held.peak_elements >= most
    with pytest.raises(ValueError, match="is not"):
        cost.held(Layer("other", 3, 5), spec)


@EVERY
def test_the_layer_executes_it_for_any_batch(spec: Spec) -> None:
    layer = layer_of(spec)
    dense, bias = spec.dense(layer.held()), np.asarray(layer.bias)
    np.testing.assert_allclose(layer.kernel(), dense, rtol=1e-4, atol=1e-4)
    serve = tf.function(layer.call, input_signature=[tf.TensorSpec((None, *entry(spec)))])
    for count in (1, 5):
        x = samples(spec, count)
        expected = applied(spec, x, dense) + bias
        np.testing.assert_allclose(layer(x), expected, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(serve(x), expected, rtol=1e-3, atol=1e-3)


@EVERY
def test_a_decomposition_is_as_close_as_the_bracket_says(spec: Spec) -> None:
    weight = weight_for(spec)
    found = spec.dense(spec.best(weight))
    bracket = spec.error(weight)
    error = np.linalg.norm(found - weight) / np.linalg.norm(weight)
    assert bracket.low - 1e-5 <= error <= bracket.high + 1e-5 and bracket.low <= bracket.estimate <= bracket.high
    with pytest.raises(ValueError, match="cannot take"):
        spec.best(weight[:, 1:])


@EVERY
def test_what_can_be_held_is_held(spec: Spec) -> None:
    weight = spec.dense(layer_of(spec).held())
    np.testing.assert_allclose(spec.dense(spec.best(weight)), weight, atol=2e-2 * np.abs(weight).max())


@EVERY
def test_scaled_factors_stand_for_the_scaled_weight(spec: Spec) -> None:
    factors = layer_of(spec).held()
    scaled = spec.scaled(factors, np.float32(0.25))
    np.testing.assert_allclose(spec.dense(scaled), 0.25 * spec.dense(factors), rtol=1e-5, atol=1e-6)


@EVERY
def test_alternatives_stand_for_the_same_and_cost_no_more(spec: Spec) -> None:
    layer = site(spec)
    before, weight = cost.held(layer, spec), spec.dense(layer_of(spec).held())
    for other in spec.alternatives():
        after = cost.held(layer, other)
        assert after.params <= before.params and after.flops <= before.flops
        np.testing.assert_allclose(other.dense(other.best(weight)), weight, atol=2e-2 * np.abs(weight).max())


@EVERY
def test_documents_hold_it(spec: Spec) -> None:
    written = json.loads(json.dumps(catalogue.document(spec)))
    assert catalogue.read(written) == spec and written["form"] == spec.form
    for wrong in ({**written, "form": "none"}, {**written, "more": 1}, {"form": spec.form}):
        with pytest.raises(ValueError, match="form"):
            catalogue.read(wrong)
    for name in written.keys() - {"form"}:
        for value in (None, "x", -1, 1.5, True, [], [["x"]], 1 << 70):
            with pytest.raises(ValueError):  # noqa: PT011 - whatever the form says
                catalogue.read({**written, name: value})


@EVERY
def test_the_layer_is_saved_as_plain_ones_and_known_again(spec: Spec, tmp_path: Path) -> None:
    model, x = model_of(spec), samples(spec)
    save_model(model, tmp_path / "m.keras")
    raw, again = keras.models.load_model(tmp_path / "m.keras"), load_model(tmp_path / "m.keras")
    assert not factored_layers(raw) and factored_layers(portable(model)) == {}
    np.testing.assert_allclose(raw(x), model(x), rtol=1e-4, atol=1e-4)
    assert len(raw.trainable_weights) == len(model.trainable_weights)
    (layer,) = factored_layers(again).values()
    assert layer.spec == spec and type(layer) is type(model.layers[0])
    np.testing.assert_array_equal(again(x), model(x))


def dense_of(spec: Spec, kind: Kind) -> Any:
    """A dense layer of that kind, whose weight the form could hold."""
    if not isinstance(spec, Chain):
        return keras.layers.Dense(spec.matrix[1], "relu", name="fc")
    first = 1 if kind is STEPS else 0
    window = spec.window
    settings = {"strides": window.strides[first:], "dilation_rate": window.dilation[first:]}
    settings |= {"padding": window.padding.value, "activation": "relu", "name": "fc"}
    if kind is SEPARABLE:
        return keras.layers.SeparableConv2D(spec.outputs, 3, padding="same", activation="relu", name="fc")
    return kind.keras(spec.outputs, window.kernel[first:], **settings)


def replaced(spec: Spec, kind: Kind) -> keras.Model:
    """A model in which a layer of that kind is held in the form, none of its numbers 0."""
    shape = {id(POSITIONS): (3, *entry(spec)), id(STEPS): entry(spec)[1:]}.get(id(kind), entry(spec))
    body = [dense_of(spec, kind), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = replace(keras.Sequential([keras.Input(shape, name="x"), *body]), {"fc": spec})
    random = np.random.default_rng(1)
    model.set_weights([0.5 * random.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def inputs_of(model: keras.Model, count: int) -> Any:
    return np.random.default_rng(2).normal(size=(count, *model.input_shape[1:])).astype(np.float32)


@EVERY_CASE
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_files_hold_what_is_foretold(spec: Spec, kind: Kind, suffix: str, int8: bool, tmp_path: Path) -> None:
    model = replaced(spec, kind)
    x = inputs_of(model, 64)
    batches = tuple({"x": x[row : row + 1]} for row in range(64))
    style = Style(1, batches) if int8 else Style()
    (path,) = write(model, style, tmp_path / "m", (suffix,))
    (found,) = check(model, {"x": x}, [Path(path.name)], tmp_path, style).values()
    assert found.graph.mismatches == () and all(one.ok for one in found.deviations)
    assert found.numerics.ok and found.verdict is Verdict.OK


@EVERY_CASE
@pytest.mark.slow
@needs("gcc")
def test_c_computes_what_the_layer_does(spec: Spec, kind: Kind, tmp_path: Path) -> None:
    model = replaced(spec, kind)
    (path,) = write(model, Style(), tmp_path / "m", (".onnx",))
    made = build(path, "net", tmp_path)
    for x in inputs_of(model, 3):
        (found,) = made.run({"x": x[None]}).values()
        np.testing.assert_allclose(found, model(x[None]), rtol=1e-4, atol=1e-5)


@EVERY
def test_training_moves_every_factor(spec: Spec) -> None:
    model = model_of(spec)
    model.compile("adam", "mse", run_eagerly=True)
    before = model.get_weights()
    model.fit(samples(spec, 32), np.ones((32, 3)), verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        assert (one != other).any()


LAYERS = (
    Layer("fc", 24, 24),
    Layer("conv", 9 * 8, 12, positions=16, window=Window((3, 3), (4, 4))),
    Layer("point", 12, 12, positions=16, window=Window((1, 1), (4, 4))),
)


@pytest.mark.parametrize("form", [*catalogue.FORMS, Toy()], ids=lambda form: form.spec.form)
def test_a_front_has_what_is_smaller_and_cheaper_than_dense(form: Any) -> None:
    layer = next(layer for layer in LAYERS if form.unfit(layer) is None)
    weight = np.random.default_rng(5).normal(size=(layer.inputs, layer.outputs)).astype(np.float32)
    heard: list[int] = []
    front = form.front(layer, weight, Search(2, 8), heard.append)
    assert len(front) and front.reason is None and sum(heard) == form.units(layer)
    assert front.solutions >= len(front) == len(front.costs) == len(front.losses) == len(front.errors)
    dense = cost.dense(layer)
    for spec, costs, error in zip(front.specs, front.costs, front.errors, strict=True):
        assert type(spec) is form.spec and costs == cost.held(layer, spec)
        assert costs.params < dense.params and costs.flops < dense.flops
        plain = spec.error(weight)
        assert error.low == pytest.approx(plain.low, abs=1e-5) and error.estimate <= plain.estimate + 1e-5
        assert isinstance(spec, Chain) or error.estimate == pytest.approx(plain.estimate, abs=1e-5)
