"""Steps 2 to 5 as a job asks for them: the paper's grid, or the Pareto set of the whole space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from edgett.errors import UsageError
from edgett.forms import cost
from edgett.forms.front import Search
from edgett.forms.site import CostModel, Found, Layer
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.graph import Graph
from edgett.job.job import Job
from edgett.meter import Meter
from edgett.search import explore, sized, whole
from edgett.search.choices import Strategy
from edgett.search.constraints import FLOPS, MODEL_BYTES, PEAK, Constraints
from edgett.search.explore import STANDARD, Costing, Exploration, Grid
from edgett.search.join import NO_LIMIT
from edgett.search.prices import part_of_file, prices
from edgett.search.sized import Sized
from edgett.search.together import Share
from edgett.search.whole import Weighed, Whole

if TYPE_CHECKING:
    from edgett.model.stream import Batch, Stream

Explored = Exploration | Whole
Graphs = Callable[[frozenset[str]], Graph]


UNEVEN = 1024
"""Bytes by which a file may be smaller than what its layers add up to: arrays begin at multiples of 16, and some biases
ride on another layer. Of the whole files that are costed afterwards none may be above the limit."""


@dataclass(frozen=True)
class Room:
    """The whole model, by the layers into which nothing is folded, the limits it has to keep, and how it is costed.

    `x` are inputs by name that forms are fitted to, or batches of them; None: they are fitted to the weights alone.
    """

    graph: Graphs
    limits: Constraints
    costing: Costing = STANDARD
    x: Batch | Stream | None = None


def graphs(model: Any, costing: Costing = STANDARD) -> Graphs:
    """What the inference form of a model does, by the layers into which nothing is to be folded.

    With such layers it is that of the model after it was trained, without that of the model as it is. Into convolutions
    all is folded as ever, in a form or not.
    """
    from edgett.model.inference import inference_form
    from edgett.model.predict import predict
    from edgett.model.trace import trace

    @cache
    def graph(held: frozenset[str], trained: bool) -> Graph:
        form = inference_form(model, costing.batch, held, untrained=trained)
        fused, quantised = costing.form is Format.TFLITE, costing.width == DType.INT8.size
        made = predict(form, costing.batch, fused=fused, quantised=quantised)
        if not fused or costing.instructions is None:
            return made
        return replace(made, in_c=predict(form, costing.batch, fused=False, quantised=quantised))

    convolved = frozenset(call.path for call in trace(model).calls if hasattr(call.layer, "kernel_size"))
    return lambda names: graph(names - convolved, bool(names))


def survey(model: Any, found: Sequence[Found], job: Job, room: Room, meter: Meter) -> Explored:
    """Steps 2 to 5 by the job's strategy, the whole space inside the limits."""
    if job.search is Strategy.GRID:
        return over_grid(found, Grid(job.max_ranks, job.grid, job.empty_tiles, CostModel.EXACT), meter)
    layers = met(model, weighed(model, found, room.graph(frozenset())), room.x, meter)
    inside, search, peak = share(layers, room), job.whole_space, room.limits[PEAK]
    priced = partial(prices, graph=room.graph, costing=room.costing)
    if peak is None:
        return over_whole(layers, search, inside, meter, priced)
    most_peak = int(peak) // (room.costing.width * room.costing.batch)
    explored = over_whole(layers, replace(search, most_peak=most_peak), inside, meter, priced)
    # Where no layer fits, the nearest miss is to be told.
    if explored.taken or not whole.units(layers):
        return explored
    return over_whole(layers, search, inside, meter, priced)


def over_grid(found: Sequence[Found], grid: Grid, meter: Meter) -> Exploration:
    """The paper's steps 2 to 5, for layers of which no more than the size matters. Raises UsageError for others."""
    for layer in (item.layer for item in found if item.excluded is None):
        if layer.window is not None:
            raise UsageError(
                f"Layer {layer.size} is a convolution: --search grid, the paper's, is for fully connected layers.",
                "Explore it by --search pareto, in Python by edgett.explore_sizes.",
            )
    with meter.stage("exploring the design space", explore.units(found, grid)) as advance:
        return explore.explore(found, grid, advance)


