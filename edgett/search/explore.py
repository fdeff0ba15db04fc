"""Steps 2 to 5 for all layers of a model, and the joint candidates as solutions of the whole model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from edgett.forms.site import Cost, CostModel, Found
from edgett.forms.spec import Spec
from edgett.graph.c_view import compiled_bytes
from edgett.graph.filesize import Format, file_bytes
from edgett.graph.graph import Graph
from edgett.graph.instructions import Cycles, Instructions
from edgett.graph.latency import Speeds, latency_us, layers_us
from edgett.graph.memory import arena_bytes
from edgett.search.choices import EmptyTiles
from edgett.search.choose import DENSE, logarithmic, ranked, spread, tradeoffs
from edgett.search.replaced import with_edits
from edgett.search.solution import Candidate, InferenceCost, Solution
from edgett.search.tiles import Joint, LayerSpace, joint, layer_space, work_units


@dataclass(frozen=True)
class Costing:
    """How a model is costed for its target.

    Attributes:
        batch: samples at once.
        width: bytes of a number.
        form: the format of its file.
        speeds: those that were measured on the target; None: nobody has.
        instructions: what C takes there; None: it runs no C, or nobody has counted.
        estimate: a guess of its speeds, or of what instructions take, which decides nothing.
        unforeseen: bytes that the file of the dense model was found to take beyond what was predicted, which every
            other one takes as well.
        least_peak: the bytes that layers without a rule were found to take at once in it.
    """

    batch: int = 1
    width: int = 4
    form: Format = Format.TFLITE
    speeds: Speeds | None = None
    instructions: Instructions | None = None
    estimate: Speeds | Cycles | None = None
    unforeseen: int = 0
    least_peak: int = 0

    def file_bytes(self, graph: Graph) -> int:
        """Predict the bytes of the model's file; of C, those of its constants.

        Args:
            graph: that of the .tflite, or for ONNX and C that of the .onnx.

        Returns:
            Bytes.
        """
        return file_bytes(graph, self.form) + self.unforeseen

    def peak_bytes(self, graph: Graph) -> int:
        """Predict the bytes that tensors take at once: an interpreter's arena, or in C inputs, outputs and workspaces.

        Args:
            graph: that of the .tflite, or for C that of the .onnx.

        Returns:
            Bytes.
        """
        if self.form is Format.C:
            return compiled_bytes(graph, self.width)
        return max(arena_bytes(graph, self.width), self.least_peak)

    def paces(self, graph: Graph) -> dict[str, float] | None:
        """Predict what layers take on the target.

        Args:
            graph: as above, with what C is made of where instructions are known.

        Returns:
            Microseconds by the path of the layer, or else instructions; None where nothing is known.
        """
        if self.speeds is not None:
            return layers_us(graph, self.speeds, self.width)
        return None if self.instructions is None else self.instructions.layers(graph.in_c or graph, self.width)


STANDARD = Costing()
"""A sample at a time, float32, run by an interpreter."""


@dataclass(frozen=True)
class Grid:
    """The paper's design space and how it is pruned.

    Attributes:
        max_ranks: those that every factorisation is combined with.
        size: tiles a side.
        empty: what becomes of a tile that is empty in some layer.
        model: how FLOPs are counted.
    """

    max_ranks: tuple[int, ...]
    size: int
    empty: EmptyTiles
    model: CostModel = CostModel.EXACT


@dataclass(frozen=True)
class Exploration:
    """The paper's design space of a model.

    Attributes:
        grid: the max ranks, and the grid that it is pruned on.
        layers: each with its space of solutions; None: it is left alone.
        joint: the layers' spaces joined, tile by tile.
    """

    grid: Grid
    layers: tuple[tuple[Found, LayerSpace | None], ...]
    joint: Joint

    @property
    def taken(self) -> tuple[LayerSpace, ...]:
        """The spaces of the layers that are factorised."""
        return tuple(space for found, space in self.layers if space is not None and found.excluded is None)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The distinct joint solutions, in the order of the tiles."""
        names = [found.layer.name for found, _ in self.layers if found.excluded is None]
        return tuple(Candidate(dict(zip(names, shapes, strict=True))) for shapes in self.joint.candidates)

    @property
    def solutions(self) -> int:
        """Joint solutions before any is discarded; 0 when no layer is factorised."""
        return math.prod(space.solutions for space in self.taken) if self.taken else 0

    @property
    def efficient(self) -> int:
        """Joint solutions in which every layer is smaller and cheaper than dense."""
        return math.prod(space.efficient for space in self.taken) if self.taken else 0


