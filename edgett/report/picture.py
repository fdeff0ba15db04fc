"""What a picture shows, apart from how it is drawn: panels of layers, each on two axes.

Text is plain: nothing in it is markup. What comes from outside, such as the name of a layer, goes through
`escape.one_line`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class Scale(enum.Enum):
    """How an axis runs."""

    LINEAR = "linear"
    LOG = "log"


class Mark(enum.Enum):
    """How a point looks. A corner is a triangle that touches the point from there: where four meet, all show."""

    DOT = "dot"
    SQUARE = "square"
    DIAMOND = "diamond"
    STAR = "star"
    TRIANGLE = "triangle"
    CROSS = "cross"
    PLUS = "plus"
    ARROW = "arrow"
    LOWER_LEFT = "lower left"
    LOWER_RIGHT = "lower right"
    UPPER_LEFT = "upper left"
    UPPER_RIGHT = "upper right"


class Hue(enum.Enum):
    """Colours that stay apart for colour-blind eyes (Okabe and Ito, 2008), and two greys."""

    BLACK = "#000000"
    ORANGE = "#e69f00"
    SKY = "#56b4e9"
    GREEN = "#009e73"
    BLUE = "#0072b2"
    VERMILION = "#d55e00"
    PURPLE = "#cc79a7"
    GREY = "#6b6b6b"
    PALE = "#c4c4c4"


HEAT = ("#d9e8f5", "#9cc5e2", "#5598cb", "#2465a8", "#0a2f66")
"""From one thing in a pixel to the most: lightness alone tells them apart. A pixel without any is left blank."""


@dataclass(frozen=True)
class Axis:
    """A side of a panel from `low` to `high`; `whole`: between two whole numbers there is nothing to mark."""

    title: str
    low: float
    high: float
    scale: Scale = Scale.LINEAR
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.scale is Scale.LOG and self.low <= 0):
            raise ValueError(f"axis {self.title!r} from {self.low} to {self.high}")

    @classmethod
    def around(cls, title: str, values: NDArray[np.int64] | NDArray[np.float64], scale: Scale) -> Axis:
        """From the smallest to the largest value, with some room on both sides."""
        ends = np.array([values.min(), values.max()], np.float64)
        if scale is Scale.LOG:
            ends = np.log10(ends)
        low, high = (ends + max(np.ptp(ends), 0.01) * np.array([-0.05, 0.05])).tolist()
        return cls(title, 10**low, 10**high, scale) if scale is Scale.LOG else cls(title, low, high, scale)


@dataclass(frozen=True, eq=False)
class Heat:
    """`counts[i, j]` things between x[i], x[i + 1] and y[j], y[j + 1], as pixels on a logarithmic colour scale."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    counts: NDArray[np.int64]
    unit: str

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.x) - 1, len(self.y) - 1):
            raise ValueError(f"{self.counts.shape} pixels between {len(self.x)} and {len(self.y)} edges")


@dataclass(frozen=True)
class Points:
    """A series of points. `labels`, one a point or none, show at the pointer; `joined` by a line, in their order.

    `stairs`: that line runs level to the next point and then upright. A `size` of 0 leaves the line alone. `whiskers`,
    one a point or none, are the ends of an upright line through it.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    mark: Mark
    hue: Hue
    labels: tuple[str, ...] = ()
    joined: bool = False
    size: float = 5.0
    stairs: bool = False
    whiskers: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        count = len(self.x)
        if len(self.y) != count or any(each and len(each) != count for each in (self.labels, self.whiskers)):
            given = f"{len(self.y)} y, {len(self.labels)} labels, {len(self.whiskers)} whiskers"
            raise ValueError(f"{self.name}: {count} x, {given}")


@dataclass(frozen=True)
class Rules:
    """Straight lines across the panel, upright at each of `x` and level at each of `y`."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    hue: Hue
    dashed: bool = False


@dataclass(frozen=True)
class Note:
    """Text in a panel at shares of its width and height, (0, 0) lower left; it grows from there towards the middle."""

    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Panel:
    """Layers on two axes, the first one lowest."""

    title: str
    x: Axis
    y: Axis
    layers: tuple[Heat | Points | Rules | Note, ...]


@dataclass(frozen=True)
class Picture:
    """Panels in rows of `columns`, a title above and remarks below. Series of one name share a line of the legend."""

    title: str
    panels: tuple[Panel, ...]
    columns: int = 2
    remarks: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows the panels fill; at least one."""
        return max(1, math.ceil(len(self.panels) / self.columns))

    @property
    def legend(self) -> tuple[Points | Rules, ...]:
        """The first series of each name."""
        named = [
            layer for panel in self.panels for layer in panel.layers if isinstance(layer, Points | Rules) and layer.name
        ]
        return tuple(
            {layer.name: layer for layer in reversed(named)}[name] for name in dict.fromkeys(s.name for s in named)
        )


def si(value: float) -> str:
    """A number as an axis shows it: 0, 250, 1.5k, 16.78M, 2G; four digits at most."""
    sign, size = "-" if value < 0 else "", abs(value)
    for factor, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= factor * (1 - 5e-5):
            return f"{sign}{size / factor:.4g}{unit}"
    return f"{sign}{size:.4g}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Names in a row, the last ones only counted where there are many."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