def over_sizes(layers: Sequence[Layer], search: Search, meter: Meter) -> Sized:
    """All that convolutions may be held as of which no more than the size is known."""
    with meter.stage("listing the design space"):
        return sized.explore(layers, search)


def over_whole(
    layers: Sequence[Weighed], search: Search, inside: Share, meter: Meter, priced: whole.Prices = whole.unpriced
) -> Whole:
    """The Pareto sets of layers whose weights are known."""
    with meter.stage("searching the whole design space", whole.units(layers)) as advance:
        return whole.explore(layers, search, inside, advance, priced)


def whole_of(
    model: Any, found: Sequence[Found], search: Search, meter: Meter, x: Mapping[str, Any] | None = None
) -> Whole:
    """The Pareto sets of a trained model's layers, with no budget to keep; `x` as in `Room`."""
    layers = weighed(model, found, graphs(model)(frozenset()))
    if x is None and any(one.found.layer.window and one.found.excluded is None for one in layers):
        meter.say("Convolutions are fitted to their weights alone: without --data nothing tells what they are given.")
    return over_whole(met(model, layers, x, meter), search, Share(), meter)


def weighed(model: Any, found: Sequence[Found], dense: Graph) -> tuple[Weighed, ...]:
    """The layers with their trained weights, and how often each runs for one sample."""
    from edgett.model.layers import kernels

    weights = kernels(model, [item.layer.name for item in found if item.excluded is None])
    uses = Counter(step.layer for step in dense.steps if step.stores("kernel"))
    return tuple(Weighed(item, weights.get(item.layer.name), uses[item.layer.name]) for item in found)


def met(model: Any, layers: Sequence[Weighed], x: Batch | Stream | None, meter: Meter) -> tuple[Weighed, ...]:
    """The layers, convolutions with what they are given for some samples; without samples as they are."""
    from edgett.model import weigh

    paths = [one.found.layer.name for one in layers if one.found.layer.window and one.found.excluded is None]
    if x is None or not paths:
        return tuple(layers)
    some = weigh.spread(x)
    with meter.stage("looking at what convolutions are given", some.count) as advance:
        seen = weigh.moments(model, some, paths, advance)
    return tuple(replace(one, seen=seen.get(one.found.layer.name)) for one in layers)


def share(layers: Sequence[Weighed], room: Room) -> Share:
    """What the budgets of the whole model leave to the layers that may be factorised, at the very most."""
    graph, limits = room.graph, room.limits
    taken = [layer for layer in layers if layer.found.excluded is None]
    dense = graph(frozenset())
    # What is folded into a dense layer may give it a bias that a form in its place spares.
    alone = [graph(frozenset([layer.found.layer.name])) for layer in taken]
    params, flops, file_bytes = NO_LIMIT, NO_LIMIT, NO_LIMIT
    if (most := limits[MODEL_BYTES]) is not None:
        names = {layer.found.layer.name for layer in taken}
        others = replace(dense, steps=tuple(step for step in dense.steps if step.layer not in names))
        overhead = room.costing.file_bytes(others) - others.params() * room.costing.width
        rest = dense.params() + sum(min(0, one.params() - dense.params()) for one in alone)
        rest -= sum(cost.dense(layer.found.layer).params for layer in taken)
        params = (int(most) - overhead) // room.costing.width - rest
        parts = sum(max(0, part_of_file(layer.found.layer.name, dense, room.costing)) for layer in taken)
        file_bytes = int(most) + UNEVEN - (room.costing.file_bytes(dense) - parts)
    if (most := limits[FLOPS]) is not None:
        rest = (dense.flops() + sum(min(0, one.flops() - dense.flops()) for one in alone)) // room.costing.batch
        rest -= sum(cost.dense(layer.found.layer).flops * layer.uses for layer in taken)
        flops = int(most) - rest
    return Share(params, flops, file_bytes)
