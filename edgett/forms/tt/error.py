"""The error of every TT solution of a trained weight, without decomposing it.

A TT layer's k-th unfolding has rank r_k at most, so no solution comes closer to the weight than the energy that its
worst bond cuts, and TT-SVD loses no more than all bonds together (Oseledets 2011, theorem 2.2). An unfolding depends
only on the prefix products (x_1 ... x_k, y_1 ... y_k): one spectrum per pair of divisors serves every shape and rank.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgett.forms.error import Bracket, between, cut, normalised
from edgett.forms.factors import divisors
from edgett.forms.spectra import Matrix, Unfolding, of_unfolding, rounding, spectra_of

if TYPE_CHECKING:
    from edgett.forms.tt.shape import TTShape

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spectra:
    """What every unfolding of a weight (X, Y) loses at every rank, as shares of the weight's energy ||W||^2.

    Attributes:
        inputs: the divisors of X, ascending.
        outputs: the divisors of Y, ascending.
        cuts: at [i, j, r] the share beyond the r leading singular values of the unfolding after the prefix products
            (inputs[i], outputs[j]): the best estimate, and not below the true share.
        floor: at [i, j, r] a bound that the true share is not below.
        rounding: to within which both hold.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    cuts: Floats
    floor: Floats
    rounding: float = 0.0

    @property
    def max_rank(self) -> int:
        """The largest rank that a bond may have, unless it can hold no more anyway."""
        return self.cuts.shape[2] - 1

    def bracket(self, shape: TTShape) -> Bracket:
        """Between which relative errors a shape approximates the weight.

        Low: the worst bond's cut; high: the sum of all (Oseledets 2011, theorem 2.2); the estimate of TT-SVD's error
        takes the shares that the bonds keep as independent.

        Args:
            shape: a factorisation with its ranks.

        Returns:
            Bounds and an estimate of ||W - W'|| / ||W||.

        Raises:
            ValueError: for a shape of another size, or with a rank beyond `max_rank`.
        """
        places = self._places(shape)
        return between(self.cuts[places], self.floor[places], self.rounding)

    def _places(self, shape: TTShape) -> tuple[list[int], list[int], list[int]]:
        """Where the arrays hold the bonds of a shape."""
        size = self.inputs[-1], self.outputs[-1]
        if shape.matrix != size:
            raise ValueError(f"{shape} is {shape.matrix}, these are the spectra of {size}")
        bonds = _bonds(shape)
        ranks = [rank for _, rank in bonds]
        if max(ranks) > self.max_rank:
            raise ValueError(f"{shape}: rank {max(ranks)} exceeds {self.max_rank}, the largest of these spectra")
        prefixes = [unfolding.prefix for unfolding, _ in bonds]
        return [self.inputs.index(p) for p, _ in prefixes], [self.outputs.index(q) for _, q in prefixes], ranks


def bracket(weight: Matrix, shape: TTShape) -> Bracket:
    """Between which relative errors one shape approximates a weight; as `Spectra.bracket`, from its unfoldings alone.

    Args:
        weight: the dense weight (X, Y).
        shape: a factorisation with its ranks.

    Returns:
        Bounds and an estimate of ||W - W'|| / ||W||.

    Raises:
        ModelError: for a weight that is not finite.
        ValueError: for one of another size.
    """
    if weight.shape != shape.matrix:
        raise ValueError(f"{shape} is {shape.matrix}, the weight {weight.shape}")
    if (scaled := normalised(weight)) is None:
        return Bracket(0.0, 0.0, 0.0)
    precision = rounding(weight.size)
    ends = []
    for unfolding, rank in _bonds(shape):
        ends.append([each[rank] for each in cut(of_unfolding(unfolding, scaled, rank), rank, precision)])
    cuts, floor = np.array(ends).T
    return between(cuts, floor, precision)


def _bonds(shape: TTShape) -> list[tuple[Unfolding, int]]:
    """The unfolding after each core but the last, and the rank that it may keep there."""
    prefixes = zip(*(itertools.accumulate(f[:-1], operator.mul) for f in (shape.inputs, shape.outputs)), strict=True)
    unfoldings = [Unfolding(shape.matrix, prefix) for prefix in prefixes]
    return [(each, min(rank, each.rank)) for each, rank in zip(unfoldings, shape.ranks[1:-1], strict=True)]


def units(inputs: int, outputs: int) -> int:
    """The units of work that `spectra` reports: one an unfolding.

    Args:
        inputs: X.
        outputs: Y.

    Returns:
        Their number.
    """
    return len(divisors(inputs)) * len(divisors(outputs))


def spectra(weight: Matrix, max_rank: int, advance: Callable[[int], None] = lambda units: None) -> Spectra:
    """Compute the singular values of all unfoldings of a weight: one for each divisor of X and of Y.

    Args:
        weight: the dense weight (X, Y).
        max_rank: up to this rank the shares are known.
        advance: is called with the units of work just done, of `units(X, Y)` in all.

    Returns:
        What each unfolding loses at each rank.

    Raises:
        ModelError: for a weight that is not finite.
        ValueError: for one that is no matrix, and for a `max_rank` below 1.
    """
    if weight.ndim != 2 or not weight.size:
        raise ValueError(f"a weight of shape {weight.shape} is no matrix")
    if max_rank < 1:
        raise ValueError(f"max rank {max_rank} is below 1, the smallest rank")
    inputs, outputs = (tuple(divisors(number)) for number in weight.shape)
    cuts = np.zeros((len(inputs), len(outputs), max_rank + 1))
    floor = np.zeros_like(cuts)
    precision = rounding(weight.size)
    if (scaled := normalised(weight)) is None:
        advance(units(*weight.shape))
        return Spectra(inputs, outputs, cuts, floor)
    for unfolding, spectrum in spectra_of(scaled, max_rank):
        place = inputs.index(unfolding.prefix[0]), outputs.index(unfolding.prefix[1])
        cuts[place], floor[place] = cut(spectrum, max_rank, precision)
        advance(1)
    return Spectra(inputs, outputs, cuts, floor, precision)
