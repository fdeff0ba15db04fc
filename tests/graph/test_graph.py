"""Sums over a model's operators, and the memory they keep alive, against the plain way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.forms import cost
from edgett.forms.site import Layer
from edgett.forms.tt.shape import TTShape
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.memory import ALIGNMENT, arena_bytes, live_bytes
from edgett.search.replaced import with_edits
from tests.forms.tt.test_contraction import shapes


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Steps that read any tensors made before them, with branches, tensors nobody reads, and several outputs."""
    inputs = tuple(f"in{i}" for i in range(draw(st.integers(1, 2))))
    made, steps = list(inputs), []
    for index in range(draw(st.integers(1, 7))):
        reads = tuple(draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True)))
        writes = tuple(f"t{index}.{i}" for i in range(draw(st.integers(1, 2))))
        steps.append(Step(f"layer{index}", "Op", reads, writes))
        made += writes
    outputs = tuple(draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True)))
    return Graph(tuple(steps), {name: draw(st.integers(1, 40)) for name in made}, inputs, outputs)


def alive(graph: Graph, name: str, index: int) -> bool:
    """Whether a tensor holds something during a step that is or will still be wanted."""
    born = 0 if name in graph.inputs else next(i for i, step in enumerate(graph.steps) if name in step.writes)
    read = any(name in step.reads for step in graph.steps[index:])
    return index >= born and (index == born or read or name in graph.outputs)


@given(graphs(), st.sampled_from([1, 4]))
def test_the_most_alive_at_once(graph: Graph, size: int) -> None:
    steps = range(len(graph.steps))
    totals = [sum(graph.sizes[name] for name in graph.sizes if alive(graph, name, index)) for index in steps]
    assert live_bytes(graph, size) == size * max(totals)


@given(graphs(), st.sampled_from([1, 4]))
def test_no_plan_is_smaller_than_what_is_alive(graph: Graph, size: int) -> None:
    rounded = sum(-(-elements * size // ALIGNMENT) * ALIGNMENT for elements in graph.sizes.values())
    assert live_bytes(graph, size) <= arena_bytes(graph, size) <= rounded
    assert arena_bytes(graph, size) % ALIGNMENT == 0


def test_a_plan_by_hand() -> None:
    # Largest first: b (2 and 3) at 0; a (0 to 2) behind it, since both live in step 2; c needs the end only: at 0.
    graph = Graph(
        (Step("p", "Op", ("x",), ("a",)), Step("q", "Op", ("a",), ("b",)), Step("r", "Op", ("b",), ("c",))),
        {"x": 4, "a": 16, "b": 32, "c": 8},
        ("x",),
        ("c",),
    )
    assert live_bytes(graph) == 4 * (16 + 32)
    assert arena_bytes(graph) == 4 * (16 + 32)


def test_a_model_that_computes_nothing() -> None:
    empty = Graph((), {"x": 3}, ("x",), ("x",))
    assert (empty.params(), empty.flops(), empty.layers, live_bytes(empty)) == (0, 0, (), 0)
    assert arena_bytes(empty) == ALIGNMENT  # its input is there all the same: 12 bytes, rounded up


def two_steps(first: Constant, second: Constant) -> Graph:
    steps = (
        Step("fc", "Dense", ("x",), ("a",), (first,), 10, 5),
        Step("fc", "Dense", ("a",), ("b",), (second,), 10, 5),
        Step("odd", "Mystery", ("b",), ("y",), (), None),
    )
    return Graph(steps, {"x": 2, "a": 2, "b": 2, "y": 2}, ("x",), ("y",))


def test_a_constant_that_two_calls_share_is_stored_once() -> None:
    kernel = Constant("kernel", 4)
    assert two_steps(kernel, kernel).params() == 4
    assert two_steps(kernel, Constant("other", 4)).params() == 8
    assert two_steps(kernel, kernel).flops() == 20


def test_totals_are_of_a_layer_or_of_all_and_name_what_has_no_rule() -> None:
    graph = two_steps(Constant("kernel", 4), Constant("bias", 2))
    assert (graph.params("fc"), graph.params("odd"), graph.flops("fc"), graph.flops("odd")) == (6, 0, 20, 0)
    assert graph.macs == 10
    assert graph.unruled == ("Mystery (odd)",)
    assert graph.layers == ("fc",)


def dense_step(name: str, layer: Layer, source: str, target: str, batch: int) -> Step:
    constants = (Constant("kernel", layer.inputs * layer.outputs), *([Constant("bias", layer.outputs)] * layer.bias))
    flops = cost.dense(layer).flops * batch
    return Step(name, "Dense", (source,), (target,), constants, flops, layer.inputs * layer.outputs * batch)


@settings(max_examples=60)
@given(shapes(longest=3), st.booleans(), st.sampled_from([1, 3]))
def test_a_tt_layer_takes_the_place_of_its_dense_one(shape: TTShape, bias: bool, batch: int) -> None:
    x, y = shape.matrix
    layer, other = Layer("fc", x, y, bias), Layer("rest", y, 2)
    graph = Graph(
        (dense_step("fc", layer, "x", "h", batch), dense_step("rest", other, "h", "y", batch)),
        {"x": x * batch, "h": y * batch, "y": 2 * batch},
        ("x",),
        ("y",),
    )
    swapped = with_edits(graph, {"fc": shape})
    minus, plus = cost.dense(layer), cost.held(layer, shape)
    assert swapped.params() - graph.params() == plus.params - minus.params
    assert swapped.flops() - graph.flops() == batch * (plus.flops - minus.flops)
    assert swapped.macs - graph.macs == batch * (plus.macs - minus.macs)
    assert swapped.params("rest") == graph.params("rest") and swapped.flops("rest") == graph.flops("rest")
    assert swapped.sizes["h"] == y * batch
    moved = sum(swapped.sizes[step.writes[0]] for step in swapped.steps if step.operator == "Transpose")
    assert batch > 1 or moved == plus.moved_elements
    if batch == 1:
        # Whoever runs one step after the other needs at least what the layer's worst step reads and writes.
        assert live_bytes(swapped, 1) >= plus.peak_elements
    # It is a chain: whatever a step reads was made before it, once.
    known = {"x"}
    for step in swapped.steps:
        assert set(step.reads) <= known and not set(step.writes) & known
        known |= set(step.writes)
    assert graph.sizes == {"x": x * batch, "h": y * batch, "y": 2 * batch}


def test_only_the_named_layer_changes_and_every_call_of_it() -> None:
    shape, layer = TTShape((2, 3), (3, 2), (1, 2, 1)), Layer("fc", 6, 6)
    steps = (dense_step("fc", layer, "x", "a", 1), dense_step("fc", layer, "a", "y", 1))
    graph = Graph(steps, {"x": 6, "a": 6, "y": 6}, ("x",), ("y",))
    swapped = with_edits(graph, {"fc": shape})
    assert not any(step.operator == "Dense" for step in swapped.steps)
    assert swapped.params() == cost.held(layer, shape).params
    assert swapped.flops() == 2 * cost.held(layer, shape).flops
    assert with_edits(graph, {"elsewhere": shape}) == graph
