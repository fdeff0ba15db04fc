"""`TTDense` against T3F, against the dense weight it stands for, and in training."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import t3f
import tensorflow as tf
from numpy.typing import NDArray

from edgett.forms.tt import contraction
from edgett.forms.tt.cost import rebuild_from
from edgett.forms.tt.decompose import tt_svd
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from edgett.model.tt_dense import TTDense

RANDOM = np.random.default_rng(0)
ORDERS = pytest.mark.parametrize("order", Order)
SMALL = TTShape((2, 3, 4), (3, 2, 2), (1, 3, 2, 1))
SWITCHING = TTShape((4, 4, 4), (4, 4, 4), (1, 8, 8, 1))
"""Contracting a sample costs so much more than the dense product that some dozens of samples pay for rebuilding."""


def of(shape: TTShape, order: Order, **keywords: Any) -> TTDense:
    layer = TTDense(shape.inputs, shape.outputs, shape.ranks, order, **keywords)
    layer.build((None, shape.matrix[0]))
    if layer.use_bias:
        layer.bias.assign(np.linspace(-1, 1, shape.matrix[1]))
    return layer


def by_t3f(layer: TTDense) -> Any:
    return t3f.TensorTrain([tf.convert_to_tensor(core) for core in layer.cores], tt_ranks=layer.spec.ranks)


def dense_weight(layer: TTDense) -> NDArray[np.float32]:
    return np.asarray(t3f.full(by_t3f(layer)))


def samples(count: int, layer: TTDense) -> NDArray[np.float32]:
    return RANDOM.normal(size=(count, layer.spec.matrix[0])).astype(np.float32)


def model_of(layer: TTDense, compiled: bool = True) -> keras.Model:
    model = keras.Sequential([keras.Input((layer.spec.matrix[0],)), layer])
    if compiled:
        model.compile("sgd", "mse")
    return model


class Watched(TTDense):
    """Notes which branches are traced or run."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.taken = tf.Variable([0, 0], trainable=False)

    def contract(self, inputs: Any) -> Any:
        self.taken.assign_add([1, 0])
        return super().contract(inputs)

    def kernel(self) -> Any:
        self.taken.assign_add([0, 1])
        return super().kernel()

    def branches(self) -> tuple[bool, bool]:
        contracted, rebuilt = map(bool, self.taken.numpy())
        self.taken.assign([0, 0])
        return contracted, rebuilt


