"""A model as the flat list of the layer calls it is made of, nested models opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from edgett.errors import ModelError
from edgett.model import keras_compat, ports

Tensor = Any  # a keras.KerasTensor; identity is what counts
Make = Callable[[str, Any, Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of one layer (or of a bare Keras operation)."""

    path: str
    layer: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: Any

    @property
    def reads(self) -> tuple[Tensor, ...]:
        """The tensors that the call reads."""
        return tuple(tensor for tensor in keras.tree.flatten((self.args, dict(self.kwargs))) if _is_tensor(tensor))

    @property
    def writes(self) -> tuple[Tensor, ...]:
        """The tensors that the call makes."""
        return tuple(keras.tree.flatten(self.outputs))


@dataclass(frozen=True, eq=False)
class Trace:
    """The calls of a model in the order they can run in, between named inputs and outputs."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    calls: tuple[Call, ...] = field(repr=False)

    def calls_of(self, layer: Any) -> tuple[Call, ...]:
        """Every call of that very layer."""
        return tuple(call for call in self.calls if call.layer is layer)

    def readers(self, tensor: Tensor) -> tuple[Call, ...]:
        """The calls that read the tensor."""
        return tuple(call for call in self.calls if any(read is tensor for read in call.reads))


def trace(model: keras.Model, batch: int | None = None) -> Trace:
    """Follow inputs of `batch` samples through the model; nothing is computed and the model stays as it is.

    A call's path is its layer's name behind the names of the models around it: "encoder/fc1". Raises ModelError for a
    model that is neither Sequential nor functional.
    """
    calls: list[Call] = []

    def call(path: str, layer: Any, args: Any, kwargs: Any) -> Any:
        outputs = layer.compute_output_spec(*args, **kwargs)
        if batch is not None and any(None in spec.shape for spec in keras.tree.flatten(outputs)):
            # EinsumDense says no more than it was told.
            outputs = keras_compat.output_spec(layer.call, args, kwargs)
        outputs = keras.tree.map_structure(lambda spec: keras.KerasTensor(spec.shape, spec.dtype), outputs)
        calls.append(Call(path, layer, args, kwargs, outputs))
        return outputs

    graph, names = opened(model), _input_names(model)
    inputs = {names[id(tensor)]: keras.KerasTensor((batch, *tensor.shape[1:]), tensor.dtype) for tensor in graph.inputs}
    results = keras.tree.flatten(_follow(graph, list(inputs.values()), "", call))
    made = {id(tensor): result for tensor, result in zip(graph.outputs, results, strict=True)}
    outputs = {name: made[id(tensor)] for name, tensor in ports.tensors(model, "output")}
    return Trace(inputs, outputs, tuple(calls))


def run(model: keras.Model, x: Mapping[str, Any], call: Make) -> None:
    """Follow arrays, by input name, through the model; `call` (path, layer, args, kwargs) makes a layer's outputs."""
    graph, names = opened(model), _input_names(model)
    inputs = [keras.ops.convert_to_tensor(x[names[id(tensor)]], tensor.dtype) for tensor in graph.inputs]
    _follow(graph, inputs, "", call)


def opened(model: keras.Model) -> Any:
    """The functional graph of a model. Raises ModelError when it has none."""
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ModelError(
                f"model {model.name!r} has no input of known shape.",
                "Start it with keras.Input(shape), and save it again.",
            )
        return keras.Model(model.inputs, model.outputs, name=model.name)
    if isinstance(model, keras.Function):
        return model
    raise ModelError(
        f"model {model.name!r} is a {type(model).__name__}, which hides its layers in Python code;"
        " edgett can open Sequential and functional models.",
        "Rebuild it with keras.Input and layer calls, or call it once on a keras.Input and wrap the result in"
        " keras.Model.",
    )


def _input_names(model: keras.Model) -> dict[int, str]:
    return {id(tensor): name for name, tensor in ports.tensors(model, "input")}


def _follow(graph: Any, inputs: list[Tensor], prefix: str, make: Make) -> Any:
    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        path = prefix + layer.name
        if isinstance(layer, (keras.Sequential, keras.Function)):
            return _follow(opened(layer), keras.tree.flatten(args), path + "/", make)
        return make(path, layer, args, kwargs)

    return keras_compat.run_through(graph, inputs, call)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor)
