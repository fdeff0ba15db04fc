"""The whole space of layers of which no more than the size is known: all that is smaller and cheaper than dense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgett.errors import UsageError
from edgett.forms import catalogue
from edgett.forms.front import Search, Space
from edgett.forms.site import Found, Layer


@dataclass(frozen=True)
class Sized:
    """The spaces of convolutions without weights: none of their solutions is known to be better than another.

    Attributes:
        search: which ranks there may be, and bounds.
        layers: each with its space, and why it has none.
    """

    search: Search
    layers: tuple[tuple[Found, Space], ...]

    @property
    def taken(self) -> tuple[Space, ...]:
        """The spaces with a solution in them."""
        return tuple(space for _, space in self.layers if len(space))

    @property
    def solutions(self) -> int:
        """Joint solutions in the space, efficient or not; 0 when no layer has any."""
        return math.prod(space.solutions for space in self.taken) if self.taken else 0

    @property
    def efficient(self) -> int:
        """Joint solutions in which every layer is smaller and cheaper than dense."""
        return math.prod(map(len, self.taken)) if self.taken else 0


def explore(layers: Sequence[Layer], search: Search) -> Sized:
    """List what convolutions may be held as.

    Args:
        layers: convolutions.
        search: which ranks there may be, and bounds.

    Returns:
        Each with its space.

    Raises:
        UsageError: for a fully connected layer, whose space is too large to be listed.
    """
    for layer in layers:
        if layer.window is None:
            raise UsageError(
                f"Layer {layer.size} is fully connected: without weights only --search grid explores it.",
                "Explore it by --search grid, or a model that has it.",
            )
    spaces = [catalogue.space(layer, search) for layer in layers]
    return Sized(search, tuple((Found(space.layer, _reason(space)), space) for space in spaces))


def _reason(space: Space) -> str | None:
    return space.reason and space.reason.removeprefix(f"{space.layer.size}: ")
