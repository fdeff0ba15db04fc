"""The interface of a form: which layers it fits, and the space that it opens for them."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar

from edgett.forms.front import Front, Search
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix, Spec


class Form(abc.ABC):
    """A way to hold weights. `catalogue` lists those there are; all that is known of one choice its `Spec` knows."""

    spec: ClassVar[type[Spec]]

    @abc.abstractmethod
    def unfit(self, layer: Layer) -> str | None:
        """Why no weight of that size can be held so, in the user's words; None: some can."""

    @abc.abstractmethod
    def front(self, layer: Layer, weight: Matrix, search: Search, advance: Callable[[int], None]) -> Front:
        """The Pareto set of parameters, FLOPs and error of a layer that fits, with its trained weight (X, Y).

        What is neither smaller nor cheaper than dense is no solution. `advance` hears of `units(layer)` units of work.
        Raises ModelError for a weight that is not finite.
        """

    def units(self, layer: Layer) -> int:
        """The units of work that `front` reports."""
        return 0
