"""How good a model is, and how much worse than another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgett.search.constraints import Lost, worse

DECIMALS = 10
"""Of a drop. Differences of floats have more, which mean nothing: 75 of 5,000 samples are 1.5 points, as a limit is."""


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
    """A model's scores, output by output, and its loss without regularisers (None: it has no loss).

    `robust` are those that decide of samples under attack; none where nothing was attacked.
    """

    scores: tuple[Score, ...]
    loss: float | None = None
    robust: tuple[Score, ...] = ()

    def drop_from(self, baseline: Quality) -> float:
        """How much worse this is, at its worst score that decides: points of an accuracy, else % of the baseline.

        Infinite if one is not finite: a diverged model is never chosen. Of a baseline of 0 the difference is the share.
        """
        return _drop(baseline.scores, self.scores)

    def robust_drop_from(self, baseline: Quality) -> float | None:
        """As `drop_from`, of samples under attack; None where either was not attacked."""
        return _drop(baseline.robust, self.robust) if baseline.robust and self.robust else None

    def lost_from(self, baseline: Quality) -> Lost:
        """Both drops."""
        return Lost(self.drop_from(baseline), self.robust_drop_from(baseline))


def _drop(baseline: tuple[Score, ...], scores: tuple[Score, ...]) -> float:
    pairs = list(zip(baseline, scores, strict=True))
    if any((a.output, a.metric) != (b.output, b.metric) for a, b in pairs):
        raise ValueError(f"scores of different outputs or metrics: {baseline}, {scores}")
    return max(_loss_of_score(a, b) for a, b in pairs if a.decides)


def _loss_of_score(baseline: Score, other: Score) -> float:
    lost = worse(other.value, baseline.value, higher_is_better=baseline.higher_is_better)
    if not math.isfinite(lost):
        return math.inf
    return round(100 * lost / ((abs(baseline.value) or 1.0) if baseline.relative else 1.0), DECIMALS)
