"""The frozen values that flow between the steps. A value checks itself when it is made, so what holds one need not.

A *shape* belongs to one layer, a *solution* to the whole model.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from edgett.meter import Meter as Meter
from edgett.meter import Silent as Silent


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


class Strategy(enum.Enum):
    """`grid` is the paper's steps 2 to 5; `pareto` searches every rank of every bond, with the weights in view."""

    GRID = "grid"
    PARETO = "pareto"


class Estimate(enum.Enum):
    """What stands for the error of a TT shape before it is fine-tuned: -log(1 - cut) at each bond, with the energy cut.

    `kept-energy` adds up over the bonds, so that 1 - exp(-loss) estimates the squared relative error of TT-SVD;
    `largest-cut` takes the worst bond, below which no TT of the shape can be, fine-tuned or not. Layers add up.
    """

    KEPT_ENERGY = "kept-energy"
    LARGEST_CUT = "largest-cut"


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
class Cost:
    """What a layer or a model costs for one input sample.

    `params` and `peak_elements` count numbers, `flops` counts a multiplication as one and an addition as one, `macs`
    the multiplications that an addition follows, `moved_elements` what transposes copy. Costs of layers that run one
    after the other add up; the peak is the larger one.
    """

    params: int
    flops: int
    peak_elements: int = 0
    moved_elements: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.flops + other.flops,
            max(self.peak_elements, other.peak_elements),
            self.moved_elements + other.moved_elements,
            self.macs + other.macs,
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
class Found:
    """A fully connected layer of a model, and why it is left alone (None: it is not)."""

    layer: Layer
    excluded: str | None = None


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
class Candidate:
    """What steps 2 to 5 propose: the TT shapes of the layers to factorise, by name, and the loss expected of them."""

    shapes: Mapping[str, TTShape]
    loss: float | None = None


@dataclass(frozen=True)
class Solution:
    """A TT shape for every layer that is factorised, jointly, and what the whole model then costs.

    `number` counts the joint candidates of a run from 0; `file_bytes` is the predicted size of the exported file, whose
    numbers take `width` bytes each. `loss` is what the search expects to lose (see `Estimate`), summed over the layers;
    None where it did not look. `latency_us` is the predicted time of an inference, None on a target not measured, of
    which `estimate_us` is a guess by its profile's facts, to show and not to go by.

    `partial` are the operators that no rule counts: FLOPs, bytes and peak are at least those of the others, and times
    are not known. Where the file has been `read_back`, its bytes and its peak are known all the same.
    """

    number: int
    shapes: Mapping[str, TTShape]
    cost: Cost
    file_bytes: int
    loss: float | None = None
    width: int = 4
    latency_us: float | None = None
    estimate_us: float | None = None
    partial: tuple[str, ...] = ()
    read_back: bool = False

    @property
    def at_least(self) -> frozenset[str]:
        """The constraints, by their names, whose value is known only of what rules count."""
        if not self.partial:
            return frozenset()
        return frozenset({"flops"} if self.read_back else {"flops", "model_bytes", "peak_activation_bytes"})

    @property
    def work(self) -> float:
        """What an inference costs: its time where that can be predicted, else its FLOPs."""
        return self.cost.flops if self.latency_us is None else self.latency_us

    @property
    def peak_bytes(self) -> int:
        """The most that tensors take at once."""
        return self.cost.peak_elements * self.width


class Refuge(enum.Enum):
    """What a replaced layer goes back to: float32 in an int8 file, or dense in the type of the file's numbers."""

    FLOAT32 = "float32"
    DENSE = "dense"
    DENSE_INT8 = "dense_int8"


@dataclass(frozen=True)
class Reverted:
    """A replaced layer that went back, and the drop of the file before and after.

    For int8's sake: `snr_db` is that of its output against float32, when it was the layer that added the most noise.
    For time's sake: with it the model took `slowdown` times as long as with a dense layer in its place.
    """

    layer: str
    to: Refuge
    drop_before: float
    drop_after: float
    snr_db: float | None = None
    slowdown: float | None = None


@dataclass(frozen=True)
class Trial:
    """A solution after fine-tuning: `quality` and `drop` of the validation data (inf never holds), losses by epoch.

    `complete`: no epoch was thought not worth it; `failure`: why there is no quality; `reverted`: what went back.
    """

    solution: Solution
    quality: Quality
    drop: float
    epochs: int | float
    seed: int
    seconds: float
    losses: tuple[float, ...] = ()
    complete: bool = True
    failure: str | None = None
    reverted: tuple[Reverted, ...] = ()

    @property
    def emptied(self) -> bool:
        """Whether nothing is left of it: every replaced layer is dense again."""
        return not self.solution.shapes and bool(self.reverted)

    @property
    def too_slow(self) -> bool:
        """Whether nothing is left of it, some of it for time's sake."""
        return self.emptied and any(step.slowdown is not None for step in self.reverted)


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
class Picks:
    """The trials that are exported, all of them within the constraints."""

    recommended: Trial
    highest_accuracy: Trial
    lowest_memory: Trial
    lowest_flops: Trial

    def named(self) -> dict[str, Trial]:
        """The picks by their names, the recommended one first."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


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
