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
    """A class of Keras layers, or those calls of it that read one sort of input.

    A layer is asked by its first call; all others must have the same sites. Whoever adds a kind writes this and lists
    it in `KINDS`: what explores, trains, exports and checks knows no layer by its class.
    """

    keras: type
    """The class, those that are derived from it included."""

    def sites(self, call: Call) -> tuple[Layer, ...] | str:
        """The weights that may be replaced, named by the path of the call; or why there are none.

        What a call reads need not be known: then it is taken for one row a sample.
        """

    def weight(self, layer: Any, site: Layer) -> NDArray[Any]:
        """The weight (X, Y) of a site."""

    def give(self, layer: Any, site: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        """Let a site have this weight (X, Y), and a bias (Y) where it has one."""

    def plain(self, call: Call) -> Any:
        """The layer, or one of Keras's own that computes the same when it infers: what is exported."""

    def plan(self, call: Call) -> tuple[Operator, ...]:
        """What the dense layer executes, its bias and its activation left out."""

    def twin(self, layer: Any, chosen: Mapping[Layer, Spec], factors: Factors | None = None) -> Any:
        """The layer that stands in for it, of the same name, with these forms at its sites.

        It starts from the trained weights, or from `factors` where these are known already.
        """
