"""Weights in int8 so that what they make of the calibration samples stays, not each number by itself.

What a product reads comes with the noise of its own rounding, which large weights that cancel each other out make
larger. So the weights are first those that are best for noisy inputs: with H the moment of the inputs, s^2 the variance
of their noise and W the weights, (H + s^2)^-1 H W. These are then rounded one input after the other; the inputs that
are left make up for the error of each, as far as they go along with it (optimal brain quantisation, Frantar and
Alistarh 2022; in one order for all outputs, Frantar et al. 2022, GPTQ). A converter that rounds to the nearest finds
them rounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 127
"""The largest magnitude in int8, of weights."""

DAMPING = 1e-4
"""Noise there is at least, as a share of the inputs' mean square: what hardly varies makes up for nothing."""

LONGEST = 2048
"""Weights of an output, of which no more are rounded so: the work grows with their cube."""

Floats = NDArray[np.float64]


def rounded(weight: NDArray[np.floating], moment: Floats, noise: float, *, apart: bool) -> NDArray[np.float32]:
    """Round the weights of a product.

    Args:
        weight: (K, N).
        moment: (K, K), the mean of what is read times its transpose.
        noise: the variance of the noise that each number comes with.
        apart: whether each output has a scale of its own.

    Returns:
        The weights, multiples of the scale that `scales` finds for them. Where they serve no better, as for a moment
        that is not finite, those of `weight` rounded to the nearest.
    """
    exact: Floats = weight.astype(np.float64)
    plain = _nearest(exact, scales(exact, apart=apart))
    mean = float(np.diag(moment).mean())
    if not np.isfinite(moment).all() or not np.isfinite(noise) or mean <= 0:
        return plain.astype(np.float32)
    noisy = moment + max(noise, DAMPING * mean) * np.eye(len(moment))
    best = np.linalg.solve(noisy, moment @ exact).astype(np.float64)
    scale = scales(best, apart=apart)
    found = _compensated(best, noisy, scale)
    # The largest stay, which the scale is taken from.
    largest = np.abs(best).argmax(axis=0), np.arange(best.shape[1])
    found[largest] = _nearest(best, scale)[largest]
    gain = _lost(plain, exact, moment, noise) - _lost(found, exact, moment, noise)
    better = gain >= 0 if apart else gain.sum() >= 0
    return np.where(better, found, plain).astype(np.float32)


def scales(weight: NDArray[np.floating], *, apart: bool) -> Floats:
    """The scales of int8 weights, by the largest magnitude of each output, or of all.

    Args:
        weight: (K, N).
        apart: whether each output has a scale of its own.

    Returns:
        (N,), above 0.
    """
    largest = np.abs(weight).max(axis=0) if apart else np.full(weight.shape[1], np.abs(weight).max())
    found: Floats = np.where(largest > 0, largest, 1.0) / MOST
    return found


def _nearest(weight: Floats, scale: Floats) -> Floats:
    return np.clip(np.rint(weight / scale), -MOST, MOST) * scale


def _compensated(weight: Floats, moment: Floats, scale: Floats) -> Floats:
    """One row after the other, those that matter most first."""
    order = np.argsort(-np.diag(moment), kind="stable")
    left, found = weight[order], np.zeros_like(weight)
    root = np.linalg.cholesky(np.linalg.inv(moment[np.ix_(order, order)])).T
    for row, place in enumerate(order):
        found[place] = _nearest(left[row], scale)
        error = (left[row] - found[place]) / root[row, row]
        left[row + 1 :] -= np.outer(root[row, row + 1 :], error)
    return found


def _lost(made: Floats, weight: Floats, moment: Floats, noise: float) -> Floats:
    """The mean square by which outputs are off, (N,): for the difference of the weights, and for the noise."""
    difference = made - weight
    lost: Floats = np.einsum("kn,kn->n", difference, moment @ difference) + noise * np.square(made).sum(axis=0)
    return lost
