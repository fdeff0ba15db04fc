"""What a layer does to the inputs that it really sees, which its factors can be fitted to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

LONGEST = 1 << 14
"""Of more inputs the second moment is never in memory, of which it would take more than a gigabyte.

Convolutions of more are not fitted; other layers are, by the inputs themselves.
"""

RIDGE = 0.1
"""What moves the outputs of no sample is held where it was: by this share of the inputs' mean square."""

LEAST_RIDGE, MOST_RIDGE = 1e-3, 0.3
"""The same for a convolution: the share is that of a patch's numbers in the patches, within these bounds.

On patches that were not seen it was the best of several shares from 200 to 16,384 of 144 and 288 numbers.
"""

SLICE = 1024
"""Patches that are multiplied at once in float32; the products are added up in float64."""


@dataclass(frozen=True, eq=False)
class Moments:
    """What the factors of a layer are fitted to: the dense weight, and a metric for what its outputs lose.

    The distance of a weight W' is the trace of (W' - W)^T moment (W' - W): the mean square of x (W' - W), and a little
    of W' - W itself.

    Attributes:
        weight: W, (X, Y).
        moment: the second moment (X, X) of the inputs, about `mean` where there is one, and the ridge on its diagonal;
            None: there are `inputs` in its place, or nothing is known of them and the distance is that of the weights.
        image: the moment times the weight, (X, Y).
        ridge: what is added to the moment's diagonal.
        mean: that of the inputs, (X,), where a bias makes up for it (see `shift`).
        inputs: (n, X), where they are fewer than X and distances sooner told by them, or X is above `LONGEST`.
        kept: the factors that have been fitted already, by their spec.
    """

    weight: Singles
    moment: Singles | None
    image: Singles
    ridge: float = 1.0
    mean: Singles | None = None
    inputs: Singles | None = None
    kept: dict[Any, tuple[Singles, ...]] = field(default_factory=dict, repr=False)

    @property
    def usable(self) -> bool:
        """Whether there is something to fit to: all is finite, and some input is not 0."""
        return bool(np.isfinite(self.image).all() and self.ridge > 0 and np.isfinite(self.weight).all())

    @property
    def seen(self) -> bool:
        """Whether anything is known of the inputs."""
        return self.moment is not None or self.inputs is not None

    @cached_property
    def energy(self) -> float:
        """How far a weight of zeros is."""
        return float(np.vdot(self.weight.astype(np.float64), self.image))

    def distance(self, rebuilt: Floats) -> float:
        """How far the outputs of another weight (X, Y) are from the dense layer's."""
        change = (rebuilt - self.weight).astype(np.float32)
        if self.inputs is not None:
            outputs = self.inputs @ change
            return float(np.vdot(outputs, outputs)) / len(outputs) + self.ridge * float(np.vdot(change, change))
        image = change if self.moment is None else self.moment @ change
        return max(float(np.vdot(change.astype(np.float64), image)), 0.0)

    def lost(self, rebuilt: Floats) -> float:
        """The share of the outputs' energy, from 0, that another weight (X, Y) loses."""
        return self.distance(rebuilt) / self.energy if self.energy > 0 else 0.0

    def shift(self, rebuilt: Floats) -> Floats:
        """What makes up in the bias (Y,) for the mean of what another weight (X, Y) changes."""
        if self.mean is None:
            return np.zeros(self.weight.shape[1])
        return self.mean.astype(np.float64) @ (self.weight - rebuilt)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over patches, for moments; those of several batches add up.

    Attributes:
        count: the patches.
        total: their sum, (X,).
        products: the sum of their products with themselves, (X, X).
    """

    count: int
    total: Floats
    products: Floats

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.count + other.count, self.total + other.total, self.products + other.products)


def sums(patches: Singles) -> Sums:
    """Sum patches (n, X) and their products."""
    side = patches.shape[1]
    total, products = np.zeros(side), np.zeros((side, side))
    with np.errstate(invalid="ignore", over="ignore"):  # the moments are not `usable` then
        for begin in range(0, len(patches), SLICE):
            some = patches[begin : begin + SLICE]
            total += some.sum(axis=0, dtype=np.float64)
            products += some.T @ some
    return Sums(len(patches), total, products)


def target(weight: Singles, inputs: Singles) -> Moments:
    """What to fit the factors of a dense layer to, for all of its specs: weight (X, Y), inputs (n, X)."""
    count, side = inputs.shape
    with np.errstate(invalid="ignore", over="ignore"):  # `fitted` has nothing to do then
        moment = inputs.T @ inputs / np.float32(count) if side <= LONGEST else None
        power = float(np.vdot(inputs, inputs)) / count if moment is None else float(np.trace(moment))
        ridge = RIDGE * power / side
        if moment is not None:
            moment[np.diag_indices(side)] += np.float32(ridge)
        image = inputs.T @ (inputs @ weight) / np.float32(count) + np.float32(ridge) * weight
    return Moments(weight, moment, image, ridge, inputs=inputs if count < side or moment is None else None)


def of_patches(weight: Singles, seen: Sums | None, bias: bool = True) -> Moments:
    """What to fit the links of a convolution to, for all of its specs.

    Args:
        weight: (X, N), X the numbers of a patch.
        seen: sums over the patches that it was given; None: nothing is known of them.
        bias: whether the mean of what is lost can go into a bias: then the moment is about the mean.

    Returns:
        Moments, of the weight alone where nothing is known.
    """
    if seen is None or len(weight) > LONGEST:
        return Moments(weight, None, weight)
    with np.errstate(invalid="ignore", over="ignore"):
        mean, moment = seen.total / seen.count, seen.products / seen.count
        if bias:
            moment -= np.outer(mean, mean)
        share = min(max(len(mean) / seen.count, LEAST_RIDGE), MOST_RIDGE)
        ridge = share * float(np.trace(moment)) / len(moment)
        moment[np.diag_indices(len(moment))] += ridge
        single = moment.astype(np.float32)
        return Moments(weight, single, single @ weight, ridge, mean.astype(np.float32) if bias else None)
