"""What the search finds, and what becomes of it: solutions of a whole model, fine-tuned, picked."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from edgett.forms.catalogue import Held
from edgett.forms.site import Cost
from edgett.forms.spec import Spec
from edgett.search.constraints import FLOPS, MODEL_BYTES, PEAK, Constraint, Lost
from edgett.search.quality import Quality


@dataclass(frozen=True)
class Candidate:
    """What steps 2 to 5 propose: in which forms to hold which layers, by name, and the loss expected of them."""

    edits: Mapping[str, Spec]
    loss: float | None = None


@dataclass(frozen=True)
class InferenceCost:
    """What an inference takes on a target.

    Attributes:
        us: microseconds, predicted; None on a target that nobody has measured.
        instructions: of C, predicted; None where no C runs, or nobody has counted.
        estimate_us: microseconds by the facts of its profile, to show and not to go by.
    """

    us: float | None = None
    instructions: float | None = None
    estimate_us: float | None = None


@dataclass(frozen=True)
class Solution:
    """In which forms the layers are held that are factorised, jointly, and what the whole model then costs.

    `number` counts the joint candidates of a run from 0; `file_bytes` is the predicted size of the exported file, whose
    numbers take `width` bytes each. `loss` is what the search expects to lose (see `Estimate`), summed over the layers;
    None where it did not look. `inference` is what one takes on the target, as far as that is known.

    `partial` are the operators that no rule counts: FLOPs, bytes and peak are at least those of the others, and times
    are not known. Where the file has been `read_back`, its bytes and its peak are known all the same.

    `removed` says how many channels a layer puts out no more, by path, where some went before weights were put into
    forms. Of a model channels go in one order, so that it tells which.
    """

    number: int
    edits: Mapping[str, Held]
    cost: Cost
    file_bytes: int
    loss: float | None = None
    width: int = 4
    inference: InferenceCost = InferenceCost()
    partial: tuple[str, ...] = ()
    read_back: bool = False
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def gone(self) -> int:
        """How many channels went, of all layers; 0: none."""
        return sum(self.removed.values())

    @property
    def at_least(self) -> frozenset[Constraint]:
        """The constraints whose value is known only of what rules count."""
        if not self.partial:
            return frozenset()
        return frozenset({FLOPS} if self.read_back else {FLOPS, MODEL_BYTES, PEAK})

    @property
    def windowed(self) -> bool:
        """Whether a convolution is in a form."""
        return any(spec.windowed for spec in self.edits.values())

    @property
    def work(self) -> float:
        """What an inference costs: its time where that can be predicted, or else instructions, or else FLOPs."""
        known = (self.inference.us, self.inference.instructions, self.cost.flops)
        return next(number for number in known if number is not None)

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
class LearntInt8:
    """A model that was trained on with the numbers of int8, and what its file lost before that and loses now.

    `drop_emulated` is that of the model with those numbers, which the file has, too.
    """

    epochs: int
    drop_before: float
    drop_emulated: float
    drop_after: float


@dataclass(frozen=True)
class Trial:
    """A solution after fine-tuning: `quality` and `drop` of the validation data (inf never holds), losses by epoch.

    `complete`: no epoch was thought not worth it; `failure`: why there is no quality; `reverted`: what went back;
    `int8`: what came of training it on for its int8 file, where that was of use; `robust_drop`: that of samples under
    attack, None where nothing was attacked.
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
    int8: LearntInt8 | None = None
    robust_drop: float | None = None

    @property
    def lost(self) -> Lost:
        """What it loses, in points."""
        return Lost(self.drop, self.robust_drop)

    @property
    def emptied(self) -> bool:
        """Whether nothing is left of it: every replaced layer is dense again, and no channel is gone."""
        return not self.solution.edits and not self.solution.removed and bool(self.reverted)

    @property
    def too_slow(self) -> bool:
        """Whether nothing is left of it, some of it for time's sake."""
        return self.emptied and any(step.slowdown is not None for step in self.reverted)


@dataclass(frozen=True)
class Picks:
    """The trials that are exported, all of them within the constraints."""

    recommended: Trial
    highest_accuracy: Trial
    lowest_memory: Trial
    lowest_flops: Trial

    def named(self) -> dict[str, Trial]:
        """The picks by their names, the recommended one first."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
