"""The whole design space of a layer, every bond with a rank of its own, and of it the solutions that nothing beats.

A partial solution is a path of cores that has reached a state: the products P = x_1 ... x_k and Q = y_1 ... y_k and the
rank r of the bond there. What the remaining cores cost depends on the state alone, so of two partial solutions in one
state, the one that is worse in every objective can be dropped: exact dynamic programming over (P, Q, r), for the
contraction from the last core to the first. Costs leave the bias out until the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from edgett.forms.dominance import thinned, undominated
from edgett.forms.factors import divisors
from edgett.forms.front import ONE, Front, Search, nothing
from edgett.forms.site import Estimate, Layer
from edgett.forms.tt import cost
from edgett.forms.tt.error import Spectra
from edgett.forms.tt.shape import TTShape
from edgett.forms.tt.shapes import count_factorisations, unsearchable
from edgett.forms.tt.states import States

Ints = NDArray[np.int64]

MOST_PARTIAL = 1 << 22
"""Partial solutions held; a layer that has more undominated ones is searched again with a larger epsilon."""


def front(layer: Layer, spectra: Spectra, search: Search, advance: Callable[[int], None] = lambda units: None) -> Front:
    """Search the shapes below dense in both costs for those that nothing beats in parameters, FLOPs and error.

    Args:
        layer: a fully connected layer of weight (X, Y).
        spectra: what the unfoldings of its trained weight lose at each rank.
        search: which ranks there may be, and bounds.
        advance: is called with the units of work just done, of `units(layer)`; again where a front outgrows memory.

    Returns:
        The Pareto set of parameters, exact FLOPs and estimated error; where it is empty, the reason.

    Raises:
        ValueError: for spectra of another size, or of fewer ranks than the search has.
    """
    known = spectra.inputs[-1], spectra.outputs[-1], spectra.max_rank
    if known[:2] != (layer.inputs, layer.outputs) or known[2] < search.max_rank:
        raise ValueError(f"spectra of {known[0]}x{known[1]} up to rank {known[2]} do not serve {layer} and {search}")
    if reason := unsearchable(layer):
        return Front(layer, 0, reason=reason)
    states, epsilon = States(layer, search), search.epsilon
    while not (sweep := _Sweep(states, spectra, epsilon)).run(advance):
        epsilon = max(2 * epsilon, 1e-3)
    whole, shapes = sweep.whole()
    if not len(whole):
        return nothing(layer, states.solutions, search)
    found = tuple(shapes)
    longest = min(max(count_factorisations(side)) for side in (layer.inputs, layer.outputs))
    return Front(
        layer,
        states.solutions,
        found,
        tuple(cost.tt(layer, shape) for shape in found),
        tuple((whole.loss / ONE).tolist()),
        tuple(map(spectra.bracket, found)),
        (1 + epsilon) ** longest - 1,
    )


def units(layer: Layer) -> int:
    """The units of work that `front` reports for a layer: one for each pair of inner divisors of X and Y, and one."""
    return max(0, len(divisors(layer.inputs)) - 2) * max(0, len(divisors(layer.outputs)) - 2) + 1


@dataclass(frozen=True)
class _Partial:
    """Partial solutions, a row each: the state reached, the costs so far, the number of the partial solution before."""

    state: Ints
    params: Ints
    flops: Ints
    loss: Ints
    moved: Ints
    parent: Ints

    def __len__(self) -> int:
        return len(self.state)

    @property
    def objectives(self) -> tuple[Ints, Ints, Ints]:
        return self.params, self.flops, self.loss

    def take(self, rows: Ints) -> _Partial:
        return _Partial(*(getattr(self, column.name)[rows] for column in fields(self)))

    @staticmethod
    def join(parts: Sequence[_Partial]) -> _Partial:
        columns = [column.name for column in fields(_Partial)]
        return _Partial(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def numbered(self, first: int) -> _Partial:
        """The same as the beginnings of longer ones: each its own parent, counted from `first`."""
        return replace(self, parent=np.arange(first, first + len(self)))


class _Sweep:
    """The undominated partial solutions of every state, in the order of the states."""

    def __init__(self, states: States, spectra: Spectra, epsilon: float) -> None:
        self.states, self.epsilon = states, epsilon
        self.loss = _losses(states, spectra)
        self.worse = np.add if states.search.estimate is Estimate.KEPT_ENERGY else np.maximum
        zero = np.zeros(1, np.int64)
        self.found = [_Partial(zero, zero, zero, zero, states.held[:1], zero)]

    def run(self, advance: Callable[[int], None]) -> bool:
        """Goes through all states; False as soon as there are too many partial solutions."""
        begin = [0, 1]
        for pair in range(1, len(self.states.pairs)):
            before = _Partial.join([self.found[one].numbered(begin[one]) for one in self.states.before(pair)])
            nobody = before.take(np.zeros(0, np.int64))
            best = (self._best(self._arrive(before, state)) for state in self.states.at(pair))
            arrived = _Partial.join([nobody, *best])
            self.found.append(arrived)
            begin.append(begin[-1] + len(arrived))
            if begin[-1] > MOST_PARTIAL:
                return False
            advance(1)
        return True

    def whole(self) -> tuple[_Partial, Iterator[TTShape]]:
        """The undominated whole solutions by ascending cost, and their shapes."""
        whole = self.found[-1]
        whole = whole.take(np.lexsort((whole.loss, whole.flops, whole.params)))
        states, parents = (np.concatenate([getattr(part, name) for part in self.found]) for name in ("state", "parent"))
        route, at = [whole.state], whole.parent
        while at.any():
            route.append(states[at])
            at = parents[at]
        return whole, map(self._shape, np.array(route)[::-1].T)

    def _arrive(self, before: _Partial, target: int) -> _Partial:
        """All partial solutions that one more core brings to the target state, inside the limits."""
        states, (least_params, least_flops) = self.states, self.states.least
        cells = states.cells(before.state, target)
        params = states.rank[before.state] * cells * states.rank[target]
        fits = states.possible(before.state, cells, target)
        fits &= before.params + params + least_params[target] < states.most_params
        rows = np.flatnonzero(fits)
        before, params = before.take(rows), params[rows]
        ended = target == len(states.rank) - 1
        arrived = _Partial(
            np.full(len(rows), target),
            before.params + params,
            before.flops + params * states.rows(before.state, target),
            self.worse(before.loss, self.loss[target]),
            before.moved if ended else before.moved + states.held[target],
            before.parent,
        )
        fits = arrived.flops + least_flops[target] < states.most_flops
        if states.search.most_moved is not None:
            fits &= arrived.moved <= states.search.most_moved
        return arrived.take(np.flatnonzero(fits))

    def _best(self, partial: _Partial) -> _Partial:
        """Without those that another one is as good as in every objective (moved elements while bounded)."""
        ended = (partial.state == len(self.states.rank) - 1).all()
        counts = self.states.search.most_moved is not None and not ended
        partial = partial.take(undominated((*partial.objectives, *([partial.moved] if counts else []))))
        if self.epsilon and len(partial):
            partial = partial.take(thinned(partial.objectives, self.epsilon))
        return partial

    def _shape(self, route: Ints) -> TTShape:
        """The shape whose cores lead through these states; the start may stand first several times."""
        states = self.states
        route = np.concatenate([[0], route[route > 0]])
        inputs, outputs = (side[route[1:]] // side[route[:-1]] for side in (states.inputs, states.outputs))
        return TTShape(tuple(inputs.tolist()), tuple(outputs.tolist()), tuple(states.rank[route].tolist()))


def _losses(states: States, spectra: Spectra) -> Ints:
    """What the bond at each state loses, in units of 1 / ONE."""
    row, column = np.searchsorted(spectra.inputs, states.inputs), np.searchsorted(spectra.outputs, states.outputs)
    cut = np.minimum(spectra.cuts[row, column, states.rank], 1 - 1e-15)
    return np.rint(-np.log1p(-cut) * ONE).astype(np.int64)
