"""Step 1: which layers are taken, and the model after the swap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.errors import ModelError, UsageError
from edgett.forms.site import Found, Layer
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from edgett.model.factored import Factored
from edgett.model.layers import factored_layers, replace
from edgett.model.ports import input_ports, output_ports
from edgett.model.worth import Wish, replaceable

L = keras.layers
RANDOM = np.random.default_rng(0)
FULL = TTShape((4, 3), (2, 4), (1, 8, 1))
"""Holds any 12 x 8 weight exactly: its bond of 4*2 = 8 to 3*4 = 12 cannot take more."""
SMALL = TTShape((4, 3), (2, 4), (1, 2, 1))


def sequential(**keywords: Any) -> keras.Model:
    return keras.Sequential(
        [keras.Input((12,)), L.Dense(8, name="fc", **keywords), L.Dense(3, "softmax", name="out")], name="plain"
    )


def nested() -> keras.Model:
    """Functional in Sequential in functional."""
    inputs = keras.Input((12,))
    core = keras.Model(inputs, L.Dropout(0.5, seed=1)(L.Dense(8, "relu", name="fc")(inputs)), name="core")
    body = keras.Sequential([keras.Input((12,)), core, L.BatchNormalization(), L.Dense(6, name="tail")], name="body")
    x = keras.Input((12,), name="x")
    return keras.Model(x, L.Dense(3, name="out")(body(x)), name="whole")


def shared() -> keras.Model:
    """A layer and a model that are called twice each."""
    inputs = keras.Input((12,))
    tower = keras.Model(inputs, L.Dense(12, name="inner")(inputs), name="tower")
    left, right = keras.Input((12,), name="left"), keras.Input((12,), name="right")
    fc = L.Dense(8, name="fc")
    return keras.Model([left, right], L.Add(name="both")([fc(tower(left)), fc(tower(right))]))


def dicts() -> keras.Model:
    a, b = keras.Input((12,), name="a"), keras.Input((4,), name="b")
    hidden = L.Dense(8, "relu", name="fc")(a)
    joined = L.Concatenate(name="join")([hidden, b])
    outputs = {"size": L.Dense(1, name="size")(joined), "kind": L.Dense(3, "softmax", name="kind")(joined)}
    return keras.Model({"a": a, "b": b}, outputs)


def with_operations() -> keras.Model:
    inputs = keras.Input((12,))
    return keras.Model(inputs, L.Dense(8, name="fc", use_bias=False)(inputs * 2 + 1) - 0.5)


def inputs_of(model: keras.Model, count: int = 5) -> Any:
    if not isinstance(model, keras.Sequential) and isinstance(model.input, dict):
        return {name: _noise(count, tensor.shape) for name, tensor in model.input.items()}
    arrays = [_noise(count, tensor.shape) for tensor in model.inputs]
    return arrays if len(arrays) > 1 else arrays[0]


def _noise(count: int, shape: Any) -> Any:
    return RANDOM.normal(size=(count, *shape[1:])).astype(np.float32)


def randomised(model: keras.Model) -> keras.Model:
    """Other weights than the initial ones everywhere, variances positive."""
    model.set_weights([RANDOM.uniform(0.2, 1.0, w.shape) * RANDOM.choice([-1, 1]) ** 2 for w in model.get_weights()])
    return model


def judged(model: keras.Model, **wish: Any) -> dict[str, str | None]:
    return {item.layer.name: item.excluded for item in replaceable(model, Wish(**wish))}


def assert_same(found: Any, wanted: Any, atol: float = 1e-5) -> None:
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=1e-5), found, wanted)


class Odd(L.Dense):
    pass


class TestFcLayers:
    def test_every_dense_in_the_order_of_the_calls(self) -> None:
        assert replaceable(nested(), Wish(share=0)) == (
            Found(Layer("body/core/fc", 12, 8)),
            Found(Layer("body/tail", 8, 6)),
            Found(Layer("out", 6, 3)),
        )

    def test_a_shared_layer_is_one_layer(self) -> None:
        assert judged(shared(), share=0) == {"tower/inner": None, "fc": None}

    def test_a_layer_of_one_model_that_another_calls_too_cannot_be_swapped(self) -> None:
        inner = L.Dense(12, name="inner")
        inputs = keras.Input((12,))
        tower = keras.Model(inputs, inner(inputs), name="tower")
        x = keras.Input((12,))
        (reason,) = judged(keras.Model(x, inner(tower(x))), share=0).values()
        assert reason is not None and "tower/inner and inner" in reason

    def test_inputs_and_outputs_in_dicts(self) -> None:
        assert judged(dicts(), share=0) == {"fc": None, "size": None, "kind": None}

    def test_without_a_bias(self) -> None:
        assert replaceable(with_operations()) == (Found(Layer("fc", 12, 8, bias=False)),)

    def test_a_model_without_any(self) -> None:
        assert replaceable(keras.Sequential([keras.Input((4,)), L.ReLU()])) == ()

    def test_the_share_of_the_parameters(self) -> None:
        # 104 of 131 parameters and 27 of 131.
        assert judged(sequential(), share=0.2) == {"fc": None, "out": None}
        reason = judged(sequential(), share=0.21)["out"]
        assert reason is not None and "20.6%" in reason and "21%" in reason
        assert judged(sequential(), share=27 / 131)["out"] is None

    def test_layers_of_one_size_count_together(self) -> None:
        """Three of 12x12 and one of 12x4: 156 parameters each, of 520."""
        sizes = {"a": 12, "b": 12, "c": 12, "out": 4}
        model = keras.Sequential([keras.Input((12,)), *(L.Dense(units, name=name) for name, units in sizes.items())])
        assert judged(model, share=0.9) == {"a": None, "b": None, "c": None, "out": judged(model, share=0.9)["out"]}
        reason = judged(model, share=0.91)["b"]
        assert (
            reason
            == "it and the 2 others of its size hold 90.0% of the parameters, under the 91% that make a layer worth it"
        )
        assert judged(model, share=0.5, skip=("a", "b"))["c"] == (
            "it holds 30.0% of the parameters, under the 50% that make a layer worth it"
        )

    def test_a_share_counts_the_weights_that_do_not_train(self) -> None:
        model = sequential()
        model.get_layer("fc").trainable = False
        assert judged(model, share=0.21)["out"] is not None

    @pytest.mark.parametrize("name", ["body/tail", "tail"])
    def test_only_and_skip_take_paths_and_last_names(self, name: str) -> None:
        only = judged(nested(), only=(name,))
        assert only.pop("body/tail") is None and set(only.values()) == {"--only-layer names others"}
        skip = judged(nested(), skip=(name,), share=0)
        assert skip.pop("body/tail") == "--skip-layer names it" and set(skip.values()) == {None}

    def test_only_overrides_the_share_and_skip_overrides_only(self) -> None:
        assert judged(sequential(), share=0.9, only=("out",))["out"] is None
        assert judged(sequential(), only=("out",), skip=("out",))["out"] == "--skip-layer names it"

    @pytest.mark.parametrize("wish", [Wish(only=("nope",)), Wish(skip=("fc", "nope"))])
    def test_an_unknown_name(self, wish: Wish) -> None:
        with pytest.raises(UsageError, match="no layer to factorise named 'nope'") as caught:
            replaceable(sequential(), wish)
        assert "fc, out" in caught.value.cure

    def test_a_part_of_a_path_is_no_name(self) -> None:
        with pytest.raises(UsageError):
            replaceable(nested(), Wish(only=("core",)))

    @pytest.mark.parametrize(("between", "positions"), [((), 1), ((5,), 5), ((2, 5), 10), ((2, 1, 5), 10)])
    def test_any_number_of_axes(self, between: tuple[int, ...], positions: int) -> None:
        model = keras.Sequential([keras.Input((*between, 12)), L.Dense(8, name="fc")])
        assert replaceable(model) == (Found(Layer("fc", 12, 8, positions=positions)),)

    def test_an_unknown_number_of_positions(self) -> None:
        model = keras.Sequential([keras.Input((None, 12)), L.Dense(8, name="fc")])
        (found,) = replaceable(model)
        assert found.excluded == "how many positions of a sample it reads is not known: give the model's input a shape"

    @pytest.mark.parametrize("saved", [False, True])
    def test_a_mask_is_not_lost(self, saved: bool, tmp_path: Path) -> None:
        layers = [L.Embedding(9, 12, mask_zero=True), L.Dense(8, name="fc"), L.LSTM(4), L.Dense(3, name="out")]
        model = keras.Sequential([keras.Input((5,), dtype="int32"), *layers])
        if saved:
            model.save(tmp_path / "masked.keras")
            model = keras.models.load_model(tmp_path / "masked.keras")
        assert judged(model, share=0) == {
            "fc": "its input has a mask, which the plain layers of the saved model would not hand on",
            "out": None,
        }

    def test_two_axes_here_and_three_there(self) -> None:
        flat, deep, fc = keras.Input((12,)), keras.Input((5, 12)), L.Dense(8, name="fc")
        (reason,) = judged(keras.Model([flat, deep], [fc(flat), fc(deep)])).values()
        assert reason == (
            "it is called with 5 positions and single rows; only layers of one sort of input are factorised"
        )

    def test_a_subclass(self) -> None:
        (reason,) = judged(keras.Sequential([keras.Input((12,)), Odd(8)])).values()
        assert reason == "it is a Odd, a kind of Dense of its own"

    def test_quantised(self) -> None:
        model = sequential()
        model.get_layer("fc").quantize("int8")
        assert "quantised (int8)" in str(judged(model)["fc"])

    def test_a_lora_adapter(self) -> None:
        model = sequential()
        model.get_layer("fc").enable_lora(2)
        assert "LoRA" in str(judged(model)["fc"])

    def test_a_constrained_kernel(self) -> None:
        assert "MaxNorm" in str(judged(sequential(kernel_constraint="max_norm"))["fc"])

    def test_inside_a_wrapper(self) -> None:
        model = keras.Sequential([keras.Input((5, 12)), L.TimeDistributed(L.Dense(8, name="fc"))])
        assert judged(model) == {"fc": "it sits inside a layer that edgett cannot open"}


MODELS = pytest.mark.parametrize(
    ("build", "path"),
    [(sequential, "fc"), (nested, "body/core/fc"), (shared, "fc"), (dicts, "fc"), (with_operations, "fc")],
)


class TestReplace:
    @MODELS
    @pytest.mark.parametrize("order", Order)
    def test_at_full_rank_nothing_changes(self, build: Any, path: str, order: Order) -> None:
        model = randomised(build())
        shape = TTShape(FULL.inputs, FULL.outputs, FULL.ranks, order)
        twin = replace(model, {path: shape})
        x = inputs_of(model)
        assert_same(twin(x), model(x))
        assert factored_layers(twin)[path].spec == shape

    @MODELS
    def test_names_stay_and_the_original_is_untouched(self, build: Any, path: str) -> None:
        model = randomised(build())
        weights, config = model.get_weights(), model.to_json()
        twin = replace(model, {path: SMALL})
        for mine, before in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(mine, before)
        assert model.to_json() == config
        for weight in twin.get_weights():
            weight += 1
        assert twin.name == model.name
        assert _names(twin) == _names(model)
        for ports in (input_ports, output_ports):
            assert ports(twin) == ports(model)
        assert not {id(v) for v in twin.variables} & {id(v) for v in model.variables}

    @MODELS
    def test_saved_and_reloaded(self, build: Any, path: str, tmp_path: Path) -> None:
        twin = replace(randomised(build()), {path: SMALL})
        twin.save(tmp_path / "twin.keras")
        x = inputs_of(twin)
        again = keras.models.load_model(tmp_path / "twin.keras")
        assert_same(again(x), twin(x), atol=0)
        assert factored_layers(again)[path].spec == SMALL

    @MODELS
    def test_trains(self, build: Any, path: str) -> None:
        twin = replace(build(), {path: SMALL})
        twin.compile("adam", "mse", run_eagerly=True)
        x = inputs_of(twin)
        before = factored_layers(twin)[path].get_weights()
        twin.fit(x, keras.tree.map_structure(np.zeros_like, twin(x)), verbose=0)
        assert all((a != b).any() for a, b in zip(before, factored_layers(twin)[path].get_weights(), strict=True))

    def test_two_layers_at_once_and_known_cores(self) -> None:
        model = shared()
        wide = TTShape((3, 4), (3, 4), (1, 2, 1))
        first = replace(model, {"fc": SMALL, "tower/inner": wide})
        assert set(factored_layers(first)) == {"fc", "tower/inner"}
        cores = tuple(np.ones(core, np.float32) for core in SMALL.cores)
        np.testing.assert_array_equal(
            factored_layers(replace(model, {"fc": SMALL}, {"fc": cores}))["fc"].factors[0], cores[0]
        )

    def test_a_layer_that_is_shared_stays_shared(self) -> None:
        twin = replace(shared(), {"tower/inner": TTShape((3, 4), (3, 4), (1, 2, 1))})
        assert len({id(layer) for layer in _all(twin) if isinstance(layer, Factored)}) == 1
        assert len([layer for layer in _all(twin) if layer.name == "fc"]) == 1

    def test_batch_normalisation_keeps_its_statistics(self) -> None:
        layers = [keras.Input((12,)), L.Dense(8, name="fc"), L.BatchNormalization(name="bn"), L.Dense(3)]
        model = randomised(keras.Sequential(layers))
        twin = replace(model, {"fc": FULL})
        x = inputs_of(model)
        assert_same(twin(x), model(x))

    def test_an_adapted_normalisation_stays_adapted(self) -> None:
        norm = L.Normalization(name="norm")
        norm.adapt(RANDOM.normal(3, 5, (100, 12)))
        model = keras.Sequential([keras.Input((12,)), norm, L.Dense(8, name="fc")])
        x = inputs_of(model)
        assert_same(replace(model, {"fc": FULL})(x), model(x))

    def test_state_of_random_layers_is_no_obstacle(self) -> None:
        model = keras.Sequential(
            [keras.Input((12,)), L.GaussianNoise(0.1, seed=3), L.Dense(8, name="fc"), L.Dropout(0.5), L.Dense(2)]
        )
        model.compile("sgd", "mse", run_eagerly=True)
        x = inputs_of(model)
        model.fit(x, np.zeros((5, 2)), verbose=0)
        twin = replace(model, {"fc": FULL})
        assert_same(twin(x), model(x))
        twin.fit(x, np.zeros((5, 2)), verbose=0)

    def test_composite_layers_keep_their_weights(self) -> None:
        inputs = keras.Input((4, 3))
        hidden = L.Bidirectional(L.GRU(2, return_sequences=True))(inputs)
        hidden = L.TimeDistributed(L.Dense(3))(L.MultiHeadAttention(2, 3)(hidden, hidden))
        model = randomised(keras.Model(inputs, L.Dense(8, name="fc")(L.Flatten()(hidden))))
        x = inputs_of(model)
        assert_same(replace(model, {"fc": FULL})(x), model(x))

    def test_what_does_not_train_still_does_not(self) -> None:
        model = nested()
        model.get_layer("out").trainable = False
        model.get_layer("body").get_layer("tail").trainable = False
        twin = replace(model, {"body/core/fc": SMALL})
        trainable = {layer.name: layer.trainable for layer in _all(twin)}
        assert not trainable["out"] and not trainable["tail"] and trainable["fc"]

    def test_a_frozen_layer_is_frozen_after_the_swap_too(self) -> None:
        model = randomised(sequential())
        model.get_layer("fc").trainable = False
        twin = replace(model, {"fc": FULL})
        assert not twin.get_layer("fc").trainable
        x = inputs_of(model)
        assert_same(twin(x), model(x))

    def test_unknown_names_and_wrong_sizes(self) -> None:
        with pytest.raises(ValueError, match=r"no layers named \['nope'\]"):
            replace(sequential(), {"nope": SMALL, "fc": SMALL})
        with pytest.raises(ValueError, match="cannot take"):
            replace(sequential(), {"out": SMALL})

    def test_a_layer_that_cannot_be_copied(self) -> None:
        class Scaled(L.Layer):
            def __init__(self, factor: float) -> None:
                super().__init__(name="scaled")
                self.factor = factor

            def call(self, inputs: Any) -> Any:
                return inputs * self.factor

            def get_config(self) -> dict[str, Any]:
                return {"name": "scaled"}

        model = keras.Sequential([keras.Input((12,)), Scaled(2.0), L.Dense(8, name="fc")], name="mine")
        with pytest.raises(ModelError, match="'mine' cannot be copied") as caught:
            replace(model, {"fc": SMALL})
        assert "get_config" in caught.value.cure


def _all(model: keras.Model) -> list[Any]:
    return list(model._flatten_layers(include_self=False))


def _names(model: keras.Model) -> list[str]:
    return sorted(layer.name for layer in _all(model))


class Tied(L.Layer):
    """Multiplies by the transposed kernel of a dense layer that the model calls as well."""

    def __init__(self, dense: L.Dense, **keywords: object) -> None:
        super().__init__(**keywords)
        self.dense = dense

    def call(self, inputs: object) -> object:
        return keras.ops.matmul(inputs, keras.ops.transpose(self.dense.kernel))


def test_a_dense_whose_weight_another_layer_uses_is_left_alone() -> None:
    code = L.Dense(12, name="code")
    inputs = keras.Input((16,))
    model = keras.Model(inputs, Tied(code, name="decode")(code(inputs)))
    (found,) = replaceable(model)
    assert found.layer.name == "code"
    assert found.excluded == "it is also part of 'decode', which edgett cannot open"