class TestProduct:
    @ORDERS
    @pytest.mark.parametrize("batch", [1, 2, 5])
    def test_is_that_of_t3f_and_of_the_dense_weight(self, order: Order, batch: int) -> None:
        layer = of(SMALL, order, use_bias=False)
        x = samples(batch, layer)
        # Sums of a few dozen float32 products each.
        np.testing.assert_allclose(layer(x), t3f.matmul(tf.constant(x), by_t3f(layer)), atol=1e-5)
        np.testing.assert_allclose(layer(x), x @ dense_weight(layer), atol=1e-5)
        np.testing.assert_allclose(layer.kernel(), dense_weight(layer), atol=1e-6)

    @ORDERS
    @pytest.mark.parametrize(
        "shape",
        [
            TTShape((1, 6), (5, 1), (1, 1, 1)),
            TTShape((6, 1), (1, 5), (1, 4, 1)),
            TTShape((2, 2, 2, 2, 2), (2, 1, 3, 1, 2), (1, 2, 3, 3, 2, 1)),
            SWITCHING,
        ],
        ids=str,
    )
    @pytest.mark.parametrize("training", [False, True])
    def test_of_any_shape(self, order: Order, shape: TTShape, training: bool) -> None:
        layer = of(shape, order, use_bias=False)
        for batch in (1, 3, 200):
            x = samples(batch, layer)
            np.testing.assert_allclose(layer(x, training=training), x @ dense_weight(layer), atol=1e-4)

    def test_a_wrong_permutation_of_the_cores_would_be_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        layer = of(SMALL, Order.LAST_FIRST, use_bias=False)
        x = samples(2, layer)
        monkeypatch.setattr(contraction, "_axes", lambda *_: (3, 1, 2, 0))
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(layer(x), x @ dense_weight(layer), atol=1e-5)

    @ORDERS
    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("axes", [(), (1,), (4,), (2, 3), (2, 1, 3)], ids=str)
    def test_every_position_is_a_row(self, order: Order, training: bool, axes: tuple[int, ...]) -> None:
        layer = of(SMALL, order, activation="relu")
        x = RANDOM.normal(size=(5, *axes, SMALL.matrix[0])).astype(np.float32)
        wanted = layer(x.reshape(-1, SMALL.matrix[0]), training=training)
        np.testing.assert_allclose(layer(x, training=training), np.reshape(wanted, (5, *axes, -1)), atol=1e-5)
        assert layer.compute_output_shape((None, *axes, SMALL.matrix[0])) == (None, *axes, SMALL.matrix[1])

    @pytest.mark.parametrize("known", [(None, 3, 4), (5, None, 4), (5, 3, None), (None, None, 4), (None, None, None)])
    def test_axes_that_are_known_only_when_it_runs(self, known: tuple[int | None, ...]) -> None:
        layer = of(SMALL, Order.LAST_FIRST)
        x = RANDOM.normal(size=(5, 3, 4, SMALL.matrix[0])).astype(np.float32)
        run = tf.function(layer, input_signature=[tf.TensorSpec((*known, SMALL.matrix[0]))])
        assert run(x).shape == (5, 3, 4, SMALL.matrix[1])
        np.testing.assert_allclose(run(x), layer(x), atol=1e-6)

    @pytest.mark.parametrize("batch", [None, 2])
    def test_each_position_counts_for_which_way_a_batch_goes(self, batch: int | None) -> None:
        layer = Watched(SWITCHING.inputs, SWITCHING.outputs, SWITCHING.ranks)
        layer.build((None, 64))
        layer.training_rows = 2
        enough = math.ceil(rebuild_from(SWITCHING) / 2)
        assert enough > 2
        ways = []
        for positions in (enough - 1, enough):
            tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.TensorSpec((batch, positions, 64)))(
                tf.zeros((2, positions, 64))
            )
            ways.append(layer.branches())
        assert ways == [(True, False), (False, True)]

    def test_bias_and_activation_as_in_dense(self) -> None:
        layer = of(SMALL, Order.LAST_FIRST, activation="relu")
        x = samples(3, layer)
        wanted = np.maximum(x @ dense_weight(layer) + np.asarray(layer.bias), 0)
        assert (wanted == 0).any() and (wanted > 0).any()
        np.testing.assert_allclose(layer(x), wanted, atol=1e-5)

    def test_a_fresh_layer_has_the_spread_of_glorot(self) -> None:
        shape = TTShape((8, 8, 8), (8, 8, 8), (1, 6, 6, 1))
        keras.utils.set_random_seed(0)
        weight = np.asarray(of(shape, Order.LAST_FIRST).kernel())
        # A product of few random numbers has heavy tails: its standard deviation comes out within a factor.
        assert 0.5 < weight.std() / math.sqrt(2 / (512 + 512)) < 2


