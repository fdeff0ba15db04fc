"""In which order the steps of a graph with branches keep least alive at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from edgett.graph.graph import Graph

WIDTH = 128
"""Sets of finished steps that are followed at once, the best of each size: with few branches these are all."""


def lightest(graph: Graph) -> tuple[int, ...]:
    """The places of the graph's steps in the order that keeps the fewest elements alive at once.

    As they are, when no order is found that keeps fewer; never worse than one branch after the other. What is alive
    depends only on which steps are finished: so of all orders of the same steps one is followed, and the best of all is
    found where no more than `WIDTH` sets of steps can be finished together (Liberis and Lane 2019).
    """
    walk = _Walk(graph)
    found = min(tuple(range(len(graph.steps))), walk.depth_first(), key=walk.peak)
    least, ways = walk.peak(found), [walk.start]
    for _ in found:
        further: dict[frozenset[int], _Way] = {}
        for way in ways:
            for longer in walk.further(way):
                known = further.get(longer.done)
                if longer.peak < least and (known is None or longer.peak < known.peak):
                    further[longer.done] = longer
        ways = sorted(further.values(), key=lambda way: (walk.elements(way.live), way.peak, way.order))[:WIDTH]
    return ways[0].order if ways else found


@dataclass(frozen=True)
class _Way:
    """An order of some steps: the most that it keeps alive at once, what is alive after it, what can be next."""

    peak: int
    live: frozenset[str]
    ready: frozenset[int]
    order: tuple[int, ...]

    @cached_property
    def done(self) -> frozenset[int]:
        return frozenset(self.order)


@dataclass(frozen=True)
class _Walk:
    """Steps of a graph, one after the other."""

    graph: Graph

    @cached_property
    def start(self) -> _Way:
        """Before the first step."""
        ready = frozenset(index for index, needs in enumerate(self.needs) if not needs)
        return _Way(0, frozenset(self.graph.inputs), ready, ())

    @cached_property
    def needs(self) -> list[frozenset[int]]:
        """The steps that must be finished before each."""
        makers = {name: index for index, step in enumerate(self.graph.steps) for name in step.writes}
        return [frozenset(makers[name] for name in step.reads if name in makers) for step in self.graph.steps]

    @cached_property
    def readers(self) -> dict[str, frozenset[int]]:
        """The steps that read each tensor."""
        read = {name for step in self.graph.steps for name in step.reads}
        readers: dict[str, set[int]] = {name: set() for name in {*read, *self.graph.sizes}}
        for index, step in enumerate(self.graph.steps):
            for name in step.reads:
                readers[name].add(index)
        return {name: frozenset(indices) for name, indices in readers.items()}

    def elements(self, names: frozenset[str]) -> int:
        """Of all these tensors."""
        return sum(self.graph.sizes[name] for name in names)

    def peak(self, order: tuple[int, ...]) -> int:
        """The most that an order of all steps keeps alive at once."""
        way = self.start
        for index in order:
            way = self.after(way, index)
        return way.peak

    def depth_first(self) -> tuple[int, ...]:
        """Every step as soon as it can be, what the last one made first."""
        way = self.start
        while way.ready:
            way = self.after(way, max(way.ready, key=lambda index: (self._latest(way, index), -index)))
        return way.order

    def _latest(self, way: _Way, index: int) -> int:
        return max((way.order.index(maker) for maker in self.needs[index]), default=-1)

    def further(self, way: _Way) -> list[_Way]:
        """The way with one more step, each that can be next, or one that costs nothing whatever follows."""
        ways = [self.after(way, index) for index in sorted(way.ready)]
        now = self.elements(way.live)
        free = (longer for longer in ways if longer.peak == way.peak and self.elements(longer.live) <= now)
        first = next(free, None)
        return ways if first is None else [first]

    def after(self, way: _Way, index: int) -> _Way:
        """The way with this step more."""
        step, done = self.graph.steps[index], way.done | {index}
        during = way.live.union(step.writes)
        mine = {*step.reads, *step.writes} - {*self.graph.outputs}
        live = during - {name for name in mine if self.readers[name] <= done}
        reached = {reader for name in step.writes for reader in self.readers[name]}
        ready = (way.ready - {index}) | {reader for reader in reached if self.needs[reader] <= done}
        return _Way(max(way.peak, self.elements(during)), live, ready, (*way.order, index))
