"""What a kind of layer must tell, for its weights to be replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from edgett.forms.operators import Operator
from edgett.forms.site import Layer
from edgett.forms.spec import Factors, Spec
from edgett.model.trace import Call


class Kind(Protocol):
    """A class of Keras layers whose weights may be replaced, or those calls of it that read one sort of input.

    A layer is asked by its first call; all others must have the same sites. Whoever adds a kind writes this and lists
    it in `KINDS`: what explores, trains, exports and checks knows no layer by its class.
    """

    keras: type
    """The class, those that are derived from it included."""

    def sites(self, call: Call) -> tuple[Layer, ...] | str:
        """Name the weights of a layer that may be replaced, by the path of the call.

        What a call reads need not be known: then it is taken for one row a sample.

        Args:
            call: the first call of a built layer of this class.

        Returns:
            A site for each weight; or why there is none, in the user's words.
        """

    def weight(self, layer: Any, site: Layer) -> NDArray[Any]:
        """Read the dense weight of a site.

        Args:
            layer: the built layer.
            site: one of its `sites`.

        Returns:
            The weight (X, Y).
        """

    def give(self, layer: Any, site: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        """Assign a dense weight to a site.

        Args:
            layer: the built layer; it is changed.
            site: one of its `sites`.
            weight: the new weight (X, Y).
            bias: the new bias (Y,); None where the site has none.
        """

    def rows(self, layer: Any, site: Layer, inputs: Any) -> Any:
        """What the weight of a site meets.

        Args:
            layer: the built layer.
            site: one of the layer's `sites`.
            inputs: what the layer reads, the batch first.

        Returns:
            An array, or a tensor, (batch, positions, X).
        """

    def plain(self, call: Call) -> Any:
        """The layer as it is exported while it stays dense.

        Args:
            call: a call of the layer.

        Returns:
            The layer, or one of Keras's own that computes the same when it infers.
        """

    def plan(self, call: Call) -> tuple[Operator, ...]:
        """Plan what the dense layer executes, its bias and its activation left out.

        Args:
            call: a call of the layer, its batch size known.

        Returns:
            The operators, one after the other.
        """

    def twin(self, layer: Any, chosen: Mapping[Layer, Spec], factors: Factors | None = None) -> Any:
        """Make the layer that stands in for one, of the same name, with forms at its sites.

        Args:
            layer: the built dense layer.
            chosen: the form of each site.
            factors: those that it starts from, where they are known already; None: the decomposed trained weight.

        Returns:
            The built layer.
        """
