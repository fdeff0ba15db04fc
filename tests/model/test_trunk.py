"""The trunk runs once, the head is trained: together they are the model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.errors import ModelError, ToolError
from edgett.examples import zoo
from edgett.forms.tt.shape import TTShape
from edgett.model.inference import inference_form
from edgett.model.layers import replace
from edgett.model.ports import by_output, feed, input_ports, output_ports, wanted
from edgett.model.predict import predict
from edgett.model.trunk import BATCH, Parts, features, parts, rejoin, share, stored
from edgett.model.tt_dense import TTDense

L = keras.layers
RANDOM = np.random.default_rng(0)
SQUARE = TTShape((4, 3), (3, 4), (1, 2, 1))
"""For a layer of 12 x 12."""


def dense(name: str, **settings: Any) -> Any:
    return L.Dense(12, "relu", name=name, **settings)


def residual() -> keras.Model:
    """What the trunk makes goes into the replaced layer and round it."""
    x = keras.Input((12,), name="x")
    first = dense("first")(x)
    return keras.Model(x, L.Dense(3, name="out")(L.Add(name="sum")([dense("fc")(first), first])))


def parallel() -> keras.Model:
    """A branch beside the replaced layer is in front of the sum behind it."""
    x = keras.Input((12,), name="x")
    both = L.Add(name="sum")([dense("fc")(x), dense("beside")(x)])
    return keras.Model(x, L.Dense(3, name="out")(both))


def two_inputs() -> keras.Model:
    a, b = keras.Input((12,), name="a"), keras.Input((4,), name="b", dtype="uint8")
    bytes_ = L.Rescaling(0.1, name="scale")(b)
    joined = L.Concatenate(name="join")([dense("fc")(dense("first")(a)), bytes_])
    return keras.Model([b, a], L.Dense(3, name="out")(joined))


def two_outputs() -> keras.Model:
    """One output comes from the trunk itself, one from a branch of it that no replaced layer needs."""
    x = keras.Input((12,), name="x")
    coarse = dense("coarse")(x)
    side = L.Dense(2, name="side")(dense("beside")(coarse))
    return keras.Model(x, [L.Dense(3, name="out")(dense("fc")(coarse)), coarse, side])


def dicts() -> keras.Model:
    a, b = keras.Input((12,), name="a"), keras.Input((12,), name="b")
    first = dense("first")(a)
    made = {"z": L.Dense(3, name="out")(dense("fc")(first)), "first": first, "m": L.Add(name="sum")([first, b])}
    return keras.Model({"a": a, "b": b}, made)


def nested() -> keras.Model:
    inner = keras.Input((12,))
    core = keras.Model(inner, dense("fc")(L.BatchNormalization(name="bn")(inner)), name="core")
    encoder = keras.Sequential([keras.Input((12,)), dense("one"), L.BatchNormalization(), dense("two")], name="encoder")
    x = keras.Input((12,), name="x")
    return keras.Model(x, L.Dense(3, name="out")(core(encoder(x))))


def sequential() -> keras.Model:
    layers = [keras.Input((6, 6, 1)), L.Conv2D(3, 3, name="conv"), L.BatchNormalization(name="bn"), L.ReLU()]
    layers += [L.MaxPooling2D(), L.Dropout(0.5, name="drop"), L.Flatten(name="flat")]
    return keras.Sequential([*layers, dense("fc"), L.Dense(3, name="out")])


def called_twice() -> keras.Model:
    """`twice` is called before the replaced layer and after it, `before` twice in front of it."""
    x = keras.Input((12,), name="x")
    before, twice = dense("before"), dense("twice")
    return keras.Model(x, L.Dense(3, name="out")(twice(dense("fc")(dense("next")(twice(before(before(x))))))))


def factorised() -> keras.Model:
    x = keras.Input((12,), name="x")
    first, later = (TTDense(SQUARE.inputs, SQUARE.outputs, SQUARE.ranks, name=name) for name in ("first", "later"))
    return keras.Model(x, L.Dense(3, name="out")(later(dense("fc")(first(x)))))


def operations() -> keras.Model:
    x = keras.Input((12,), name="x")
    return keras.Model(x, L.Dense(3, name="out")(dense("fc")(dense("first")(x * 2) + 1) - 0.5))


def reused_relu() -> keras.Model:
    """One layer without weights on both sides."""
    x, relu = keras.Input((12,), name="x"), L.ReLU(name="relu")
    return keras.Model(x, L.Dense(3, name="out")(relu(L.Dense(12, name="fc")(relu(L.Dense(12, name="first")(x))))))


def masked() -> keras.Model:
    """The mask that the trunk's embedding makes is used behind the replaced layer."""
    words, x = keras.Input((5,), name="words", dtype="int32"), keras.Input((12,), name="x")
    told = L.Embedding(10, 12, mask_zero=True, name="embedding")(words)
    both = L.Concatenate(axis=1, name="join")([told, L.RepeatVector(2, name="wide")(dense("fc")(x))])
    return keras.Model([words, x], L.Dense(3, name="out")(L.GlobalAveragePooling1D(name="pool")(both)))


