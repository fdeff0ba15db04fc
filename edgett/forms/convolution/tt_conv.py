"""The tensor train of a convolution: 1x1, a column, a row, 1x1."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from edgett.forms.convolution.chain import Chain, ChainLink, flat, multiples, split
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix

RANKS = 14
"""So many of each rank at most, at about equal ratios."""


@dataclass(frozen=True)
class TTConv(Chain):
    """A convolution as those of 1x1, k_h x 1, 1 x k_w and 1x1: a tensor train over (C, k_h, k_w, N).

    Attributes:
        first: the channels before the column.
        second: those between the column and the row.
        third: those behind the row.
    """

    first: int
    second: int
    third: int
    form: ClassVar[str] = "tt_conv"
    title: ClassVar[str] = "TT"

    @property
    def links(self) -> tuple[ChainLink, ...]:
        """1x1, k_h x 1, 1 x k_w, 1x1."""
        rows, columns = self.window.kernel
        return (
            ChainLink((1, 1), self.inputs, self.first),
            ChainLink((rows, 1), self.first, self.second),
            ChainLink((1, columns), self.second, self.third),
            ChainLink((1, 1), self.third, self.outputs),
        )

    @property
    def ranks(self) -> tuple[int, ...]:
        """The channels between the four."""
        return self.first, self.second, self.third

    @property
    def most(self) -> tuple[int, ...]:
        """All channels of each side, and what a train can carry between them."""
        rows, columns = self.window.kernel
        return (
            min(self.inputs, rows * self.second),
            min(rows * self.first, columns * self.third),
            min(columns * self.second, self.outputs),
        )

    @property
    def head(self) -> int:
        """1x1 and the column."""
        return 2

    @property
    def cuts(self) -> tuple[tuple[str, int], ...]:
        """The three unfoldings of a train over (C, k_h, k_w, N)."""
        return ("c", self.first), ("hc", self.second), ("hwc", self.third)

    @classmethod
    def unfit(cls, layer: Layer) -> str | None:
        """For windows of several rows and columns; see `Chain.unfit`."""
        return flat(layer)

    @classmethod
    def every(cls, layer: Layer, multiple: int) -> Iterator[Self]:
        """Every three ranks that a train can have, the outer ones not whole; see `Chain.every`."""
        assert layer.window is not None
        rows, columns = layer.window.kernel
        outer = (multiples(side - 1, multiple, RANKS) for side in (layer.channels, layer.outputs))
        for first, third in itertools.product(*outer):
            for second in multiples(min(rows * first, columns * third), multiple, RANKS):
                if first <= rows * second and third <= columns * second:
                    yield cls(layer.window, layer.channels, layer.outputs, first, second, third)

    @classmethod
    def start(cls, weight: Matrix, spec: Self) -> list[Matrix]:
        """Split off one link after the other by a truncated SVD (Oseledets 2011); see `Chain.start`."""
        rows, columns = spec.window.kernel
        taps = weight.reshape(rows, columns, spec.inputs, spec.outputs).transpose(2, 0, 1, 3)
        near, rest = split(taps.reshape(spec.inputs, -1), spec.first)
        down, rest = split(rest.reshape(spec.first * rows, -1), spec.second)
        along, far = split(rest.reshape(spec.second * columns, -1), spec.third)
        return [
            near[None, None],
            down.reshape(spec.first, rows, 1, spec.second).transpose(1, 2, 0, 3),
            along.reshape(spec.second, 1, columns, spec.third).transpose(1, 2, 0, 3),
            far[None, None],
        ]
