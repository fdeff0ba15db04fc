"""How far a form is from a trained weight, told without decomposing it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ModelError
from edgett.forms.spectra import Matrix, Spectrum, most_kept, norm, working_type

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bracket:
    """Relative errors ||W - W'|| / ||W|| in the Frobenius norm, low <= estimate <= high.

    No W' of the spec is below `low`; that of its decomposition is not above `high`.
    """

    low: float
    estimate: float
    high: float


def between(cuts: Floats, floor: Floats, precision: float) -> Bracket:
    """From the shares that the bonds cut, each at its best estimate and from below."""
    low = float(floor.max())
    high = max(low, min(1.0, float(cuts.sum()) + precision * np.count_nonzero(cuts)))
    estimate = min(max(low, 1 - math.prod(1 - cuts)), high)
    return Bracket(math.sqrt(low), math.sqrt(estimate), math.sqrt(high))


def normalised(weight: Matrix) -> Matrix | None:
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


def cut(spectrum: Spectrum, max_rank: int, precision: float) -> tuple[Floats, Floats]:
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