CASES = {
    residual: ("fc", {"first"}, {"feature_0"}),
    parallel: ("fc", {"beside"}, {"feature_0", "x"}),
    two_inputs: ("fc", {"first"}, {"feature_0", "b"}),
    two_outputs: ("fc", {"coarse"}, {"feature_0"}),
    dicts: ("fc", {"first"}, {"feature_0", "b"}),
    nested: ("core/fc", {"encoder"}, {"feature_0"}),
    sequential: ("fc", {"conv", "bn"}, {"feature_0"}),
    called_twice: ("fc", {"before"}, {"feature_0"}),
    factorised: ("fc", {"first"}, {"feature_0"}),
    operations: ("fc", {"first"}, {"feature_0"}),
    reused_relu: ("fc", {"first"}, {"feature_0"}),
    masked: ("fc", {"embedding"}, {"feature_0", "feature_1", "x"}),
}
"""A model, its replaced layer, the layers with weights that are its trunk's, and the inputs of its head."""


def randomised(model: keras.Model) -> keras.Model:
    """Other weights than the initial ones everywhere, variances positive."""
    model.set_weights([RANDOM.uniform(0.1, 1.0, weight.shape) for weight in model.get_weights()])
    return model


def samples(model: keras.Model, count: int = 7) -> dict[str, np.ndarray]:
    """Random inputs in the type that each takes."""
    shapes = {port.name: ((count, *port.shape), port.dtype) for port in input_ports(model)}
    return {name: (8 * RANDOM.random(shape)).astype(dtype) for name, (shape, dtype) in shapes.items()}


def outputs(model: keras.Model, x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    made = by_output(model, model(feed(model, x), training=False))
    return {name: np.asarray(tensor) for name, tensor in made.items()}


def weighted(model: keras.Model) -> set[str]:
    return {layer.name for layer in model.layers if layer.weights}


def cut(model: keras.Model, paths: Collection[str]) -> Parts:
    found = parts(model, paths)
    assert found is not None
    return found


def assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    # The same float32 products in batches of another size.
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-6 * np.abs(expected[name]).max())


def assert_one_function(model: keras.Model, shapes: Mapping[str, TTShape], folder: Path) -> Parts:
    """Dense and with TT layers, the head makes of the features what the whole model makes of the inputs."""
    found, x = cut(model, shapes), samples(model)
    kept = features(found, x, folder, lambda _: None)
    assert_same(outputs(found.head, kept), outputs(model, x))
    assert_same(outputs(replace(found.head, shapes), kept), outputs(replace(model, shapes), x))
    assert [port.name for port in output_ports(found.head)] == [port.name for port in output_ports(model)]
    return found


