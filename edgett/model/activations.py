"""Keras's activations: what each keeps alive in a file while it runs, and how it is spelled for the converters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from edgett.graph.dtype import DType

CUSTOM = "custom activation"
"""The name of one that Keras does not have."""
_LOOSE = 5
"""Tensors of its size that an activation with parameters of its own may keep, in float32 or int8."""


@dataclass(frozen=True)
class Inside:
    """Bytes for each element that a file keeps while an activation runs, beside what it reads and makes.

    In float32 and in int8, of TFLite and of ONNX; None where it is one operator, or rides on the one before it. Truth
    values take a byte, and TFLite computes in float32 what it has no int8 for. All of it was read off from files.
    """

    tflite: int | None = None
    onnx: int | None = None
    tflite_int8: int | None = None
    onnx_int8: int | None = None

    def of(self, *, fused: bool, quantised: bool) -> int | None:
        """In a format (`fused`: TFLite) and a type of number."""
        if quantised:
            return self.tflite_int8 if fused else self.onnx_int8
        return self.tflite if fused else self.onnx


ROWS: Mapping[str, Inside] = {
    "celu": Inside(tflite_int8=6),
    "elu": Inside(tflite_int8=6),
    "exponential": Inside(),
    "gelu": Inside(None, 4, None, 1),
    "glu": Inside(0, 0, 0, 0),
    "hard_shrink": Inside(1, 8, 1, 2),
    "hard_sigmoid": Inside(0, 0, 0, 0),
    "hard_silu": Inside(None, 4, None, 1),
    "hard_tanh": Inside(None, 0, None, 0),
    "leaky_relu": Inside(),
    "linear": Inside(),
    "log_sigmoid": Inside(0, 0, 6, 0),
    "log_softmax": Inside(),
    "mish": Inside(4, 4, 1, 1),
    "relu": Inside(),
    "relu6": Inside(),
    "selu": Inside(5, None, 2, None),
    "sigmoid": Inside(),
    "silu": Inside(4, 4, 1, 1),
    "soft_shrink": Inside(6, 20, 3, 5),
    "softmax": Inside(),
    "softplus": Inside(0, None, 0, None),
    "softsign": Inside(4, None, 1, None),
    "sparse_plus": Inside(6, 16, 4, 4),
    "sparse_sigmoid": Inside(2, 16, 2, 4),
    "sparsemax": Inside(12, 16, 9, 9),
    "squareplus": Inside(4, 4, 7, 1),
    "tanh": Inside(),
    "tanh_shrink": Inside(4, 4, 1, 1),
    "threshold": Inside(1, 12, 1, 3),
}
"""A row for each of Keras's list; a test reads that list."""


def name_of(function: Any) -> str:
    """What Keras calls an activation, given with parameters or not; CUSTOM for one of somebody else's."""
    plain, _ = _apart(function)
    name = str(getattr(plain, "__name__", ""))
    return name if name in ROWS and plain is getattr(keras.activations, name, None) else CUSTOM


def inside(function: Any, *, fused: bool, quantised: bool) -> int | None:
    """`Inside.of` an activation of Keras's; with parameters it may be spelled otherwise than without."""
    kept = ROWS[name_of(function)].of(fused=fused, quantised=quantised)
    if not _apart(function)[1] or name_of(function) in _ALIKE:
        return kept
    wide = DType.FLOAT32.size if fused or not quantised else DType.INT8.size
    return max(kept or 0, _LOOSE * wide)


def of_layer(layer: Any) -> Any:
    """The activation that a layer is, and nothing else; None for any other layer."""
    acts, layers = keras.activations, keras.layers
    if type(layer) is layers.Activation:
        return layer.activation
    if type(layer) is layers.LeakyReLU:
        return _with(acts.leaky_relu, negative_slope=float(layer.negative_slope))
    if type(layer) is layers.ELU:
        return acts.elu if layer.alpha == 1 else _with(acts.elu, alpha=float(layer.alpha))
    if type(layer) is layers.ReLU:
        given = {"negative_slope": layer.negative_slope, "max_value": layer.max_value, "threshold": layer.threshold}
        plain = {(0.0, None, 0.0): acts.relu, (0.0, 6.0, 0.0): acts.relu6}
        return plain.get(tuple(given.values()), _with(acts.relu, **given))
    return None


_ALIKE = frozenset({"leaky_relu", "hard_shrink", "soft_shrink", "squareplus", "threshold"})
"""Whose parameters change numbers alone."""


def spelled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function in operators that both converters have."""
    plain, given = _apart(function)
    return functools.partial(_celu, **given) if plain is keras.activations.celu else function


def _apart(function: Any) -> tuple[Any, Mapping[str, Any]]:
    """An activation, and the parameters that it is given."""
    return getattr(function, "func", function), getattr(function, "keywords", {})


def _with(function: Callable[..., Any], **given: Any) -> Callable[[Any], Any]:
    """An activation with parameters, as a function that Keras can write down."""

    def bent(x: Any) -> Any:
        return function(x, **given)

    bent.func, bent.keywords = function, given  # type: ignore[attr-defined]
    return bent


def _celu(x: Any, alpha: float = 1.0) -> Any:
    """ONNX has no exp(x) - 1 but in ELU, and TFLite's own is coarse in int8."""
    if alpha == 1:
        return tf.nn.elu(x)
    return tf.nn.relu(x) + alpha * tf.nn.elu(-tf.nn.relu(-x) / alpha)
