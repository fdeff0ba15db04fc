"""Sums over layers, one option of each: those that no other is as good as, or fewer that stand for them all.

Layers are joined one after the other, those that change the sums least first, so that most of the sums are formed while
little is at stake. As long as there are few, all the undominated ones are kept. Where there are too many, the running
sums are thinned on a grid of all objectives but the last, of whose cells each keeps the least in the last one: that
objective, the loss, is never rounded.

The proof of the epsilon: let x be a sum over the layers so far, and T(x) what it comes to at the very least with the
other layers, each at its cheapest, in some objective. The grid is geometric in T, its cells a factor of 1 + delta wide.
Say that for every x some kept r has T(r) <= (1 + E) T(x), and no greater loss. With an option o of the next layer added
to both, T grows by what o is above the cheapest, the same on either side and not negative, so that it holds for the
sums x + o. Thinning keeps for each r an s in a cell that is nowhere above that of r, and so T(s) <= (1 + delta) T(r),
with no greater loss. In the end T(x) is x, and 1 + E the product of every 1 + delta.

The dense layers' own sum is always there and in no cell, for what it stands for would be lost: the dense model is no
solution. What is nowhere below it is left out, as the dense model is as good; so that it may be what comes near to a
sum hardly below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgett.forms.dominance import undominated
from edgett.search.cells import Thinning

Ints = NDArray[np.int64]
Choices = NDArray[np.int32]

NO_LIMIT = 1 << 62

MOST_SUMS = 3 << 20
"""Sums formed at once; where there would be more, those so far are thinned."""

MOST_KEPT = 1 << 17
"""Sums that are left in the end, where not all the undominated ones are."""

EXACT = (1 << 21, 1 << 15)
"""Sums of three objectives, and of more, that are compared with one another: of more it takes far longer."""

CELLS = (1 << 22, 1 << 24)
"""Of a grid on which sums of three objectives, and of more, are thinned."""

CHUNK = 1 << 16
"""Sums formed in one call of NumPy; they stay in the processor's cache."""


@dataclass(frozen=True)
class JoinedSums:
    """Sums over some layers, and what they are made of.

    Attributes:
        totals: (k, n) the objectives, the loss last.
        choices: (n, layers) which option of each layer is taken; 0 is the dense one.
        epsilon: each sum has one here, or the dense layers', that is at most (1 + epsilon) times as large in every
            objective, unless that close to a limit; 0: all the undominated ones are here.
    """

    totals: Ints
    choices: Choices
    epsilon: float = 0.0


@dataclass(frozen=True)
class _Step:
    """A layer to be joined to others.

    Attributes:
        options: (k, m) what it can take, the dense layer first.
        dense: (k,) what the dense layers take, with this one.
        total: (k - 1,) what all layers take at the very least, those to come included.
        beyond: (k - 1,) what those to come take of that.
        limits: (k - 1,) the most that the sums with this layer may take.
        most: how many may be kept; None: it is the last one.
    """

    options: Ints
    dense: Ints
    total: Ints
    beyond: Ints
    limits: Ints
    most: int | None

    def worth(self, sums: Ints) -> NDArray[np.bool_]:
        """Which sums may come within the limits, and are in something below the dense layers."""
        within: NDArray[np.bool_] = np.logical_and.reduce(sums[:-1] <= self.limits[:, None], axis=0)
        within &= np.logical_or.reduce(sums[:-1] < self.dense[:-1, None], axis=0)
        return within


def joined(layers: Sequence[Ints], limits: Ints) -> JoinedSums:
    """Sum one option of each layer, in every way that is worth it.

    Args:
        layers: (k, options) of each: what an option takes in every objective, none of it negative, the loss last. The
            first is the dense one, which loses nothing.
        limits: (k - 1,) the most that the sums may take.

    Returns:
        The sums that no other is as good as, in ascending order, or fewer that stand for them. All layers dense is not
        among them.
    """
    k = len(limits) + 1
    running = JoinedSums(np.zeros((k, 0), np.int64), np.zeros((0, 0), np.int32))
    order = _order(layers)
    for place in range(len(order)):
        running = _with(running, _step(layers, order, place, limits))
    rows = np.lexsort(running.totals[::-1])
    choices = np.empty((len(rows), len(layers)), np.int32)
    choices[:, order] = running.choices[rows]
    return replace(running, totals=running.totals[:, rows], choices=choices)


