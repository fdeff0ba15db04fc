"""Operators predicted against found, layer by layer, and all that a converter may do otherwise.

What counts is compared in every layer. What moves numbers is compared round every product, along the way from one
operator to the next: converters name a move after one layer or another, but it cannot leave its way. What neither
counts nor moves (activations, pools, paddings, changes of type) is spelled out as each format has it.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from edgett.graph.graph import Graph, Step
from edgett.graph.op import ADD, CAST, IDENTITY, PRODUCT, RESHAPE, TRANSPOSE
from edgett.graph.traits import Op, Rule

_MOVES = (RESHAPE, TRANSPOSE)

Pair = tuple[int, int]
"""Predicted, found."""


class Liberty(enum.Enum):
    """What a converter may do otherwise than predicted, and why that hides nothing."""

    RIDES = "a bias and a ReLU are a part of their product or stand behind it: they count the same"
    SIGN = "a constant is subtracted instead of its opposite added: that counts the same"
    VIEW = "views that follow each other are one, and none beside a product that takes rows as they lie: they are free"
    WHOLE = "round a weight that is not in factors moves are left out where layouts agree: fewer cost less"
    PUSHED = "a transpose comes behind activations and sums, and of two that undo each other neither is left"
    LAYOUT = "images and sequences are brought into another layout where that is cheapest, an axis of one by a view"


@dataclass(frozen=True)
class Way:
    """The moves between an operator that computes and the next.

    Attributes:
        start: the operator that makes the numbers; None: an input of the model.
        moves: the reshapes and transposes behind it.
        end: the operator that reads them; None: an output of the model.
    """

    start: Step | None
    moves: tuple[Step, ...]
    end: Step | None

    def count(self, family: Op, layer: str | None = None) -> int:
        """Count the moves of a way that are of a family.

        Args:
            family: what operators are compared as.
            layer: moves of this layer; None: of all.

        Returns:
            Their number.
        """
        return sum(step.op.family is family and layer in (None, step.layer) for step in self.moves)

    def leads_to(self, layer: str) -> bool:
        """Whether an operator of this layer that counts FLOPs reads what the way brings."""
        return self.end is not None and self.end.layer == layer and bool(self.end.flops)

    def comes_from(self, layer: str) -> bool:
        """Whether an operator of this layer that counts FLOPs has made what the way brings."""
        return self.start is not None and self.start.layer == layer and bool(self.start.flops)

    @property
    def kinds(self) -> tuple[Op, ...]:
        """The families of its moves in their order: one for several alike in a row, no view right beside a product."""
        kinds = tuple(family for family, _ in groupby(step.op.family for step in self.moves))
        first, last = (step is not None and step.op.rule is Rule.PRODUCT for step in (self.start, self.end))
        kinds = kinds[1:] if first and kinds[:1] == (RESHAPE,) else kinds
        return kinds[:-1] if last and kinds[-1:] == (RESHAPE,) else kinds


class Ways:
    """A graph as operators that compute, and the ways on which numbers move between them."""

    def __init__(self, graph: Graph) -> None:
        """Find the ways of a graph, predicted or read from a file."""
        self.graph = graph = replace(graph, steps=tuple(one for step in graph.steps for one in _apart(step)))
        self.factorised = {step.layer for step in graph.steps if step.op is PRODUCT}
        self.makers = {name: step for step in graph.steps for name in step.writes}
        self.spatial = any(step.op.spatial for step in graph.steps)
        self.steps = tuple(step for step in graph.steps if not self._passes(step))
        ends = ((name, step) for step in self.steps for name in step.reads)
        self.all = tuple(self._way(name, end) for name, end in (*ends, *((name, None) for name in graph.outputs)))

    def counted(self, layer: str) -> Counter[Op]:
        """Count the operators of a layer that count FLOPs, by family."""
        return Counter(step.op.family for step in self.steps if step.layer == layer and step.flops)

    def transposes(self, layer: str) -> int:
        """Count the transposes of a layer, wherever they stand."""
        return sum(step.op.family is TRANSPOSE for step in self.graph.steps if step.layer == layer)

    def may_meet(self, step: Step | None) -> bool:
        """Whether a converter may have put a transpose behind a step: one stands before it, and it is no product."""
        return step is not None and id(step) in self._behind

    @cached_property
    def _behind(self) -> set[int]:
        """The steps behind which a transpose may come, by their identities, in the order that they run."""
        ways: dict[int, list[Way]] = {}
        for way in self.all:
            ways.setdefault(id(way.end), []).append(way)
        behind = set[int]()
        for step in (step for step in self.steps if step.op.rule is not Rule.PRODUCT):
            if any(TRANSPOSE in way.kinds or id(way.start) in behind for way in ways.get(id(step), ())):
                behind.add(id(step))
        return behind

    def _passes(self, step: Step) -> bool:
        """Whether a step lies on a way: it moves numbers, changes their type, or may be a part of a product."""
        handed_on = step.op.converts or step.op.rides or step.op in (CAST, IDENTITY)
        return bool(step.reads) and (_moves(step) or handed_on or self._is_bias(step))

    def _is_bias(self, step: Step) -> bool:
        """Whether it adds a constant to what a product of its layer has made, moved or not."""
        if not (step.op.family is ADD and step.flops and step.constants):
            return False
        maker = self.makers.get(step.reads[0])
        while maker is not None and _moves(maker) and maker.layer == step.layer:
            maker = self.makers.get(maker.reads[0])
        return maker is not None and maker.op.rule is Rule.PRODUCT and maker.layer == step.layer

    def _way(self, name: str, end: Step | None) -> Way:
        moves: list[Step] = []
        while (maker := self.makers.get(name)) is not None and self._passes(maker):
            moves += [maker] * _moves(maker)
            name = maker.reads[0]
        return Way(maker, tuple(reversed(moves)), end)


def differences(predicted: Ways, found: Ways, layer: str) -> dict[str, Pair]:
    """Compare the operators of a layer: those that no `Liberty` explains.

    Args:
        predicted: the graph that was expected.
        found: the graph read from the file.
        layer: the path of the layer.

    Returns:
        In words what differs: how many are predicted, how many found; empty where nothing does.
    """
    sides = _Sides(predicted, found, layer)
    pairs = (*sides.counted(), *sides.within(), *sides.round(Way.leads_to), *sides.round(Way.comes_from))
    return {what: pair for what, pair in pairs if pair[0] != pair[1]}


@dataclass(frozen=True)
class _Sides:
    """A layer as it was predicted, and as it was found."""

    predicted: Ways
    found: Ways
    layer: str

    @cached_property
    def liberties(self) -> frozenset[Liberty]:
        """What a converter may do here and not everywhere."""
        whole = {Liberty.WHOLE} if self.layer not in self.predicted.factorised else set()
        return frozenset(whole | {Liberty.LAYOUT} if self.predicted.spatial else whole)

    def counted(self) -> Iterator[tuple[str, Pair]]:
        """What counts."""
        wanted, there = self.predicted.counted(self.layer), self.found.counted(self.layer)
        for family in wanted | there:
            yield f"{family.name} operators", (wanted[family], there[family])

    def within(self) -> Iterator[tuple[str, Pair]]:
        """What moves numbers from factor to factor: the same in each place, and no view more."""
        wanted, there = ([way for way in side.all if self._is_inner(way)] for side in (self.predicted, self.found))
        kinds, others = (Counter(way.kinds for way in ways) for ways in (wanted, there))
        for family in _MOVES:
            most, count = (sum(way.count(family) for way in ways) for ways in (wanted, there))
            if not sum(way.kinds.count(family) for way in wanted) <= count <= most:
                yield f"{family.name} operators between factors", (most, count)
        for place in kinds | others:
            yield f"{_listed(place)} operators between factors", (kinds[place], others[place])

    def round(self, here: Callable[[Way, str], bool]) -> Iterator[tuple[str, Pair]]:
        """What moves numbers to a layer that multiplies and from it, as far as that is no way between factors."""
        if not any(step.layer == self.layer and step.op.rule is Rule.PRODUCT for step in self.predicted.steps):
            return
        wanted, there = (
            [way for way in side.all if here(way, self.layer) and not self._is_inner(way)]
            for side in (self.predicted, self.found)
        )
        pairs = [min((self._odd(one, other) for one in wanted), key=len) for other in there if wanted]
        pairs += [min((self._odd(one, other) for other in there), key=len) for one in wanted if there]
        for found in pairs:
            yield from found

    def _odd(self, wanted: Way, there: Way) -> list[tuple[str, Pair]]:
        """What no liberty explains between two ways that should be the same."""
        layout, whole = (liberty in self.liberties for liberty in (Liberty.LAYOUT, Liberty.WHOLE))
        ends = (step for step in (wanted.start, wanted.end) if step is not None and step.layer == self.layer)
        image = any(step.op.spatial for step in ends)
        odd = []
        for family in _MOVES:
            free = layout and (image or family is TRANSPOSE)
            most = wanted.count(family) + wanted.count(TRANSPOSE) * (layout and family is RESHAPE)
            least = self._least(wanted) * (family is TRANSPOSE and not whole)
            if there.count(family) < least or (there.count(family, self.layer) > most and not free):
                odd.append((f"{family.name} operators at its ends", (wanted.count(family), there.count(family))))
        return odd

    def _least(self, wanted: Way) -> int:
        """How many transposes of a layer in factors must be on a way that leads to it or from it."""
        own = wanted.count(TRANSPOSE, self.layer)
        others = wanted.count(TRANSPOSE) - own + self.predicted.may_meet(wanted.start)
        pushed = wanted.comes_from(self.layer) and wanted.kinds[-1:] == (TRANSPOSE,)
        sunk = wanted.end is not None and wanted.end.layer == self.layer and not wanted.leads_to(self.layer)
        elsewhere = sunk and self.predicted.transposes(self.layer) <= self.found.transposes(self.layer)
        return 0 if elsewhere else max(own - others - pushed, 0)

    def _is_inner(self, way: Way) -> bool:
        """Whether a way leads from a factor to what counts in the same layer."""
        both = way.comes_from(self.layer) and way.leads_to(self.layer) and Liberty.WHOLE not in self.liberties
        return both and way.start is not None and way.start.op.rule is Rule.PRODUCT


def _apart(step: Step) -> tuple[Step, ...]:
    """A product to which another tensor is added at once, as tf2onnx makes it, as the two operators that it is."""
    if step.op.rule is not Rule.PRODUCT or len(step.reads) != 2 or (step.flops or 0) <= 2 * step.macs:
        return (step,)
    product = f"{step.writes[0]}/product"
    first = replace(step, reads=step.reads[:1], writes=(product,), flops=2 * step.macs)
    return first, Step(
        step.layer, "Add", (product, step.reads[1]), step.writes, flops=(step.flops or 0) - 2 * step.macs
    )


def _moves(step: Step) -> bool:
    """Whether a step does nothing but move numbers, or call them otherwise."""
    return step.op.family in _MOVES


def _listed(families: tuple[Op, ...]) -> str:
    return " + ".join(family.name for family in families) or "no"
