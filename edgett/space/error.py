"""The error of every TT solution of a trained weight, without decomposing it.

A TT layer's k-th unfolding has rank r_k at most, so no solution comes closer to the weight than the energy that its
worst bond cuts, and TT-SVD loses no more than all bonds together (Oseledets 2011, theorem 2.2). An unfolding depends
only on the prefix products (x_1 ... x_k, y_1 ... y_k): one spectrum per pair of divisors serves every shape and rank.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ModelError
from edgett.space.shapes import divisors
from edgett.space.spectra import (
    GRAM_SIDE,
    Matrix,
    Spectrum,
    Unfolding,
    most_kept,
    norm,
    of_gram,
    of_matrix,
    rounding,
    spectra_of,
    working_type,
)
from edgett.values import TTShape

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bracket:
    """Relative errors ||W - TT|| / ||W|| in the Frobenius norm, low <= estimate <= high.

    No TT of the shape is below `low`; that of TT-SVD is not above `high`.
    """

    low: float
    estimate: float
    high: float


@dataclass(frozen=True)
class Spectra:
    """What every unfolding of a weight (X, Y) loses at every rank, as shares of the weight's energy ||W||^2.

    `inputs` and `outputs` are the divisors of X and Y, ascending. `cuts[i, j, r]` is the share beyond the r leading
    singular values of the unfolding after the prefix products (inputs[i], outputs[j]): the best estimate, and not
    below the true share, which is not below `floor[i, j, r]`; both to within `rounding`.
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
        """Between which errors the weight is approximated by that shape, and an estimate of TT-SVD's.

        The estimate takes the bonds' kept shares as independent. Raises ValueError for a shape of another size or with
        a rank beyond `max_rank`.
        """
        places = self._places(shape)
        return _bracket(self.cuts[places], self.floor[places], self.rounding)

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
    """As `Spectra.bracket`, from no other unfoldings of the weight (X, Y) than those of the shape.

    Raises ModelError for a weight that is not finite, ValueError for one of another size.
    """
    if weight.shape != shape.matrix:
        raise ValueError(f"{shape} is {shape.matrix}, the weight {weight.shape}")
    if (scaled := _normalised(weight)) is None:
        return Bracket(0.0, 0.0, 0.0)
    precision = rounding(weight.size)
    ends = []
    for unfolding, rank in _bonds(shape):
        rows = unfolding.matrix(scaled, unfolding.sides[0])
        large = unfolding.rank > GRAM_SIDE
        spectrum = of_matrix(rows, rank, 1.0) if large else of_gram(rows @ rows.T, rank, precision)
        ends.append([each[rank] for each in _cut(spectrum, rank, precision)])
    cuts, floor = np.array(ends).T
    return _bracket(cuts, floor, precision)


def _bracket(cuts: Floats, floor: Floats, precision: float) -> Bracket:
    """From the shares that the bonds cut, each at its best estimate and from below."""
    low = float(floor.max())
    high = max(low, min(1.0, float(cuts.sum()) + precision * np.count_nonzero(cuts)))
    estimate = min(max(low, 1 - math.prod(1 - cuts)), high)
    return Bracket(math.sqrt(low), math.sqrt(estimate), math.sqrt(high))


def _bonds(shape: TTShape) -> list[tuple[Unfolding, int]]:
    """The unfolding after each core but the last, and the rank that it may keep there."""
    prefixes = zip(*(itertools.accumulate(f[:-1], operator.mul) for f in (shape.inputs, shape.outputs)), strict=True)
    unfoldings = [Unfolding(shape.matrix, prefix) for prefix in prefixes]
    return [(each, min(rank, each.rank)) for each, rank in zip(unfoldings, shape.ranks[1:-1], strict=True)]


def units(inputs: int, outputs: int) -> int:
    """How many units of work `spectra` reports for a weight of that size: one an unfolding."""
    return len(divisors(inputs)) * len(divisors(outputs))


def spectra(weight: Matrix, max_rank: int, advance: Callable[[int], None] = lambda units: None) -> Spectra:
    """The spectra of all unfoldings of a weight (X, Y), for ranks up to `max_rank`.

    `advance` is called with the units just done. Raises ModelError for a weight that is not finite, ValueError for
    one that is no matrix and for a `max_rank` below 1.
    """
    if weight.ndim != 2 or not weight.size:
        raise ValueError(f"a weight of shape {weight.shape} is no matrix")
    if max_rank < 1:
        raise ValueError(f"max rank {max_rank} is below 1, the smallest rank")
    inputs, outputs = (tuple(divisors(number)) for number in weight.shape)
    cuts = np.zeros((len(inputs), len(outputs), max_rank + 1))
    floor = np.zeros_like(cuts)
    precision = rounding(weight.size)
    if (scaled := _normalised(weight)) is None:
        advance(units(*weight.shape))
        return Spectra(inputs, outputs, cuts, floor)
    for unfolding, spectrum in spectra_of(scaled, max_rank):
        place = inputs.index(unfolding.prefix[0]), outputs.index(unfolding.prefix[1])
        cuts[place], floor[place] = _cut(spectrum, max_rank, precision)
        advance(1)
    return Spectra(inputs, outputs, cuts, floor, precision)


def _normalised(weight: Matrix) -> Matrix | None:
    """The weight at norm 1, in the precision its size affords; None for a weight of zeros."""
    largest = float(np.abs(weight).max())
    if not math.isfinite(largest):
        wrong, size = int(weight.size - np.isfinite(weight).sum()), "x".join(map(str, weight.shape))
        raise ModelError(
            f"{wrong:,} of the {weight.size:,} weights of a {size} layer are NaN or infinite.",
            cure="Train the model again, at a lower learning rate if it diverged.",
        )
    if not largest:
        return None
    working = working_type(weight.size)
    # Divided first, so that no square overflows or underflows.
    scaled: Matrix = np.divide(weight, largest, dtype=np.result_type(weight, working)).astype(working, copy=False)
    scaled /= norm(scaled)
    return scaled


def _cut(spectrum: Spectrum, max_rank: int, precision: float) -> tuple[Floats, Floats]:
    """The shares beyond 0 .. `max_rank` singular values: the estimate, proved from above, and the one from below."""
    ritz = np.pad(spectrum.ritz, (0, max(0, max_rank + 1 - len(spectrum.ritz))))
    if spectrum.exact:
        cuts = np.cumsum(ritz[::-1])[::-1][: max_rank + 1]  # without the cancellation in 1 - kept
        lost = cuts
    else:
        cuts = 1.0 - np.concatenate([[0.0], np.cumsum(ritz[:max_rank])])
        lost = 1.0 - most_kept(spectrum, max_rank)
    cuts = np.clip(cuts, 0.0, 1.0)
    cuts[spectrum.rank :] = 0.0
    # What holds at a rank holds at every smaller one.
    floor = np.maximum.accumulate((lost - precision)[::-1])[::-1]
    return cuts, np.clip(floor, 0.0, cuts)
