"""All that edgett uses of Keras's private side: each use with its reason. Seen in Keras 3.15, which edgett pins.

Where Keras has a public way it is used instead. A younger Keras is tried by running the tests of this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend import compute_output_spec
from keras.src.saving import serialization_lib


def nested(layer: Any, *, itself: bool = True) -> list[Any]:
    """A layer and all that are in it, however deep. `model.layers` has the outermost alone, and no layer's own."""
    return list(layer._flatten_layers(include_self=itself))


def seed_random_layers(model: Any, seed: int) -> None:
    """What dropout and its like draw depends on the seed alone, not on what the process has drawn before."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for index, state in enumerate(states):
        state.assign(np.array([seed, index], state.dtype))


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """What a compiled model was given to compile it.

    `get_compile_config` will not do: it cannot hold a function of the user's own, and some losses forget what they
    were given (Huber its delta). The dictionary is Keras's own: what is written into it stays.
    """
    return model._compile_config.config


def maker(tensor: Any) -> tuple[Any, int]:
    """The operation that makes a symbolic tensor, and which of its results it is: outputs name no layer otherwise."""
    operation, _, index = tensor._keras_history
    return operation, index


def is_masked(tensor: Any) -> bool:
    """Whether a symbolic tensor carries a mask, which goes into the loss with it."""
    return getattr(tensor, "_keras_mask", None) is not None


def read(layer: Any) -> list[Any]:
    """The symbolic tensors that a layer was ever called with. A layer tells its own calls by `_inbound_nodes` alone."""
    return [tensor for node in layer._inbound_nodes for tensor in node.input_tensors]


def nodes(graph: Any) -> list[Any]:
    """The calls of a functional model in an order they can run in; nested models stay whole."""
    depths = sorted(graph._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in graph._nodes_by_depth[depth] if not node.is_input]


def run_through(graph: Any, inputs: Any, call: Callable[..., Any]) -> Any:
    """The outputs of a functional model, `call` run in place of each layer: `clone_model` would make layers anew."""
    return graph._run_through_graph(inputs, call_fn=call)


def output_spec(call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What a call gives, symbolically, where `compute_output_spec` of its layer says no more than it was told."""
    return compute_output_spec(call, *args, **kwargs)


def is_random(layer: Any) -> bool:
    """Whether a layer draws numbers of its own."""
    return bool(layer._seed_generators)


def takes_training(layer: Any) -> bool:
    """Whether the call of a layer knows the argument `training`."""
    return bool(getattr(layer, "_call_has_training_arg", False))


def own_variables(layer: Any) -> list[Any]:
    """The variables of a layer that are in none inside it, in the order in which its file has them."""
    return list(layer._trainable_variables + layer._non_trainable_variables)


def metric_function(metric: keras.metrics.Metric) -> Any:
    """What a metric takes the mean of; None for one that is no mean of a function."""
    return getattr(metric, "_fn", None)


def metric_direction(metric: keras.metrics.Metric) -> str | None:
    """Where a metric says that it is to go, "up" or "down"; None where it does not."""
    return getattr(metric, "_direction", None) or None


@contextmanager
def recording(record: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """With another hand at what Keras writes down of each object: it gives it the address that it has in memory."""
    before = serialization_lib.record_object_after_serialization
    serialization_lib.record_object_after_serialization = record(before)
    try:
        yield
    finally:
        serialization_lib.record_object_after_serialization = before
