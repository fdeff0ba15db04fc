"""The Pareto sets of several layers put together: a budget goes where the weights need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgett.forms import cost
from edgett.forms.dominance import thinned_to, undominated
from edgett.forms.front import ONE, Front
from edgett.forms.spec import Spec

Ints = NDArray[np.int64]

NO_LIMIT = 1 << 62

MOST_PAIRS = 1 << 22
"""Sums formed at once; longer sets are thinned first."""


@dataclass(frozen=True)
class Share:
    """The most that the layers together may take, biases included: numbers stored, and FLOPs a sample."""

    params: int = NO_LIMIT
    flops: int = NO_LIMIT


@dataclass(frozen=True)
class Together:
    """The Pareto set of the sums of parameters, FLOPs and losses over several layers, by ascending parameters.

    Attributes:
        fronts: the Pareto set of each layer.
        choices: (n, layers): which solution of each layer's front is taken, -1 for the dense layer.
        params: (n,) numbers stored.
        flops: (n,) FLOPs a sample.
        loss: (n,) sums of the layers' losses, in units of 1 / `ONE`.
        epsilon: as in `Front`, over all that was thinned on the way.
    """

    fronts: tuple[Front, ...]
    choices: Ints
    params: Ints
    flops: Ints
    loss: Ints
    epsilon: float = 0.0

    def __len__(self) -> int:
        return len(self.params)

    @property
    def specs(self) -> tuple[tuple[Spec | None, ...], ...]:
        """The spec of each layer in each joint solution; None: it stays dense."""
        return tuple(
            tuple(None if row < 0 else front.specs[row] for front, row in zip(self.fronts, rows, strict=True))
            for rows in self.choices.tolist()
        )

    def thinned(self, size: int) -> Together:
        """Thin the set out to fewer solutions that stand for all.

        Args:
            size: the most that may be left, 8 or more.

        Returns:
            The smaller set, its `epsilon` saying how well it stands for this one.
        """
        rows, epsilon = thinned_to((self.params, self.flops, self.loss), size)
        return replace(self._take(rows), epsilon=(1 + self.epsilon) * (1 + epsilon) - 1)

    def _take(self, rows: Ints) -> Together:
        return replace(
            self, choices=self.choices[rows], params=self.params[rows], flops=self.flops[rows], loss=self.loss[rows]
        )

    def _plus(self, front: Front, uses: int, share: Share) -> Together:
        """With one layer more."""
        params, flops, loss = _options(front, uses)
        here = self.thinned(max(8, MOST_PAIRS // len(params)))
        totals = [
            (total[:, None] + option).ravel()
            for total, option in ((here.params, params), (here.flops, flops), (here.loss, loss))
        ]
        fits = np.flatnonzero((totals[0] <= share.params) & (totals[1] <= share.flops))
        rows = fits[undominated([total[fits] for total in totals])]
        mine, other = np.divmod(rows, len(params))
        choices = np.concatenate([here.choices[mine], other[:, None] - 1], axis=1)
        params, flops, loss = (total[rows] for total in totals)
        return Together((*self.fronts, front), choices, params, flops, loss, here.epsilon)


def together(fronts: Sequence[Front], uses: Sequence[int], share: Share = Share()) -> Together:
    """Join the Pareto sets of several layers: a budget goes where the weights need it.

    A layer may stay dense where its share does more good elsewhere; the model with every layer dense is left out.

    Args:
        fronts: one a layer.
        uses: how often each layer runs for one sample.
        share: the most that the layers together may take.

    Returns:
        The Pareto set of their sums inside the share.
    """
    nothing = np.zeros(1, np.int64)
    epsilon = max((front.epsilon for front in fronts), default=0.0)
    joined = Together((), np.zeros((1, 0), np.int64), nothing, nothing, nothing, epsilon)
    for front, times in zip(fronts, uses, strict=True):
        joined = joined._plus(front, times, share)
    return joined._take(np.flatnonzero((joined.choices >= 0).any(axis=1)))


def _options(front: Front, uses: int) -> tuple[Ints, Ints, Ints]:
    """Parameters, FLOPs and loss of the dense layer and, after it, of each solution."""
    costs = [cost.dense(front.layer), *front.costs]
    return (
        np.array([each.params for each in costs]),
        np.array([each.flops * uses for each in costs]),
        np.rint(np.array([0.0, *front.losses]) * ONE).astype(np.int64),
    )
