"""How a class is read off a model's outputs, and when two models agree on it no more than by chance."""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

FEW = 5
"""Decisions that differ, below which nothing is said against a model: a rare class may be in the samples once."""

SLACK = 0.05
"""How far the rounding of int8 may take the sum of probabilities from 1."""


class Decision(enum.Enum):
    """What an output decides: the class of the largest value, or yes and no by a threshold, each value for itself."""

    TOP = "top class"
    HALF = "above a half"
    SIGN = "above zero"

    @classmethod
    def seen(cls, outputs: NDArray[np.floating]) -> Decision | None:
        """What outputs of which nothing is known decide: a class where each row (n, ..., k) is a distribution."""
        if outputs.ndim < 2 or outputs.shape[-1] < 2 or outputs.min() < 0:
            return None
        return cls.TOP if bool((np.abs(outputs.sum(axis=-1) - 1) < SLACK).all()) else None

    def of(self, outputs: NDArray[np.floating]) -> NDArray[np.int64]:
        """The decisions in outputs (n, ...): (n, ...) without the last axis for a top class."""
        if self is Decision.TOP:
            return outputs.argmax(axis=-1)
        return (outputs > (0.5 if self is Decision.HALF else 0.0)).astype(np.int64)

    def agreement(self, expected: NDArray[np.floating], outputs: NDArray[np.floating]) -> float:
        """The share of decisions that are the same."""
        return float(np.mean(self.of(expected) == self.of(outputs)))

    def chance(self, expected: NDArray[np.floating]) -> float:
        """How far one agrees who always says the same: of classes the commonest, of each yes or no the commoner."""
        decided = self.of(expected)
        if self is Decision.TOP:
            return float(np.unique(decided, return_counts=True)[1].max() / decided.size)
        yes = decided.reshape(-1, decided.shape[-1] if decided.ndim > 1 else 1).mean(axis=0)
        return float(np.maximum(yes, 1 - yes).mean())

    def blind(self, expected: NDArray[np.floating], outputs: NDArray[np.floating]) -> bool:
        """Whether the outputs agree no better than one who always says the same, and that is no accident of a few."""
        count = self.of(expected).size
        wrong = round(count * (1 - self.agreement(expected, outputs)))
        always = round(count * (1 - self.chance(expected)))
        return wrong >= max(always, min(FEW, count))
