"""The join over whole networks, by layers of their sizes in synthetic fronts, against the chain that it replaced."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from edgett.forms.dominance import thinned_to, undominated
from edgett.forms.front import ONE
from edgett.search.join import NO_LIMIT, joined

Ints = NDArray[np.int64]
Conv = tuple[int, int, int, int, int]
"""Kernel, channels read and made, positions read and made."""

MOST_OPTIONS = 60


def _stage(count: int, channels: int, side: int, kernel: int = 3) -> list[Conv]:
    return [(kernel, channels, channels, side * side, side * side)] * count


NETS: dict[str, list[Conv]] = {
    "resnet8": [
        *_stage(2, 16, 32), (3, 16, 32, 1024, 256), *_stage(1, 32, 16), (1, 16, 32, 256, 256),
        (3, 32, 64, 256, 64), *_stage(1, 64, 8), (1, 32, 64, 64, 64), (1, 64, 10, 1, 1),
    ],
    "resnet20": [
        (3, 3, 16, 1024, 1024), *_stage(6, 16, 32), (3, 16, 32, 1024, 256), *_stage(5, 32, 16), (1, 16, 32, 256, 256),
        (3, 32, 64, 256, 64), *_stage(5, 64, 8), (1, 32, 64, 64, 64),
    ],
    "mobilenetv1": [
        (1, 32, 64, 2304, 2304), (1, 64, 128, 576, 576), *_stage(1, 128, 24, 1), (1, 128, 256, 144, 144),
        *_stage(1, 256, 12, 1), (1, 256, 512, 36, 36), *_stage(6, 512, 6, 1), (1, 512, 1024, 9, 9),
        *_stage(1, 1024, 3, 1), (1, 1024, 1000, 1, 1),
    ],
    "vgg16": [
        (3, 3, 64, 50176, 50176), *_stage(1, 64, 224), (3, 64, 128, 12544, 12544), *_stage(1, 128, 112),
        (3, 128, 256, 3136, 3136), *_stage(2, 256, 56), (3, 256, 512, 784, 784), *_stage(2, 512, 28),
        *_stage(3, 512, 14), (1, 25088, 4096, 1, 1), (1, 4096, 4096, 1, 1), (1, 4096, 1000, 1, 1),
    ],
    "sixty layers": [*_stage(20, 16, 32), *_stage(20, 32, 16), *_stage(20, 64, 8)],
}  # fmt: skip


def join(
    loose: Annotated[
        bool, typer.Option("--loose", help="Costs that hardly hang together, harder than those of any form.")
    ] = False,
    timed: Annotated[bool, typer.Option("--time", help="The time as a fourth objective.")] = False,
    chain: Annotated[int, typer.Option(help="Sums that the chain forms at once; 0: leave it out.")] = 1 << 18,
) -> None:
    """Join synthetic fronts of whole networks, each in a process of its own; the chain is the way before."""
    print(f"{'network':14} layers {'options':>8} {'':8} {'sums':>9} epsilon  {'wall':>7} {'CPU':>7} {'MB':>5}")
    for name, layers in NETS.items():
        fronts = [front(np.random.default_rng(seed), layer, loose, timed) for seed, layer in enumerate(layers)]
        options = f"{min(each.shape[1] for each in fronts)}-{max(each.shape[1] for each in fronts)}"
        for way, work in (("join", _join), ("chain", _chain))[: 1 + bool(chain)]:
            count, epsilon, wall, processor, memory = _apart(work, fronts, chain)
            print(
                f"{name:14} {len(layers):6} {options:>8} {way:8} {count:9,} {epsilon:8.2%} {wall:6.1f}s"
                f" {processor:6.1f}s {memory:5.0f}",
                flush=True,
            )


def front(random: np.random.Generator, layer: Conv, loose: bool, timed: bool) -> Ints:
    """What the options of a layer take: bytes of an int8 file, FLOPs, perhaps nanoseconds, a loss; the dense one first.

    The costs are those of the forms, each inner channel with its 28 bytes and each operator with its 500; losses fall
    with the weights that are left, at a pace of the layer's and the form's own.
    """
    weights, macs, inner, operators = np.array([*_dense(layer), *_forms(layer)], np.float64).T
    if loose:
        share = np.exp(random.uniform(np.log(0.06), np.log(0.95), 2000))
        macs = np.append(macs[0], macs[0] * np.minimum(share * np.exp(random.normal(0, 0.25, 2000)), 0.99))
        weights = np.append(weights[0], weights[0] * share)
        inner = operators = np.zeros(len(weights))
    left = np.minimum(1, np.minimum(weights / weights[0], macs / macs[0]))
    pace = np.exp(random.normal(0, 0.25, 4))[operators.astype(int)]
    lost = np.exp(random.normal(-0.7, 1)) * pace * (1 - left) ** random.uniform(2, 4)
    lost *= np.exp(random.normal(0, 0.35 if loose else 0.05, len(lost)))
    time = macs * np.exp(random.normal(0, 0.05, len(macs))) + 0.3 * weights + 10_000 * (1 + operators)
    columns = [weights + 28 * inner + 500 * operators + 12 * layer[2], 2 * macs, *[time] * timed]
    columns.append(-np.log1p(-np.clip(lost, 1e-6, 0.98)) * ONE)
    costs = np.rint(columns).astype(np.int64)
    costs[-1, 0] = 0
    able = 1 + np.flatnonzero((costs[:2, 1:] < costs[:2, :1]).all(axis=0))
    rows = able[undominated(list(costs[:, able]))]
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_OPTIONS)).astype(int))]
    return costs[:, [0, *some]]


def _dense(layer: Conv) -> Iterator[tuple[int, int, int, int]]:
    kernel, read, made, _, after = layer
    yield kernel * kernel * read * made, after * kernel * kernel * read * made, 0, 0


def _forms(layer: Conv) -> Iterator[tuple[int, int, int, int]]:
    """Weights, multiplications, inner channels, operators beyond one; ranks in multiples of 4, 1 where it is small."""
    kernel, read, made, before, after = layer
    ranks = range(1, min(read, made) + 1) if min(read, made) <= 32 else range(4, min(read, made, 256) + 1, 4)
    for rank in ranks:
        if kernel == 1:
            yield rank * (read + made), rank * (before * read + after * made), rank, 1
            continue
        taps, line = kernel * kernel, kernel * rank * (read + made)
        yield line, after * line, rank, 1
        yield rank * (read + taps + made), rank * (before * read + after * (taps + made)), 2 * rank, 2
        yield rank * (taps * read + made), after * rank * (taps * read + made), rank, 1
        yield rank * (read + taps * made), rank * (before * read + after * taps * made), rank, 1
        for other in ranks:
            core = taps * rank * other + other * made
            yield rank * read + core, before * rank * read + after * core, rank + other, 2
            core = kernel * (rank * other + other * other) + other * made
            yield rank * read + core, before * rank * read + after * core, rank + 2 * other, 3


def _join(fronts: list[Ints], _: int) -> tuple[int, float]:
    sums = joined(fronts, np.full(len(fronts[0]) - 1, NO_LIMIT))
    return sums.totals.shape[1], sums.epsilon


def _chain(fronts: list[Ints], pairs: int) -> tuple[int, float]:
    """In the order given, thinned by all objectives of the partial sums."""
    totals, factor = fronts[0], 1.0
    for options in fronts[1:]:
        rows, epsilon = thinned_to(tuple(totals), max(2 ** len(totals), pairs // options.shape[1]))
        factor *= 1 + epsilon
        sums = (totals[:, rows, None] + options[:, None, :]).reshape(len(totals), -1)
        totals = sums[:, undominated(tuple(sums))]
    return totals.shape[1] - 1, factor - 1


def _apart(
    work: Callable[[list[Ints], int], tuple[int, float]], fronts: list[Ints], pairs: int
) -> tuple[int, float, float, float, float]:
    """What `work` returns in a process of its own, wall and CPU seconds, peak MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, fronts, pairs))


def _measured(
    work: Callable[[list[Ints], int], tuple[int, float]], fronts: list[Ints], pairs: int
) -> tuple[int, float, float, float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    count, epsilon = work(fronts, pairs)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return count, epsilon, wall, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
