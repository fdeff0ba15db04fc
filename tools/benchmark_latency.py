"""The benchmark of the latency model: `python tools/benchmark.py latency`."""

from __future__ import annotations

import math
import random
from typing import Annotated

import numpy as np
import typer

from edgett.device import calibrate as probing
from edgett.device.calibrate import PROBES, Probe, ProductProbe, Train, graph
from edgett.device.local import Local
from edgett.forms.tt.cost import exact_flops, lighter, merged
from edgett.forms.tt.shape import TTShape
from edgett.graph.latency import Speeds, latency_us
from edgett.meter import Silent
from edgett.target.estimate import estimate
from edgett.target.profile import load_target
from edgett.workflow import calibrate as work

SIZES = (64, 128, 256, 300, 400, 512, 784, 1000, 1024, 2048, 3072, 4096)
DENSE = ((64, 64), (256, 256), (784, 300), (300, 100), (512, 64), (64, 4096), (1024, 1024), (4096, 1000), (2048, 2048),
         (4096, 4096))  # fmt: skip


def latency(
    layers: Annotated[int, typer.Option(help="TT layers.")] = 64,
    seed: Annotated[int, typer.Option(help="Of their shapes.")] = 0,
    verbose: Annotated[bool, typer.Option(help="Each of them.")] = False,
    facts: Annotated[str, typer.Option(help="A profile whose facts alone are estimated from, too.")] = "host",
) -> None:
    """Predicted times of random TT layers and of dense ones against measured ones, none of which was calibrated on."""
    runtime = load_target("host").runtime
    chosen: list[Probe] = [*_trains(layers, random.Random(seed)), *(ProductProbe(1, *size) for size in DENSE)]
    chosen = [probe for probe in chosen if probe not in PROBES]
    times, _ = work.measured((*PROBES, *chosen), Local(), runtime, Silent())
    fit = probing.fitted({probe: times[probe] for probe in PROBES})
    print(f"{len(PROBES)} probes, predicted with an error of {fit.median:.1%} (median), {fit.p90:.1%} (p90)")
    found = {probe: times[probe] for probe in chosen}
    _compare("measured speeds", found, fit.speeds, verbose)
    _compare(f"the facts of {facts}", found, estimate(load_target(facts)), verbose)


def _compare(source: str, measured: dict[Probe, float], speeds: Speeds, verbose: bool) -> None:
    """What is predicted from speeds against what was measured."""
    from scipy.stats import spearmanr

    found = np.array(list(measured.values()))
    predicted = np.array([latency_us(graph(probe), speeds) for probe in measured])
    print(f"\nFrom {source}:")
    if verbose:
        for probe, time, guess in zip(measured, found, predicted, strict=True):
            name = str(probe.shape) if isinstance(probe, Train) else f"dense {probe.inner}x{probe.columns}"
            print(f"{name:60} {time:9.2f} us {guess:9.2f} us {guess / time - 1:+7.1%}")
    trains = np.array([isinstance(probe, Train) for probe in measured])
    print(f"{'':22}{'layers':>7}{'median error':>14}{'p90':>8}{'Spearman':>10}")
    for name, rows in (("TT layers", trains), ("dense layers", ~trains), ("all", trains | True)):
        error = np.abs(predicted[rows] / found[rows] - 1)
        rank = spearmanr(predicted[rows], found[rows]).statistic
        print(f"{name:22}{rows.sum():7}{np.median(error):14.1%}{np.quantile(error, 0.9):8.1%}{rank:10.3f}")


def _trains(count: int, drawn: random.Random) -> list[Train]:
    """TT layers of all sizes, of 2 to 6 cores and ranks 2 to 32, with fewer FLOPs than dense ones."""
    trains: dict[Train, None] = {}
    while len(trains) < count:
        length, rank = drawn.randint(2, 6), drawn.choice([2, 4, 8, 12, 16, 32])
        sides = [_factors(drawn.choice(SIZES), length, drawn) for _ in "xy"]
        if None in sides:
            continue
        xs, ys = (tuple(side or ()) for side in sides)
        bonds = (
            min(math.prod(xs[:k]) * math.prod(ys[:k]), math.prod(xs[k:]) * math.prod(ys[k:])) for k in range(1, length)
        )
        shape = merged(lighter(TTShape(xs, ys, (1, *(min(rank, most) for most in bonds), 1))))
        if exact_flops(shape) < 2 * math.prod(shape.matrix):
            trains[Train(shape)] = None
    return list(trains)


def _factors(size: int, length: int, drawn: random.Random) -> list[int] | None:
    """The size as a product of so many factors above 1, if that is possible."""
    primes, rest = [], size
    for prime in range(2, size + 1):
        while rest % prime == 0:
            primes.append(prime)
            rest //= prime
    if len(primes) < length:
        return None
    drawn.shuffle(primes)
    factors = primes[:length]
    for prime in primes[length:]:
        factors[drawn.randrange(length)] *= prime
    return sorted(factors, reverse=drawn.random() < 0.5)
