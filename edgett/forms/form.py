"""The interface of a form: which layers it fits, and the space that it opens for them."""

from __future__ import annotations

import abc
from collections.abc import Callable

from edgett.forms.front import Front, Search
from edgett.forms.moments import Moments
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix, Spec


class Form(abc.ABC):
    """A way to hold weights; `catalogue.FORMS` lists them. All that is known of one choice its `Spec` knows."""

    spec: type[Spec]
    """What stands for one choice of it."""

    @abc.abstractmethod
    def unfit(self, layer: Layer) -> str | None:
        """Why no weight of a layer's size can be held so.

        Args:
            layer: the layer.

        Returns:
            The reason in the user's words; None where some weight can.
        """

    @abc.abstractmethod
    def front(
        self,
        layer: Layer,
        weight: Matrix,
        search: Search,
        advance: Callable[[int], None],
        seen: Moments | None = None,
    ) -> Front:
        """Search the space of a layer for the solutions that nothing beats in parameters, FLOPs and error at once.

        What is neither smaller nor cheaper than dense is no solution.

        Args:
            layer: a layer that is not `unfit`.
            weight: its trained weight (X, Y).
            search: which ranks there may be, and bounds.
            advance: is called with the units of work just done, of `units(layer)` in all.
            seen: moments of what the layer is given, which a form may fit its solutions to; None: there are none.

        Returns:
            The Pareto set, by ascending parameters.

        Raises:
            ModelError: for a weight that is not finite.
        """

    def units(self, layer: Layer) -> int:
        """The units of work that `front` reports for a layer, for a progress bar.

        Args:
            layer: the layer.

        Returns:
            Their number; 0 where `front` takes no time worth telling.
        """
        return 0
