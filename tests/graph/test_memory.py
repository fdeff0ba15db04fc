"""Plans of memory: what lives at once never overlaps, and sharing a place never loses a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.forms.site import Layer
from edgett.forms.tt.shape import TTShape
from edgett.graph.graph import Graph, Step
from edgett.graph.memory import (
    ALIGNMENT,
    arena_bytes,
    in_place,
    live_bytes,
    places,
    plan_bytes,
    static_bytes,
)
from edgett.search.replaced import with_edits
from tests.graph.test_graph import dense_step
from tests.graph.test_graph import graphs as any_graphs


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Copies, element-wise steps and others, among few sizes and two widths, so that much could share a place."""
    sizes = {name: draw(st.sampled_from([4, 8])) for name in ("in0", "in1")}
    widths = {name: draw(st.sampled_from([1, 4])) for name in sizes}
    steps = []
    for index in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(["Reshape", "Identity", "relu", "Add", "QLinearMul", "Product", "Softmax"]))
        count = {"Add": 2, "QLinearMul": 2}.get(kind, 1)
        reads = tuple(draw(st.sampled_from(sorted(sizes))) for _ in range(count))
        target = f"t{index}"
        moves = kind in ("Reshape", "Identity")
        sizes[target] = sizes[reads[0]] if moves else draw(st.sampled_from([4, 8]))
        widths[target] = widths[reads[0]] if moves else draw(st.sampled_from([1, 4]))
        steps.append(Step(f"s{index}", kind, reads, (target,)))
    outputs = draw(st.lists(st.sampled_from([step.writes[0] for step in steps]), min_size=1, max_size=3, unique=True))
    return Graph(tuple(steps), sizes, ("in0", "in1"), tuple(outputs), widths)


def spans(graph: Graph) -> dict[str, tuple[int, int]]:
    """When each tensor is alive, the plain way: from its first write to its last read, an output's to the end."""
    final = len(graph.steps) - 1
    found = {}
    for name in graph.sizes:
        made = [index for index, step in enumerate(graph.steps) if name in step.writes]
        read = [index for index, step in enumerate(graph.steps) if name in step.reads]
        if made or read or name in (*graph.inputs, *graph.outputs):
            first = 0 if name in graph.inputs else min(made, default=0)
            found[name] = first, final if name in graph.outputs else max([first, *made, *read])
    return found


@settings(max_examples=150)
@given(
    st.one_of(any_graphs(), graphs().map(lambda graph: in_place(graph).graph)), st.sampled_from([1, 4]), st.booleans()
)
def test_what_lives_at_once_does_not_overlap(graph: Graph, size: int, backwards: bool) -> None:
    offsets = places(graph, size, backwards=backwards)
    alive = spans(graph)
    assert offsets.keys() == alive.keys()
    assert all(offset % ALIGNMENT == 0 for offset in offsets.values())
    for one in offsets:
        for other in offsets:
            if one < other and alive[one][0] <= alive[other][1] and alive[other][0] <= alive[one][1]:
                ends = [offsets[name] + graph.bytes(name, size) for name in (one, other)]
                assert ends[0] <= offsets[other] or ends[1] <= offsets[one]
    assert live_bytes(graph, size) <= plan_bytes(graph, offsets, size) <= arena_bytes(graph, size)


@settings(max_examples=150)
@given(graphs())
def test_every_step_finds_what_it_reads_and_outputs_stay(graph: Graph) -> None:
    shared = in_place(graph)
    values: dict[str, object] = {name: name for name in graph.inputs}
    memory: dict[str, object] = dict(values)
    kept = [step.layer for step in shared.graph.steps]
    for step in graph.steps:
        reads = tuple(values[name] for name in step.reads)
        assert all(memory[shared.homes[name]] == values[name] for name in step.reads)
        (target,) = step.writes
        moves = step.operator in ("Reshape", "Identity")
        values[target] = reads[0] if moves else (step.layer, reads)
        if step.layer in kept:
            memory[shared.homes[target]] = values[target]
        assert memory[shared.homes[target]] == values[target]
        assert graph.sizes[target] == graph.sizes[shared.homes[target]]
        assert graph.widths[target] == graph.widths[shared.homes[target]]
    assert all(memory[name] == values[name] for name in (*graph.inputs, *graph.outputs))
    assert {shared.homes[name] for name in graph.outputs} == set(graph.outputs)
    assert static_bytes(shared.graph) <= static_bytes(graph)


