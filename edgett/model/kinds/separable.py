"""The pointwise half of `SeparableConv2D`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms.operators import Convolve, Operator
from edgett.forms.site import Layer
from edgett.forms.spec import Factors, Spec
from edgett.forms.window import Window
from edgett.model.convolved import Convolved
from edgett.model.kinds.convolution import unfit
from edgett.model.trace import Call
from edgett.model.windows import window_of


class Separable:
    """Each channel is convolved by itself, and stays so; the 1x1 convolution behind that is the site."""

    keras: type = keras.layers.SeparableConv2D

    def sites(self, call: Call) -> tuple[Layer, ...] | str:
        layer = call.layer
        if reason := unfit(layer, self.keras):
            return reason
        if not call.reads or None in call.reads[0].shape[1:-1]:
            return "the size of the image that it reads is not known: give the model's input a shape"
        return (_site(call),)

    def weight(self, layer: Any, site: Layer) -> NDArray[np.float32]:
        return np.asarray(layer.pointwise_kernel).reshape(site.inputs, site.outputs)

    def give(self, layer: Any, site: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        deep, point, *_ = layer.get_weights()
        layer.set_weights([deep, weight.reshape(point.shape), *([] if bias is None else [bias])])

    def rows(self, layer: Any, site: Layer, inputs: Any) -> Any:
        """What the depthwise half makes at each position: (batch, positions, X)."""
        made = keras.ops.depthwise_conv(
            inputs, layer.depthwise_kernel, layer.strides, layer.padding, layer.data_format, layer.dilation_rate
        )
        return keras.ops.reshape(made, (-1, site.positions, site.inputs))

    def plain(self, call: Call) -> Any:
        return call.layer

    def plan(self, call: Call) -> tuple[Operator, ...]:
        site = _site(call)
        assert site.window is not None
        batch, channels = call.reads[0].shape[0], call.layer.depthwise_kernel.shape[-2]
        deep = Convolve(0, batch, window_of(call), channels, site.inputs, depthwise=True)
        return deep, Convolve(1, batch, site.window, site.inputs, site.outputs)

    def twin(self, layer: Any, chosen: Mapping[Layer, Spec], factors: Factors | None = None) -> Convolved:
        (spec,) = chosen.values()
        return Convolved.from_separable(layer, spec, factors)


def _site(call: Call) -> Layer:
    window = Window((1, 1), window_of(call).made)
    inputs, outputs = (int(size) for size in call.layer.pointwise_kernel.shape[2:])
    return Layer(call.path, inputs, outputs, bool(call.layer.use_bias), window.positions, window)
