"""The benchmark of the latency model: `python tools/benchmark.py latency`."""

from __future__ import annotations

import math
import random
from typing import Annotated

import numpy as np
import typer

from edgett.device import calibrate as probing
from edgett.device.calibrate import PROBES, ConvolutionProbe, FormProbe, Probe, ProductProbe, graph
from edgett.device.local import Local
from edgett.forms.catalogue import FORMS
from edgett.forms.convolution.chain import Chain
from edgett.forms.convolution.form import Chained
from edgett.forms.cost import dense, held
from edgett.forms.site import parse_layer
from edgett.forms.tt.cost import exact_flops, lighter, merged
from edgett.forms.tt.shape import TTShape
from edgett.graph.dtype import DType
from edgett.graph.latency import Speeds, latency_us
from edgett.meter import Silent
from edgett.target.estimate import estimate
from edgett.target.profile import load_target, with_dtype
from edgett.workflow import calibrate as work

SIZES = (64, 128, 256, 300, 400, 512, 784, 1000, 1024, 2048, 3072, 4096)
DENSE = ((64, 64), (256, 256), (784, 300), (300, 100), (512, 64), (64, 4096), (1024, 1024), (4096, 1000), (2048, 2048),
         (4096, 4096))  # fmt: skip
CHANNELS = (16, 24, 32, 48, 64, 96, 128)
SIDES = (4, 6, 8, 12, 16, 24)
KERNELS = ((1, 1), (3, 3), (3, 3), (5, 5))


def latency(
    layers: Annotated[int, typer.Option(help="TT layers, and half as many convolutions in forms.")] = 64,
    seed: Annotated[int, typer.Option(help="Of their shapes.")] = 0,
    verbose: Annotated[bool, typer.Option(help="Each of them.")] = False,
    dtype: Annotated[DType, typer.Option(help="The type of the numbers.")] = DType.FLOAT32,
    facts: Annotated[str, typer.Option(help="A profile whose facts alone are estimated from, too.")] = "host",
) -> None:
    """Predicted times of random layers in forms and of dense ones against measured ones, none of which was a probe."""
    runtime = with_dtype(load_target("host"), dtype).runtime
    drawn = random.Random(seed)
    chosen: list[Probe] = [*_trains(layers, drawn), *(ProductProbe(1, *size) for size in DENSE)]
    chosen += [*_chains(layers // 2, drawn), *_windows(layers // 4, drawn)]
    chosen = [probe for probe in chosen if probe not in PROBES]
    times, _ = work.measured((*PROBES, *chosen), Local(), runtime, Silent())
    fit = probing.fitted({probe: times[probe] for probe in PROBES}, dtype.size)
    print(f"{len(PROBES)} probes, predicted with an error of {fit.median:.1%} (median), {fit.p90:.1%} (p90)")
    found = {probe: times[probe] for probe in chosen}
    _compare("measured speeds", found, fit.speeds, dtype, verbose=verbose)
    _compare(f"the facts of {facts}", found, estimate(with_dtype(load_target(facts), dtype)), dtype, verbose=verbose)


def _compare(source: str, measured: dict[Probe, float], speeds: Speeds, dtype: DType, *, verbose: bool) -> None:
    """What is predicted from speeds against what was measured."""
    from scipy.stats import spearmanr

    found = np.array(list(measured.values()))
    predicted = np.array([latency_us(graph(probe), speeds, dtype.size) for probe in measured])
    print(f"\nFrom {source}:")
    if verbose:
        for probe, time, guess in zip(measured, found, predicted, strict=True):
            print(f"{_name(probe):60} {time:9.2f} us {guess:9.2f} us {guess / time - 1:+7.1%}")
    print(f"{'':26}{'layers':>7}{'median error':>14}{'p90':>8}{'Spearman':>10}")
    kinds = np.array([_kind(probe) for probe in measured])
    for kind in (*dict.fromkeys(kinds), "all"):
        rows = (kinds == kind) | (kind == "all")
        error = np.abs(predicted[rows] / found[rows] - 1)
        rank = spearmanr(predicted[rows], found[rows]).statistic
        print(f"{kind:26}{rows.sum():7}{np.median(error):14.1%}{np.quantile(error, 0.9):8.1%}{rank:10.3f}")


def _kind(probe: Probe) -> str:
    match probe:
        case FormProbe(Chain()):
            return "convolutions in forms"
        case FormProbe():
            return "TT layers"
        case ConvolutionProbe():
            return "convolutions" if probe.outputs else "depthwise convolutions"
        case _:
            return "dense layers"


def _name(probe: Probe) -> str:
    match probe:
        case FormProbe(Chain() as spec):
            return f"{spec}@{'x'.join(map(str, spec.window.size))}"
        case FormProbe(spec):
            return str(spec)
        case ProductProbe(_, inner, columns):
            return f"dense {inner}x{columns}"
        case _:
            return str(probe)


def _chains(count: int, drawn: random.Random) -> list[FormProbe]:
    """Convolutions in all forms and at all ranks, with fewer MACs than dense ones."""
    chains: dict[FormProbe, None] = {}
    while len(chains) < count:
        site = parse_layer(_size(drawn, drawn.choice(KERNELS)))
        forms = [form for form in FORMS if isinstance(form, Chained) and form.unfit(site) is None]
        spec = drawn.choice([*drawn.choice(forms).spec.every(site, 4)])
        if held(site, spec).macs < dense(site).macs:
            chains[FormProbe(spec)] = None
    return [*chains]


def _windows(count: int, drawn: random.Random) -> list[ConvolutionProbe]:
    """Dense convolutions, and as many depthwise ones."""
    drawn_sizes = [
        (drawn.choice(SIDES), drawn.choice(KERNELS[1:]), *drawn.choices(CHANNELS, k=2)) for _ in range(count)
    ]
    wide = [ConvolutionProbe(*size) for size in drawn_sizes]
    return [*dict.fromkeys([*wide, *(ConvolutionProbe(*size[:3]) for size in drawn_sizes)])]


def _size(drawn: random.Random, kernel: tuple[int, int]) -> str:
    side, (inputs, outputs) = drawn.choice(SIDES), drawn.choices(CHANNELS, k=2)
    return f"{kernel[0]}x{kernel[1]}x{inputs}x{outputs}@{side}x{side}"


def _trains(count: int, drawn: random.Random) -> list[FormProbe]:
    """TT layers of all sizes, of 2 to 6 cores and ranks 2 to 32, with fewer FLOPs than dense ones."""
    trains: dict[FormProbe, None] = {}
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
            trains[FormProbe(shape)] = None
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
