"""The Tucker-2 decomposition: a window between few channels, with 1x1 on both sides (Kim et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from edgett.forms.convolution.chain import Chain, ChainLink, leading, multiples, pixel
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix

RANKS = 48
"""So many of each rank at most, at about equal ratios."""


@dataclass(frozen=True)
class Tucker2(Chain):
    """A convolution as one of 1x1, one of the whole window and one of 1x1.

    Attributes:
        first: the channels before the window.
        second: the channels behind it.
    """

    first: int
    second: int
    form: ClassVar[str] = "tucker2"
    title: ClassVar[str] = "Tucker-2"

    @property
    def links(self) -> tuple[ChainLink, ...]:
        """1x1, the window, 1x1."""
        middle = ChainLink(self.window.kernel, self.first, self.second)
        return ChainLink((1, 1), self.inputs, self.first), middle, ChainLink((1, 1), self.second, self.outputs)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The channels on both sides of the window."""
        return self.first, self.second

    @property
    def most(self) -> tuple[int, ...]:
        """All channels of each side, or what a window to the other one can carry."""
        taps = self.window.taps
        return min(self.inputs, taps * self.second), min(taps * self.first, self.outputs)

    @property
    def head(self) -> int:
        """The first 1x1."""
        return 1

    @property
    def cuts(self) -> tuple[tuple[str, int], ...]:
        """The unfoldings by the channels of each side."""
        return ("c", self.first), ("hwc", self.second)

    @classmethod
    def unfit(cls, layer: Layer) -> str | None:
        """For windows of more than one pixel; see `Chain.unfit`."""
        return pixel(layer)

    @classmethod
    def every(cls, layer: Layer, multiple: int) -> Iterator[Self]:
        """Every pair of ranks, neither of them whole: that is the channel SVD; see `Chain.every`."""
        assert layer.window is not None
        for first in multiples(layer.channels - 1, multiple, RANKS):
            for second in multiples(layer.outputs - 1, multiple, RANKS):
                if first <= layer.window.taps * second and second <= layer.window.taps * first:
                    yield cls(layer.window, layer.channels, layer.outputs, first, second)

    @classmethod
    def start(cls, weight: Matrix, spec: Self) -> list[Matrix]:
        """Project the weight on the leading singular vectors of both sides; see `Chain.start`."""
        rows, columns = spec.window.kernel
        taps = weight.reshape(rows, columns, spec.inputs, spec.outputs)
        near = leading(taps.transpose(2, 0, 1, 3).reshape(spec.inputs, -1), spec.first)
        far = leading(weight.T, spec.second)
        core = near.T @ taps @ far
        return [near[None, None], core, far.T[None, None]]
