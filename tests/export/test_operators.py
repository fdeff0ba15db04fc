"""Operators against operators: what sums do not see is seen, and what converters may do is no fault."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.export.check import compare
from edgett.export.operators import Liberty
from edgett.forms.operators import Moves
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.op import PRODUCT, RESHAPE, TRANSPOSE
from edgett.search.replaced import steps_of
from tests.forms.tt.test_contraction import shapes

SHAPE = TTShape((4, 2, 3), (2, 3, 4), (1, 3, 2, 1), Order.FIRST_LAST)


def train(shape: TTShape = SHAPE, moves: Moves = Moves.NUMBERS, bias: bool = True) -> Graph:
    """A TT layer behind a dense one."""
    x, y = shape.matrix
    sizes = {"x": 3, "h": x, "y": y}
    dense = Step("fc", "Dense", ("x",), ("h",), (Constant("kernel", 3 * x),), 6 * x, 3 * x)
    stored = (Constant("bias", y),) if bias else ()
    steps = steps_of(Step("tt", "Factored", ("h",), ("y",), stored), shape, sizes, moves)
    return Graph((dense, *steps), sizes, ("x",), ("y",))


def chain(*steps: tuple[str, str, int] | tuple[str, str, int, int], end: int = 12) -> Graph:
    """Steps that read one another, each as layer, operator, FLOPs, and the numbers of a constant if there is one."""
    made = []
    for index, (layer, operator, flops, *count) in enumerate(steps):
        stored = tuple(Constant(f"c{index}", number) for number in count)
        made.append(Step(layer, operator, (f"t{index}",), (f"t{index + 1}",), stored, flops))
    return Graph(tuple(made), {f"t{index}": end for index in range(len(steps) + 1)}, ("t0",), (f"t{len(steps)}",))


def without(graph: Graph, gone: Step) -> Graph:
    """What reads a step's result reads what it read."""
    (source,), (target,) = gone.reads, gone.writes
    outputs = tuple(source if name == target else name for name in graph.outputs)
    rest = (step for step in graph.steps if step is not gone)
    steps = (replace(step, reads=tuple(source if name == target else name for name in step.reads)) for step in rest)
    return replace(graph, steps=tuple(steps), outputs=outputs)


def after(graph: Graph, step: Step, operator: str) -> Graph:
    """A move more, of the same layer, behind a step."""
    (target,) = step.writes
    steps = []
    for one in graph.steps:
        steps.append(replace(one, writes=("new",)) if one is step else one)
        if one is step:
            steps.append(Step(step.layer, operator, ("new",), (target,)))
    return replace(graph, steps=tuple(steps), sizes={**graph.sizes, "new": graph.sizes[target]})


