"""Biases that become a part of the product before them, as TensorFlow's converter to TFLite has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.op import ADD, PRODUCT


def with_riding_biases(graph: Graph) -> Graph:
    """The graph with each bias of a layer riding on the product whose result it is added to, where nothing else reads.

    A reshape of the layer between the two goes. In int8 a bias takes four bytes a number then, and is stored once for
    each product, as its scale is that of the input.
    """
    readers = Counter(name for step in graph.steps for name in step.reads) + Counter(graph.outputs)
    makers: dict[str, int] = {}
    views: dict[str, int] = {}
    steps: list[Step | None] = []
    for step in graph.steps:
        source = step.reads[0] if step.reads else ""
        place = makers.get(source) if readers[source] == 1 else None
        product = None if place is None else steps[place]
        if place is not None and product is not None and step.op is ADD and _fits(step, product):
            steps[place] = _together(product, step, place)
            if source in views:
                steps[views[source]] = None
            continue
        if step.op is PRODUCT:
            makers[step.writes[0]] = len(steps)
        elif place is not None and product is not None and step.op.view and step.layer == product.layer:
            makers[step.writes[0]], views[step.writes[0]] = place, len(steps)
        steps.append(step)
    return replace(graph, steps=tuple(step for step in steps if step is not None))


def _fits(addition: Step, product: Step) -> bool:
    """Whether a number for each column is added to a product of the same layer that has no bias yet."""
    if addition.layer != product.layer or (len(addition.constants), len(product.constants)) != (1, 1):
        return False
    # Columns times MACs are results times the numbers of the matrix.
    return addition.constants[0].count * product.macs == (addition.flops or 0) * product.constants[0].count


def _together(product: Step, addition: Step, place: int) -> Step:
    (kernel,), (bias,) = product.constants, addition.constants
    riding = Constant(bias.key if kernel.width > 1 else f"bias/{place}", bias.count)
    flops = (product.flops or 0) + (addition.flops or 0)
    return replace(product, writes=addition.writes, constants=(kernel, riding), flops=flops)
