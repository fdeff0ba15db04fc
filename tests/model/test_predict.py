"""The prediction, layer by layer, against counts made by hand. tests/export holds it against files."""

from __future__ import annotations

import keras
import pytest

from edgett.graph.graph import Graph
from edgett.graph.memory import live_bytes
from edgett.model.inference import inference_form
from edgett.model.predict import predict
from edgett.model.tt_dense import TTDense

L = keras.layers


def predicted(*layers: keras.layers.Layer, shape: tuple[int, ...], batch: int = 1, fused: bool = True) -> Graph:
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
        # Zeros would be dropped.
        for weight in layer.weights:
            weight.assign(weight + 0.5)
    return predict(inference_form(keras.Model(inputs, x), batch), batch, fused=fused)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("layer", "shape", "params", "flops"),
    [
        (L.Dense(5), (7,), 35 + 5, 2 * 35 + 5),
        (L.Dense(5, use_bias=False), (7,), 35, 70),
        (L.Dense(5), (4, 7), 35 + 5, 4 * (2 * 35 + 5)),
        (L.Conv2D(4, 3, strides=2, padding="same"), (9, 7, 2), 72 + 4, 5 * 4 * (4 * 2 * 18 + 4)),
        (L.Conv2D(4, 3, dilation_rate=2), (9, 7, 2), 72 + 4, 5 * 3 * (4 * 2 * 18 + 4)),
        (L.DepthwiseConv2D(3, depth_multiplier=2), (5, 6, 3), 54 + 6, 3 * 4 * (6 * 2 * 9 + 6)),
        (L.SeparableConv2D(4, 3, depth_multiplier=2), (5, 6, 3), 54 + 24 + 4, 3 * 4 * (6 * 2 * 9 + 4 * 2 * 6 + 4)),
        (L.Conv2DTranspose(4, 3, strides=2), (5, 6, 3), 108 + 4, 5 * 6 * 3 * 2 * 36 + 11 * 13 * 4),
        (L.Conv1D(4, 3, padding="causal"), (8, 2), 24 + 4, 8 * (4 * 2 * 6 + 4)),
        (TTDense((2, 6), (4, 3), (1, 2, 1)), (12,), 16 + 36 + 12, 2 * (36 * 2 + 16 * 3) + 12),
        (L.MaxPooling2D(2), (4, 4, 3), 0, 0),
        (L.LeakyReLU(), (6,), 0, 0),
    ],
    ids=lambda value: value.name if isinstance(value, L.Layer) else "",
)
def test_what_a_layer_stores_and_computes(
    layer: L.Layer, shape: tuple[int, ...], params: int, flops: int, batch: int, fused: bool
) -> None:
    graph = predicted(type(layer).from_config(layer.get_config()), shape=shape, batch=batch, fused=fused)
    assert (graph.params(), graph.flops()) == (params, batch * flops)
    assert graph.unruled == ()


def test_a_layer_without_a_rule_is_listed() -> None:
    graph = predicted(L.Dense(4), L.LayerNormalization(name="norm"), shape=(4,))
    assert graph.unruled == ("LayerNormalization (norm)",)
    assert graph.flops() == 2 * 16 + 4 and graph.params("norm") == 8


@pytest.mark.parametrize(
    ("activation", "fused", "tensors"),
    [("relu", True, 2), ("tanh", True, 2), ("relu", False, 2), ("gelu", True, 2), ("gelu", False, 3), ("silu", True, 3),
     ("selu", True, 3.25)],
)  # fmt: skip
def test_the_tensors_an_activation_keeps_alive(activation: str, fused: bool, tensors: float) -> None:
    """A truth value is a quarter of a number."""
    graph = predicted(L.Dense(64, activation=activation), shape=(64,), fused=fused)
    assert live_bytes(graph) == tensors * 64 * 4


def test_the_tensor_between_the_halves_of_a_separable_convolution_counts() -> None:
    graph = predicted(L.SeparableConv2D(2, 1, depth_multiplier=8), shape=(4, 4, 2))
    assert live_bytes(graph) == 4 * 16 * (2 * 8 + 2)


def test_a_relu_rides_on_the_sum_before_it_in_tflite_only() -> None:
    """And a Flatten of rows, which leaves them as they are, is none in either."""
    inputs = keras.Input((8,))
    model = keras.Model(inputs, L.ReLU()(L.Add()([inputs, L.Flatten()(inputs)])))
    kinds = [[step.operator for step in predict(inference_form(model), fused=fused).steps] for fused in (True, False)]
    assert kinds == [["Add"], ["Add", "relu"]]
