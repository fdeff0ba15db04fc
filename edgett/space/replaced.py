"""A graph in which dense steps are replaced by what executes the forms that stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgett.forms.operators import Moves, Mul, Product, sources
from edgett.forms.spec import Spec
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.riding import with_riding_biases


def with_edits(graph: Graph, edits: Mapping[str, Spec], batch: int = 1) -> Graph:
    """The graph with every dense step of the layers named by `edits` replaced by the steps of its form."""
    steps: list[Step] = []
    sizes = dict(graph.sizes)
    for step in graph.steps:
        if step.operator == "Dense" and step.layer in edits:
            steps += steps_of(step, edits[step.layer], batch, sizes)
        else:
            steps.append(step)
    swapped = replace(graph, steps=tuple(steps), sizes=sizes)
    return with_riding_biases(swapped) if graph.fused else swapped


def steps_of(step: Step, spec: Spec, batch: int, sizes: dict[str, int], moves: Moves = Moves.NUMBERS) -> list[Step]:
    """What a form executes between the tensors that `step` reads and writes; new tensors join `sizes`.

    `moves`: how the file's runtime is fastest at transposes, which changes views alone. A constant "bias" of `step`
    becomes one ADD behind the last operator. Factors are as wide as what they stand for.
    """
    (source,), (target,) = step.reads, step.writes
    bias = [constant for constant in step.constants if constant.key == "bias"]
    width = next((constant.width for constant in step.constants if constant.key == "kernel"), Constant.width)
    plan = spec.plan(batch, moves)
    tensors, steps = [source], []
    for index, (operator, reads) in enumerate(zip(plan, sources(plan), strict=True)):
        result = f"{target}/{index}" if bias or index < len(plan) - 1 else target
        sizes[result] = operator.writes
        stored = (
            (Constant(f"factor_{operator.factor}", operator.stored, width),)
            if isinstance(operator, (Product, Mul))
            else ()
        )
        read = tuple(tensors[each] for each in reads)
        name = type(operator).__name__
        steps.append(Step(step.layer, name, read, (result,), stored, operator.flops, operator.macs))
        tensors.append(result)
    if bias:
        steps.append(Step(step.layer, "Add", (tensors[-1],), (target,), tuple(bias), sizes[target]))
    return steps
