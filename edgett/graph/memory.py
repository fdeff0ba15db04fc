"""Where the tensors of a graph lie: what is alive at once, what a plan of places takes, what can share a place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from edgett.graph.graph import Graph, Step

ALIGNMENT = 16
"""Bytes to which interpreters round every tensor up (tflite-micro: `MicroArenaBufferAlignment`)."""


def live_bytes(graph: Graph, size: int = 4) -> int:
    """The most bytes that are alive at once: no memory plan can do with less.

    Args:
        graph: a model's operators.
        size: the bytes of an element, unless the graph knows better; so in this whole module.

    Returns:
        Bytes.
    """
    return max(alive(graph, size), default=0)


def alive(graph: Graph, size: int = 4, without: Collection[str] = ()) -> list[int]:
    """The bytes that are alive at each step.

    Args:
        graph: a model's operators.
        size: the bytes of an element, unless the graph knows better.
        without: tensors that lie elsewhere.

    Returns:
        Bytes, step by step.
    """
    spans = {name: span for name, span in _spans(graph).items() if name not in without}
    return [
        sum(graph.bytes(name, size) for name, (first, last) in spans.items() if first <= step <= last)
        for step in range(len(graph.steps))
    ]


def busiest(graph: Graph, size: int = 4, without: Collection[str] = ()) -> int:
    """Find the step at which most is alive, the first of several.

    Args:
        graph: a model's operators, at least one.
        size: the bytes of an element, unless the graph knows better.
        without: tensors that lie elsewhere.

    Returns:
        Its number.
    """
    taken = alive(graph, size, without)
    return taken.index(max(taken))


def arena_bytes(graph: Graph, size: int = 4) -> int:
    """The bytes that an interpreter's arena takes for tensors; at least `live_bytes`.

    The larger of the two plans of `places`: LiteRT takes tensors of one size as they come, tflite-micro the last first.

    Args:
        graph: a model's operators.
        size: the bytes of an element, unless the graph knows better.

    Returns:
        Bytes.
    """
    return max(plan_bytes(graph, places(graph, size, backwards=way), size) for way in (False, True))


def static_bytes(graph: Graph, size: int = 4) -> int:
    """The bytes that C takes: its caller's buffers for inputs and outputs, and a workspace for each width of number.

    The latter are apart because C does not allow to read a number as another type than it was written.

    Args:
        graph: a model's operators.
        size: the bytes of an element, unless the graph knows better.

    Returns:
        Bytes.
    """
    ends = {*graph.inputs, *graph.outputs}
    widths = {graph.widths.get(name, size) for name in graph.sizes}
    others = [
        {name for name in graph.sizes if name in ends or graph.widths.get(name, size) != width} for width in widths
    ]
    workspaces = sum(plan_bytes(graph, packed(graph, size, other), size) for other in others)
    return sum(graph.bytes(name, size) for name in ends) + workspaces


def plan_bytes(graph: Graph, offsets: Mapping[str, int], size: int = 4) -> int:
    """Where the last of the tensors of a memory plan ends, rounded up.

    Args:
        graph: a model's operators.
        offsets: the byte at which each tensor begins.
        size: the bytes of an element, unless the graph knows better.

    Returns:
        Bytes.
    """
    return max((offset + _rounded(graph.bytes(name, size)) for name, offset in offsets.items()), default=0)


def places(graph: Graph, size: int = 4, without: Collection[str] = (), backwards: bool = False) -> dict[str, int]:
    """Plan an arena: the largest tensor first, each in the first gap that is free while it lives.

    The greedy plan of tflite-micro (`GreedyMemoryPlanner`) and of LiteRT's arena.

    Args:
        graph: a model's operators.
        size: the bytes of an element, unless the graph knows better.
        without: tensors that lie elsewhere.
        backwards: whether of tensors of one size the last comes first.

    Returns:
        The byte at which each tensor begins.
    """
    spans = {name: span for name, span in _spans(graph).items() if name not in without}
    order = list(reversed(spans)) if backwards else list(spans)
    return _placed(graph, size, spans, sorted(order, key=lambda name: -_rounded(graph.bytes(name, size))))


def packed(graph: Graph, size: int = 4, without: Collection[str] = ()) -> dict[str, int]:
    """Plan a static workspace: as `places` does, or in another order where that takes fewer bytes.

    Args:
        graph: a model's operators.
        size: the bytes of an element, unless the graph knows better.
        without: tensors that lie elsewhere.

    Returns:
        The byte at which each tensor begins.
    """
    spans = {name: span for name, span in _spans(graph).items() if name not in without}
    sizes = {name: _rounded(graph.bytes(name, size)) for name in spans}
    ends = {end for span in spans.values() for end in span}
    least = max((sum(sizes[name] for name, (a, b) in spans.items() if a <= end <= b) for end in ends), default=0)
    best, taken = dict[str, int](), 0
    for key in _ORDERS:
        offsets = _placed(graph, size, spans, sorted(spans, key=lambda name: key(sizes[name], *spans[name])))
        found = plan_bytes(graph, offsets, size)
        if not best or found < taken:
            best, taken = offsets, found
        if taken == least:
            break
    return best


_ORDERS: tuple[Callable[[int, int, int], tuple[int, ...]], ...] = (
    lambda size, first, last: (-size,),
    lambda size, first, last: (-size, -first),
    lambda size, first, last: (first - last, -size),
    lambda size, first, last: (first, -size),
    lambda size, first, last: (-last, -size),
)
"""What comes first in a plan: the largest, the longest alive, the first or the last one."""


def _placed(graph: Graph, size: int, spans: Mapping[str, tuple[int, int]], order: Sequence[str]) -> dict[str, int]:
    """Each in its turn in the first gap that is free while it lives."""
    placed: list[tuple[int, int, int, int]] = []
    offsets: dict[str, int] = {}
    for name in order:
        first, last = spans[name]
        wide = _rounded(graph.bytes(name, size))
        offset = 0
        for start, end, other_first, other_last in sorted(placed):
            if other_first <= last and first <= other_last:
                if start - offset >= wide:
                    break
                offset = max(offset, end)
        placed.append((offset, offset + wide, first, last))
        offsets[name] = offset
    return offsets


@dataclass(frozen=True)
class InPlace:
    """A graph of places in memory, each of which may hold several tensors in turn.

    Attributes:
        graph: its tensors are the places.
        homes: the place of each tensor of the graph that it was made of.
        made: for each step the first tensor that it writes, of the graph that it was made of.
    """

    graph: Graph
    homes: Mapping[str, str]
    made: tuple[str, ...]


def in_place(graph: Graph) -> InPlace:
    """Leave out the copies that need not be, and let element-wise steps write over what they read last.

    A place that belongs to an input is never written to, and inputs and outputs keep a place each. All
    that is in a place begins where that does.

    Args:
        graph: a model's operators.

    Returns:
        The graph of places in memory, and the place of each tensor.
    """
    sharing = _Sharing(graph)
    steps = [step for index, step in enumerate(graph.steps) if not sharing.take(index, step)]
    homes = {name: sharing.home(name) for name in graph.sizes}
    sizes = {name: sharing.sizes[name] for name in dict.fromkeys(homes.values())}
    widths = {name: width for name, width in graph.widths.items() if name in sizes}
    moved = replace(graph, steps=tuple(map(sharing.moved, steps)), sizes=sizes, widths=widths)
    return InPlace(moved, homes, tuple(step.writes[0] for step in steps))


class _Sharing:
    """Which tensors share a place. A place is named by the output in it, or else by its first tensor."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.homes: dict[str, str] = {}
        self.sizes = dict(graph.sizes)
        self.last = {name: last for name, (_, last) in _spans(graph).items()}

    def home(self, name: str) -> str:
        """The place of a tensor."""
        while name in self.homes:
            name = self.homes[name]
        return name

    def moved(self, step: Step) -> Step:
        """The step on places."""
        places = tuple(map(self.home, step.reads)), tuple(map(self.home, step.writes))
        return step if places == (step.reads, step.writes) else replace(step, reads=places[0], writes=places[1])

    def take(self, index: int, step: Step) -> bool:
        """Share places as the step allows; whether nothing is left of it to do."""
        op, target = step.op, step.writes[0]
        if op.view and len(step.reads) == len(step.writes) == 1 and self.alike(step.reads[0], target):
            return self.join(step.reads[0], target)
        if op.elementwise or step.over:
            for name in step.reads:
                home = self.home(name)
                free = home not in self.graph.inputs and home not in self.graph.outputs and self.last[home] == index
                if free and self.alike(name, target, step.over) and self.join(name, target):
                    break
        return False

    def alike(self, one: str, other: str, of_any_size: bool = False) -> bool:
        sizes, widths = self.graph.sizes, self.graph.widths
        return (of_any_size or sizes[one] == sizes[other]) and widths.get(one) == widths.get(other)

    def join(self, name: str, target: str) -> bool:
        """Put the target where another tensor is; not when both are inputs or outputs, which are elsewhere.

        Nor into one of these what is not as large.
        """
        ends, home = {*self.graph.inputs, *self.graph.outputs}, self.home(name)
        if ends & {home, target} and (ends >= {home, target} or self.sizes[home] != self.sizes[target]):
            return False
        old, new = (home, target) if target in ends else (target, home)
        self.homes[old], self.sizes[new] = new, max(self.sizes[home], self.sizes[target])
        self.last[new] = max(self.last[home], self.last[target])
        return True


def _rounded(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


def _spans(graph: Graph) -> dict[str, tuple[int, int]]:
    """The first and the last step at which each tensor is alive."""
    final = len(graph.steps) - 1
    spans = dict.fromkeys(graph.inputs, (0, 0))
    for index, step in enumerate(graph.steps):
        for name in step.writes:
            spans[name] = (spans[name][0] if name in spans else index, index)
        for name in step.reads:
            spans[name] = (spans[name][0], index)
    for name in graph.outputs:
        spans[name] = (spans[name][0] if name in spans else 0, final)
    return spans
