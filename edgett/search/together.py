"""The Pareto sets of several layers put together: a budget goes where the weights need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgett.forms import cost
from edgett.forms.dominance import thinned_to
from edgett.forms.front import ONE, Front
from edgett.forms.spec import Spec
from edgett.search.join import NO_LIMIT, joined

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """The most that the layers together may take, biases included, for one sample.

    What is largest of all layers, and does not add up, needs no part in the joining: each front keeps its bound (see
    `Search`).

    Attributes:
        params: numbers stored.
        flops: a multiplication counts as one, an addition as one.
        file_bytes: bytes of the target's file, where those are known (see `Price`).
        pace: nanoseconds on the target, or thousandths of instructions, where those are known.
    """

    params: int = NO_LIMIT
    flops: int = NO_LIMIT
    file_bytes: int = NO_LIMIT
    pace: int = NO_LIMIT


@dataclass(frozen=True)
class Price:
    """What a layer takes on a target, dense and then in each solution of its front, however often it runs.

    Attributes:
        file_bytes: (1 + solutions,) its part of the file; it stands for the parameters then. None: they tell enough.
        pace: (1 + solutions,) its nanoseconds, or thousandths of instructions; None: neither is known.
    """

    file_bytes: Ints | None = None
    pace: Ints | None = None


NO_PRICE = Price()
"""Of a target of which nothing is known."""


@dataclass(frozen=True)
class Together:
    """The Pareto set of what several layers take together and lose, or what stands for it; in ascending order.

    Attributes:
        fronts: the Pareto set of each layer.
        choices: (n, layers): which solution of each layer's front is taken, -1 for the dense layer.
        params: (n,) numbers stored.
        flops: (n,) FLOPs a sample.
        loss: (n,) sums of the layers' losses, in units of 1 / `ONE`.
        objectives: (k, n) what is to be small: parameters or bytes, FLOPs, the time where it is known, the loss.
        epsilon: as in `Front`, over all that was thinned on the way.
    """

    fronts: tuple[Front, ...]
    choices: Ints
    params: Ints
    flops: Ints
    loss: Ints
    objectives: Ints
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
            size: the most that may be left, 16 or more.

        Returns:
            The smaller set, its `epsilon` saying how well it stands for this one.
        """
        rows, epsilon = thinned_to(tuple(self.objectives), size)
        return replace(
            self,
            choices=self.choices[rows],
            params=self.params[rows],
            flops=self.flops[rows],
            loss=self.loss[rows],
            objectives=self.objectives[:, rows],
            epsilon=(1 + self.epsilon) * (1 + epsilon) - 1,
        )


def together(
    fronts: Sequence[Front], uses: Sequence[int], share: Share = Share(), prices: Sequence[Price] | None = None
) -> Together:
    """Join the Pareto sets of several layers: a budget goes where the weights need it.

    A layer may stay dense where its share does more good elsewhere; the model with every layer dense is left out.

    Args:
        fronts: one a layer.
        uses: how often each layer runs for one sample.
        share: the most that the layers together may take.
        prices: what each layer takes on the target, all with the same known; None: nothing is.

    Returns:
        The Pareto set of their sums inside the share, or, where it is too large, what stands for it.
    """
    known = [NO_PRICE] * len(fronts) if prices is None else prices
    counted = [_counted(front, times) for front, times in zip(fronts, uses, strict=True)]
    sums = joined(
        [_objectives(each, price) for each, price in zip(counted, known, strict=True)],
        _limits(share, known[0] if known else NO_PRICE),
    )
    choices = sums.choices.astype(np.int64)
    taken = [each[:, rows] for each, rows in zip(counted, choices.T, strict=True)]
    params, flops, loss = sum(taken, np.zeros((3, len(choices)), np.int64))
    epsilon = (1 + max((front.epsilon for front in fronts), default=0.0)) * (1 + sums.epsilon) - 1
    return Together(tuple(fronts), choices - 1, params, flops, loss, sums.totals, epsilon)


def _counted(front: Front, uses: int) -> Ints:
    """(3, 1 + solutions): parameters, FLOPs and loss of the dense layer and, after it, of each solution."""
    costs = [cost.dense(front.layer), *front.costs]
    losses = np.rint(np.array([0.0, *front.losses]) * ONE).astype(np.int64)
    return np.array([[each.params for each in costs], [each.flops * uses for each in costs], losses])


def _objectives(counted: Ints, price: Price) -> Ints:
    """What is to be small of each option: parameters or bytes, FLOPs, the time where it is known, the loss."""
    params, flops, loss = counted
    time = () if price.pace is None else (price.pace,)
    return np.stack([params if price.file_bytes is None else price.file_bytes, flops, *time, loss])


def _limits(share: Share, price: Price) -> Ints:
    """The limits of these objectives, but for the loss."""
    time = () if price.pace is None else (share.pace,)
    return np.array([share.params if price.file_bytes is None else share.file_bytes, share.flops, *time], np.int64)
