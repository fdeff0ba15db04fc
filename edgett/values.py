"""The frozen values that flow between the steps. A value checks itself when it is made, so what holds one need not.

A *spec* belongs to a form at one layer, a *solution* to the whole model.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from pathlib import Path

from edgett.forms.site import Cost as Cost
from edgett.forms.site import CostModel as CostModel
from edgett.forms.site import Estimate as Estimate
from edgett.forms.site import Layer as Layer
from edgett.meter import Meter as Meter
from edgett.meter import Silent as Silent


class EmptyTiles(enum.Enum):
    """What stands in for a tile that is empty in one of the layers."""

    SKIP = "skip"
    NEAREST = "nearest"


class Strategy(enum.Enum):
    """`grid` is the paper's steps 2 to 5; `pareto` searches every rank of every bond, with the weights in view."""

    GRID = "grid"
    PARETO = "pareto"


class Schedule(enum.Enum):
    """`full` trains every candidate for all epochs, as the paper does; `halving` only those that may be picked."""

    FULL = "full"
    HALVING = "halving"


class DType(enum.Enum):
    """The type of the numbers in the exported file."""

    FLOAT32 = "float32"
    INT8 = "int8"

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return {DType.FLOAT32: 4, DType.INT8: 1}[self]


class Isa(enum.Enum):
    """An instruction set, and with it the ELF files that a device runs."""

    ARM = "arm"
    AARCH64 = "aarch64"
    RISCV32 = "riscv32"
    RISCV64 = "riscv64"
    XTENSA = "xtensa"
    X86_64 = "x86_64"


class Trunk(enum.Enum):
    """What becomes of the part of a network before the first replaced layer: `frozen`, it runs only once."""

    AUTO = "auto"
    FROZEN = "frozen"
    TRAINED = "trained"


class Recover(enum.Enum):
    """How accuracy comes back: `plain` learns from labels; `distill` fits each layer, then learns from the baseline."""

    PLAIN = "plain"
    DISTILL = "distill"


class Objective(enum.Enum):
    """Which of the feasible solutions is recommended."""

    ACCURACY = "accuracy"
    MEMORY = "memory"
    FLOPS = "flops"
    LATENCY = "latency"


@dataclass(frozen=True)
class Found:
    """A fully connected layer of a model, and why it is left alone (None: it is not)."""

    layer: Layer
    excluded: str | None = None


@dataclass(frozen=True)
class Score:
    """A figure of an output. `relative`: its drop is a share of the baseline. Not all that are shown decide."""

    output: str
    metric: str
    value: float
    higher_is_better: bool = True
    relative: bool = False
    decides: bool = True


@dataclass(frozen=True)
class Quality:
    """A model's scores, output by output, and its loss without regularisers (None: it has no loss)."""

    scores: tuple[Score, ...]
    loss: float | None = None

    def drop_from(self, baseline: Quality) -> float:
        """How much worse this is, at its worst score that decides: points of an accuracy, else % of the baseline.

        Infinite if one is not finite: a diverged model is never chosen. Of a baseline of 0 the difference is the share.
        """
        pairs = list(zip(baseline.scores, self.scores, strict=True))
        if any((a.output, a.metric) != (b.output, b.metric) for a, b in pairs):
            raise ValueError(f"scores of different outputs or metrics: {baseline.scores}, {self.scores}")
        return max(_loss_of_score(a, b) for a, b in pairs if a.decides)


def _loss_of_score(baseline: Score, other: Score) -> float:
    worse = baseline.value - other.value if baseline.higher_is_better else other.value - baseline.value
    if not math.isfinite(worse):
        return math.inf
    return 100 * worse / ((abs(baseline.value) or 1.0) if baseline.relative else 1.0)


@dataclass(frozen=True)
class Constraints:
    """Limits of the whole model, absolute; None is no limit. `untold`: those that are a share of what nobody knows."""

    model_bytes: int | None
    peak_activation_bytes: int | None
    flops: int | None
    latency_ms: float | None
    accuracy_drop_pp: float | None
    objective: Objective
    untold: tuple[str, ...] = ()


@dataclass(frozen=True)
class Holding:
    """One constraint and what a model makes of it; `holds` is None where nothing can check it yet.

    A `limit` of None is a share of what is not known; a value may only be known to be `at_least` so much.
    """

    name: str
    limit: float | None
    value: float | None
    holds: bool | None
    at_least: bool = False


def judged(name: str, limit: float | None, value: float | None, *, at_least: bool = False) -> Holding:
    """A constraint and a value; one that is `at_least` so much, perhaps more, can break a limit and never hold it."""
    holds = None if limit is None or value is None else value <= limit
    return Holding(name, limit, value, None if holds and at_least else holds, at_least)


@dataclass(frozen=True)
class Artifact:
    """A file that was written, its path relative to the run."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Mismatch:
    """A place where an artefact is not what was predicted."""

    where: str
    predicted: float
    found: float

    def __str__(self) -> str:
        return f"{self.where}: predicted {self.predicted:,}, found {self.found:,}"
