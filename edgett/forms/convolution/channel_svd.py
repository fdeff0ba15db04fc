"""The channel SVD: a 1x1 convolution to few channels before the window, or from few channels behind it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from edgett.forms.convolution.chain import Chain, ChainLink, multiples, pixel, split
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix


class Side(enum.Enum):
    """Where the few channels are cut: on the side of the inputs or on that of the outputs."""

    INPUTS = "inputs"
    OUTPUTS = "outputs"


@dataclass(frozen=True)
class ChannelSVD(Chain):
    """A convolution as one of 1x1 to `rank` channels and one of the whole window, or the other way round.

    Attributes:
        rank: the channels between the two.
        side: which of the two comes first: `inputs` the 1x1, `outputs` the window (Zhang et al. 2015).
    """

    rank: int
    side: Side
    form: ClassVar[str] = "channel_svd"
    title: ClassVar[str] = "channel SVD"

    @property
    def links(self) -> tuple[ChainLink, ...]:
        """1x1 and the window, or the window and 1x1."""
        near, far = ((1, 1), self.window.kernel) if self.side is Side.INPUTS else (self.window.kernel, (1, 1))
        return ChainLink(near, self.inputs, self.rank), ChainLink(far, self.rank, self.outputs)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The channels between the two."""
        return (self.rank,)

    @property
    def most(self) -> tuple[int, ...]:
        """The channels of its side, or the numbers on the other one."""
        taps = self.window.taps
        if self.side is Side.INPUTS:
            return (min(self.inputs, taps * self.outputs),)
        return (min(taps * self.inputs, self.outputs),)

    @property
    def head(self) -> int:
        """The 1x1 where it comes first."""
        return 1 if self.side is Side.INPUTS else 0

    @property
    def cuts(self) -> tuple[tuple[str, int], ...]:
        """The unfolding by the channels of one side."""
        return (("c" if self.side is Side.INPUTS else "hwc", self.rank),)

    @classmethod
    def unfit(cls, layer: Layer) -> str | None:
        """For windows of more than one pixel; see `Chain.unfit`."""
        return pixel(layer)

    @classmethod
    def every(cls, layer: Layer, multiple: int) -> Iterator[Self]:
        """Both sides, every rank; see `Chain.every`."""
        assert layer.window is not None
        for side in Side:
            (most,) = cls(layer.window, layer.channels, layer.outputs, 1, side).most
            for rank in multiples(most, multiple):
                yield cls(layer.window, layer.channels, layer.outputs, rank, side)

    @classmethod
    def start(cls, weight: Matrix, spec: Self) -> list[Matrix]:
        """Truncate the SVD of the unfolding by one side's channels; see `Chain.start`."""
        rows, columns = spec.window.kernel
        if spec.side is Side.OUTPUTS:
            left, right = split(weight, spec.rank)
            return [left.reshape(rows, columns, spec.inputs, -1), right.reshape(1, 1, -1, spec.outputs)]
        taps = weight.reshape(rows, columns, spec.inputs, spec.outputs)
        left, right = split(taps.transpose(2, 0, 1, 3).reshape(spec.inputs, -1), spec.rank)
        core = right.reshape(-1, rows, columns, spec.outputs).transpose(1, 2, 0, 3)
        return [left.reshape(1, 1, spec.inputs, -1), core]
