"""What a layer does to the inputs that it really sees, which its factors can be fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

LONGEST = 1 << 14
"""Layers of more inputs are not fitted: the second moment of the inputs would take more than a gigabyte."""

RIDGE = 0.1
"""What moves the outputs of no sample is held where it was: by this share of the inputs' mean square."""


@dataclass(frozen=True)
class Moments:
    """What the factors of a layer are fitted to: weight (X, Y), inputs (n, X), the inputs' second moment (X, X).

    `image` is the moment times the weight. The distance of a weight W' is the trace of (W' - W)^T moment (W' - W):
    the mean square of x (W' - W), and a little of W' - W itself.
    """

    weight: Singles
    inputs: Singles
    moment: Singles
    image: Singles
    ridge: float

    @property
    def usable(self) -> bool:
        """Whether there is something to fit to: all is finite, and some input is not 0."""
        return bool(np.isfinite(self.image).all() and self.ridge > 0 and np.isfinite(self.weight).all())

    def distance(self, rebuilt: Floats) -> float:
        """How far the outputs of another weight (X, Y) are from the dense layer's."""
        change = (rebuilt - self.weight).astype(np.float32)
        outputs = self.inputs @ change
        return float(np.vdot(outputs, outputs)) / len(outputs) + self.ridge * float(np.vdot(change, change))


def target(weight: Singles, inputs: Singles) -> Moments:
    """What to fit factors to, for all specs of one layer."""
    count, side = inputs.shape
    with np.errstate(invalid="ignore", over="ignore"):  # `fitted` has nothing to do then
        moment = inputs.T @ inputs / np.float32(count)
        ridge = RIDGE * float(np.trace(moment)) / side
        moment[np.diag_indices(side)] += np.float32(ridge)
        image = inputs.T @ (inputs @ weight) / np.float32(count) + np.float32(ridge) * weight
    return Moments(weight, inputs, moment, image, ridge)
