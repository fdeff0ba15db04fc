"""What a model is held to: the table of constraints, limits of the whole model, and whether they hold."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgett.search.solution import Solution


class Objective(enum.Enum):
    """Which of the feasible solutions is recommended."""

    ACCURACY = "accuracy"
    MEMORY = "memory"
    FLOPS = "flops"
    LATENCY = "latency"


@dataclass(frozen=True)
class Lost:
    """What a model loses against the dense one, in points (see `Quality.drop_from`); None where it is not known.

    Attributes:
        plain: on samples as they are.
        robust: on samples under attack; None too where nothing is attacked.
    """

    plain: float | None = None
    robust: float | None = None


UNKNOWN = Lost()
"""Before any training."""


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A row of the table: a figure of the whole model that may be limited.

    Attributes:
        name: its key in a profile's budget and in documents.
        figure: its key in the document of a model.
        option: the field of a `Job` that sets its limit; with - for _ the option of the command line.
        title: what it is called in reports.
        unit: what it is in, there; empty where the title says it.
        meaning: what its limit is, as profiles explain it.
        value: what a solution has of it, by the solution and what it loses; None where that is not known.
        whole: whether it is counted, rather than measured or predicted.
        higher_is_better: which way is better, as of a `Score`; then its limit is a least.
    """

    name: str
    figure: str
    option: str
    title: str
    unit: str = ""
    meaning: str
    value: Callable[[Solution, Lost], float | None]
    whole: bool = True
    higher_is_better: bool = False

    @property
    def heading(self) -> str:
        """The title and the unit, for a table or an axis."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def judge(self, limit: float | None, value: float | None, *, at_least: bool = False) -> Holding:
        """What a value makes of a limit."""
        return judged(self.name, limit, value, at_least=at_least, higher_is_better=self.higher_is_better)


def _file_bytes(solution: Solution, lost: Lost) -> int:
    return solution.file_bytes


def _peak_bytes(solution: Solution, lost: Lost) -> int:
    return solution.peak_bytes


def _flops(solution: Solution, lost: Lost) -> int:
    return solution.cost.flops


def _latency(solution: Solution, lost: Lost) -> float | None:
    return None if solution.inference.us is None else solution.inference.us / 1000


def _drop(solution: Solution, lost: Lost) -> float | None:
    return lost.plain


def _robust_drop(solution: Solution, lost: Lost) -> float | None:
    return lost.robust


MODEL_BYTES = Constraint(
    name="model_bytes",
    figure="bytes",
    option="model_bytes",
    title="file",
    unit="bytes",
    meaning="largest size of the exported model",
    value=_file_bytes,
)
PEAK = Constraint(
    name="peak_activation_bytes",
    figure="peak_activation_bytes",
    option="peak",
    title="peak memory",
    unit="bytes",
    meaning="most memory that activations take at once",
    value=_peak_bytes,
)
FLOPS = Constraint(
    name="flops",
    figure="flops",
    option="flops",
    title="FLOPs",
    meaning="most floating-point operations for one input",
    value=_flops,
)
LATENCY = Constraint(
    name="latency_ms",
    figure="latency_ms",
    option="latency_ms",
    title="latency",
    unit="ms",
    meaning="longest time for one input, in milliseconds",
    value=_latency,
    whole=False,
)
DROP = Constraint(
    name="accuracy_drop_pp",
    figure="drop",
    option="max_drop",
    title="drop",
    unit="points",
    meaning="largest loss of accuracy, in percentage points",
    value=_drop,
    whole=False,
)
ROBUST_DROP = Constraint(
    name="robust_drop_pp",
    figure="robust_drop",
    option="max_robust_drop",
    title="robust drop",
    unit="points",
    meaning="largest loss of accuracy under attack, in percentage points",
    value=_robust_drop,
    whole=False,
)

CONSTRAINTS = (MODEL_BYTES, PEAK, FLOPS, LATENCY, DROP, ROBUST_DROP)
"""Every one, in the order of documents and tables."""

LOSSES = (DROP, ROBUST_DROP)
"""Those of what a model loses, which training is to bring back."""

NAMED: Mapping[str, Constraint] = {row.name: row for row in CONSTRAINTS}
"""The rows by their names."""


@dataclass(frozen=True)
class Constraints:
    """Limits of the whole model, absolute; a row without one has none. `untold`: a share of what nobody knows."""

    objective: Objective
    limits: Mapping[Constraint, float | None] = field(default_factory=dict)
    untold: frozenset[Constraint] = frozenset()

    def __getitem__(self, row: Constraint) -> float | None:
        return self.limits.get(row)

    def most(self, row: Constraint) -> float:
        """The limit of a row, infinite where there is none."""
        return math.inf if (limit := self[row]) is None else limit

    def with_limits(self, limits: Mapping[Constraint, float | None]) -> Constraints:
        """The same with other limits of some rows."""
        return replace(self, limits={**self.limits, **limits})


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


def in_words(value: float | None) -> str:
    """A limit or a value in words: to six digits at least, and never as a power of ten for being large."""
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 100_000 else f"{value:,.6g}"


def worse(value: float, than: float, *, higher_is_better: bool) -> float:
    """By how much a value is worse than another; 0 or less: it is as good."""
    return than - value if higher_is_better else value - than


def judged(
    name: str, limit: float | None, value: float | None, *, at_least: bool = False, higher_is_better: bool = False
) -> Holding:
    """A limit and a value. Of one that is `at_least` so much, perhaps more, only what more cannot change is told."""
    if limit is None or value is None:
        return Holding(name, limit, value, None, at_least)
    holds = worse(value, limit, higher_is_better=higher_is_better) <= 0
    return Holding(name, limit, value, None if at_least and holds is not higher_is_better else holds, at_least)
