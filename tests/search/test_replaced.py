"""Graphs with convolutions in forms are those of the models that hold them, operator by operator."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.convolution.channel_svd import ChannelSVD
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.site import Layer
from edgett.forms.spec import Spec
from edgett.graph.filesize import Format, file_bytes
from edgett.graph.memory import arena_bytes
from edgett.model.inference import inference_form
from edgett.model.layers import replace
from edgett.model.predict import predict
from edgett.model.worth import Wish, replaceable
from edgett.search.replaced import with_edits

L = keras.layers


def images() -> keras.Model:
    """A residual block, a stride, a separable convolution."""
    x = keras.Input((8, 8, 5), name="x")
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, padding="same", use_bias=False, name="a")(x)))
    z = L.BatchNormalization()(L.Conv2D(8, 3, strides=2, padding="same", name="b")(y))
    short = L.Conv2D(8, 1, strides=2, padding="same", name="short")(y)
    y = L.ReLU()(L.Add()([z, short]))
    y = L.SeparableConv2D(6, 3, padding="same", activation="relu", name="s")(y)
    return keras.Model(x, L.Dense(3, name="end")(L.GlobalAveragePooling2D()(y)))


def sequences() -> keras.Model:
    x = keras.Input((16, 5), name="x")
    y = L.ReLU()(L.BatchNormalization()(L.Conv1D(6, 3, padding="same", name="a")(x)))
    y = L.Conv1D(8, 5, strides=2, activation="tanh", name="b")(y)
    return keras.Model(x, L.Dense(3, name="end")(L.Flatten()(y)))


def specs(layer: Layer) -> list[Spec]:
    """One of each form that the layer may have."""
    kinds = [kind for kind in (PointwiseSVD, ChannelSVD, SpatialSVD, CP, Tucker2, TTConv) if kind.unfit(layer) is None]
    return [list(kind.every(layer, 1))[len(list(kind.every(layer, 1))) // 2] for kind in kinds]


@pytest.mark.parametrize(
    "model", [images(), pytest.param(sequences(), marks=pytest.mark.slow)], ids=["images", "sequences"]
)
@pytest.mark.parametrize("fused", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["tflite", "onnx"])
@pytest.mark.parametrize("quantised", [False, True], ids=["float32", "int8"])
def test_is_what_the_model_is_predicted_to_do(model: keras.Model, fused: bool, quantised: bool) -> None:
    random = np.random.default_rng(0)
    model.set_weights([np.abs(random.normal(size=weight.shape)) + 0.1 for weight in model.get_weights()])
    layers = [item.layer for item in replaceable(model, Wish(share=0)) if item.layer.window]
    options: dict[str, list[Any]] = {layer.name: specs(layer) for layer in layers}
    for turn in range(max(map(len, options.values()))):
        edits = {name: each[turn % len(each)] for name, each in options.items()}
        dense = predict(inference_form(model, 1, frozenset(edits), untrained=True), fused=fused, quantised=quantised)
        found = with_edits(dense, edits)
        told = predict(inference_form(replace(model, edits), 1), fused=fused, quantised=quantised)
        assert [(one.layer, one.operator, one.flops, one.macs) for one in found.steps] == [
            (one.layer, one.operator, one.flops, one.macs) for one in told.steps
        ]
        assert (found.params(), found.flops(), found.macs) == (told.params(), told.flops(), told.macs)
        form = Format.TFLITE if fused else Format.ONNX
        assert file_bytes(found, form) == file_bytes(told, form)
        assert arena_bytes(found, 1) == arena_bytes(told, 1)
