"""How fast a target should be by the facts of its profile, where nobody has measured it: to show, never to go by."""

from __future__ import annotations

from collections.abc import Iterator

from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.latency import Speeds
from edgett.target.profile import Fact, Target

START, OPERATOR, TRANSPOSE = 2500, 100, 400
"""Cycles of an inference, an operator, a transpose as such: what LiteRT was found to take on a large x86-64 core.

Simpler cores take more of them. C has no interpreter, and takes none.
"""
NUMBER, MOVE = 0.5, 1.0
"""Cycles to read or write a number of a tensor, and to copy one to another place; found there too."""
APART = 2
"""Times as long a multiply-accumulate takes in a depthwise convolution, where nothing that is read serves many."""
CACHE = 16
"""Bytes of weights that a core gets from its outer caches in a cycle: a vector of 128 bits."""


def estimate(target: Target) -> Speeds:
    """What an inference costs there if all goes as it should: a roofline of clock, arithmetic, caches and memory.

    Weights that fit into the first-level cache cost their arithmetic alone; those that fit into the next, what that
    gives in a cycle; all others, what the memory gives.
    """
    compute, runtime = target.compute, target.runtime
    cycle = 1e6 / compute.clock.value
    peak, _ = _macs(target)
    outer = cycle / (CACHE * runtime.threads)
    levels = [(fact.value, cost) for fact, cost in ((compute.l1d, 0.0), (compute.l2, outer)) if fact is not None]
    memory = max(1e6 / compute.bandwidth.value, outer)
    fixed = 0.0 if runtime.format is Format.C else cycle
    mac = cycle / (peak.value * runtime.threads)
    return Speeds(
        start=START * fixed, operator=OPERATOR * fixed, transpose=TRANSPOSE * fixed,
        mac=mac, columns=max(1, round(_peak(target).value)), windows=((1, APART * mac),),
        read=NUMBER * cycle, write=NUMBER * cycle, move=MOVE * cycle, touch=NUMBER * cycle,
        streams=(*levels, (target.memory.flash.value + target.memory.ram.value, memory)),
    )  # fmt: skip


def basis(target: Target) -> Iterator[str]:
    """What latencies on the target come from, for a person: a table that fits, or which facts."""
    if target.speeds is not None:
        yield "Latencies are predicted from the [latency] table, which was measured."
        return
    if target.latency is not None:
        yield unfit(target)
    if target.rates is not None:
        yield (
            "Instructions are predicted from the [instructions] table, which was counted in an emulator. Times are"
            f" estimated from them, {target.cycles.instructions:g} a cycle at most, and no budget is checked by them."
        )
        return
    facts = ["clock", f"macs_per_cycle.{_macs(target)[1]}", "bandwidth"]
    facts += [name for name in ("l1d", "l2") if getattr(target.compute, name) is not None]
    yield (
        f"Latencies are only estimated, from compute.{', '.join(facts)}; what an operator takes as such is that of a"
        " large x86-64 core at this clock. No budget is checked against them, and no layer stays dense for them."
    )
    if target.compute.l1d is None:
        yield "compute.l1d is not set: all weights are taken to come from memory, at compute.bandwidth."


def unfit(target: Target) -> str:
    """What to say of a [latency] table that was measured with something else."""
    assert target.latency is not None
    measured, asked = (f"{one.dtype.value} on {_threads(one.threads)}" for one in (target.latency, target.runtime))
    return f"The [latency] table of {target.name} is of {measured}, and is not used for {asked}."


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _macs(target: Target) -> tuple[Fact[float], str]:
    """Multiply-accumulates a cycle that a good kernel reaches where that is known, else at most; the field's name."""
    dtype = target.runtime.dtype
    reached: Fact[float] | None = getattr(target.compute.macs_per_cycle, f"measured_{dtype.value}")
    return (_peak(target), dtype.value) if reached is None else (reached, f"measured_{dtype.value}")


def _peak(target: Target) -> Fact[float]:
    """Multiply-accumulates a cycle at most, which is also the columns that a kernel computes at once."""
    macs = target.compute.macs_per_cycle
    return macs.int8 if target.runtime.dtype is DType.INT8 else macs.float32
