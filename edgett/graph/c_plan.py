"""Memory of a model in C: products put their numbers where transposes would, and have scratch for what they read."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgett.graph.graph import Graph, Step
from edgett.graph.memory import InPlace, alive, in_place, static_bytes


@dataclass(frozen=True)
class Claim:
    """What a kernel wants of memory besides its operands.

    Attributes:
        needs: bytes of scratch that it must have.
        scratch: bytes with which it is faster, those among them.
        idle: the tensors of transposes behind it whose work it does.
        over: whether it may write over what it reads.
    """

    needs: int = 0
    scratch: int = 0
    idle: tuple[str, ...] = ()
    over: bool = False


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


def scratch_of(target: str) -> str:
    """Name the scratch of a claim.

    Args:
        target: the tensor that it writes.

    Returns:
        The name of a tensor.
    """
    return f"{target}/scratch"


def planned(graph: Graph, claims: Mapping[str, Claim], size: int = 4) -> InPlace:
    """Plan places for the tensors of a model in C.

    More scratch than a kernel needs is given where the whole then takes no more bytes than without it, or than with
    every transpose done and no scratch at all.

    Args:
        graph: a model's operators.
        claims: what its kernels claim, by the tensors that they write.
        size: the bytes of an element, unless the graph knows better.

    Returns:
        The graph of places, scratch among them, without copies and idle transposes.
    """
    limit = static_bytes(in_place(graph).graph, size)
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
    waiting = {plain.homes[target]: target for target, claim in claims.items() if claim.scratch}
    ends = {*plain.graph.inputs, *plain.graph.outputs}
    found: list[tuple[int, str]] = []
    for step, used in zip(plain.graph.steps, alive(plain.graph, size, without=ends), strict=True):
        # What writes to the place of a result later is element-wise.
        targets = filter(None, [waiting.pop(name, None) for name in step.writes])
        found += [(used + claims[target].scratch, target) for target in targets]
    return [(target, claims[target].scratch) for held, target in sorted(found) if held <= limit]


def _with_scratch(graph: Graph, scratch: Mapping[str, int], size: int) -> Graph:
    def widened(step: Step) -> Step:
        names = tuple(scratch_of(name) for name in step.writes if name in scratch)
        return replace(step, writes=(*step.writes, *names)) if names else step

    widths = {scratch_of(target): graph.widths.get(target, size) for target in scratch}
    sizes = {scratch_of(target): -(-count // widths[scratch_of(target)]) for target, count in scratch.items()}
    steps = tuple(map(widened, graph.steps))
    return replace(graph, steps=steps, sizes={**graph.sizes, **sizes}, widths={**graph.widths, **widths})
