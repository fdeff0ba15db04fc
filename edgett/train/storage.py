"""How an int8 file stores numbers, as a model in TensorFlow can do it: fake quantisation (Jacob et al., CVPR 2018).

What a file stores in int8 is a multiple of a scale: a tensor that is computed has one, by the range that calibration
finds for it; a weight one for each filter, or one in all. The gradient passes as if nothing were rounded, but for
numbers beyond their range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.export.ranges import STEPS


@dataclass(frozen=True)
class Scheme:
    """What a converter makes of int8.

    Attributes:
        columns: whether a matrix has a scale for each column, as convolutions have for each filter; else it has one.
        narrowed: whether a range is that of the least squared error; else it holds all numbers.
        fixed: by the name of an activation the range of its results that needs no calibration.
        rides: whether a bias of a layer in a form rides on the last product; else an addition stores it in int8.
        halves_away: whether an average of integers that ends with a half goes away from 0; else to the even one.
        bits: those of a weight.
    """

    columns: bool
    narrowed: bool
    fixed: Mapping[str, tuple[float, float]]
    rides: bool = False
    halves_away: bool = False
    bits: int = 8


SMALLEST = 1e-30
"""Weights that are no larger than this are 0."""

LOWEST = 128
"""The smallest integer of int8 is this much below 0."""

WHOLE = 4096
"""Averages of integers are multiples of one in so many, or ties between none, whatever floats make of them."""

_CHANCES = (0.0, 255 / 256)
TFLITE = Scheme(
    False, True, {"softmax": _CHANCES, "sigmoid": _CHANCES, "tanh": (-1.0, 127 / 128)}, rides=True, halves_away=True
)
ONNX = Scheme(True, False, {"softmax": (0.0, 1.0)})
"""What TensorFlow's converter and ONNX Runtime's quantiser do; a test holds files against it."""


class Storage(Protocol):
    """What becomes of numbers on their way through a model."""

    def weight(self, weight: Any, axes: Sequence[int]) -> Any:
        """A weight as it is stored; along these axes a scale is the same."""

    def bias(self, bias: Any, weight: Any, axes: Sequence[int], source: Any) -> Any:
        """A bias as it is stored, which goes with a weight that is stored so, of a product with a tensor."""

    def constant(self, numbers: NDArray[np.floating]) -> Any:
        """What is added to a tensor, or multiplied by it, as it is stored."""

    def tensor(self, tensor: Any) -> Any:
        """What is computed, as it is stored; called in the order in which a model computes."""

    def fixed(self, tensor: Any, low: float, high: float) -> Any:
        """The same for a tensor whose range needs no calibration."""

    def alike(self, tensor: Any, source: Any) -> Any:
        """The same for one that is stored by the scale of another."""


class Unrounded:
    """Numbers stay as they are, in float32.

    Attributes:
        tensors: those whose range needs calibration, in the order in which a model computes.
    """

    def __init__(self) -> None:
        self.tensors: list[Any] = []

    def weight(self, weight: Any, axes: Sequence[int]) -> Any:
        return weight

    def bias(self, bias: Any, weight: Any, axes: Sequence[int], source: Any) -> Any:
        return bias

    def constant(self, numbers: NDArray[np.floating]) -> Any:
        return numbers

    def tensor(self, tensor: Any) -> Any:
        self.tensors.append(tensor)
        return tensor

    def fixed(self, tensor: Any, low: float, high: float) -> Any:
        return tensor

    def alike(self, tensor: Any, source: Any) -> Any:
        return tensor


class Rounded:
    """As an int8 file has them; made anew for each time that a model computes."""

    def __init__(self, scheme: Scheme, limits: Sequence[Any], *, ends: bool = True) -> None:
        """Take the ranges of tensors, (2,) each, in the order in which they are computed.

        Not at its `ends`, those whose range needs no calibration stay as they are: what learns from a probability that
        was rounded to 0 learns too much.
        """
        self._scheme, self._ends = scheme, ends
        self._limits: Iterator[Any] = iter(limits)
        self._known: list[tuple[Any, Any]] = []

    def weight(self, weight: Any, axes: Sequence[int]) -> Any:
        return _multiples(weight, self._scale(weight, axes))

    def bias(self, bias: Any, weight: Any, axes: Sequence[int], source: Any) -> Any:
        limits = self._limits_of(source)
        if limits is None:
            return bias
        step = (limits[1] - limits[0]) / STEPS
        return _multiples(bias, tf.reshape(self._scale(weight, axes), (-1,)) * step)

    def _scale(self, weight: Any, axes: Sequence[int]) -> Any:
        """By which the largest number is the largest integer."""
        most = 2 ** (self._scheme.bits - 1) - 1
        largest = tf.reduce_max(tf.abs(weight), axes, keepdims=True)
        return tf.where(largest > SMALLEST, largest, 1.0) / most

    def constant(self, numbers: NDArray[np.floating]) -> Any:
        low, high = min(float(np.min(numbers)), 0.0), max(float(np.max(numbers)), 0.0)
        return tf.quantization.fake_quant_with_min_max_args(tf.constant(numbers), low, high) if low < high else numbers

    def tensor(self, tensor: Any) -> Any:
        return self._within(tensor, next(self._limits))

    def fixed(self, tensor: Any, low: float, high: float) -> Any:
        return self._within(tensor, (low, high)) if self._ends else tensor

    def alike(self, tensor: Any, source: Any) -> Any:
        if (limits := self._limits_of(source)) is None:
            return tensor
        step = (limits[1] - limits[0]) / STEPS
        zero = tf.round(-limits[0] / step) - LOWEST
        integers = tf.round((tensor / step + zero) * WHOLE) / WHOLE
        away = tf.sign(integers) * tf.floor(tf.abs(integers) + 0.5)
        rounded = ((away if self._scheme.halves_away else tf.round(integers)) - zero) * step
        made = tensor + tf.stop_gradient(rounded - tensor)
        self._known.append((made, limits))
        return made

    def _limits_of(self, source: Any) -> Any:
        return next((limits for known, limits in self._known if known is source), None)

    def _within(self, tensor: Any, limits: Any) -> Any:
        made = tf.quantization.fake_quant_with_min_max_vars(tensor, limits[0], limits[1])
        self._known.append((made, limits))
        return made


def _multiples(numbers: Any, scale: Any) -> Any:
    """The nearest multiples of scales, and the gradient as if they were the numbers."""
    return numbers + tf.stop_gradient(tf.round(numbers / scale) * scale - numbers)
