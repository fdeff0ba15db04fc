"""How an int8 file stores numbers, as a model in TensorFlow can do it: fake quantisation (Jacob et al., CVPR 2018).

What a file stores in int8 is a multiple of a scale: a tensor that is computed has one, by the range that calibration
finds for it; a weight one for each filter, or one in all. The gradient passes as if nothing were rounded, but for
numbers beyond their range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from edgett.export.ranges import Histogram

SMALLEST = 1e-8
"""The width of a range that calibration has found nothing in."""


@dataclass(frozen=True)
class Scheme:
    """What a converter makes of int8.

    Attributes:
        columns: whether a matrix has a scale for each column, as convolutions have for each filter; else it has one.
        narrowed: whether a range is that of the least squared error; else it holds all numbers.
        bits: those of a weight.
    """

    columns: bool
    narrowed: bool
    bits: int = 8


class Storage(Protocol):
    """What becomes of numbers on their way through a model."""

    def weight(self, weight: Any, axes: Sequence[int]) -> Any:
        """A weight as it is stored; along these axes a scale is the same."""

    def tensor(self, tensor: Any) -> Any:
        """What is computed, as it is stored; called in the order in which a model computes."""

    def fixed(self, tensor: Any, low: float, high: float) -> Any:
        """The same for a tensor whose range needs no calibration."""

    def alike(self, tensor: Any, source: Any) -> Any:
        """The same for one that is stored by the scale of another."""


class Ranges:
    """In float32: what flows through is looked at, twice for narrowed ranges, and stays as it is."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self._ends: list[tuple[float, float]] = []
        self._counted: list[Histogram] = []
        self._next = 0

    def begin(self) -> None:
        """A batch goes through from its beginning."""
        self._next = 0

    def count(self) -> None:
        """From here on batches come a second time: it is known between which numbers all are."""
        self._counted = [Histogram(low, high) for low, high in self._ends]

    def found(self) -> list[tuple[float, float]]:
        """The range of each tensor, in the order in which they are computed."""
        return [one.narrowed() for one in self._counted] if self._counted else list(self._ends)

    def weight(self, weight: Any, axes: Sequence[int]) -> Any:
        return weight

    def tensor(self, tensor: Any) -> Any:
        numbers, index = np.asarray(tensor), self._next
        self._next += 1
        if self._counted:
            self._counted[index].add(numbers)
            return tensor
        if index == len(self._ends):
            self._ends.append((0.0, 0.0))
        low, high = self._ends[index]
        self._ends[index] = min(low, float(numbers.min())), max(high, float(numbers.max()))
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
        most = 2 ** (self._scheme.bits - 1) - 1
        largest = tf.reduce_max(tf.abs(weight), axes, keepdims=True)
        scale = tf.where(largest > 0, largest, 1.0) / most
        return weight + tf.stop_gradient(tf.round(weight / scale) * scale - weight)

    def tensor(self, tensor: Any) -> Any:
        return self._within(tensor, next(self._limits))

    def fixed(self, tensor: Any, low: float, high: float) -> Any:
        return self._within(tensor, (low, high)) if self._ends else tensor

    def alike(self, tensor: Any, source: Any) -> Any:
        limits = [limits for known, limits in self._known if known is source]
        return self._within(tensor, limits[0]) if limits else tensor

    def _within(self, tensor: Any, limits: Any) -> Any:
        made = tf.quantization.fake_quant_with_min_max_vars(tensor, limits[0], limits[1])
        self._known.append((made, limits))
        return made
