"""A predicted graph as it is compiled to C.

Transposes that cancel are left out, and so are those behind products; what has no kernel in int8 is in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgett.graph.c_fuse import Blocks, Reading
from edgett.graph.c_plan import Claim, CPlan, Fusion, block, late, plane, planned, scratch_of, two_positions, two_rows
from edgett.graph.dtype import DType
from edgett.graph.graph import Graph, Step
from edgett.graph.memory import static_bytes
from edgett.graph.onnx_size import carried
from edgett.graph.op import CONVOLUTION, PRODUCT, TRANSPOSE
from edgett.graph.traits import Real


def compiled_bytes(graph: Graph, size: int = 4) -> int:
    """The RAM of a model in C, the buffers for its inputs and outputs included; `size` is the bytes of an element.

    `graph` is what `model.predict` foretells of the .onnx.
    """
    return static_bytes(compiled(graph, size).plan.graph, size)


@dataclass(frozen=True)
class InC:
    """A model in C.

    Attributes:
        graph: its steps, those among them that come to nothing.
        claims: what its kernels claim of memory, by the tensors that they write.
        plan: the places of its tensors, scratch among them.
        fused: the products that are computed together with those before them, by the tensors that they write.
    """

    graph: Graph
    claims: Mapping[str, Claim]
    plan: CPlan
    fused: Mapping[str, Fusion] = field(default_factory=dict)

    @property
    def steps(self) -> Iterator[Step]:
        """Those that something is left of, in the order they run; none of what the one behind does besides."""
        idle = {name for claim in self.claims.values() for name in claim.idle}
        idle |= {name for fusion in self.fused.values() for name in fusion.gone}
        homes = self.plan.homes
        for step in self.graph.steps:
            viewed = step.op.view and homes[step.reads[0]] == homes[step.writes[0]]
            if not viewed and not idle & {*step.writes}:
                yield step

    def scratch(self, step: Step, size: int) -> int:
        """The bytes of scratch that a step has; `size`: those of an element."""
        name = scratch_of(step.writes[0])
        return self.plan.graph.bytes(name, size) if name in self.plan.graph.sizes else 0


def compiled(graph: Graph, size: int = 4) -> InC:
    """How a graph runs in C; else as `compiled_bytes`."""
    rides = carried(graph, size == DType.INT8.size)
    graph = straightened(graph)
    steps = zip(graph.steps, rides, strict=True)
    graph = replace(graph, steps=tuple(replace(step, operator="Identity") if gone else step for step, gone in steps))
    if size == DType.INT8.size:
        graph = quantised(graph)
    claims = _claims(graph, size)
    fusions = _fusions(graph, size, claims)
    plan = planned(graph, claims, size, fusions)
    return InC(graph, claims, plan, {name: fusions[name] for name in plan.fused})


def _claims(graph: Graph, size: int) -> dict[str, Claim]:
    """What kernels claim of memory, by the tensors that they write."""
    readers, makers = _readers(graph), {name: step for step in graph.steps for name in step.writes}
    found: dict[str, Claim] = {}
    for step in graph.steps:
        (target, *_) = step.writes
        if not step.macs:
            continue
        inner, width = step.macs // graph.sizes[target], graph.widths.get(target, size)
        if step.depthwise:
            made, read = graph.sizes[target], graph.sizes[step.reads[0]]
            assert step.window is not None
            room = width * plane(*step.window.seen)
            found[target] = Claim(room, over=made == read, late=0 if made <= read else None)
        elif step.op.family is CONVOLUTION and not grouped(step, graph):
            claim = _convolved(step, graph, inner, width)
            if len(readers[step.reads[0]]) == 1 and _brings_channels_forward(step.reads[0], graph, makers):
                claim = replace(claim, over=False, late=None, idle=step.reads[:1])
            found[target] = claim
        elif step.op.family is PRODUCT:
            read = graph.sizes[step.reads[0]]
            alone = read in (inner, graph.sizes[target] * inner)  # one row, or one column
            idle = () if step.stores("bias") else tuple(_transposed(target, graph, readers))
            found[target] = Claim(0, 0 if alone or width > 1 else two_rows(inner), idle)
        if step.rebuilt is not None:
            found[target] = replace(found[target], needs=found[target].needs + step.rebuilt.ram, scratch=0)
    return found


def _convolved(step: Step, graph: Graph, inner: int, width: int) -> Claim:
    """Of a convolution over all channels, which may write over an image of as many pixels as its own."""
    window, made, read = step.window, graph.sizes[step.writes[0]], graph.sizes[step.reads[0]]
    claim = Claim(width * inner, two_positions(inner) if width == 1 else 0)
    if window is None or window.strides != (1, 1) or window.made != window.size:
        return claim
    pixels, channels = math.prod(window.size), step.constants[0].count // inner
    if window.taps == 1:
        return replace(claim, over=made == read, late=0 if made == pixels * channels else None)
    room = late(window.top, window.size[1], channels)
    return replace(claim, late=width * room if made == read and room < pixels * channels else None)


def _brings_channels_forward(name: str, graph: Graph, makers: Mapping[str, Step]) -> bool:
    """Whether a tensor is an input of the model in another layout."""
    turned = makers.get(name)
    if turned is None or turned.op is not TRANSPOSE or name in graph.outputs:
        return False
    (name,) = turned.reads
    while (view := makers.get(name)) and view.op.view:
        (name,) = view.reads
    return name in graph.inputs


def grouped(step: Step, graph: Graph) -> bool:
    """Whether the window of a convolution does not see all channels.

    Args:
        step: a convolution over rows or images.
        graph: that it is of.

    Returns:
        False also where nothing is known of its window.
    """
    if step.window is None:
        return False
    made = graph.sizes[step.writes[0]]
    seen = step.macs // made // step.window.taps
    columns = step.constants[0].count // (seen * step.window.taps)
    images = made // (columns * step.window.positions)
    return seen * step.window.pixels * images != graph.sizes[step.reads[0]]


def _fusions(graph: Graph, size: int, claims: Mapping[str, Claim]) -> dict[str, Fusion]:
    """The products that may be computed together with those before them, by the tensors that they write."""
    readers, makers = _readers(graph), {name: step for step in graph.steps for name in step.writes}
    found: dict[str, Fusion] = {}
    for second in filter(_multiplies, graph.steps):
        gone, turns, name = [], list[Step](), second.reads[0]
        while (step := makers.get(name)) and len(readers[name]) == 1 and name not in graph.outputs:
            gone.append(name)
            if not (step.op.view or step.op is TRANSPOSE):
                break
            turns += [step] if step.op is TRANSPOSE else []
            (name,) = step.reads
        else:
            continue
        width = graph.widths.get(name, size)
        if _multiplies(step) and not step.stores("bias") and len(second.reads) == 1:
            blocks = _blocks(step, second, turns, graph, width)
            if blocks and blocks.count > 1:
                inner = max(one.macs // graph.sizes[one.writes[0]] for one in (step, second))
                room = block(blocks, inner, width)
                claim = Claim(room, room if width == 1 else 0, claims[second.writes[0]].idle)
                found[second.writes[0]] = Fusion(name, tuple(gone), blocks, claim)
    return found


def _multiplies(step: Step) -> bool:
    return bool(step.macs) and step.op.family is PRODUCT and step.rebuilt is None


def _blocks(first: Step, second: Step, turns: Sequence[Step], graph: Graph, width: int) -> Blocks | None:
    """How the second of two products reads what the first makes, behind transposes of matrices or none."""
    (rows, _, columns), (_, inner, _) = (matrix(step, graph) for step in (first, second))
    dims = [(step.turns[0], step.turns[1]) for step in turns if len(step.turns) == 2]
    if len(dims) < len(turns):
        return None
    reading = Reading.of(rows, columns, dims[::-1], inner)
    return None if reading is None else reading.blocks(pairs=width == 1)


def matrix(step: Step, graph: Graph) -> tuple[int, int, int]:
    """Find the sizes of a product.

    Args:
        step: a product.
        graph: that it is of.

    Returns:
        Its rows, their length, and its columns.
    """
    inner = step.macs // graph.sizes[step.writes[0]]
    columns = step.constants[0].count // inner
    return graph.sizes[step.writes[0]] // columns, inner, columns


def _transposed(name: str, graph: Graph, readers: Mapping[str, list[Step]]) -> Iterator[str]:
    """The transposes behind a tensor, with nothing between that computes or is read by others."""
    while name not in graph.outputs and len(readers.get(name, ())) == 1:
        (step,) = readers[name]
        if not (step.op is TRANSPOSE or step.op.view):
            return
        (*_, name) = step.writes
        if step.op is TRANSPOSE:
            yield name


def straightened(graph: Graph) -> Graph:
    """The graph in which transposes are but copies that a converter leaves out, as they undo each other.

    One brings the channels of a convolution or a pool to the end, one to the front again for the next. Between the two
    may be whatever does not ask where the channels are, branches included, when nothing else comes in or goes out.
    """
    makers = {name: step for step in graph.steps for name in step.writes}
    readers = _readers(graph)
    regions = _Regions()
    for step in graph.steps:
        if step.op.passes_layout:
            regions.join((*step.reads, *step.writes))
    stuck = {regions.of(name) for name in (*graph.inputs, *graph.outputs)}
    into, out_of = set[str](), set[str]()
    for step in graph.steps:
        if step.op.passes_layout:
            continue
        if step.op is TRANSPOSE and _spatial(step, makers.get(step.reads[0])):
            into.add(step.writes[0])
        else:
            stuck |= {regions.of(name) for name in step.writes}
        if step.op is TRANSPOSE and any(_spatial(step, other) for other in readers.get(step.writes[0], ())):
            out_of.add(step.writes[0])
        else:
            stuck |= {regions.of(name) for name in step.reads}

    def idle(step: Step) -> bool:
        (*_, target) = step.writes
        enters = target in into and regions.of(target) not in stuck
        return enters or (target in out_of and regions.of(step.reads[0]) not in stuck)

    return replace(
        graph, steps=tuple(replace(step, operator="Identity") if idle(step) else step for step in graph.steps)
    )


def quantised(graph: Graph) -> Graph:
    """An int8 graph with the steps to float32 and back where C computes in it; other activations are one look-up."""
    makers = {name: step for step in graph.steps for name in step.writes}
    last = {makers[name].writes for name in graph.outputs if name in makers}
    sizes, widths = dict(graph.sizes), dict(graph.widths)
    steps: list[Step] = []
    for step in graph.steps:
        ends = step.writes in last
        if not (step.op.real_in_c is Real.ALWAYS or (ends and step.op.real_in_c is Real.AT_THE_END)):
            spare = step.op.elementwise and len(step.writes) > 1
            steps.append(replace(step, writes=step.writes[:1]) if spare else step)
            continue
        reads = tuple(f"{name}/real/{len(steps)}" for name in step.reads)
        writes = step.writes if ends else tuple(f"{name}/real" for name in step.writes)
        for names, reals in ((step.reads, reads), (step.writes, writes)):
            sizes.update({real: sizes[name] for name, real in zip(names, reals, strict=True)})
            widths.update(dict.fromkeys(reals, DType.FLOAT32.size))
        steps += [
            Step(step.layer, "Dequantize", (name,), (real,)) for name, real in zip(step.reads, reads, strict=True)
        ]
        steps.append(replace(step, reads=reads, writes=writes))
        if not ends:
            pairs = zip(writes, step.writes, strict=True)
            steps += [Step(step.layer, "Quantize", (real,), (name,)) for real, name in pairs]
    return replace(graph, steps=tuple(steps), sizes=sizes, widths=widths)


@dataclass(frozen=True)
class _Regions:
    """Tensors that must have the same layout, each region named by one of them."""

    parents: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """The region of a tensor."""
        while name in self.parents:
            name = self.parents[name]
        return name

    def join(self, names: Iterable[str]) -> None:
        """Make one region of them."""
        first, *others = {self.of(name) for name in names}
        self.parents.update(dict.fromkeys(others, first))


def _readers(graph: Graph) -> dict[str, list[Step]]:
    readers: dict[str, list[Step]] = {}
    for step in graph.steps:
        for name in step.reads:
            readers.setdefault(name, []).append(step)
    return readers


def _spatial(step: Step, other: Step | None) -> bool:
    """Whether the other is what a transpose brings numbers to or from."""
    return other is not None and other.layer == step.layer and other.op.spatial
