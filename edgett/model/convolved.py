"""`Convolved`: a convolution whose weight is held in a form, as a chain of smaller convolutions."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping
from typing import Any, Self

import keras
import numpy as np

from edgett.forms import catalogue
from edgett.forms.convolution.chain import Chain, ChainLink
from edgett.forms.spec import Factors, Spec
from edgett.forms.window import Window
from edgett.model.in_form import LayerInForm

_L = keras.layers


DEPTHWISE_HALF = "depthwise_kernel"
"""The name of the depthwise half of a separable convolution, which stays as it is."""


@keras.saving.register_keras_serializable(package="edgett")
class Convolved(LayerInForm):
    """Maps images, or sequences, as the convolution does whose weight its links stand for, one link after the other.

    Attributes:
        before: what runs first and stays as it is, the depthwise half of a separable convolution; None: nothing.
        parts: that, and the links as plain layers of Keras, of which the last has the bias.
    """

    spec: Chain
    parts: list[Any]

    def __init__(self, spec: Spec | Mapping[str, Any], before: Any = None, **settings: Any) -> None:
        """Make the layer; see `LayerInForm`, whose settings it has.

        Args:
            spec: the form of its weight.
            before: a depthwise convolution that runs first, or what Keras serialises one to; None: nothing.
            **settings: those of every layer in a form.
        """
        super().__init__(spec, **settings)
        given = before.get_config() if isinstance(before, keras.layers.Layer) else (before or {}).get("config")
        self.before = None if given is None else _L.DepthwiseConv2D.from_config(given | {"name": DEPTHWISE_HALF})

    @classmethod
    def _entry(cls, spec: Spec, layer: Any) -> tuple[int | None, ...]:
        kernel = layer.depthwise_kernel if hasattr(layer, DEPTHWISE_HALF) else layer.kernel
        return (None, *[None] * layer.rank, kernel.shape[-2])

    @classmethod
    def from_separable(cls, layer: Any, spec: Spec, factors: Factors | None = None) -> Self:
        """Make the layer that stands in for a built separable convolution, its pointwise half decomposed.

        Args:
            layer: the separable convolution.
            spec: the form of its pointwise weight.
            factors: those of the spec, where they are known already; None: the best ones.

        Returns:
            The built layer.
        """
        shared = {name: getattr(layer, name) for name in ("strides", "padding", "dilation_rate", "depth_multiplier")}
        half = _L.DepthwiseConv2D(
            layer.kernel_size, use_bias=False, name=DEPTHWISE_HALF, dtype=layer.dtype_policy, **shared
        )
        twin = cls._like(layer, spec, before=half)
        twin.parts[0].kernel.assign(layer.depthwise_kernel)
        twin.hold(spec.best(np.asarray(layer.pointwise_kernel)[0, 0]) if factors is None else factors, layer.bias)
        return twin

    def _make(self, input_shape: Any) -> None:
        self.parts = [*self._plain_parts(len(input_shape) - 2)]
        for part in self.parts:
            part.build(input_shape)
            input_shape = part.compute_output_shape(input_shape)
        self.factors = [part.kernel for part in self.parts if part.name != DEPTHWISE_HALF]
        self.bias = self.parts[-1].bias if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        for part in self.parts:
            inputs = part(inputs)
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        for part in self.parts:
            input_shape = part.compute_output_shape(input_shape)
        return tuple(input_shape)

    def _plain_parts(self, axes: int, activation: Any = None, **last: Any) -> Iterator[Any]:
        """A new layer of Keras for each part; `activation` ends the last one, which has the settings `last`."""
        if self.before is not None:
            yield _L.DepthwiseConv2D.from_config(self.before.get_config())
        spread = keras.initializers.RandomNormal(stddev=self.spec.deviation())
        links, windows = self.spec.links, self.spec.windows()
        for place, (link, window) in enumerate(zip(links, windows, strict=True)):
            settings: dict[str, Any] = {"use_bias": False}
            if place == len(links) - 1:
                settings = last | {
                    "use_bias": self.use_bias,
                    "activation": activation,
                    "bias_initializer": self.bias_initializer,
                    "bias_regularizer": self.bias_regularizer,
                    "bias_constraint": self.bias_constraint,
                }
            yield _part(link, window, axes, name=f"factor_{place}", dtype=self.dtype_policy, spread=spread, **settings)

    def plain(self, shape: tuple[int | None, ...]) -> keras.Model:
        """Copy the layer as plain ones in a model of its name, whose input's name tells the form.

        Args:
            shape: that of a sample that it reads.

        Returns:
            The model; a kernel regulariser goes, no plain layer sees the weight that the links stand for.
        """
        entry = keras.Input(shape, dtype=self.compute_dtype, name=json.dumps(catalogue.document(self.spec)))
        tensor, end = entry, {"activity_regularizer": self.activity_regularizer}
        for part in self._plain_parts(len(shape) - 1, self.activation, **end):
            tensor = part(tensor)
        made = keras.Model(entry, tensor, name=self.name)
        for mine, theirs in zip(self.parts, made.layers[1:], strict=True):
            theirs.set_weights(mine.get_weights())
        made.trainable = self.trainable
        return made

    @classmethod
    def of(cls, made: keras.Model, spec: Chain) -> Self | None:
        """Find the layer that `plain` has made a model of.

        Args:
            made: a model of plain layers.
            spec: the form that the name of its input tells.

        Returns:
            The layer; None where it has not.
        """
        parts = made.layers[1:]
        if len({part.trainable for part in parts}) != 1 or not all(hasattr(part, "kernel") for part in parts):
            return None
        first, last = parts[0], parts[-1]
        layer = cls(
            spec, before=first if first.name == DEPTHWISE_HALF and type(first) is _L.DepthwiseConv2D else None,
            name=made.name, trainable=last.trainable, dtype=last.dtype_policy, use_bias=last.use_bias,
            bias_initializer=last.bias_initializer, bias_regularizer=last.bias_regularizer,
            bias_constraint=last.bias_constraint, activity_regularizer=last.activity_regularizer,
            activation=last.activation,
        )  # fmt: skip
        layer.build(made.input_shape)
        shapes = ([[weight.shape for weight in part.weights] for part in side] for side in (layer.parts, parts))
        if operator.eq(*shapes):
            for mine, theirs in zip(layer.parts, parts, strict=True):
                mine.set_weights(theirs.get_weights())
        return layer

    def get_config(self) -> dict[str, Any]:
        before = None if self.before is None else keras.saving.serialize_keras_object(self.before)
        return super().get_config() | {"before": before}


def _part(link: ChainLink, window: Window, axes: int, *, spread: Any, **settings: Any) -> Any:
    """A link as a layer of Keras."""
    first = 2 - axes
    common = settings | {
        "kernel_size": window.kernel[first:],
        "strides": window.strides[first:],
        "dilation_rate": window.dilation[first:] if window.taps > 1 else 1,
        "padding": window.padding.value,
    }
    if link.depthwise:
        kind = _L.DepthwiseConv1D if axes == 1 else _L.DepthwiseConv2D
        return kind(depthwise_initializer=spread, **common)
    kind = _L.Conv1D if axes == 1 else _L.Conv2D
    return kind(link.outputs, kernel_initializer=spread, **common)
