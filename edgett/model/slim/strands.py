"""Which channels of a model's tensors stand and fall together.

A channel is handed on by normalisations, activations, pooling, tied to another where two are added, and spread over
many features where axes are flattened: all of these are one *strand*. Layers that multiply channels with a kernel end
strands and begin others.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Strands:
    """Sets of channels that stand and fall together, by number."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self.pinned: set[int] = set()

    def new(self, count: int) -> Ints:
        """So many strands of their own."""
        first = len(self._parent)
        self._parent += range(first, first + count)
        return np.arange(first, first + count)

    def tie(self, one: Ints, other: Ints) -> None:
        """Make each channel of one fall together with its like of the other; both (channels,)."""
        for a, b in zip(self.of(one), self.of(other), strict=True):
            first, second = self._root(int(a)), self._root(int(b))
            self._parent[max(first, second)] = min(first, second)

    def of(self, channels: Ints) -> Ints:
        """The strand of each channel."""
        return np.array([self._root(int(channel)) for channel in channels], np.int64)

    def pin(self, channels: Iterable[int]) -> None:
        """Keep these, whatever reads them."""
        self.pinned.update(int(channel) for channel in channels)

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number
