"""What a layer's design space comes to: the solutions that nothing beats, and how they are searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgett.errors import UsageError
from edgett.forms.dominance import thinned_to, undominated
from edgett.forms.error import Bracket
from edgett.forms.moments import Moments
from edgett.forms.site import Cost, Estimate, Layer

if TYPE_CHECKING:
    from edgett.forms.spec import Spec

Ints = NDArray[np.int64]

ONE = 1 << 40
"""The fixed point of a loss: sums of integers do not depend on their order."""

MOST_RANK = 1024


@dataclass(frozen=True)
class Search:
    """Which ranks a bond may have, what stands for the error, and what bounds a solution.

    Attributes:
        rank_multiple: ranks are multiples of this one, or what the bond can hold where that is less.
        max_rank: the largest of them.
        estimate: what stands for the error before fine-tuning.
        most_peak: the most elements that are alive at once; None: any number.
        most_moved: the most elements that transposes copy; None: any number.
        epsilon: at each bond, a partial solution may stand for others if it is at most (1 + epsilon) times as large in
            every objective; 0: the Pareto set is whole.

    Raises:
        UsageError: for a rank multiple below 1 or above `max_rank`, and for a `max_rank` above `MOST_RANK`.
    """

    rank_multiple: int = 4
    max_rank: int = 64
    estimate: Estimate = Estimate.LARGEST_CUT
    most_peak: int | None = None
    most_moved: int | None = None
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if self.rank_multiple < 1:
            raise UsageError(f"A rank multiple of {self.rank_multiple} is below 1.", "Give 1 or more; 4 suits SIMD.")
        if self.max_rank < self.rank_multiple:
            raise UsageError(
                f"No rank is a multiple of {self.rank_multiple} and at most {self.max_rank}.",
                f"Raise --max-rank to {self.rank_multiple} or more, or lower --rank-multiple.",
            )
        if self.max_rank > MOST_RANK:
            raise UsageError(f"--max-rank {self.max_rank} is above {MOST_RANK}.", f"Give {MOST_RANK} or less.")

    def ranks(self, capacity: int) -> Ints:
        """The ranks that a bond may have.

        Args:
            capacity: the largest rank that the bond can hold.

        Returns:
            Ranks, ascending.
        """
        multiples = np.arange(self.rank_multiple, self.max_rank + 1, self.rank_multiple)
        return np.unique(np.minimum(multiples, capacity))


@dataclass(frozen=True)
class Space:
    """What a layer of which no more than the size is known may be held as: nothing tells how near to its weight.

    Attributes:
        layer: the layer.
        solutions: how many there are in the space, efficient or not.
        specs: those that are smaller and cheaper than dense and inside the bounds.
        costs: what each costs for one sample, the bias included.
        reason: why there is none, in the user's words; None where there are some.
    """

    layer: Layer
    solutions: int
    specs: tuple[Spec, ...] = ()
    costs: tuple[Cost, ...] = ()
    reason: str | None = None

    def __len__(self) -> int:
        return len(self.specs)


@dataclass(frozen=True)
class Front:
    """The Pareto set of a layer: no solution of the space is as good as one of these in all objectives at once.

    With an `epsilon` above 0 every solution, unless that close to a limit, has one here that is at most (1 + epsilon)
    times as large in every objective.

    Attributes:
        layer: the fully connected layer.
        solutions: how many there are in the space, efficient or not.
        specs: the solutions, by ascending parameters.
        costs: what each costs for one sample, the bias included.
        losses: what stands for the error of each in the search (see `Estimate`).
        errors: the bracket of each one's relative error.
        epsilon: 0: the set is whole.
        reason: why there is none, in the user's words; None where there are some.
        seen: what the specs are fitted to; None: the weight alone.
    """

    layer: Layer
    solutions: int
    specs: tuple[Spec, ...] = ()
    costs: tuple[Cost, ...] = ()
    losses: tuple[float, ...] = ()
    errors: tuple[Bracket, ...] = ()
    epsilon: float = 0.0
    reason: str | None = None
    seen: Moments | None = None

    def __len__(self) -> int:
        return len(self.specs)

    def thinned(self, size: int) -> Front:
        """Thin the front out to fewer solutions that stand for all.

        Args:
            size: the most that may be left, 8 or more.

        Returns:
            The smaller front, its `epsilon` saying how well it stands for this one.
        """
        costs = np.array([(each.params, each.flops) for each in self.costs], np.float64).reshape(-1, 2)
        rows, epsilon = thinned_to([*costs.T, np.array(self.losses)], size)
        return replace(self._take(rows), epsilon=(1 + self.epsilon) * (1 + epsilon) - 1)

    def efficient(self) -> Front:
        """Take the solutions that no other one is as good as; of some that are alike the first.

        Returns:
            The Pareto set, by ascending parameters.
        """
        costs = np.array([(each.params, each.flops) for each in self.costs])
        losses = np.rint(np.array(self.losses) * ONE).astype(np.int64)
        rows = undominated([*costs.T, losses])
        return self._take(rows[np.lexsort((losses[rows], costs[rows, 1], costs[rows, 0]))])

    def _take(self, rows: Sequence[int] | Ints) -> Front:
        return replace(
            self,
            specs=tuple(self.specs[row] for row in rows),
            costs=tuple(self.costs[row] for row in rows),
            losses=tuple(self.losses[row] for row in rows),
            errors=tuple(self.errors[row] for row in rows),
        )


def loss_of(lost: float) -> float:
    """What stands for an error in the search: -log(1 - share of the energy that is lost); see `Estimate`."""
    return -math.log1p(-min(lost, 1 - 1e-15))


def nothing(layer: Layer, solutions: int, search: Search) -> Front:
    """The front of a layer of which no solution is smaller and cheaper than dense inside the bounds.

    Args:
        layer: the fully connected layer.
        solutions: how many there are in its space.
        search: the bounds.

    Returns:
        An empty front with the reason.
    """
    free = search.most_peak is search.most_moved is None
    which, bounds = (f"{solutions} solutions", "") if free else ("solutions", " and inside the bounds")
    reason = f"{layer.size}: none of its {which} is smaller and cheaper than dense{bounds}"
    return Front(layer, solutions, reason=reason)


def joined(layer: Layer, fronts: Sequence[Front], search: Search) -> Front:
    """Join the Pareto sets of several forms of one layer; of solutions that are alike the first stays.

    Args:
        layer: the fully connected layer.
        fronts: one a form.
        search: what they were found by.

    Returns:
        The Pareto set of all their solutions, by ascending parameters.
    """
    offering = [front for front in fronts if len(front)]
    solutions = sum(front.solutions for front in fronts)
    if not offering:
        return nothing(layer, solutions, search)
    if len(offering) == 1:
        return replace(offering[0], solutions=solutions)
    whole = Front(
        layer,
        solutions,
        tuple(spec for front in offering for spec in front.specs),
        tuple(costs for front in offering for costs in front.costs),
        tuple(loss for front in offering for loss in front.losses),
        tuple(error for front in offering for error in front.errors),
        max(front.epsilon for front in offering),
    )
    return whole.efficient()