def chain(*operators: str) -> Graph:
    """x -> a -> b ... -> y, all of 16 elements."""
    names = ["x", *(f"t{index}" for index in range(len(operators) - 1)), "y"]
    steps = tuple(
        Step("l", kind, (source,), (target,)) for kind, source, target in zip(operators, names, names[1:], strict=False)
    )
    return Graph(steps, dict.fromkeys(names, 16), ("x",), ("y",))


@pytest.mark.parametrize(
    ("operators", "steps", "tensors"),
    [
        (("Reshape", "Product", "Reshape", "Add", "relu", "Flatten"), ["Product", "Add", "relu"], 2),
        (("relu",), ["relu"], 2),  # not over the input
        (("Identity",), ["Identity"], 2),  # from one buffer of the caller's to the other
        (("Product", "Transpose", "Product"), ["Product", "Transpose", "Product"], 4),
        (("Product", "sigmoid", "Product"), ["Product", "sigmoid", "Product"], 3),
    ],
)
def test_what_a_chain_comes_to(operators: tuple[str, ...], steps: list[str], tensors: int) -> None:
    graph = in_place(chain(*operators)).graph
    assert [step.operator for step in graph.steps] == steps
    assert static_bytes(graph) == tensors * 16 * 4


def test_what_is_read_again_is_not_written_over() -> None:
    steps = (
        Step("l", "Product", ("x",), ("a",)),
        Step("l", "Reshape", ("a",), ("b",)),
        Step("l", "relu", ("b",), ("c",)),
        Step("l", "Add", ("a", "c"), ("y",)),
    )
    shared = in_place(Graph(steps, dict.fromkeys("xabcy", 4), ("x",), ("y",)))
    assert shared.homes["b"] == shared.homes["a"] != shared.homes["c"]
    assert "y" in (shared.homes["a"], shared.homes["c"])


def test_numbers_of_different_widths_have_workspaces_of_their_own() -> None:
    narrow = chain("Product", "Product", "Product", "Product")
    mixed = replace(narrow, widths={"x": 1, "t0": 1, "t1": 4, "t2": 1, "y": 1})
    assert static_bytes(narrow, 1) == (2 + 2) * 16
    assert static_bytes(mixed, 1) == (2 + 1) * 16 + 16 * 4


def test_a_tt_layer_takes_its_largest_product() -> None:
    """Bias and ReLU write over the last product, reshapes are nothing: the paper's peak, ends apart."""
    layer, shape = Layer("fc", 64, 48), TTShape((8, 8), (6, 8), (1, 4, 1))
    steps = (dense_step("fc", layer, "x", "h", 1), Step("fc", "relu", ("h",), ("y",)))
    graph = with_edits(Graph(steps, {"x": 64, "h": 48, "y": 48}, ("x",), ("y",)), {"fc": shape})
    shared = in_place(graph).graph
    assert [step.operator for step in shared.steps] == ["Product", "Transpose", "Product", "Transpose", "Add", "relu"]
    assert static_bytes(shared) == 4 * (64 + 48 + 2 * 8 * 4 * 8)


def test_nothing_takes_nothing() -> None:
    empty = Graph((), {}, (), ())
    assert in_place(empty).graph == empty
    assert (static_bytes(empty), arena_bytes(empty), places(empty)) == (0, 0, {})
