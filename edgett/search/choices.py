"""How a design space is searched."""

from __future__ import annotations

import enum


class EmptyTiles(enum.Enum):
    """What stands in for a tile that is empty in one of the layers."""

    SKIP = "skip"
    NEAREST = "nearest"


class Strategy(enum.Enum):
    """`grid` is the paper's steps 2 to 5; `pareto` searches every rank of every bond, with the weights in view."""

    GRID = "grid"
    PARETO = "pareto"
