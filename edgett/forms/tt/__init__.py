"""The tensor train: every factorisation of a layer, every bond with a rank of its own."""

from __future__ import annotations

from collections.abc import Callable

from edgett.forms.form import Form
from edgett.forms.front import Front, Search
from edgett.forms.moments import Moments
from edgett.forms.site import Layer, not_flat
from edgett.forms.spec import Matrix
from edgett.forms.tt import error, pareto
from edgett.forms.tt.shape import TTShape
from edgett.forms.tt.shapes import unsearchable


class TensorTrain(Form):
    """The tensor train: every factorisation of a layer's sizes, every bond with a rank of its own."""

    spec = TTShape

    def unfit(self, layer: Layer) -> str | None:
        """Why a layer has no two factorisations of one length, or a space too large to explore; see `Form.unfit`."""
        return not_flat(layer) or unsearchable(layer)

    def units(self, layer: Layer) -> int:
        """Count one unit for each unfolding, and one for each step of the search; see `Form.units`."""
        return error.units(layer.inputs, layer.outputs) + pareto.units(layer)

    def front(
        self,
        layer: Layer,
        weight: Matrix,
        search: Search,
        advance: Callable[[int], None],
        seen: Moments | None = None,
    ) -> Front:
        """Search the whole space by dynamic programming over its bonds; see `Form.front` and `pareto.front`."""
        return pareto.front(layer, error.spectra(weight, search.max_rank, advance), search, advance)
