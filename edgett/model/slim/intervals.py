"""Between which values a channel stays, whatever a model is given: interval arithmetic, a row of it a channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDING = 2.0**-20
"""Sums of float32 are known to so much of the sum of their magnitudes: eight times its unit roundoff."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """The least and the greatest value of each channel over all inputs, samples and positions.

    A channel is constant where the two are one.

    Attributes:
        low: (channels,), minus infinity where there is no least.
        high: (channels,), infinity where there is no greatest.
    """

    low: Floats
    high: Floats

    def __post_init__(self) -> None:
        if self.low.shape != self.high.shape or not (self.low <= self.high).all():
            raise ValueError(f"no interval has these ends: {self.low}, {self.high}")

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which channels are the same number everywhere, (channels,)."""
        return self.low == self.high

    def with_zero(self) -> Intervals:
        """What padding with zeros makes of it."""
        return Intervals(np.minimum(self.low, 0), np.maximum(self.high, 0))

    def scaled(self, scale: Floats, shift: Floats) -> Intervals:
        """Each channel times its scale, with its shift added."""
        ends = np.sort([_times(scale, self.low), _times(scale, self.high)], axis=0)
        return _settled(ends[:1], ends[1:], shift)

    def product(self, kernel: Floats, bias: Floats) -> Intervals:
        """Sums of products with a kernel (..., channels, outputs), and a bias (outputs,) added."""
        flat = kernel.reshape(-1, *kernel.shape[-2:])
        rise, fall = np.maximum(flat, 0).sum(0), np.minimum(flat, 0).sum(0)
        low, high = self.low[:, None], self.high[:, None]
        return _settled(_times(rise, low) + _times(fall, high), _times(rise, high) + _times(fall, low), bias)

    def windowed(self, taps: Floats, bias: Floats) -> Intervals:
        """Sums over a window of each channel for itself: taps (window, channels), a bias (channels,)."""
        ends = np.sort([_times(taps, self.low), _times(taps, self.high)], axis=0)
        return _settled(ends[0], ends[1], bias)


def unknown(channels: int) -> Intervals:
    """Nothing is known of so many channels."""
    return Intervals(np.full(channels, -np.inf), np.full(channels, np.inf))


def joined(parts: Sequence[Intervals]) -> Intervals:
    """The channels of several, one behind the other."""
    return Intervals(np.concatenate([part.low for part in parts]), np.concatenate([part.high for part in parts]))


def _settled(low: Floats, high: Floats, shift: Floats) -> Intervals:
    """Sums of terms (terms, outputs) between these ends, and of a shift (outputs,).

    Where terms of both signs meet, an end is moved out by what float32 may be off by, so that what stays below zero
    here does so on a device; sums of one sign keep it however they are rounded. A constant stays one number, known to
    rounding.
    """
    ends = []
    for terms, side in ((low, -1), (high, 1)):
        every = np.concatenate([terms, shift[None]])
        mixed = (every > 0).any(0) & (every < 0).any(0)
        slack = np.where(mixed, ROUNDING * np.abs(every).sum(0), 0.0)
        ends.append(every.sum(0) + side * slack)
    constant = (low == high).all(0)
    exact = low.sum(0, where=constant) + shift
    return Intervals(np.where(constant, exact, ends[0]), np.where(constant, exact, ends[1]))


def _times(factor: Floats, bound: Floats) -> Floats:
    """The product, 0 where the factor is, however large the bound."""
    with np.errstate(invalid="ignore"):
        return np.where(factor == 0, 0.0, factor * bound)
