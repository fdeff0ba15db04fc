"""What layers take on a target in each solution of their fronts: of the bytes of its file, and of its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from edgett.forms.front import Front
from edgett.graph.dtype import DType
from edgett.graph.graph import Graph
from edgett.search.explore import Costing
from edgett.search.replaced import with_edits
from edgett.search.together import NO_PRICE, Price

MOST_PRICED = 1 << 13
"""Solutions whose whole models are looked at; of more, parameters and FLOPs have to tell."""


def prices(fronts: Sequence[Front], graph: Callable[[frozenset[str]], Graph], costing: Costing) -> tuple[Price, ...]:
    """Predict what each layer takes on the target, from the whole model with that layer alone in another form.

    In float32 nearly all bytes are those of parameters, which then stand for them. Those of smaller numbers are not:
    each channel has a scale and a bias beside its weights, and each operator its tables.

    Args:
        fronts: one a layer.
        graph: gives the dense model's graph with nothing folded into the layers of these paths.
        costing: the target's number width, file format and speeds.

    Returns:
        One a layer: dense, then each solution.
    """
    nothing = not counts_bytes(costing) and costing.speeds is None and costing.instructions is None
    if nothing or sum(map(len, fronts)) > MOST_PRICED:
        return (NO_PRICE,) * len(fronts)
    dense = graph(frozenset())
    return tuple(_price(front, dense, list(_models(front, graph)), costing) for front in fronts)


def counts_bytes(costing: Costing) -> bool:
    """Whether parameters do not tell the bytes of the target's file."""
    return costing.width != DType.FLOAT32.size


def part_of_file(name: str, dense: Graph, costing: Costing) -> int:
    """The bytes by which the file of the dense model would be smaller without a layer.

    Args:
        name: the path of the layer.
        dense: the dense model's graph.
        costing: the target's file format.

    Returns:
        Bytes.
    """
    others = replace(dense, steps=tuple(step for step in dense.steps if step.layer != name))
    return costing.file_bytes(dense) - costing.file_bytes(others)


def _price(front: Front, dense: Graph, models: Sequence[Graph], costing: Costing) -> Price:
    """By the models that have the layer in each form of its front."""
    name, file_bytes = front.layer.name, None
    if counts_bytes(costing):
        own, whole = part_of_file(name, dense, costing), costing.file_bytes(dense)
        file_bytes = np.maximum(0, [own, *(own + costing.file_bytes(model) - whole for model in models)])
    paces = [None if (taken := costing.paces(model)) is None else taken.get(name, 0.0) for model in (dense, *models)]
    known = [round(1000 * pace) for pace in paces if pace is not None]
    return Price(file_bytes, np.array(known) if known else None)


def _models(front: Front, graph: Callable[[frozenset[str]], Graph]) -> Iterator[Graph]:
    """The model with the layer in each form of its front as it is exported, the plainest of those that are alike."""
    name = front.layer.name
    for spec in front.specs:
        yield with_edits(graph(frozenset([name])), {name: spec.alternatives()[0]})