def split(graph: Graph, step: Step) -> Graph:
    """A product as two, of which each has a part of the numbers and of the FLOPs."""
    (core,) = step.constants
    few = Constant(f"{core.key}/first", core.count // 2), Constant(f"{core.key}/second", core.count - core.count // 2)
    half = step.flops // 2 if step.flops else 0
    halves = (
        replace(step, writes=("half",), constants=few[:1], flops=half, macs=step.macs // 2),
        replace(step, reads=("half",), constants=few[1:], flops=step.flops - half, macs=step.macs - step.macs // 2),
    )
    steps = [part for one in graph.steps for part in (halves if one is step else (one,))]
    return replace(graph, steps=tuple(steps), sizes={**graph.sizes, "half": graph.sizes[step.writes[0]]})


def wrong(predicted: Graph, found: Graph) -> list[str]:
    """What differs, but for the peak; sums do not."""
    check = compare(predicted, found, "f")
    assert (check.params[0], check.flops[0], check.macs[0]) == (check.params[1], check.flops[1], check.macs[1])
    return [str(item).removeprefix("f, layer ") for item in check.mismatches if item.where != "f, peak bytes"]


def own(graph: Graph, layer: str = "tt") -> list[Step]:
    return [step for step in graph.steps if step.layer == layer]


@settings(max_examples=60)
@given(shapes(longest=4), st.sampled_from(Moves), st.booleans(), st.data())
def test_nothing_is_planted_in_a_tensor_train_unseen(
    shape: TTShape, moves: Moves, bias: bool, data: st.DataObject
) -> None:
    good = train(shape, moves, bias)
    assert wrong(good, good) == []
    step = data.draw(st.sampled_from(own(good)))
    assert wrong(good, after(good, step, "TRANSPOSE"))
    assert wrong(good, after(good, step, "Reshape"))
    if step.op is PRODUCT:
        assert any("tt, product operators: " in line for line in wrong(good, split(good, step)))
    if step.op is TRANSPOSE:
        assert any("transpose operators" in line for line in wrong(good, without(good, step)))


def test_what_is_planted_is_told() -> None:
    good = train()
    transposes = [step for step in own(good) if step.op is TRANSPOSE]
    assert wrong(good, without(good, transposes[1]))[0] == (
        "tt, transpose operators between factors: predicted 2, found 1"
    )
    assert "tt, transpose operators at its ends: predicted 1, found 0" in wrong(good, without(good, transposes[0]))
    product = next(step for step in own(good) if step.op is PRODUCT)
    assert wrong(good, split(good, product))[0] == "tt, product operators: predicted 3, found 4"
    assert "tt, reshape operators between factors: predicted 4, found 5" in wrong(good, after(good, product, "Squeeze"))


def test_a_move_in_another_place_is_seen() -> None:
    """As many of each, but a transpose stands on the other side of a product."""
    good = train()
    place = [index for index, step in enumerate(good.steps) if step.op is TRANSPOSE and step.layer == "tt"][1]
    moved, steps = good.steps[place], list(good.steps)
    less = without(good, moved)
    product = next(step for step in less.steps[place:] if step.op is PRODUCT)
    assert wrong(good, after(less, product, "Transpose")) and len(steps) == len(after(less, product, "T").steps)


def test_a_layer_that_is_not_in_factors() -> None:
    good = chain(("fc", "Dense", 300, 144, 12), ("fc", "relu", 0), ("end", "Dense", 288, 144))
    assert wrong(good, good) == []
    for step in (good.steps[0], good.steps[2]):
        for operator, name in (("RESHAPE", "reshape"), ("TRANSPOSE", "transpose")):
            (line,) = wrong(good, after(good, step, operator))
            assert line == f"{step.layer}, {name} operators at its ends: predicted 0, found 1"
    convolution = replace(good.steps[0], operator="CONV_2D")
    assert wrong(good, replace(good, steps=(convolution, *good.steps[1:]))) == [
        "fc, product operators: predicted 1, found 0",
        "fc, convolution operators: predicted 0, found 1",
    ]


def test_arithmetic_is_told_apart() -> None:
    good = chain(("a", "Mul", 12, 12), ("a", "Add", 12, 12), ("b", "Multiply", 12))
    assert wrong(good, chain(("a", "MUL", 12, 12), ("a", "ADD", 12, 12), ("b", "MUL", 12))) == []
    assert wrong(good, chain(("a", "MUL", 12, 12), ("a", "MUL", 12, 12), ("b", "MUL", 12))) == [
        "a, mul operators: predicted 1, found 2",
        "a, add operators: predicted 1, found 0",
    ]


HONEST = {
    "a bias that rides": (
        Liberty.RIDES,
        chain(("fc", "Dense", 288, 144), ("fc", "Reshape", 0), ("fc", "Add", 12, 12)),
        chain(("fc", "FULLY_CONNECTED", 300, 144, 12)),
    ),
    "a bias that rides on a factor": (
        Liberty.RIDES,
        chain(("tt", "Product", 48, 24), ("tt", "Product", 48, 24), ("tt", "Add", 12, 12)),
        chain(("tt", "MatMul", 48, 24), ("tt", "Gemm", 60, 24, 12)),
    ),
    "a ReLU that rides": (
        Liberty.RIDES,
        chain(("fc", "Dense", 288, 144), ("fc", "relu", 0), ("tt", "Reshape", 0), ("tt", "Product", 48, 24)),
        chain(("fc", "Gemm", 288, 144), ("fc", "Reshape", 0), ("tt", "MatMul", 48, 24)),
    ),
    "a difference": (
        Liberty.SIGN,
        chain(("n", "Mul", 12, 1), ("n", "Add", 12, 1)),
        chain(("n", "MUL", 12, 1), ("n", "SUB", 12, 1)),
    ),
    "views that are one": (
        Liberty.VIEW,
        chain(("flat", "Flatten", 0), ("tt", "Reshape", 0), ("tt", "Product", 48, 24), ("tt", "Reshape", 0)),
        chain(("flat", "Reshape", 0), ("tt", "MatMul", 48, 24), ("tt", "Reshape", 0)),
    ),
    "views of one layer, called twice": (
        Liberty.VIEW,
        chain(("tt", "Product", 48, 24), ("tt", "Reshape", 0), ("tt", "Reshape", 0), ("tt", "Product", 48, 24)),
        chain(("tt", "MatMul", 48, 24), ("tt", "Reshape", 0), ("tt", "MatMul", 48, 24)),
    ),
    "rows as they lie": (
        Liberty.WHOLE,
        chain(("fc", "Reshape", 0), ("fc", "Dense", 288, 144), ("fc", "Reshape", 0)),
        chain(("fc", "FULLY_CONNECTED", 288, 144)),
    ),
    "layouts that undo each other": (
        Liberty.WHOLE,
        chain(("a", "Transpose", 0), ("a", "Convolution", 48, 24), ("a", "Transpose", 0), ("a", "relu", 0)),
        chain(("a", "Conv", 48, 24), ("a", "Relu", 0)),
    ),
    "a transpose behind an activation": (
        Liberty.PUSHED,
        chain(
            ("tt", "Product", 48, 24),
            ("tt", "Reshape", 0),
            ("tt", "Transpose", 0),
            ("tt", "Add", 12, 12),
            ("tt", "tanh", 0),
        ),
        chain(
            ("tt", "MatMul", 48, 24),
            ("tt", "Reshape", 0),
            ("tt", "Add", 12, 12),
            ("tt", "Tanh", 0),
            ("tt", "Transpose", 0),
        ),
    ),
    "a transpose that undoes another layer's": (
        Liberty.PUSHED,
        chain(("a", "Product", 48, 24), ("a", "Transpose", 0), ("b", "Transpose", 0), ("b", "Product", 48, 24)),
        chain(("a", "FULLY_CONNECTED", 48, 24), ("b", "FULLY_CONNECTED", 48, 24)),
    ),
    "a transpose behind an activation that undoes another layer's": (
        Liberty.PUSHED,
        chain(
            ("a", "Product", 48, 24),
            ("a", "Transpose", 0),
            ("a", "tanh", 0),
            ("b", "Transpose", 0),
            ("b", "Product", 48, 24),
        ),
        chain(("a", "MatMul", 48, 24), ("a", "Tanh", 0), ("b", "MatMul", 48, 24)),
    ),
    "an activation that comes before the moves behind its product": (
        Liberty.PUSHED,
        chain(("a", "Product", 48, 24), ("a", "Transpose", 0), ("a", "Reshape", 0), ("a", "tanh", 0)),
        chain(("a", "FULLY_CONNECTED", 48, 24), ("a", "TANH", 0), ("a", "TRANSPOSE", 0), ("a", "RESHAPE", 0)),
    ),
    "rows as they lie, between factors": (
        Liberty.VIEW,
        chain(
            ("a", "Product", 48, 24),
            ("a", "Reshape", 0),
            ("a", "Transpose", 0),
            ("a", "Reshape", 0),
            ("a", "Product", 48, 24),
        ),
        chain(("a", "FULLY_CONNECTED", 48, 24), ("a", "TRANSPOSE", 0), ("a", "FULLY_CONNECTED", 48, 24)),
    ),
    "a layout that another layer brings about": (
        Liberty.LAYOUT,
        chain(("a", "Convolution", 48, 24), ("b", "Dense", 288, 144)),
        chain(("a", "Conv", 48, 24), ("b", "Transpose", 0), ("b", "MatMul", 288, 144)),
    ),
    "a layout of one channel": (
        Liberty.LAYOUT,
        chain(("a", "Transpose", 0), ("a", "Convolution", 48, 24)),
        chain(("a", "Reshape", 0), ("a", "Conv", 48, 24)),
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_a_converter_may_do_is_no_fault(name: str) -> None:
    _, predicted, found = HONEST[name]
    assert wrong(predicted, found) == []


def test_each_liberty_is_tested_and_has_a_reason() -> None:
    assert {liberty for liberty, _, _ in HONEST.values()} == set(Liberty)
    assert all(liberty.value for liberty in Liberty)


def test_moves_that_layers_share_belong_to_the_first() -> None:
    sizes = {"x": 24, "a": 20, "b": 20}
    steps = [steps_of(Step(name, "Factored", ("x",), (name,)), SHAPE, sizes) for name in "ab"]
    shared = {
        step.writes[0]: twin.writes[0] for twin, step in zip(*steps, strict=True) if step.op in (RESHAPE, TRANSPOSE)
    }
    begun = next(index for index, step in enumerate(steps[1]) if step.op is PRODUCT)
    rest = [replace(steps[1][begun], reads=(shared[steps[1][begun].reads[0]],)), *steps[1][begun + 1 :]]
    good = Graph((*steps[0], *steps[1]), sizes, ("x",), ("a", "b"))
    assert begun and wrong(good, replace(good, steps=(*steps[0], *rest))) == []
