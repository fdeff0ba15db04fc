"""What times say: their middle and their tail, a ratio with its confidence interval, and when it is but noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""The 97.5 % quantile of Student's t, for 1, 2, ... degrees of freedom."""

Turns = Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Times:
    """Of all timed runs, in the unit they were given in."""

    count: int
    median: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Ratio:
    """How many times as long as the baseline, with a confidence interval of 95 %; below 1 is faster."""

    value: float
    low: float
    high: float

    @property
    def noise(self) -> bool:
        """Whether it may as well be none."""
        return self.low <= 1 <= self.high


def times(turns: Turns) -> Times:
    """The quantiles of all runs of all turns."""
    every = np.concatenate(list(turns))
    median, p90, p99 = np.quantile(every, [0.5, 0.9, 0.99])
    return Times(len(every), float(median), float(p90), float(p99))


def ratio(turns: Turns, baseline: Turns, lives: int) -> Ratio:
    """How the times compare with those of a baseline that took turns with them, in as many `lives` of their processes.

    Neighbouring turns saw the same clock and the same load: so their medians are compared. One process may be a little
    faster than another for as long as it lives, from where its memory happens to lie; so what counts is how the lives
    differ, and the interval is Student's, of the logarithms of their ratios (Kalibera and Jones 2013).
    """
    pairs = zip(turns, baseline, strict=True)
    ratios = np.log([np.median(own) / np.median(other) for own, other in pairs]).reshape(lives, -1)
    each = np.median(ratios, axis=1)
    wide = STUDENT[min(lives - 1, len(STUDENT)) - 1] * each.std(ddof=1) / lives**0.5
    middle = float(each.mean())
    return Ratio(float(np.exp(middle)), float(np.exp(middle - wide)), float(np.exp(middle + wide)))
