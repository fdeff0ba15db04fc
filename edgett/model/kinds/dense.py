"""What all kinds of `Dense` have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms.operators import Operator, Product, Reshape
from edgett.forms.site import Layer
from edgett.forms.spec import Factors, Spec
from edgett.model.factored import Factored
from edgett.model.trace import Call


class DenseKind:
    """A `Dense` has one site: its kernel, which each position of a sample meets."""

    keras: type = keras.layers.Dense

    def weight(self, layer: Any, site: Layer) -> NDArray[np.float32]:
        return np.asarray(layer.kernel)

    def give(self, layer: Any, site: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        layer.set_weights([weight] if bias is None else [weight, bias])

    def rows(self, layer: Any, site: Layer, inputs: Any) -> Any:
        return np.asarray(inputs).reshape(len(inputs), -1, site.inputs)

    def plain(self, call: Call) -> Any:
        return call.layer

    def plan(self, call: Call) -> tuple[Operator, ...]:
        """One product of all rows; where they have more axes than one, between two reshapes."""
        inputs, outputs = call.layer.kernel.shape
        (*before, _), rows = call.reads[0].shape, math.prod(call.reads[0].shape[:-1])
        product = Product(0, rows, inputs, outputs)
        if len(before) == 1:
            return (product,)
        return Reshape((rows, inputs)), product, Reshape((*before, outputs))

    def twin(self, layer: Any, chosen: Mapping[Layer, Spec], factors: Factors | None = None) -> Factored:
        (spec,) = chosen.values()
        return Factored.from_dense(layer, spec, factors)


def unfit(layer: Any) -> str | None:
    """Why the kernel of a `Dense` cannot be replaced, whatever it reads."""
    if type(layer) is not keras.layers.Dense:
        return f"it is a {type(layer).__name__}, a kind of Dense of its own"
    if layer.quantization_mode is not None:
        return f"it is quantised ({layer.quantization_mode}); factorise the float model, then quantise"
    if layer.lora_enabled:
        return "it carries a LoRA adapter; merge that first"
    if layer.kernel_constraint is not None:
        return f"its kernel is constrained ({type(layer.kernel_constraint).__name__}), which cores cannot keep"
    return None


def site_of(call: Call, positions: int = 1) -> Layer:
    """The kernel of a `Dense` as a site."""
    layer = call.layer
    return Layer(call.path, int(layer.kernel.shape[0]), int(layer.units), bool(layer.use_bias), positions)
