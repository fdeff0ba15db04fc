"""`Conv2D` and `Conv1D`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.forms.operators import Convolve, Operator
from edgett.forms.site import Layer
from edgett.forms.spec import Factors, Spec
from edgett.model.convolved import Convolved
from edgett.model.trace import Call
from edgett.model.windows import window_of


class Convolution:
    """A convolution has one site: its kernel, which meets the pixels under the window at each position of an image.

    A sequence is an image of one row.
    """

    def __init__(self, keras_class: type) -> None:
        """A kind for the layers of that class."""
        self.keras = keras_class

    def sites(self, call: Call) -> tuple[Layer, ...] | str:
        layer = call.layer
        if reason := unfit(layer, self.keras):
            return reason
        if not call.reads or None in call.reads[0].shape[1:-1]:
            return "the size of the image that it reads is not known: give the model's input a shape"
        window = window_of(call)
        inputs = window.taps * int(call.reads[0].shape[-1])
        return (Layer(call.path, inputs, int(layer.filters), bool(layer.use_bias), window.positions, window),)

    def weight(self, layer: Any, site: Layer) -> NDArray[np.float32]:
        return np.asarray(layer.kernel).reshape(site.inputs, site.outputs)

    def give(self, layer: Any, site: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        kernel = weight.reshape(layer.kernel.shape)
        layer.set_weights([kernel] if bias is None else [kernel, bias])

    def rows(self, layer: Any, site: Layer, inputs: Any) -> Any:
        """The pixels under the window at each position, with all their channels: (batch, positions, X)."""
        window = site.window
        assert window is not None
        images = tf.reshape(inputs, (-1, *window.size, site.channels))
        patches = tf.image.extract_patches(
            images, (1, *window.kernel, 1), (1, *window.strides, 1), (1, *window.dilation, 1),
            window.padding.value.upper(),
        )  # fmt: skip
        return tf.reshape(patches, (-1, site.positions, site.inputs))

    def plain(self, call: Call) -> Any:
        return call.layer

    def plan(self, call: Call) -> tuple[Operator, ...]:
        sites = self.sites(call)
        assert not isinstance(sites, str), sites
        (site,) = sites
        assert site.window is not None
        return (Convolve(0, call.reads[0].shape[0], site.window, site.channels, site.outputs),)

    def twin(self, layer: Any, chosen: Mapping[Layer, Spec], factors: Factors | None = None) -> Convolved:
        (spec,) = chosen.values()
        return Convolved.from_dense(layer, spec, factors)


def unfit(layer: Any, kind: type) -> str | None:
    """Why the kernel of a convolution of some class cannot be replaced, whatever it reads."""
    if (own := type(layer)) is not kind:
        return f"it is a {own.__name__}, a kind of {kind.__name__} of its own"
    if layer.data_format != "channels_last":
        return "its channels come first: build the model with data_format='channels_last'"
    if getattr(layer, "groups", 1) > 1:
        return f"it convolves {layer.groups} groups of channels, each by itself: they are small already"
    if layer.padding not in ("same", "valid"):
        return f"its padding is {layer.padding}: put a ZeroPadding1D before it and make it valid"
    if layer.quantization_mode is not None:
        return f"it is quantised ({layer.quantization_mode}); factorise the float model, then quantise"
    if getattr(layer, "lora_enabled", False):
        return "it carries a LoRA adapter; merge that first"
    kept = getattr(layer, "kernel_constraint", None) or getattr(layer, "pointwise_constraint", None)
    if kept is not None:
        return f"its kernel is constrained ({type(kept).__name__}), which factors cannot keep"
    return None