def explore(found: Sequence[Found], grid: Grid, advance: Callable[[int], None] = lambda units: None) -> Exploration:
    """Explore the paper's design space of a model's layers: steps 2 to 5.

    Args:
        found: the layers, some perhaps excluded.
        grid: the max ranks, and the grid.
        advance: is called with the units of work just done, of `units(found, grid)` in all.

    Returns:
        The layers with their spaces, and the candidates of all layers together.

    Raises:
        UsageError: for an unusable grid.
    """
    layers: list[tuple[Found, LayerSpace | None]] = []
    known: dict[tuple[int, int, bool], LayerSpace] = {}
    for item in found:
        if item.excluded is not None:
            layers.append((item, None))
            continue
        key = item.layer.inputs, item.layer.outputs, item.layer.bias
        if key not in known:
            # How many positions meet the weight changes what its solutions cost, and not which are the better ones.
            one = replace(item.layer, positions=1)
            known[key] = layer_space(one, grid.max_ranks, grid.model, grid.size, advance)
        space = known[key]
        reason = space.reason and space.reason.removeprefix(f"{item.layer.inputs}x{item.layer.outputs}: ")
        layers.append((Found(item.layer, reason), space))
    taken = [space for item, space in layers if space is not None and item.excluded is None]
    return Exploration(grid, tuple(layers), joint(taken, grid.size, grid.empty))


def units(found: Sequence[Found], grid: Grid) -> int:
    """The units of work that `explore` reports.

    Args:
        found: the layers, some perhaps excluded.
        grid: the max ranks, and the grid.

    Returns:
        Their number.
    """
    sizes = {(item.layer.inputs, item.layer.outputs, item.layer.bias) for item in found if item.excluded is None}
    return len(sizes) * work_units(grid.max_ranks)


def solutions(
    candidates: Sequence[Candidate],
    graph: Callable[[frozenset[str]], Graph],
    costing: Costing = STANDARD,
    advance: Callable[[int], None] = lambda units: None,
) -> tuple[Solution, ...]:
    """Cost the whole model with each candidate in it.

    Each spec is the plainest that stands for the same weights at no more cost.

    Args:
        candidates: the forms of some layers each.
        graph: gives the dense model's graph with nothing folded into the layers of these paths.
        costing: the target's file format and speeds.
        advance: is called with the candidates just costed.

    Returns:
        Each candidate with its cost for one sample, numbered as they come.
    """
    made = []
    for number, (candidate, edits) in enumerate(zip(candidates, _exported(candidates), strict=True)):
        whole = with_edits(graph(frozenset(edits)), edits)
        made.append(_solution(number, Candidate(edits, candidate.loss), whole, costing))
        advance(1)
    return tuple(made)


def _exported(candidates: Sequence[Candidate]) -> list[dict[str, Spec]]:
    """The specs that each candidate is exported in, no two alike: they stay less plain where others are so already."""
    ways = [{name: spec.alternatives() for name, spec in candidate.edits.items()} for candidate in candidates]
    made = [{name: each[-1] for name, each in one.items()} for one in ways]
    taken = {frozenset(edits.items()) for edits in made}
    for index, one in enumerate(ways):
        plainest = {name: each[0] for name, each in one.items()}
        if frozenset(plainest.items()) not in taken:
            taken.add(frozenset(plainest.items()))
            made[index] = plainest
    return made


def not_slower(
    candidates: Sequence[Candidate], graph: Callable[[frozenset[str]], Graph], costing: Costing
) -> tuple[tuple[Candidate, ...], Mapping[str, int]]:
    """Leave dense the layers that are predicted to take longer in their form than dense, or more instructions.

    Where nothing is known of the target's speed, or where all is faster, the candidates come as they are.

    Args:
        candidates: the forms of some layers each.
        graph: gives the dense model's graph with nothing folded into the layers of these paths.
        costing: the target's file format and speeds.

    Returns:
        What is left of the candidates, each once; and by layer, in how many it is left dense.
    """
    dense = costing.paces(graph(frozenset()))
    if dense is None:
        return tuple(candidates), {}
    kept: dict[tuple[tuple[str, Spec], ...], Candidate] = {}
    slower: Counter[str] = Counter()
    for candidate, edits in zip(candidates, _exported(candidates), strict=True):
        taken = costing.paces(with_edits(graph(frozenset(edits)), edits)) or {}
        slow = [name for name in edits if taken[name] > dense[name]]
        slower.update(slow)
        left = {name: spec for name, spec in candidate.edits.items() if name not in slow}
        if left:
            kept.setdefault(tuple(left.items()), replace(candidate, edits=left))
    return tuple(kept.values()), dict(slower)


