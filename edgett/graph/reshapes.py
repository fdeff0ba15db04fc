"""What TensorFlow's converter to TFLite leaves of reshapes that stand one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgett.graph.graph import Graph, Step


def reshaped_once(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The graph with one reshape for a row of them, and none where the shape is the same after it as before.

    `shapes` has the shapes of tensors; a reshape from or to one that it does not know stays.
    """
    same: dict[str, str] = {}
    makers: dict[str, Step] = {}
    steps: list[Step] = []
    for step in graph.steps:
        step = replace(step, reads=tuple(same.get(name, name) for name in step.reads))
        if step.op.view and {*step.reads, *step.writes} <= shapes.keys():
            (source,), (target,) = step.reads, step.writes
            if source in makers:
                (source,) = makers[source].reads
                step = replace(step, reads=(source,))
            ends = target in graph.outputs and source in (*graph.inputs, *graph.outputs, *same.values())
            if shapes[source] == shapes[target] and not ends:
                same[target] = source
                continue
            makers[target] = step
        steps.append(step)
    outputs = tuple(same.get(name, name) for name in graph.outputs)
    wanted = {*outputs, *(name for step in steps for name in step.reads)}
    kept = (step for step in steps if not set(step.writes) <= makers.keys() or set(step.writes) & wanted)
    return replace(graph, steps=tuple(kept), outputs=outputs)
