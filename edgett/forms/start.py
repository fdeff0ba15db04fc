"""Where a layer in a form starts from before it is fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgett.forms.moments import Moments
from edgett.forms.spec import Factors, Spec


@dataclass(frozen=True, eq=False)
class Start:
    """Factors of the shapes of a spec's, and what is added to the layer's outputs with them.

    Attributes:
        factors: one array a factor.
        shift: (Y,) numbers that make up for the mean of what the factors lose; None: nothing is added.
    """

    factors: Factors
    shift: NDArray[np.floating] | None = None


def fitted(spec: Spec, seen: Moments) -> Start:
    """Fit a form to what a layer is given, once.

    Args:
        spec: the form.
        seen: moments of the layer's inputs, which keep what is fitted.

    Returns:
        The factors, with the mean of what they lose where something can take that up.
    """
    if spec not in seen.kept:
        seen.kept[spec] = spec.fitted(spec.best(seen.weight), seen)
    factors = seen.kept[spec]
    return Start(factors, None if seen.mean is None else seen.shift(spec.dense(factors)))