def smaller(
    candidates: Sequence[Candidate], graph: Callable[[frozenset[str]], Graph], costing: Costing
) -> tuple[Candidate, ...]:
    """Leave dense the layers whose form takes no fewer bytes of the file than the dense one.

    Fewer parameters need not be fewer bytes: every operator has its tables.

    Args:
        candidates: the forms of some layers each.
        graph: gives the dense model's graph with nothing folded into the layers of these paths.
        costing: the target's file format.

    Returns:
        What is left of the candidates, each once.
    """
    dense = costing.file_bytes(graph(frozenset()))

    @cache
    def pays(name: str, spec: Spec) -> bool:
        whole = with_edits(graph(frozenset([name])), {name: spec})
        return costing.file_bytes(whole) < dense

    kept: dict[frozenset[tuple[str, Spec]], Candidate] = {}
    for candidate, edits in zip(candidates, _exported(candidates), strict=True):
        left = {name: spec for name, spec in candidate.edits.items() if pays(name, edits[name])}
        if left:
            kept.setdefault(frozenset(left.items()), replace(candidate, edits=left))
    return tuple(kept.values())


def dense_solution(graph: Graph, costing: Costing = STANDARD) -> Solution:
    """Cost the dense model as the solution that factorises nothing, number -1.

    Args:
        graph: that of the dense model.
        costing: the target's file format and speeds.

    Returns:
        The solution.
    """
    return _solution(DENSE, Candidate({}), graph, costing)


def spread_out(candidates: Sequence[Solution], limit: int | None) -> tuple[Solution, ...]:
    """Choose candidates to fine-tune: in farthest-point order from the smallest one on, over bytes and FLOPs.

    Where the target was measured, the predicted time takes the place of the FLOPs. Candidates of a grid go by the ranks
    of their costs. Where a loss is expected, costs go by their logarithms, and those come first that trade it best for
    bytes, for FLOPs, or for the product of the two: one of them holds the lowest memory, the fewest FLOPs or the
    highest accuracy, whatever the budget turns out to allow.

    Args:
        candidates: solutions with their costs.
        limit: the most to choose; None: all.

    Returns:
        Those chosen, in that order.
    """
    costs = np.array([(item.file_bytes, item.work) for item in candidates], np.float64).reshape(-1, 2)
    losses = [item.loss for item in candidates if item.loss is not None]
    if not losses:
        return tuple(candidates[row] for row in spread(ranked(costs), limit))
    best = tradeoffs(np.column_stack([costs, losses]))
    others = np.setdiff1d(np.arange(len(costs)), best)
    chosen = [rows[row] for rows in (best, others) for row in spread(logarithmic(costs[rows]), limit)]
    return tuple(candidates[row] for row in chosen[:limit])


def _solution(number: int, candidate: Candidate, graph: Graph, costing: Costing) -> Solution:
    batch, width = costing.batch, costing.width
    moved = sum(graph.sizes[step.writes[0]] for step in graph.steps if step.operator == "Transpose")
    peak = -(-costing.peak_bytes(graph) // width)
    cost = Cost(graph.params(), graph.flops() // batch, peak, moved // batch, graph.macs // batch)
    inference = InferenceCost() if graph.unruled else _inference(graph, costing)
    return Solution(
        number, candidate.edits, cost, costing.file_bytes(graph), candidate.loss, width, inference, graph.unruled
    )


def _inference(graph: Graph, costing: Costing) -> InferenceCost:
    """What an inference takes on the target, as far as that is known."""
    width, rates, guess = costing.width, costing.instructions, costing.estimate
    predicted = None if costing.speeds is None else latency_us(graph, costing.speeds, width)
    executed = None if rates is None else rates.total(graph.in_c or graph, width)
    if isinstance(guess, Cycles):
        return InferenceCost(predicted, executed, None if executed is None else guess.us(executed, graph.macs))
    return InferenceCost(predicted, executed, None if guess is None else latency_us(graph, guess, width))