def _order(layers: Sequence[Ints]) -> list[int]:
    """Ascending in what their options differ by, as a share of what all layers take at the very least."""
    ends = [(options[:-1].min(axis=1), options[:-1].max(axis=1)) for options in layers]
    total = np.maximum(sum(low for low, _ in ends), 1)
    return sorted(range(len(layers)), key=lambda index: float(((ends[index][1] - ends[index][0]) / total).sum()))


def _step(layers: Sequence[Ints], order: Sequence[int], place: int, limits: Ints) -> _Step:
    """The layer at a place of the order, to be joined to those before it."""
    none = np.zeros(len(limits), np.int64)
    least = [layers[index][:-1].min(axis=1) for index in order]
    beyond = sum(least[place + 1 :], none)
    dense = sum((layers[index][:, 0] for index in order[: place + 1]), np.zeros(len(limits) + 1, np.int64))
    most = None
    if place + 1 < len(order):
        following = min(layers[order[place + 1]].shape[1], math.isqrt(MOST_SUMS))
        most = max(2 ** len(limits), MOST_SUMS // following)
    return _Step(layers[order[place]], dense, sum(least, none), beyond, limits - beyond, most)


def _with(running: JoinedSums, step: _Step) -> JoinedSums:
    """With one layer more."""
    # The dense layers before this one are the first row, whatever else is kept.
    totals = np.concatenate([(step.dense - step.options[:, 0])[:, None], running.totals], axis=1)
    choices = np.concatenate([np.zeros((1, running.choices.shape[1]), np.int32), running.choices])
    pairs = totals.shape[1] * step.options.shape[1]
    options, epsilon = np.arange(step.options.shape[1]), 0.0
    names = None
    if running.epsilon == 0 and pairs <= min(MOST_SUMS, EXACT[len(totals) > 3]):
        names = _undominated(totals, step)
    if names is None or (step.most is not None and len(names) > step.most):
        if pairs > MOST_SUMS:
            options, epsilon = _fewer(step)
        names, thinning = _standing(totals, options, step)
        epsilon = (1 + epsilon) * (1 + thinning) - 1
    mine, other = np.divmod(names, step.options.shape[1])
    return JoinedSums(
        totals[:, mine] + step.options[:, other],
        np.concatenate([choices[mine], other[:, None].astype(np.int32)], axis=1),
        (1 + running.epsilon) * (1 + epsilon) - 1,
    )


def _undominated(totals: Ints, step: _Step) -> Ints:
    """The pairs of a sum and an option that no other is as good as, numbered row by row."""
    sums = (totals[:, :, None] + step.options[:, None, :]).reshape(len(totals), -1)
    worth = np.flatnonzero(step.worth(sums))
    return worth[undominated(list(sums[:, worth]))]


def _standing(totals: Ints, options: Ints, step: _Step) -> tuple[Ints, float]:
    """Pairs of a sum and one of the options that stand for all, numbered as above, and how well."""
    most = MOST_KEPT if step.most is None else step.most
    high = np.minimum(totals[:-1].max(axis=1) + step.options[:-1].max(axis=1), step.limits) + step.beyond
    grid = Thinning(step.total, high, _cells(len(high)))
    # What has the least loss comes first, so that few cells change hands.
    rows, options = np.argsort(totals[-1], kind="stable"), options[np.argsort(step.options[-1, options], kind="stable")]
    totals, many = totals[:, rows], max(1, CHUNK // totals.shape[1])
    for begin in range(0, len(options), many):
        some = options[begin : begin + many]
        sums = (step.options[:, some, None] + totals[:, None, :]).reshape(len(totals), -1)
        names = (rows * step.options.shape[1] + some[:, None]).ravel()
        worth = step.worth(sums)
        sums = sums[:, worth]
        grid.add(sums[:-1] + step.beyond[:, None], sums[-1], names[worth])
    return grid.standing(most)


def _fewer(step: _Step) -> tuple[Ints, float]:
    """The dense option, and of the others no more than stand for all beside as many sums; and how well they do."""
    names, most = np.arange(1, step.options.shape[1]), math.isqrt(MOST_SUMS)
    if len(names) < most:
        return np.arange(step.options.shape[1]), 0.0
    places = step.options[:-1, 1:] + (step.total - step.options[:-1].min(axis=1))[:, None]
    grid = Thinning(step.total, places.max(axis=1), _cells(len(places)))
    grid.add(places, step.options[-1, 1:], names)
    names, epsilon = grid.standing(max(2 ** len(places), most - 1))
    return np.concatenate([[0], names]), epsilon


def _cells(axes: int) -> int:
    return CELLS[axes > 2]
