"""The spatial SVD: a window of one column, then one of one row (Jaderberg, Vedaldi and Zisserman 2014)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from edgett.forms.convolution.chain import Chain, ChainLink, flat, multiples, split
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix


@dataclass(frozen=True)
class SpatialSVD(Chain):
    """A convolution as one of k_h x 1 and one of 1 x k_w.

    Attributes:
        rank: the channels between the two.
    """

    rank: int
    form: ClassVar[str] = "spatial_svd"
    title: ClassVar[str] = "spatial SVD"

    @property
    def links(self) -> tuple[ChainLink, ...]:
        """k_h x 1 and 1 x k_w."""
        rows, columns = self.window.kernel
        return ChainLink((rows, 1), self.inputs, self.rank), ChainLink((1, columns), self.rank, self.outputs)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The channels between the two."""
        return (self.rank,)

    @property
    def most(self) -> tuple[int, ...]:
        """The smaller side of its unfolding."""
        return (min(self.window.kernel[0] * self.inputs, self.window.kernel[1] * self.outputs),)

    @property
    def head(self) -> int:
        """The column."""
        return 1

    @property
    def cuts(self) -> tuple[tuple[str, int], ...]:
        """The unfolding into (k_h C, k_w N)."""
        return (("hc", self.rank),)

    @classmethod
    def unfit(cls, layer: Layer) -> str | None:
        """For windows of several rows and columns; see `Chain.unfit`."""
        return flat(layer)

    @classmethod
    def every(cls, layer: Layer, multiple: int) -> Iterator[Self]:
        """Every rank; see `Chain.every`."""
        assert layer.window is not None
        rows, columns = layer.window.kernel
        for rank in multiples(min(rows * layer.channels, columns * layer.outputs), multiple):
            yield cls(layer.window, layer.channels, layer.outputs, rank)

    @classmethod
    def start(cls, weight: Matrix, spec: Self) -> list[Matrix]:
        """Truncate the SVD of the unfolding into (k_h C, k_w N); see `Chain.start`."""
        rows, columns = spec.window.kernel
        taps = weight.reshape(rows, columns, spec.inputs, spec.outputs)
        left, right = split(taps.transpose(0, 2, 1, 3).reshape(rows * spec.inputs, -1), spec.rank)
        down = left.reshape(rows, 1, spec.inputs, -1)
        return [down, right.reshape(-1, 1, columns, spec.outputs).transpose(1, 2, 0, 3)]