class TestParts:
    @pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
    def test_together_they_are_the_model(self, build: Callable[[], keras.Model], tmp_path: Path) -> None:
        path, trunk, inputs = CASES[build]
        model = randomised(build())
        found = assert_one_function(model, {path: SQUARE}, tmp_path)
        assert weighted(found.trunk) == trunk
        assert weighted(found.head) == weighted(model) - trunk
        assert {port.name for port in input_ports(found.head)} == inputs
        assert not found.random

    @pytest.mark.parametrize(
        ("build", "shapes"),
        [
            (zoo.lenet5, {"fc1": TTShape((20, 20), (10, 12), (1, 4, 1)), "fc2": TTShape((10, 12), (7, 12), (1, 3, 1))}),
            (zoo.clock, {name: TTShape((72, 63), (10, 10), (1, 4, 1)) for name in ("hour_fc", "minute_fc")}),
        ],
    )
    def test_examples(self, build: Any, shapes: Mapping[str, TTShape], tmp_path: Path) -> None:
        found = assert_one_function(build(), shapes, tmp_path)
        assert found.head.compiled
        assert next(operation.name for operation in found.head.layers if operation.name != "feature_0") == "flatten"

    @settings(max_examples=12)
    @given(st.data())
    def test_any_graph(self, data: st.DataObject) -> None:
        def pick(count: int) -> int:
            return data.draw(st.integers(0, count - 1))

        tensors, layers = [keras.Input((12,), name="x")], []
        for index in range(6):
            source, kind = tensors[pick(len(tensors))], pick(4)
            if kind == 0:
                tensors.append(L.Add(name=f"sum{index}")([source, tensors[pick(len(tensors))]]))
                continue
            if kind > 1 or not layers:
                layers.append(L.Dense(12, "tanh", name=f"fc{index}"))
            tensors.append(layers[pick(len(layers)) if kind == 1 else -1](source))
        last = L.Dense(12, name="last")(tensors[-1])
        # The same tensor twice as an output has no name of its own.
        ends = {id(tensor): tensor for tensor in (last, tensors[1 + pick(6)])}
        model = keras.Model(tensors[0], list(ends.values()))
        paths = [layer.name for layer in model.layers if isinstance(layer, L.Dense)]
        shapes = {paths[pick(len(paths))]: SQUARE}
        if (found := parts(model, shapes)) is None:
            return
        x, head = samples(model), replace(found.head, shapes)
        kept = outputs(found.trunk, x)
        assert_same(outputs(head, x | kept), outputs(replace(model, shapes), x))
        assert weighted(found.trunk) | weighted(found.head) == weighted(model)
        assert not weighted(found.trunk) & weighted(found.head)
        assert [port.name for port in output_ports(head)] == [port.name for port in output_ports(model)]

    def test_several_paths_are_cut_before_the_first(self) -> None:
        model = zoo.lenet5()
        assert "fc1" in {layer.name for layer in cut(model, ["fc2"]).trunk.layers}
        assert weighted(cut(model, ["fc2", "fc1"]).head) == {"fc1", "fc2", "fc3"}

    def test_is_a_copy(self) -> None:
        model = randomised(two_outputs())
        before, calls = model.get_weights(), [len(layer._inbound_nodes) for layer in model.layers]
        found = cut(model, ["fc"])
        for part in (found.trunk, found.head):
            part.set_weights([0 * weight for weight in part.get_weights()])
        keras.tree.map_structure(np.testing.assert_array_equal, model.get_weights(), before)
        assert [len(layer._inbound_nodes) for layer in model.layers] == calls

    def test_names_do_not_depend_on_what_was_built_before(self) -> None:
        def build() -> keras.Model:
            x = keras.Input((12,), name="feature_0")
            return keras.Model(x, L.Add()([L.Dense(12, name="fc")(L.Dense(12)(x)), x]))

        for _ in range(2):
            assert [port.name for port in input_ports(cut(build(), ["fc"]).head)] == ["feature_1", "feature_0"]

    def test_head_is_saved_and_read_back(self, tmp_path: Path) -> None:
        head = cut(randomised(two_outputs()), ["fc"]).head
        head.save(tmp_path / "head.keras")
        x = samples(head)
        assert_same(outputs(keras.models.load_model(tmp_path / "head.keras"), x), outputs(head, x))

    def test_dropout_right_before_the_layer_stays_random(self) -> None:
        found = cut(sequential(), ["fc"])
        assert [layer.name for layer in found.head.layers[1:3]] == ["drop", "flat"] and not found.random

    @pytest.mark.parametrize("layer", [L.Dropout(0.5), keras.Sequential([L.Dropout(0.5)]), L.RandomFlip()])
    def test_randomness_in_the_trunk_is_told(self, layer: Any) -> None:
        x = keras.Input((6, 6, 1))
        y = L.Flatten()(L.Conv2D(1, 3)(layer(x)))
        assert cut(keras.Model(x, L.Dense(4, name="fc")(y)), ["fc"]).random

    def test_unknown_path(self) -> None:
        with pytest.raises(ValueError, match=r"no layers named \['fc9'\]"):
            parts(residual(), ["fc9"])


class Own(keras.Model):
    pass


def wrapped() -> keras.Model:
    x, inner = keras.Input((12,)), keras.Input((12,))
    return keras.Model(x, keras.Model(inner, dense("fc")(dense("first")(inner)), name="all")(x))


def normalised() -> keras.Model:
    x = keras.Input((12,))
    return keras.Model(x, dense("fc")(L.Normalization(mean=1, variance=2)(L.ReLU()(x))))


def own_training() -> keras.Model:
    x = keras.Input((12,))
    return Own(x, dense("fc")(dense("first")(x)))


def sparse() -> keras.Model:
    x, bits = keras.Input((12,)), keras.Input((12,), sparse=True)
    return keras.Model([x, bits], L.Add()([dense("fc")(dense("first")(x)), dense("other")(bits), bits]))


def masked_output() -> keras.Model:
    x = keras.Input((5,))
    return keras.Model(x, L.Dropout(0.1)(dense("fc")(L.Embedding(10, 12, mask_zero=True)(x))))


def relayed_twice() -> keras.Model:
    """The output `relu` and a layer of the head have one name."""
    x, relu = keras.Input((12,)), L.ReLU(name="relu")
    first = relu(dense("first")(x))
    return keras.Model(x, [first, relu(dense("fc")(first))])


