"""Models without some channels: against NumPy, and where others make up for them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.moments import of_patches, sums
from edgett.model.slim.flow import Flow
from edgett.model.slim.pruned import Pruned, Pruning
from edgett.model.slim.slimmed import without
from edgett.model.trace import trace
from edgett.train.assess import outputs

L = keras.layers


def filled(model: keras.Model, seed: int = 0) -> keras.Model:
    random = np.random.default_rng(seed)
    for weight in model.weights:
        values = random.normal(size=weight.shape) / np.sqrt(max(np.prod(weight.shape[:-1]), 1))
        weight.assign(np.abs(values) + 0.5 if weight.name in ("moving_variance", "gamma") else values)
    return model


def dense() -> keras.Model:
    x = keras.Input((12,), name="x")
    return filled(keras.Model(x, L.Dense(4, name="end")(L.Dense(9, "relu", name="hidden")(x))))


def residual() -> keras.Model:
    """a -> + (b -> c), with a depthwise layer and one more reader behind."""
    x = keras.Input((8, 8, 3), name="x")
    stem = L.ReLU()(L.BatchNormalization(name="norm")(L.Conv2D(6, 3, padding="same", use_bias=False, name="a")(x)))
    inner = L.Conv2D(5, 3, padding="same", activation="relu", name="b")(stem)
    both = L.ReLU()(L.Add()([stem, L.Conv2D(6, 1, name="c")(inner)]))
    deep = L.DepthwiseConv2D(3, name="deep", activation="relu")(both)
    return filled(keras.Model(x, L.Dense(3, name="end")(L.GlobalAveragePooling2D()(deep))))


def some(model: keras.Model, count: int = 300) -> dict[str, Any]:
    return {"x": np.random.default_rng(8).normal(size=(count, *model.input_shape[1:])).astype(np.float32)}


def half(model: keras.Model, x: dict[str, Any]) -> Pruned:
    found = Pruning(model, x).pruned(0.6)
    assert found is not None
    return found


def test_outputs_are_those_of_least_squares_in_numpy() -> None:
    model = dense()
    x = some(model)
    found = half(model, x)
    (hidden, b1), (end, b2) = (model.get_layer(name).get_weights() for name in ("hidden", "end"))
    made = np.maximum(x["x"] @ hidden + b1, 0).astype(np.float64)
    small = found.of(model)
    (kept_columns, _) = small.get_layer("hidden").get_weights()
    kept = [int(np.flatnonzero((hidden == column[:, None]).all(0))[0]) for column in kept_columns.T]
    assert len(kept) == 9 - found.gone and found.removed == {"hidden": found.gone}

    # The ridge holds the weight where it was: as rows of its own that want the weight itself.
    inputs, wanted = made[:, kept], made @ end
    ridge = of_patches(end[kept], sums(inputs.astype(np.float32))).ridge
    rows = np.concatenate([inputs - inputs.mean(0), np.sqrt(len(made) * ridge) * np.eye(len(kept))])
    aims = np.concatenate([wanted - wanted.mean(0), np.sqrt(len(made) * ridge) * end[kept]])
    best = np.linalg.lstsq(rows, aims, rcond=None)[0]
    expected = (inputs - inputs.mean(0)) @ best + wanted.mean(0) + b2
    (told,) = outputs(small, x).values()
    np.testing.assert_allclose(told, expected, atol=2e-5)


@pytest.mark.parametrize("make", [dense, residual])
def test_fitting_pays_and_keeps_the_mean_of_the_outputs(make: Any) -> None:
    model = make()
    x = some(model)
    found, flow = half(model, x), Flow(trace(model))
    plain = without(model, flow, flow.every - set(found.strands)).model
    whole, fitted, cut = (next(iter(outputs(one, x).values())) for one in (model, found.of(model), plain))
    assert np.square(fitted - whole).mean() < 0.5 * np.square(cut - whole).mean()
    # Of some of the positions, and behind activations, the mean is not exactly that of all.
    np.testing.assert_allclose(fitted.mean(0), whole.mean(0), atol=0.02 * np.abs(whole).max())


def test_a_unit_that_another_makes_up_for_costs_nothing() -> None:
    model = dense()
    hidden, bias = model.get_layer("hidden").get_weights()
    bias[:] = 0.3  # none is near to dead
    hidden[:, 7], bias[7] = 3 * hidden[:, 2], 3 * bias[2]  # behind a ReLU still three times as much
    model.get_layer("hidden").set_weights([hidden, bias])
    model.get_layer("end").kernel.assign(np.where(np.random.default_rng(0).random((9, 4)) < 0.5, -1.0, 1.0))
    x = some(model, 1024)
    pruning = Pruning(model, x)
    first, second, *_ = pruning.order
    small = pruning.without([first.gone])
    assert small.removed == {"hidden": 1} and 5 * first.lost < second.lost
    (before,), (after,) = (outputs(one, x).values() for one in (model, small.model))
    np.testing.assert_allclose(after, before, atol=0.01 * np.abs(before).max())
    (kept, _) = small.model.get_layer("hidden").get_weights()
    gone = [k for k in range(9) if not (hidden[:, k : k + 1] == kept).all(0).any()]
    assert gone in ([2], [7])


def test_what_is_tied_goes_together() -> None:
    model = residual()
    found = half(model, some(model))
    small = found.of(model)
    sizes = {name: small.get_layer(name).output.shape[-1] for name in ("a", "norm", "b", "c", "deep", "end")}
    assert sizes["a"] == sizes["norm"] == sizes["c"] == sizes["deep"] and sizes["end"] == 3
    assert found.removed.get("a", 0) == 6 - sizes["a"] and found.removed.get("b", 0) == 5 - sizes["b"]
    assert small.input_shape == model.input_shape


@pytest.mark.parametrize("make", [dense, residual])
def test_the_same_each_time_and_made_again_of_the_whole(make: Any) -> None:
    model = make()
    x = some(model)
    one, other = half(model, x), half(model, x)
    assert (one.strands, one.removed, one.lost, one.weights) == (
        other.strands,
        other.removed,
        other.lost,
        other.weights,
    )
    np.testing.assert_array_equal(*(next(iter(outputs(each.of(model), x).values())) for each in (one, other)))


def test_the_share_of_the_parameters_is_that_of_the_model() -> None:
    """Without batch normalisation, which becomes part of the layer before."""
    model = dense()
    x = some(model)
    pruning = Pruning(model, x)
    for count, left in enumerate(pruning.order, 1):
        small = pruning.without([each.gone for each in pruning.order[:count]]).model
        np.testing.assert_allclose(left.params, small.count_params() / model.count_params(), rtol=1e-12)
    assert pruning.pruned(left.params * 0.9) is None


def test_layers_that_may_lose_nothing_lose_nothing() -> None:
    model = residual()
    pruning = Pruning(model, some(model), lambda path: path == "b")
    small = pruning.without([left.gone for left in pruning.order])
    assert small.removed == {"b": 4}
    assert Pruning(model, some(model), lambda path: False).order == ()


def test_without_units_between_inputs_and_outputs_nothing_may_go() -> None:
    x = keras.Input((5,), name="x")
    model = keras.Model(x, L.Dense(4)(x))
    pruning = Pruning(model, some(model))
    assert pruning.order == () and pruning.pruned(0.9) is None


def test_weights_that_are_not_finite_are_left_alone() -> None:
    model = dense()
    weight, bias = model.get_layer("end").get_weights()
    model.get_layer("end").set_weights([np.full_like(weight, np.nan), bias])
    assert Pruning(model, some(model)).order == ()
