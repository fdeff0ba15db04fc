"""The SVD of a pointwise convolution: two of them, with few channels between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from edgett.forms.convolution.chain import Chain, ChainLink, multiples, split
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix


@dataclass(frozen=True)
class PointwiseSVD(Chain):
    """A convolution of 1x1 as two.

    Attributes:
        rank: the channels between the two.
    """

    rank: int
    form: ClassVar[str] = "pointwise_svd"
    title: ClassVar[str] = "SVD"

    @property
    def links(self) -> tuple[ChainLink, ...]:
        """1x1 and 1x1."""
        return ChainLink((1, 1), self.inputs, self.rank), ChainLink((1, 1), self.rank, self.outputs)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The channels between the two."""
        return (self.rank,)

    @property
    def most(self) -> tuple[int, ...]:
        """The fewer channels."""
        return (min(self.inputs, self.outputs),)

    @property
    def head(self) -> int:
        """None: the SVD is solved at once."""
        return 0

    @property
    def cuts(self) -> tuple[tuple[str, int], ...]:
        """The weight itself."""
        return (("hwc", self.rank),)

    @classmethod
    def unfit(cls, layer: Layer) -> str | None:
        """For windows of one pixel; see `Chain.unfit`."""
        large = layer.window is None or layer.window.taps > 1
        return "its window is larger than a pixel" if large else None

    @classmethod
    def every(cls, layer: Layer, multiple: int) -> Iterator[Self]:
        """Every rank; see `Chain.every`."""
        assert layer.window is not None
        for rank in multiples(min(layer.channels, layer.outputs), multiple):
            yield cls(layer.window, layer.channels, layer.outputs, rank)

    @classmethod
    def start(cls, weight: Matrix, spec: Self) -> list[Matrix]:
        """Truncate the SVD of the weight; see `Chain.start`."""
        left, right = split(weight, spec.rank)
        return [left[None, None], right[None, None]]