class TestBranches:
    """Which way a batch takes, and that it makes no difference."""

    def test_the_threshold_of_the_shape_is_finite_and_small(self) -> None:
        assert 1 < rebuild_from(SWITCHING) < 200

    def watched(self) -> tuple[Watched, Any]:
        layer = Watched(SWITCHING.inputs, SWITCHING.outputs, SWITCHING.ranks, use_bias=False)
        layer.build((None, 64))
        return layer, np.asarray(TTDense.kernel(layer))

    @pytest.mark.parametrize(
        ("batch", "training", "way"),
        [(1, True, (True, False)), (200, True, (False, True)), (1, False, (True, False)), (200, False, (True, False))],
    )
    def test_a_static_batch(self, batch: int, training: bool, way: tuple[bool, bool]) -> None:
        layer, weight = self.watched()
        x = samples(batch, layer)
        np.testing.assert_allclose(layer(x, training=training), x @ weight, atol=1e-4)
        assert layer.branches() == way

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize(("rows", "way"), [(1, (True, False)), (200, (False, True))])
    def test_a_batch_of_unknown_size_is_taken_for_the_one_expected(
        self, rows: int, way: tuple[bool, bool], training: bool
    ) -> None:
        layer, weight = self.watched()
        setattr(layer, "training_rows" if training else "inference_rows", rows)

        @tf.function(input_signature=[tf.TensorSpec((None, 64), tf.float32)])
        def step(x: Any) -> Any:
            return layer(x, training=training)

        for batch in (1, 200, 0):
            x = samples(batch, layer)
            np.testing.assert_allclose(step(x), x @ weight, atol=1e-4)
            assert layer.branches() == way

    def test_a_graph_that_infers_contracts_whatever_the_batch(self) -> None:
        layer, weight = self.watched()

        @tf.function(input_signature=[tf.TensorSpec((None, 64), tf.float32)])
        def serve(x: Any) -> Any:
            return layer(x, training=False)

        for batch in (1, 200):
            x = samples(batch, layer)
            np.testing.assert_allclose(serve(x), x @ weight, atol=1e-4)
            assert layer.branches() == (True, False)

    def test_predict_with_a_last_batch_of_another_size(self) -> None:
        layer = of(SWITCHING, Order.FIRST_LAST)
        x = samples(131, layer)
        predicted = model_of(layer).predict(x, batch_size=128, verbose=0)
        np.testing.assert_allclose(predicted, x @ dense_weight(layer) + np.asarray(layer.bias), atol=1e-4)


class TestConfig:
    def test_round_trip(self) -> None:
        layer = TTDense(
            [2, 3], [3, 4], [1, 2, 1], "first_last",
            activation="relu", use_bias=True, bias_initializer="ones", kernel_regularizer="l2", bias_regularizer="l1",
            activity_regularizer="l2", bias_constraint="non_neg", name="fc", trainable=False, dtype="mixed_bfloat16",
        )  # fmt: skip
        twin = TTDense.from_config(layer.get_config())
        assert twin.spec == layer.spec == TTShape((2, 3), (3, 4), (1, 2, 1), Order.FIRST_LAST)
        assert twin.get_config() == layer.get_config()
        assert (twin.name, twin.trainable, twin.dtype_policy.name) == ("fc", False, "mixed_bfloat16")
        assert twin.activation is keras.activations.relu

    def test_an_order_by_value_or_name(self) -> None:
        assert TTDense([2, 2], [2, 2], [1, 1, 1]).shape.order is Order.LAST_FIRST
        assert TTDense([2, 2], [2, 2], [1, 1, 1], Order.FIRST_LAST).shape.order is Order.FIRST_LAST
        with pytest.raises(ValueError, match="middle_out"):
            TTDense([2, 2], [2, 2], [1, 1, 1], "middle_out")

    @pytest.mark.parametrize(
        ("inputs", "outputs", "ranks", "message"),
        [
            ([2], [2], [1, 1], "at least 2"),
            ([2, 2], [2, 2, 2], [1, 1, 1], "same number"),
            ([2, 2], [2, 2], [1, 1], "need 3 ranks"),
            ([2, 2], [2, 2], [2, 2, 1], "outer two 1"),
            ([2, 2], [2, 2], [1, 2, 2], "outer two 1"),
            ([2, 0], [2, 2], [1, 1, 1], "at least 1"),
            ([2, 2], [2, 2], [1, 0, 1], "at least 1"),
        ],
    )
    def test_a_shape_that_is_none(self, inputs: Any, outputs: Any, ranks: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            TTDense(inputs, outputs, ranks)

    @pytest.mark.parametrize("shape", [(1, 23), (24,), (1, 2, 23)])
    def test_an_input_of_another_size_is_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="incompatible with the layer"):
            TTDense(SMALL.inputs, SMALL.outputs, SMALL.ranks)(np.zeros(shape, np.float32))

    def test_the_output_shape(self) -> None:
        assert TTDense(SMALL.inputs, SMALL.outputs, SMALL.ranks)(keras.Input((24,))).shape == (None, 12)


