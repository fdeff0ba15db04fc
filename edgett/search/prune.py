"""Step 4: which solutions of a layer are worth a further look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgett.forms.site import Layer
from edgett.search.paths import Lattice, Partial, Paths, abreast, paths_abreast


@dataclass(frozen=True)
class Bounds:
    """The rectangle of parameters and FLOPs that some solutions span, both ends in."""

    min_params: int
    max_params: int
    min_flops: int
    max_flops: int

    def __or__(self, other: Bounds) -> Bounds:
        return Bounds(
            min(self.min_params, other.min_params),
            max(self.max_params, other.max_params),
            min(self.min_flops, other.min_flops),
            max(self.max_flops, other.max_flops),
        )

    def plus(self, bias: int) -> Bounds:
        """The same with the parameters and the additions of a bias."""
        return Bounds(self.min_params + bias, self.max_params + bias, self.min_flops + bias, self.max_flops + bias)


def params_limit(layer: Layer) -> int:
    """Fewer parameters than the dense layer: the cores hold less than XY. Y more on both sides if there is a bias."""
    return layer.inputs * layer.outputs


def flops_limit(layer: Layer) -> int:
    """Fewer FLOPs than the dense layer: the cores take less than 2XY. Y more on both sides if there is a bias."""
    return 2 * layer.inputs * layer.outputs


def efficient(space: Lattice, max_ranks: Sequence[int], advance: Callable[[int], None]) -> tuple[int, Bounds | None]:
    """How many solutions keep both rules, and the bounds of their costs without bias. `advance` hears of max ranks."""
    limits = params_limit(space.layer), flops_limit(space.layer)
    total, bounds = 0, None
    for group in abreast(space, max_ranks):
        for count, here in _settled(paths_abreast(space, group, *limits), *limits):
            total, bounds = total + count, bounds | here if bounds else here
        advance(len(group))
    return total, bounds


def _settled(routes: Paths, most_params: int, most_flops: int) -> list[tuple[int, Bounds]]:
    """Count and bounds of the efficient solutions among the paths, in parts.

    A partial solution is counted with all its completions once all of them keep the rules, and left once none can.
    """
    completions = routes.completions()
    parts = []

    def undecided(partial: Partial) -> Partial:
        (low_params, low_flops), (high_params, high_flops) = routes.least(partial), routes.most(partial)
        all_keep = (high_params < most_params) & (high_flops < most_flops)
        if all_keep.any():
            here = Bounds(
                int(low_params[all_keep].min()),
                int(high_params[all_keep].max()),
                int(low_flops[all_keep].min()),
                int(high_flops[all_keep].max()),
            )
            parts.append((int(completions[partial.state[all_keep]].sum()), here))
        return partial.take(np.flatnonzero((low_params < most_params) & (low_flops < most_flops) & ~all_keep))

    routes.walk(undecided, merge=False)
    return parts
