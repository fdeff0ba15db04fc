"""The canonical polyadic decomposition: 1x1, a window for each channel by itself, 1x1 (Lebedev et al. 2015)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from edgett.forms.convolution.chain import Chain, ChainLink, leading, multiples, pixel
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix

SWEEPS = 30
"""Of alternating least squares, from the leading singular vectors on."""

WORK = 3e10
"""FLOPs that they may take; fewer sweeps are made then."""

FEWEST = 3
"""So many are, however large the weight is."""

RIDGE = 1e-9
"""What keeps the normal equations from being singular, of their mean diagonal."""


@dataclass(frozen=True)
class CP(Chain):
    """A convolution as one of 1x1, a depthwise one and one of 1x1: a sum of `rank` products of three vectors.

    Attributes:
        rank: the channels between the three.
    """

    rank: int
    form: ClassVar[str] = "cp"
    title: ClassVar[str] = "CP"

    @property
    def links(self) -> tuple[ChainLink, ...]:
        """1x1, the window of each channel by itself, 1x1."""
        middle = ChainLink(self.window.kernel, self.rank, self.rank, depthwise=True)
        return ChainLink((1, 1), self.inputs, self.rank), middle, ChainLink((1, 1), self.rank, self.outputs)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The terms of the sum."""
        return (self.rank,)

    @property
    def most(self) -> tuple[int, ...]:
        """The product of the two shorter axes: so many terms stand for any weight."""
        return (math.prod(sorted((self.window.taps, self.inputs, self.outputs))[:2]),)

    @property
    def head(self) -> int:
        """All but the last."""
        return 2

    @property
    def cuts(self) -> tuple[tuple[str, int], ...]:
        """Every unfolding has at most that rank."""
        return ("c", self.rank), ("hwc", self.rank), ("hw", self.rank)

    @classmethod
    def unfit(cls, layer: Layer) -> str | None:
        """For windows of more than one pixel; see `Chain.unfit`."""
        return pixel(layer)

    @classmethod
    def every(cls, layer: Layer, multiple: int) -> Iterator[Self]:
        """Every rank at which it is smaller than dense; see `Chain.every`."""
        assert layer.window is not None
        taps, channels = layer.window.taps, layer.channels
        (full,) = cls(layer.window, channels, layer.outputs, 1).most
        most = min(full, taps * channels * layer.outputs // (channels + taps + layer.outputs))
        for rank in multiples(most, multiple):
            yield cls(layer.window, channels, layer.outputs, rank)

    @classmethod
    def start(cls, weight: Matrix, spec: Self) -> list[Matrix]:
        """Alternate between the three by least squares; see `Chain.start`."""
        taps = weight.reshape(spec.window.taps, spec.inputs, spec.outputs)
        near = _begun(taps.transpose(1, 0, 2).reshape(spec.inputs, -1), spec.rank)
        far = _begun(taps.transpose(2, 0, 1).reshape(spec.outputs, -1), spec.rank)
        window: Matrix = np.zeros((0, 0))
        for _ in range(max(FEWEST, min(SWEEPS, int(WORK / (4 * weight.size * spec.rank))))):
            left = taps @ far
            window = _solved((left * near).sum(axis=1), near, far)
            near = _solved((left * window[:, None]).sum(axis=0), window, far)
            far = _solved((taps.transpose(0, 2, 1) @ near * window[:, None]).sum(axis=0), window, near)
        rows, columns = spec.window.kernel
        return [near[None, None], window.reshape(rows, columns, spec.rank, 1), far.T[None, None]]


def _begun(unfolding: Matrix, rank: int) -> Matrix:
    """The leading singular vectors, and seeded noise where there are not so many."""
    vectors = leading(unfolding, min(rank, *unfolding.shape))
    more = np.random.default_rng(0).normal(size=(len(unfolding), rank - vectors.shape[1]))
    return np.concatenate([vectors, more / np.sqrt(len(unfolding))], axis=1)


def _solved(image: Matrix, one: Matrix, other: Matrix) -> Matrix:
    """The factor that is best beside two others: its normal equations are products of theirs, number by number."""
    gram = (one.T @ one) * (other.T @ other)
    gram[np.diag_indices(len(gram))] += RIDGE * np.trace(gram) / len(gram) or 1.0
    solved: Matrix = np.linalg.solve(gram, image.T).T
    return solved
