"""The frozen values that flow between the steps.

Only the standard library here. A value checks itself when it is made, so what holds one need not ask again.
A *shape* belongs to one layer, a *solution* to the whole model.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Order(enum.Enum):
    """Which core of a TT layer the input meets first."""

    LAST_FIRST = "last_first"
    FIRST_LAST = "first_last"


class CostModel(enum.Enum):
    """`exact` counts what a graph executes and decides; `paper` is equation 4 as printed."""

    EXACT = "exact"
    PAPER = "paper"


class EmptyTiles(enum.Enum):
    """What stands in for a tile that is empty in one of the layers."""

    SKIP = "skip"
    NEAREST = "nearest"


class Objective(enum.Enum):
    """Which of the feasible solutions is recommended."""

    ACCURACY = "accuracy"
    MEMORY = "memory"
    FLOPS = "flops"


@dataclass(frozen=True)
class Cost:
    """What a layer or a model costs for one input sample.

    `params` and `peak_elements` count numbers, `flops` counts a multiplication as one and an addition as one,
    `moved_elements` counts what transposes copy. Costs of layers that run one after the other add up; the peak is
    the larger one.
    """

    params: int
    flops: int
    peak_elements: int = 0
    moved_elements: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.flops + other.flops,
            max(self.peak_elements, other.peak_elements),
            self.moved_elements + other.moved_elements,
        )


@dataclass(frozen=True)
class Layer:
    """A fully connected layer: `inputs` X, `outputs` Y, weight X x Y, and a bias of Y numbers if `bias`."""

    name: str
    inputs: int
    outputs: int
    bias: bool = True

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.outputs < 1:
            raise ValueError(f"layer {self.name!r} is {self.inputs}x{self.outputs}: both sizes must be at least 1")


@dataclass(frozen=True)
class TTShape:
    """A tensor-train factorisation of one layer: core i has shape (ranks[i], inputs[i], outputs[i], ranks[i + 1])."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ranks: tuple[int, ...]
    order: Order = Order.LAST_FIRST

    def __post_init__(self) -> None:
        if len(self.inputs) < 2 or len(self.inputs) != len(self.outputs):
            raise ValueError(f"{self}: inputs and outputs need the same number of factors, at least 2")
        if len(self.ranks) != len(self.inputs) + 1 or self.ranks[0] != 1 or self.ranks[-1] != 1:
            raise ValueError(f"{self}: {len(self.inputs)} cores need {len(self.inputs) + 1} ranks, the outer two 1")
        if min(self.inputs + self.outputs + self.ranks) < 1:
            raise ValueError(f"{self}: every factor and rank must be at least 1")

    def __str__(self) -> str:
        ranks = ",".join(map(str, self.ranks[1:-1]))
        return f"{'x'.join(map(str, self.inputs))} -> {'x'.join(map(str, self.outputs))}, rank {ranks}"

    @property
    def length(self) -> int:
        """The number of cores."""
        return len(self.inputs)

    @property
    def cores(self) -> tuple[tuple[int, int, int, int], ...]:
        """The shape of each core, in T3F's layout (rank before, input factor, output factor, rank after)."""
        return tuple(zip(self.ranks[:-1], self.inputs, self.outputs, self.ranks[1:], strict=True))

    @property
    def matrix(self) -> tuple[int, int]:
        """The size (X, Y) of the weight that the cores stand for."""
        return math.prod(self.inputs), math.prod(self.outputs)


class Meter(Protocol):
    """Draws how far a long piece of work has come. `cli` has the real one; `Silent` draws nothing."""

    def stage(self, text: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """A piece of work of `total` units (None: unknown); inside, call the function with the units just done."""

    def say(self, text: str) -> None:
        """A line the user should read."""


class Silent:
    """A `Meter` for scripts and tests."""

    def stage(self, text: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        from contextlib import nullcontext

        return nullcontext(lambda units: None)

    def say(self, text: str) -> None:
        pass
