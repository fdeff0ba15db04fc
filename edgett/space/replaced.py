"""A graph in which dense steps are replaced by what executes their TT shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgett.graph.graph import Constant, Graph, Step
from edgett.space.contraction import Product, plan
from edgett.values import TTShape


def with_shapes(graph: Graph, shapes: Mapping[str, TTShape], batch: int = 1) -> Graph:
    """The graph with every dense step of the layers named by `shapes` replaced by the steps of its TT shape."""
    steps: list[Step] = []
    sizes = dict(graph.sizes)
    for step in graph.steps:
        if step.operator == "Dense" and step.layer in shapes:
            steps += tt_steps(step, shapes[step.layer], batch, sizes)
        else:
            steps.append(step)
    return replace(graph, steps=tuple(steps), sizes=sizes)


def tt_steps(step: Step, shape: TTShape, batch: int, sizes: dict[str, int]) -> list[Step]:
    """The steps of a TT layer between the tensors that `step` reads and writes; new tensors join `sizes`.

    A constant "bias" of `step` becomes one ADD behind the last product. Cores are as wide as what they stand for.
    """
    (source,), (target,) = step.reads, step.writes
    bias = [constant for constant in step.constants if constant.key == "bias"]
    width = next((constant.width for constant in step.constants if constant.key == "kernel"), Constant.width)
    operators = plan(shape, batch)
    tensor, steps = source, []
    for index, operator in enumerate(operators):
        result = f"{target}/{index}" if bias or index < len(operators) - 1 else target
        sizes[result] = operator.writes
        if isinstance(operator, Product):
            core = Constant(f"core_{operator.core}", operator.inner * operator.columns, width)
            steps.append(
                Step(step.layer, "Product", (tensor,), (result,), (core,), operator.flops, operator.flops // 2)
            )
        else:
            steps.append(Step(step.layer, type(operator).__name__, (tensor,), (result,)))
        tensor = result
    if bias:
        steps.append(Step(step.layer, "Add", (tensor,), (target,), tuple(bias), sizes[target]))
    return steps
