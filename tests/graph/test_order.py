"""The order of steps that keeps least alive: valid, never worse, and the best of all where few branches are."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.graph.graph import Graph, Step
from edgett.graph.memory import live_bytes
from edgett.graph.order import lightest


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to seven steps of one or two reads and writes; the last tensor and perhaps others are outputs."""
    sizes = {name: draw(st.integers(1, 9)) for name in ("in0", "in1")}
    steps = []
    for index in range(draw(st.integers(1, 7))):
        reads = tuple(draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=2)))
        writes = tuple(f"t{index}{part}" for part in "ab"[: draw(st.integers(1, 2))])
        sizes.update({name: draw(st.integers(1, 9)) for name in writes})
        steps.append(Step("l", "Op", reads, writes))
    outputs = {steps[-1].writes[0], *draw(st.lists(st.sampled_from(sorted(sizes)), max_size=2))} - {"in0", "in1"}
    return Graph(tuple(steps), sizes, ("in0", "in1"), tuple(sorted(outputs)))


def in_order(graph: Graph, order: tuple[int, ...]) -> Graph:
    steps = tuple(graph.steps[index] for index in order)
    return Graph(steps, graph.sizes, graph.inputs, graph.outputs)


def valid(graph: Graph) -> bool:
    known = set(graph.inputs)
    for step in graph.steps:
        if not set(step.reads) <= known:
            return False
        known |= set(step.writes)
    return True


def peak(graph: Graph) -> int:
    """The most alive at once, the plain way: what was made and is still to be read, or is an output."""
    most = 0
    for index, step in enumerate(graph.steps):
        made = {*graph.inputs, *(name for before in graph.steps[:index] for name in before.writes)}
        wanted = {name for after in graph.steps[index:] for name in after.reads} | set(graph.outputs)
        unread = set(graph.inputs) - {name for other in graph.steps for name in other.reads}
        most = max(most, sum(graph.sizes[name] for name in ((made & wanted) | set(step.writes) | (made & unread))))
    return most


@settings(max_examples=200)
@given(graphs())
def test_no_order_keeps_less_alive(graph: Graph) -> None:
    found = lightest(graph)
    assert sorted(found) == list(range(len(graph.steps)))
    orders = (in_order(graph, order) for order in itertools.permutations(range(len(graph.steps))))
    best = min(peak(other) for other in orders if valid(other))
    assert valid(in_order(graph, found))
    assert peak(in_order(graph, found)) == best
    if peak(graph) == best:
        assert found == tuple(range(len(graph.steps)))


def towers(count: int, *sizes: int) -> Graph:
    """Branches of so many elements a step, all abreast, joined by the last step."""
    names = [[f"{branch}.{depth}" for depth in range(len(sizes))] for branch in range(count)]
    steps = [
        Step("l", "Op", (names[branch][depth - 1] if depth else "x",), (names[branch][depth],))
        for depth in range(len(sizes))
        for branch in range(count)
    ]
    steps.append(Step("l", "Concat", tuple(branch[-1] for branch in names), ("y",)))
    of = {name: size for branch in names for name, size in zip(branch, sizes, strict=True)}
    return Graph(tuple(steps), of | {"x": 1, "y": 1}, ("x",), ("y",))


def test_branches_run_one_after_the_other() -> None:
    abreast = towers(3, 100, 50, 2)
    found = in_order(abreast, lightest(abreast))
    assert live_bytes(abreast, 1) == 300 + 50
    assert live_bytes(found, 1) == 100 + 50 + 2 * 2


def test_many_branches_take_a_moment_and_are_no_worse() -> None:
    abreast = towers(12, 30, 70, 20, 60, 10)
    found = in_order(abreast, lightest(abreast))
    assert valid(found)
    assert live_bytes(found, 1) == 11 * 10 + 30 + 70


def test_nothing_has_no_order() -> None:
    assert lightest(Graph((), {}, (), ())) == ()
