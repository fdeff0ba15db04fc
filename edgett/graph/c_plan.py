"""Memory of a model in C: products put their numbers where transposes would, and have scratch for what they read."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from edgett.graph.c_fuse import Blocks
from edgett.graph.graph import Graph, Step
from edgett.graph.memory import InPlace, alive, busiest, in_place, static_bytes


@dataclass(frozen=True)
class Claim:
    """What a kernel wants of memory besides its operands.

    Attributes:
        needs: bytes of scratch that it must have.
        scratch: bytes with which it is faster, those among them.
        idle: the tensors of transposes around it whose work it does.
        over: whether it may write over what it reads.
        late: bytes of scratch besides with which it may do that too, where that is worth it; None: it may not.
    """

    needs: int = 0
    scratch: int = 0
    idle: tuple[str, ...] = ()
    over: bool = False
    late: int | None = None


@dataclass(frozen=True)
class Fusion:
    """A product that a kernel may compute together with the one that makes what it reads.

    Attributes:
        first: the tensor that the other one makes.
        gone: the tensors that there are none of then, that one among them.
        blocks: how it is done.
        claim: what the kernel then wants of memory.
    """

    first: str
    gone: tuple[str, ...]
    blocks: Blocks
    claim: Claim


@dataclass(frozen=True)
class CPlan(InPlace):
    """Places in C.

    Attributes:
        fused: the tensors whose products are computed together with those before them.
    """

    fused: tuple[str, ...] = ()


def block(fused: Blocks, inner: int, width: int) -> int:
    """Count the bytes of scratch of two products that are computed together.

    Args:
        fused: how that is done.
        inner: the longer of their rows.
        width: the bytes of a number.

    Returns:
        Bytes: of what lies between them, and in int8 of two rows in 16 bits.
    """
    held = fused.held * width
    return held if width > 1 else -(-held // 4) * 4 + two_rows(inner)


def two_rows(inner: int) -> int:
    """Count the bytes of two rows in 16 bits, which an int8 product reads at once.

    Args:
        inner: the length of a row.

    Returns:
        Bytes.
    """
    return 4 * inner


def two_positions(inner: int) -> int:
    """Count the bytes of what an int8 convolution sees at two positions, once in 8 bits and once in 16.

    Args:
        inner: the numbers that its window sees.

    Returns:
        Bytes.
    """
    return -(-2 * inner // 4) * 4 + two_rows(inner)


def plane(*sizes: int) -> int:
    """Count the numbers of scratch for a channel of a depthwise convolution with its padding.

    Args:
        *sizes: the numbers that the window sees along each axis.

    Returns:
        One more, for three of the window's are read as four.
    """
    return math.prod(sizes) + 1


def late(top: int, columns: int, channels: int) -> int:
    """Count the numbers that a convolution keeps which writes over what it reads.

    Args:
        top: the rows of padding above: so many rows later a row of what it reads is not seen any more.
        columns: those of an image.
        channels: those of an image.

    Returns:
        Two rows more, for two positions are computed at once; a multiple of four numbers.
    """
    return -(-(top + 2) * columns * channels // 4) * 4


def scratch_of(target: str) -> str:
    """Name the scratch of a claim.

    Args:
        target: the tensor that it writes.

    Returns:
        The name of a tensor.
    """
    return f"{target}/scratch"


def planned(
    graph: Graph, claims: Mapping[str, Claim], size: int = 4, fusions: Mapping[str, Fusion] | None = None
) -> CPlan:
    """Plan places for the tensors of a model in C.

    Products are computed together, and convolutions write late over what they read, where the whole then takes fewer
    bytes. More scratch than a kernel needs is given where the whole takes no more with it than without it, or than with
    every transpose done and no scratch at all.

    Args:
        graph: a model's operators.
        claims: what its kernels claim, by the tensors that they write.
        size: the bytes of an element, unless the graph knows better.
        fusions: the products that may be computed together with those before them, by the tensors that they write.

    Returns:
        The graph of places, scratch among them, without copies and idle transposes.
    """
    first, claims = _written_late(graph, claims, size, _planned(graph, claims, size))
    best = found = CPlan(**vars(first))
    least = static_bytes(best.graph, size)
    given = fusions or {}
    left = dict(given)
    while able := list(_at_the_peak(found, left, size)):
        tried = [_fused(graph, claims, size, {name: given[name] for name in (*found.fused, one)})
                 for one in able]  # fmt: skip
        found = min(tried, key=lambda one: static_bytes(one.graph, size))
        (*_, target) = found.fused
        met = {target, left[target].first}
        left = {name: one for name, one in left.items() if not met & {name, one.first}}
        if (taken := static_bytes(found.graph, size)) < least:
            best, least = found, taken
    return best


def _written_late(
    graph: Graph, claims: Mapping[str, Claim], size: int, plan: InPlace
) -> tuple[InPlace, Mapping[str, Claim]]:
    """What can write late over what it reads does, where the whole then takes fewer bytes.

    All for which that takes no scratch are tried together, then one after the other where most is alive. Nobody loses
    scratch that it has. Also returned is what kernels claim for that.
    """
    best, kept, least = plan, claims, static_bytes(plan.graph, size)
    rooms = {name: plan.graph.bytes(scratch_of(name), size) for name in claims if scratch_of(name) in plan.graph.sizes}
    given = {name: replace(one, needs=rooms.get(name, 0), scratch=rooms.get(name, 0)) for name, one in claims.items()}
    able = {name: claim for name, claim in given.items() if claim.late is not None and not claim.over}
    if free := {name: replace(claim, over=True) for name, claim in able.items() if claim.late == 0}:
        plan = _planned(graph, given | free, size, spares=True)
        if (taken := static_bytes(plan.graph, size)) < least:
            best, kept, least, given = plan, given | free, taken, given | free
    plan = best
    while (step := _busiest(plan, size)) is not None and (name := plan.made[step]) in able and not given[name].over:
        room = max(claims[name].scratch, claims[name].needs) + (given[name].late or 0)
        given = given | {name: replace(given[name], needs=room, scratch=room, over=True)}
        plan = _planned(graph, given, size, spares=True)
        if (taken := static_bytes(plan.graph, size)) < least:
            best, kept, least = plan, given, taken
    return best, kept


def _busiest(plan: InPlace, size: int) -> int | None:
    """The step where most is alive in workspaces; none where nothing is computed."""
    graph = plan.graph
    return busiest(graph, size, without={*graph.inputs, *graph.outputs}) if graph.steps else None


def _at_the_peak(plan: CPlan, fusions: Mapping[str, Fusion], size: int) -> Iterator[str]:
    """The fusions of tensors that are alive where most is."""
    found = _busiest(plan, size) if fusions else None
    if found is not None:
        step = plan.graph.steps[found]
        held = {*step.reads, *step.writes}
        yield from (name for name, fusion in fusions.items() if plan.homes[fusion.first] in held)


def _fused(graph: Graph, claims: Mapping[str, Claim], size: int, fusions: Mapping[str, Fusion]) -> CPlan:
    gone = {name for fusion in fusions.values() for name in fusion.gone}
    reads = {step.writes[0]: step.reads for step in graph.steps}

    def moved(step: Step) -> Step:
        fusion = fusions.get(step.writes[0])
        return replace(step, reads=reads[fusion.first]) if fusion else step

    steps = tuple(moved(step) for step in graph.steps if not gone & {*step.writes})
    wanted = {name: claim for name, claim in claims.items() if name not in gone}
    wanted |= {name: fusion.claim for name, fusion in fusions.items()}
    return CPlan(**vars(_planned(replace(graph, steps=steps), wanted, size, spares=True)), fused=tuple(fusions))


def _planned(graph: Graph, claims: Mapping[str, Claim], size: int, spares: bool = False) -> InPlace:
    """`spares`: no scratch is given for which transposes would have had the room."""
    limit = 0 if spares else static_bytes(in_place(graph).graph, size)
    idle = {name for claim in claims.values() for name in claim.idle}
    over = {name for name, claim in claims.items() if claim.over}
    steps = (replace(step, operator="Identity") if idle & {*step.writes} else step for step in graph.steps)
    bare = replace(graph, steps=tuple(replace(step, over=True) if over & {*step.writes} else step for step in steps))
    least = {name: claim.needs for name, claim in claims.items() if claim.needs}
    plain = in_place(_with_scratch(bare, least, size))
    limit = max(limit, static_bytes(plain.graph, size))
    ports = sum(graph.bytes(name, size) for name in {*graph.inputs, *graph.outputs})
    asked = _asked(in_place(bare), claims, limit - ports, size)

    def wide(count: int) -> InPlace:
        return in_place(_with_scratch(bare, least | dict(asked[:count]), size))

    def too_large(count: int) -> bool:
        return static_bytes(wide(count).graph, size) > limit

    most = len(asked)
    if too_large(most):
        most = bisect.bisect_left(range(1, most), True, key=too_large)
    return wide(most) if most else plain


def _asked(plain: InPlace, claims: Mapping[str, Claim], limit: int, size: int) -> list[tuple[str, int]]:
    """The tensors that kernels write and the scratch that they ask for, by how much the workspace then holds.

    Left out is what the limit has no room for even if nothing lies between.
    """
    ends = {*plain.graph.inputs, *plain.graph.outputs}
    used = zip(plain.made, alive(plain.graph, size, without=ends), strict=True)
    found = [(held + claims[name].scratch, name) for name, held in used if name in claims and claims[name].scratch]
    return [(target, claims[target].scratch) for held, target in sorted(found) if held <= limit]


def _with_scratch(graph: Graph, scratch: Mapping[str, int], size: int) -> Graph:
    def widened(step: Step) -> Step:
        names = tuple(scratch_of(name) for name in step.writes if name in scratch)
        return replace(step, writes=(*step.writes, *names)) if names else step

    widths = {scratch_of(target): graph.widths.get(target, size) for target in scratch}
    sizes = {scratch_of(target): -(-count // widths[scratch_of(target)]) for target, count in scratch.items()}
    steps = tuple(map(widened, graph.steps))
    return replace(graph, steps=steps, sizes={**graph.sizes, **sizes}, widths={**graph.widths, **widths})