class TestFromDense:
    def dense(self, **keywords: Any) -> keras.layers.Dense:
        layer = keras.layers.Dense(12, bias_initializer="random_normal", name="fc", **keywords)
        layer.build((None, 24))
        return layer

    @ORDERS
    @pytest.mark.parametrize("use_bias", [False, True])
    def test_full_ranks_are_the_dense_layer(self, order: Order, use_bias: bool) -> None:
        dense = self.dense(activation="tanh", use_bias=use_bias)
        layer = TTDense.from_dense(dense, TTShape((2, 3, 4), (3, 2, 2), (1, 6, 8, 1), order))
        x = samples(4, layer)
        np.testing.assert_allclose(layer(x), dense(x), atol=1e-5)
        assert (layer.name, layer.use_bias) == ("fc", use_bias)

    def test_what_dense_says_is_kept(self) -> None:
        dense = self.dense(
            kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2", bias_constraint="non_neg",
            dtype="mixed_bfloat16",
        )  # fmt: skip
        mine, theirs = TTDense.from_dense(dense, SMALL).get_config(), dense.get_config()
        assert mine["dtype"] == theirs["dtype"]
        for name in ("kernel_regularizer", "bias_regularizer", "activity_regularizer", "bias_constraint"):
            assert mine[name] == theirs[name] is not None

    def test_known_cores_are_taken(self) -> None:
        dense = self.dense()
        cores = tuple(2 * core for core in tt_svd(np.asarray(dense.kernel), SMALL))
        layer = TTDense.from_dense(dense, SMALL, cores)
        np.testing.assert_array_equal(layer.cores[1], cores[1])
        np.testing.assert_array_equal(layer.bias, dense.bias)

    def test_another_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match="cannot take"):
            TTDense.from_dense(self.dense(), TTShape((2, 3), (3, 4), (1, 2, 1)))


class TestT3F:
    @ORDERS
    def test_cores_come_back_as_they_were(self, order: Order) -> None:
        layer = of(SMALL, order, use_bias=False)
        train = layer.to_t3f()
        assert tuple(map(tuple, train.get_raw_shape())) == (SMALL.inputs, SMALL.outputs)
        again = TTDense.from_t3f(train, order, use_bias=False, name="fc")
        assert again.spec == layer.spec and again.name == "fc"
        for mine, theirs in zip(again.get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_a_matrix_of_t3f_becomes_a_layer(self) -> None:
        weight = RANDOM.normal(size=(24, 12))
        train = t3f.to_tt_matrix(weight, [[2, 3, 4], [3, 2, 2]], max_tt_rank=5)
        layer = TTDense.from_t3f(train, activation="relu", bias_initializer="ones")
        x = samples(3, layer)
        wanted = np.maximum(np.asarray(t3f.matmul(tf.constant(x, tf.float64), train)) + 1, 0)
        np.testing.assert_allclose(layer(x), wanted, atol=1e-4)

    def test_gradients_come_back_through_t3f(self) -> None:
        layer = of(SMALL, Order.LAST_FIRST)
        with tf.GradientTape() as tape:
            norm = t3f.frobenius_norm_squared(layer.to_t3f())
        found = tape.gradient(norm, [core.value for core in layer.cores])
        # ||W||^2 is linear in the square of each core.
        for core, gradient in zip(layer.get_weights(), found, strict=False):
            np.testing.assert_allclose(np.sum(core * gradient), 2 * norm, rtol=1e-4)

    def test_a_layer_that_is_not_built_has_none(self) -> None:
        with pytest.raises(ValueError, match=r"'fc' has no cores yet: call it, or build\(\(None, 24\)\)"):
            TTDense(SMALL.inputs, SMALL.outputs, SMALL.ranks, name="fc").to_t3f()

    def test_what_is_no_matrix_is_refused(self) -> None:
        tensor = t3f.to_tt_tensor(np.ones((2, 3, 4)))
        batch = t3f.TensorTrainBatch([tf.ones((5, 1, 2, 3, 2)), tf.ones((5, 2, 2, 3, 1))])
        for given in (tensor, batch, np.ones((2, 3))):
            with pytest.raises(ValueError, match="no matrix in TT form"):
                TTDense.from_t3f(given)
        with pytest.raises(ValueError, match="at least 2"):
            TTDense.from_t3f(t3f.TensorTrain([tf.ones((1, 2, 3, 1))], tt_ranks=[1, 1]))