def one_sample() -> keras.Model:
    """Not one row a sample: the sum over the batch."""
    x = keras.Input((12,))
    first = dense("first")(x)
    return keras.Model(x, dense("fc")(x) + keras.ops.sum(first, 0))


class TestNoParts:
    @pytest.mark.parametrize("build", [normalised, own_training, sparse, masked_output, relayed_twice, one_sample])
    def test_nothing_to_win_or_no_way(self, build: Callable[[], keras.Model]) -> None:
        assert parts(build(), ["fc"]) is None

    def test_nested_models_stay_whole(self) -> None:
        assert parts(wrapped(), ["all/fc"]) is None

    def test_scaling_and_flattening_alone(self) -> None:
        model = zoo.lenet300()
        assert parts(model, ["fc1", "fc2"]) is None
        assert share(model, ["fc1", "fc2"], predict(inference_form(model))) == 0


class TestShare:
    def test_of_lenet5(self) -> None:
        model = zoo.lenet5()
        # Multiplications of the convolutions 28*28*6*25 and 10*10*16*150; the layers 400x120, 120x84 and 84x10.
        trunk, head = 2 * (117_600 + 240_000), 2 * (48_000 + 10_080 + 840)
        assert share(model, ["fc1"], predict(inference_form(model))) == pytest.approx(trunk / (trunk + head), abs=0.005)

    def test_of_nested_models(self) -> None:
        model = nested()
        assert share(model, ["core/fc"], predict(inference_form(model))) == pytest.approx(2 / 3.25, abs=0.02)


class TestFeatures:
    def test_are_mapped_files_of_the_trunks_outputs(self, tmp_path: Path) -> None:
        found, x, done = cut(randomised(two_inputs()), ["fc"]), samples(two_inputs(), BATCH + 44), []
        kept = features(found, x, tmp_path / "new", done.append)
        assert done == [BATCH, 44]
        assert kept["b"] is x["b"]
        assert isinstance(kept["feature_0"], np.memmap) and not kept["feature_0"].flags.writeable
        np.testing.assert_allclose(kept["feature_0"], outputs(found.trunk, x)["feature_0"], rtol=1e-6)
        assert found.bytes == 48 == kept["feature_0"].nbytes / len(x["a"])
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["feature_0.npy"]
        np.testing.assert_array_equal(stored(found.head, x, tmp_path / "new")["feature_0"], kept["feature_0"])

    def test_of_bfloat16(self, tmp_path: Path) -> None:
        x = keras.Input((12,), name="x")
        model = keras.Model(x, dense("fc")(dense("first", dtype="bfloat16")(x)))
        kept = features(cut(model, ["fc"]), samples(model), tmp_path, lambda _: None)
        assert kept["feature_0"].dtype == np.float32
        assert_one_function(model, {"fc": SQUARE}, tmp_path)

    def test_rows_that_are_no_samples(self, tmp_path: Path) -> None:
        x = keras.Input((12,), name="x")
        first = keras.ops.reshape(dense("first")(x), (-1, 6))
        with pytest.raises(ModelError, match=r"7 samples make features of shape \(14, 6\)"):
            features(cut(keras.Model(x, dense("fc")(first)), ["fc"]), samples(residual()), tmp_path, lambda _: None)

    def test_full_disk(self, tmp_path: Path) -> None:
        (tmp_path / "feature_0.part").symlink_to("/dev/full")
        with pytest.raises(ToolError, match="No space left"):
            features(cut(residual(), ["fc"]), samples(residual()), tmp_path, lambda _: None)

    def test_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        found, x = cut(residual(), ["fc"]), samples(residual())
        with pytest.raises(ToolError, match="0 MiB of features cannot be written"):
            features(found, x, tmp_path / "file", lambda _: None)
        with pytest.raises(ToolError, match="cannot be read"):
            stored(found.head, x, tmp_path)


class TestTraining:
    def test_equals_the_whole_model_with_its_trunk_frozen(self, tmp_path: Path) -> None:
        model = two_inputs()
        model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
        found, x = cut(model, ["fc"]), samples(model, 64)
        y = {"out": RANDOM.normal(size=(64, 3)).astype(np.float32)}
        whole, head = replace(model, {"fc": SQUARE}), replace(found.head, {"fc": SQUARE})
        whole.get_layer("first").trainable = False
        whole.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
        kept = features(found, x, tmp_path, lambda _: None)
        for twin, arrays in ((whole, x), (head, kept)):
            twin.fit(feed(twin, arrays), wanted(twin, y), batch_size=16, epochs=1, shuffle=False, verbose=0)
        joined = replace(model, {"fc": SQUARE})
        rejoin(head, joined)
        # Sums of 4 steps in another order.
        close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
        keras.tree.map_structure(close, joined.get_weights(), whole.get_weights())
        assert_same(outputs(joined, x), outputs(head, kept))
