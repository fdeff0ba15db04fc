"""The states of a TT solution under way: what has been factored off, and the rank of the bond there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgett.forms.factors import divisors
from edgett.forms.front import Search
from edgett.forms.site import Layer

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

NEVER = 1 << 60


class States:
    """The states (P, Q, r) of a layer's solutions under way, ordered by (P, Q): every core leads to a later pair.

    P = x_1 ... x_k and Q = y_1 ... y_k are factored off, r is the rank of the bond there. State 0 is before the first
    core, the last one after the last core.
    """

    def __init__(self, layer: Layer, search: Search) -> None:
        """List the states.

        Args:
            layer: a fully connected layer of weight (X, Y).
            search: which ranks there may be, and bounds.
        """
        self.layer, self.search = layer, search
        size = layer.inputs * layer.outputs
        inner = [(p, q) for p in divisors(layer.inputs)[1:-1] for q in divisors(layer.outputs)[1:-1]]
        self.pairs = np.array([(1, 1), *inner, (layer.inputs, layer.outputs)], np.int64)
        ranks = [self._ranks(p, q) for p, q in inner]
        ranks = [np.ones(1, np.int64), *ranks, np.ones(1, np.int64)]
        self.rank = np.concatenate(ranks)
        self.begin = np.cumsum([0, *map(len, ranks)])
        self.inputs, self.outputs = np.repeat(self.pairs, np.diff(self.begin), axis=0).T
        self.held = layer.positions * self.inputs * self.rank * (layer.outputs // self.outputs)
        """Elements between two cores: what a transpose there copies."""
        self.most_params, self.most_flops = size, 2 * size

    def at(self, pair: int) -> Ints:
        """The states of a pair (P, Q), by its number."""
        return np.arange(self.begin[pair], self.begin[pair + 1])

    def before(self, pair: int) -> Ints:
        """The pairs from which one core leads to a pair.

        Args:
            pair: its number.

        Returns:
            Their numbers.
        """
        p, q = self.pairs[:pair].T
        here_p, here_q = self.pairs[pair]
        leads = (here_p % p == 0) & (here_q % q == 0) & (p < here_p) & (q < here_q)
        leads[0] = pair < len(self.pairs) - 1  # one core alone is the dense layer
        return np.flatnonzero(leads)

    def cells(self, source: Ints, target: int) -> Ints:
        """The product x * y of the core from each source state to a target.

        Args:
            source: the numbers of states.
            target: that of a later one.

        Returns:
            One for each source.
        """
        return (self.inputs[target] // self.inputs[source]) * (self.outputs[target] // self.outputs[source])

    def rows(self, source: Ints, target: int) -> Ints:
        """FLOPs a parameter of the core from each source state to a target: twice the rows of its product.

        It is that of the contraction from the last core to the first.

        Args:
            source: the numbers of states.
            target: that of a later one.

        Returns:
            One for each source.
        """
        rows: Ints = 2 * self.inputs[source] * (self.layer.outputs // self.outputs[target])
        return rows

    def possible(self, source: Ints, cells: Ints, target: int) -> Mask:
        """Whether a TT can have these two ranks side by side.

        Args:
            source: the numbers of states.
            cells: x * y of the core from each to the target.
            target: that of a later one.

        Returns:
            True or false for each source.
        """
        before, after = self.rank[source], self.rank[target]
        possible: Mask = (after <= before * cells) & (before <= cells * after)
        return possible

    @cached_property
    def least(self) -> tuple[Ints, Ints]:
        """The fewest parameters and the fewest FLOPs from each state to the end, which seldom lie on the same path."""
        params, flops = np.full((2, len(self.rank)), NEVER)
        params[-1] = flops[-1] = 0
        for source, cells, target in self.steps_back():
            # Clipped at the limit, where a step falls out anyway, so that 64 bits hold every product.
            step = np.minimum(self.rank[source] * cells * self.rank[target], self.most_params)
            params[source] = np.minimum(params[source], step + params[target])
            flops[source] = np.minimum(flops[source], step * self.rows(source, target) + flops[target])
        return params, flops

    def steps_back(self) -> Iterator[tuple[Ints, Ints, int]]:
        """Walk the states from the last to the first, with the steps of one core that lead to each.

        Yields:
            The states from which a core leads here, the cells x * y of these cores, and the state here, all by number.
        """
        for pair in range(len(self.pairs) - 1, 0, -1):
            source = np.concatenate([self.at(one) for one in self.before(pair)])
            for target in self.at(pair):
                cells = self.cells(source, target)
                possible = self.possible(source, cells, target)
                yield source[possible], cells[possible], target

    @cached_property
    def solutions(self) -> int:
        """How many solutions there are: shapes with ranks, efficient or not."""
        ways = np.zeros(len(self.rank), object)
        ways[-1] = 1
        for source, _, target in self.steps_back():
            ways[source] += ways[target]
        return int(ways[0])

    def _ranks(self, p: int, q: int) -> Ints:
        layer, cells = self.layer, p * q
        ranks = self.search.ranks(min(cells, layer.inputs * layer.outputs // cells))
        if self.search.most_peak is None:
            return ranks
        # The layer's peak is a tensor and its reshaped or transposed copy, the input and the output among them.
        held = np.maximum(p * ranks * (layer.outputs // q), max(layer.inputs, layer.outputs))
        return ranks[2 * layer.positions * held <= self.search.most_peak]
