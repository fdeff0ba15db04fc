"""A graph in which dense steps are replaced by what executes the forms that stand for them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from edgett.forms.operators import Convolve, Moves, Mul, Product, Reshape, Transpose, sources
from edgett.forms.spec import Spec
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.op import CONVOLUTION, RESHAPE, TRANSPOSE
from edgett.graph.riding import with_riding_biases
from edgett.graph.traits import Rule


def with_edits(graph: Graph, edits: Mapping[str, Spec]) -> Graph:
    """Replace dense steps of a graph by the steps of the forms that stand for them.

    Args:
        graph: that of the dense model, with nothing folded into the layers to replace.
        edits: by the path of a layer the form of its weight.

    Returns:
        The graph of the model with these forms.
    """
    steps: list[Step] = []
    sizes = dict(graph.sizes)
    moves = Moves.RUNS if graph.fused else Moves.NUMBERS
    for place, step in enumerate(graph.steps):
        if step.layer not in edits or step.op.rule is not Rule.PRODUCT or not step.stores("kernel"):
            steps.append(step)
        elif step.op is CONVOLUTION:
            between = () if graph.fused else _round(graph.steps, place)
            apart = (
                place > 0 and graph.steps[place - 1].op is CONVOLUTION and graph.steps[place - 1].layer == step.layer
            )
            steps += links_of(step, edits[step.layer], sizes, between, apart=apart)
        else:
            steps += steps_of(step, edits[step.layer], sizes, moves)
    in_c = None if graph.in_c is None else with_edits(graph.in_c, edits)
    swapped = replace(graph, steps=joined(steps, edits), sizes=sizes, in_c=in_c)
    return with_riding_biases(swapped) if graph.fused else swapped


def links_of(step: Step, spec: Spec, sizes: dict[str, int], between: Sequence[str] = (), *, apart: bool) -> list[Step]:
    """What a form of a convolution executes in the place of the dense one: the bias stays with the last link.

    Args:
        step: the dense convolution; its constants are "kernel", for the width, and perhaps its bias.
        spec: how the weight is held.
        sizes: the elements of each tensor; new ones are added.
        between: the moves that stand between two convolutions.
        apart: whether they stand before the first link, too: another convolution of the layer is there.

    Returns:
        The steps, from the tensor that `step` reads to the one that it writes.
    """
    (source,), (target,) = step.reads, step.writes
    width = next(constant.width for constant in step.constants if constant.key == "kernel")
    riding = tuple(constant for constant in step.constants if constant.key != "kernel")
    plan = spec.plan(sizes[source] // spec.reads)
    steps: list[Step] = []

    def moved(source: str) -> str:
        for name in between:
            made = f"{target}/move/{len(steps)}"
            sizes[made] = sizes[source]
            steps.append(Step(step.layer, name, (source,), (made,)))
            source = made
        return source

    for index, operator in enumerate(plan):
        assert isinstance(operator, Convolve), operator
        source = moved(source) if index or apart else source
        last = index == len(plan) - 1
        result = target if last else f"{target}/{index}"
        sizes[result] = operator.writes
        stored = Constant(f"factor_{operator.factor}", operator.stored, width, channels=operator.outputs)
        constants, added = ((stored, *riding), operator.writes) if last and riding else ((stored,), 0)
        flops = operator.flops + added
        made = Step(step.layer, step.operator, (source,), (result,), constants, flops, operator.macs)
        steps.append(replace(made, depthwise=operator.depthwise, window=operator.window))
        source = result
    return steps


def _round(steps: Sequence[Step], place: int) -> tuple[str, ...]:
    """The moves behind the convolutions of a layer and before them, as they would stand between two of them."""
    layer = steps[place].layer
    behind = itertools.takewhile(lambda step: step.layer == layer and _moves(step), steps[place + 1 :])
    earlier = itertools.dropwhile(lambda step: step.layer == layer and step.op is CONVOLUTION, reversed(steps[:place]))
    before = itertools.takewhile(lambda step: step.layer == layer and _moves(step), earlier)
    return tuple(step.operator for step in (*behind, *reversed([*before])))


def _moves(step: Step) -> bool:
    return step.op in (RESHAPE, TRANSPOSE)


def joined(steps: Sequence[Step], layers: Collection[str]) -> tuple[Step, ...]:
    """Join reshapes that follow each other inside some layers: one where one reads what another one makes.

    Args:
        steps: operators in the order they run.
        layers: the paths of the layers in which it is done.

    Returns:
        The steps that are left.
    """
    readers = Counter(name for step in steps for name in step.reads)
    kept: list[Step] = []
    for step in steps:
        before = kept[-1] if kept else step
        both = all(one.operator == Reshape.__name__ and one.layer in layers for one in (before, step))
        alone = before.layer == step.layer and before.writes == step.reads and readers[before.writes[0]] == 1
        if both and alone:
            step = replace(kept.pop(), writes=step.writes)
        kept.append(step)
    return tuple(kept)


def steps_of(step: Step, spec: Spec, sizes: dict[str, int], moves: Moves = Moves.NUMBERS) -> list[Step]:
    """What a form executes in the place of a dense step.

    Factors are as wide as the weight that they stand for; a bias becomes one ADD behind the last operator.

    Args:
        step: reads rows of X and writes rows of Y numbers; its constants are "kernel", for the width, and "bias".
        spec: how the weight is held.
        sizes: the elements of each tensor; new ones are added.
        moves: how the file's runtime is fastest at transposes, which changes views alone.

    Returns:
        The steps, from the tensor that `step` reads to the one that it writes.
    """
    (source,), (target,) = step.reads, step.writes
    bias = [constant for constant in step.constants if constant.key == "bias"]
    width = next((constant.width for constant in step.constants if constant.key == "kernel"), Constant.width)
    plan = spec.plan(sizes[source] // spec.reads, moves)
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
        turns = operator.dims if isinstance(operator, Transpose) else ()
        steps.append(Step(step.layer, name, read, (result,), stored, operator.flops, operator.macs, turns=turns))
        tensors.append(result)
    if bias:
        steps.append(Step(step.layer, "Add", (tensors[-1],), (target,), tuple(bias), sizes[target]))
    return steps
