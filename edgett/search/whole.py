"""Steps 2 to 5 without the grid: the Pareto set of every layer's whole space, and of the layers together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgett.forms import catalogue
from edgett.forms.front import ONE, Front, Search
from edgett.forms.moments import Moments
from edgett.forms.site import Found
from edgett.search.solution import Candidate
from edgett.search.together import NO_PRICE, Price, Share, Together, together

MOST_CANDIDATES = 4096
"""Joint solutions whose whole models are costed; a longer front is thinned to so many."""


@dataclass(frozen=True)
class Weighed:
    """A layer that may be factorised.

    Attributes:
        found: the layer, perhaps excluded.
        weight: its trained weight (X, Y); None for one that is excluded.
        uses: how often it runs for one sample.
        seen: what its forms are fitted to; None: the weight alone.
    """

    found: Found
    weight: NDArray[np.floating] | None = None
    uses: int = 1
    seen: Moments | None = None


@dataclass(frozen=True)
class Whole:
    """The Pareto sets of a model's layers, each for itself and all together.

    Attributes:
        search: what they were found by.
        layers: each with its front; None: it is left alone.
        joint: the Pareto set of the layers together.
        candidates: the joint solutions whose models are costed, which stand for all.
        epsilon: how well they do (see `Together`).
    """

    search: Search
    layers: tuple[tuple[Found, Front | None], ...]
    joint: Together
    candidates: tuple[Candidate, ...]
    epsilon: float

    @property
    def taken(self) -> tuple[Front, ...]:
        """The fronts of the layers that are factorised."""
        return tuple(front for found, front in self.layers if front is not None and found.excluded is None)

    @property
    def solutions(self) -> int:
        """Joint solutions in the space, efficient or not; 0 when no layer is factorised."""
        return math.prod(front.solutions for front in self.taken) if self.taken else 0

    def thinned(self, size: int) -> Whole:
        """Thin each layer's front out to fewer solutions that stand for all.

        Args:
            size: the most that may be left in each, 8 or more.

        Returns:
            The same with smaller fronts.
        """
        return replace(self, layers=tuple((found, front and front.thinned(size)) for found, front in self.layers))


Prices = Callable[[Sequence[Front]], Sequence[Price]]
"""What the layers of these fronts take on a target, in each solution."""


def unpriced(fronts: Sequence[Front]) -> Sequence[Price]:
    """Of a target of which nothing is known."""
    return [NO_PRICE] * len(fronts)


def explore(
    layers: Sequence[Weighed],
    search: Search,
    share: Share,
    advance: Callable[[int], None] = lambda units: None,
    prices: Prices = unpriced,
) -> Whole:
    """Find the Pareto set of the whole space of each layer, and of the layers together.

    Args:
        layers: those of the model, some perhaps excluded.
        search: which ranks there may be, and bounds.
        share: the most that the layers together may take.
        advance: is called with the units of work just done, of `units(layers)` in all.
        prices: what layers take on the target.

    Returns:
        The fronts, and the candidates. Where nothing fits into the share it is left out, to tell the nearest miss.

    Raises:
        ModelError: for weights that are not finite.
    """
    explored = tuple(_explored(layer, search, advance) for layer in layers)
    # Of the layers that have a share, those with no solution to offer take it dense.
    sharing = {found.layer.name: front for found, front in explored if front is not None}
    uses = [layer.uses for layer in layers if layer.found.layer.name in sharing]
    fronts = tuple(sharing.values())
    priced = prices(fronts)
    # Where nothing fits, the nearest miss is to be told.
    joint = together(fronts, uses, share, priced) or together(fronts, uses, Share(), priced)
    few = joint.thinned(MOST_CANDIDATES)
    candidates = tuple(
        Candidate({name: spec for name, spec in zip(sharing, specs, strict=True) if spec is not None}, loss / ONE)
        for specs, loss in zip(few.specs, few.loss.tolist(), strict=True)
    )
    return Whole(search, explored, joint, candidates, few.epsilon)


def units(layers: Sequence[Weighed]) -> int:
    """The units of work that `explore` reports for these layers."""
    return sum(catalogue.units(layer.found.layer) for layer in layers if _searched(layer))


def _searched(layer: Weighed) -> bool:
    return layer.found.excluded is None and catalogue.unfit(layer.found.layer) is None


def _explored(layer: Weighed, search: Search, advance: Callable[[int], None]) -> tuple[Found, Front | None]:
    """The layer's front, and why the layer is left alone where it is."""
    found, size = layer.found, f"{layer.found.layer.size}: "
    if found.excluded is not None:
        return found, None
    if _searched(layer):
        assert layer.weight is not None, "a layer that may be factorised comes with its weight"
        front = replace(catalogue.front(found.layer, layer.weight, search, advance, layer.seen), seen=layer.seen)
    else:
        front = Front(found.layer, 0, reason=catalogue.unfit(found.layer))
    return Found(found.layer, front.reason and front.reason.removeprefix(size)), front
