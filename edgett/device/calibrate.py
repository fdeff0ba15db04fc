"""The constants of a device's speed, from what small graphs take on it: products, TT layers, convolutions, ...

What is measured are probes; `fitted` finds the `Speeds` by which their times are predicted best. All arithmetic: who
builds the probes and measures them is above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ToolError
from edgett.forms.spec import Spec
from edgett.forms.tt.shape import TTShape
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.latency import Speeds, latency_us
from edgett.search.replaced import steps_of, with_edits

Floats = NDArray[np.float64]

COLUMNS = (1, 2, 4, 8, 16, 32, 64)
"""Columns that a kernel may compute at once."""

USELESS = 0.5
"""An error in the middle with which nothing is predicted."""
LEVELS = tuple(1 << power for power in (18, 21, 23, 25, 28))
"""Bytes of weights that may make a difference: caches are in between."""

TAPS = (3, 5, 9, 15, 25, 49)
"""Taps of windows of one channel that kernels may be made for."""


@dataclass(frozen=True)
class ProductProbe:
    """(rows, inner) times a constant (inner, columns)."""

    rows: int
    inner: int
    columns: int


@dataclass(frozen=True)
class FormProbe:
    """A layer in a form for one sample."""

    spec: Spec
    bias: bool = False


@dataclass(frozen=True)
class ProductChain:
    """Products of one row and 8 by 8 numbers, one after the other."""

    length: int


@dataclass(frozen=True)
class Sum:
    """Two tensors added up, number by number."""

    count: int


@dataclass(frozen=True)
class ConvolutionProbe:
    """A window (rows, columns) over a square image, as many pixels written as read, or every `stride`-th.

    `outputs` None: each channel has a window of its own. `roomy`: a depthwise one makes the image of one that is four
    times as large, so that a plan of memory has room left here. `across`: the columns, where they are not as many.
    """

    side: int
    kernel: tuple[int, int]
    inputs: int
    outputs: int | None = None
    stride: int = 1
    roomy: bool = False
    across: int | None = None


Probe = ProductProbe | FormProbe | ProductChain | Sum | ConvolutionProbe

PROBES: tuple[Probe, ...] = (
    *(ProductChain(length) for length in (1, 2, 4, 8, 16)),
    *(ProductProbe(rows, inner, columns) for rows in (1, 4, 16, 64, 256) for inner in (8, 32, 128, 512)
      for columns in (2, 8, 16, 64, 256) if rows * inner * columns <= 1 << 22),
    *(ProductProbe(1, side, side) for side in (512, 1024, 2048, 4096)),
    *(FormProbe(TTShape((side,) * length, (side,) * length, (1, *[rank] * (length - 1), 1)))
      for side, length in ((2, 6), (4, 3), (4, 5), (8, 3), (16, 2), (16, 3), (64, 2)) for rank in (2, 8)),
    *(Sum(count) for count in (64, 1024, 16384)),
    *(ConvolutionProbe(side, kernel, inputs, outputs) for side in (8, 16) for kernel in ((1, 1), (3, 1), (3, 3), (5, 5))
      for inputs, outputs in ((8, 8), (16, 64), (64, 16), (64, 64))),
    *(ConvolutionProbe(side, (rows, columns), channels) for side in (8, 16) for channels in (8, 24, 64)
      for rows, columns in ((3, 1), (5, 1), (3, 3), (5, 3), (5, 5), (7, 7))),
)  # fmt: skip
"""What is measured, from the smallest sizes that layers in forms have to the largest dense layers."""


@dataclass(frozen=True)
class Fit:
    """Speeds, and the mean, the median and the 90 % quantile of the relative error by which they miss probes' times."""

    speeds: Speeds
    mean: float
    median: float
    p90: float


def fitted(times: Mapping[Probe, float], size: int = 4, *, channels_first: bool = False) -> Fit:
    """The speeds that predict the probes' times (in microseconds) best; `size`: bytes of a number; see `graph`.

    A time is a sum of the constants, each as often as the probe's graph calls for it: least squares of the relative
    errors, for each number of columns that a kernel may compute at once. Where matrices are multiplied by a unit of
    their own, arithmetic may cost nothing beside what it reads and writes. Raises ToolError when more work takes no
    more time, or nothing predicts the times.
    """
    graphs = [graph(probe, channels_first=channels_first) for probe in times]
    wanted = np.array([*times.values()])
    fits = [_fit(graphs, wanted, replace(_NOTHING, columns=columns), size) for columns in COLUMNS]
    best = min(fits, key=lambda fit: fit.mean)
    speeds = best.speeds
    if speeds.mac + speeds.read + speeds.write <= 0 or speeds.start + speeds.operator <= 0 or best.median > USELESS:
        raise ToolError(
            "the times that were measured make no sense: more work took no more time.",
            "Measure again while nothing else runs on the device.",
        )
    return best


_NOTHING = Speeds(
    0.0, 0.0, 0.0, 0.0, 1, 0.0, 0.0, 0.0, 0.0, tuple((at, 0.0) for at in LEVELS), tuple((at, 0.0) for at in TAPS)
)
_NAMES = ("start", "operator", "transpose", "mac", "read", "write", "move", "touch")


def _fit(graphs: Sequence[Graph], wanted: Floats, nothing: Speeds, size: int) -> Fit:
    units = [_with(nothing, {name: 1.0}) for name in _NAMES]
    units += [replace(nothing, streams=tuple((at, float(at == level)) for at in LEVELS)) for level in LEVELS]
    units += [replace(nothing, windows=tuple((at, float(at == taps)) for at in TAPS)) for taps in TAPS]
    counts = np.array([[latency_us(one, unit, size) for unit in units] for one in graphs])
    found = least_squares(counts / wanted[:, None])
    own, streams, windows = np.split(found, [len(_NAMES), len(_NAMES) + len(LEVELS)])
    streams = np.maximum.accumulate(streams)  # where nothing is measured, as near as what is smaller
    speeds = _with(nothing, dict(zip(_NAMES, own.tolist(), strict=True)))
    costs = zip(TAPS, _filled(windows.tolist(), speeds.mac), strict=True)
    speeds = replace(speeds, streams=tuple(zip(LEVELS, streams.tolist(), strict=True)), windows=tuple(costs))
    errors = np.abs([latency_us(one, speeds, size) for one in graphs] / wanted - 1)
    return Fit(speeds, float(errors.mean()), float(np.median(errors)), float(np.quantile(errors, 0.9)))


def _filled(costs: Sequence[float], other: float) -> list[float]:
    """Costs above 0; in the place of those that noise made 0 the next one, the one before, or another."""
    return [next(filter(None, (*costs[k:], *costs[:k][::-1])), other) for k in range(len(costs))]


def _with(speeds: Speeds, costs: Mapping[str, Any]) -> Speeds:
    return replace(speeds, **costs)


def least_squares(matrix: Floats) -> Floats:
    """What makes every row sum up to 1 as nearly as possible; columns that would be below 0 are left out."""
    kept = [column for column in range(matrix.shape[1]) if matrix[:, column].any()]
    found: Floats = np.zeros(matrix.shape[1])
    while kept:
        # Columns differ by many powers of ten.
        scales = np.linalg.norm(matrix[:, kept], axis=0)
        solved = np.linalg.lstsq(matrix[:, kept] / scales, np.ones(len(matrix)), rcond=None)[0]
        if (solved >= 0).all():
            found[kept] = solved / scales
            break
        kept.pop(int(solved.argmin()))
    return found


def graph(probe: Probe, *, channels_first: bool = False) -> Graph:
    """What a probe executes; `channels_first`: images lie so, as in ONNX, and each convolution turns them round."""
    match probe:
        case ProductProbe(rows, inner, columns):
            step = _product("p", "x", "y", rows, (inner, columns))
            return Graph((step,), {"x": rows * inner, "y": rows * columns}, ("x",), ("y",))
        case FormProbe(spec, _) if spec.windowed:
            dense = _convolution(spec.reads, spec.writes, math.prod(spec.matrix), 1)
            return with_edits(_turned(dense) if channels_first else dense, {"w": spec})
        case FormProbe(spec, _):
            sizes = {"x": spec.reads, "y": spec.writes}
            steps = steps_of(Step("t", "Factored", ("x",), ("y",)), spec, sizes)
            return Graph(tuple(steps), sizes, ("x",), ("y",))
        case ProductChain(length):
            names = [f"t{index}" for index in range(length + 1)]
            links = tuple(_product(f"c{i}", names[i], names[i + 1], 1, (8, 8)) for i in range(length))
            return Graph(links, dict.fromkeys(names, 8), (names[0],), (names[-1],))
        case Sum(count):
            step = Step("s", "Add", ("x", "z"), ("y",), flops=count)
            return Graph((step,), dict.fromkeys("xzy", count), ("x", "z"), ("y",))
        case ConvolutionProbe(side, kernel, inputs, outputs):
            pixels, made = side**2, outputs or inputs
            count = math.prod(kernel) * made * (inputs if outputs else 1)
            found = _convolution(pixels * inputs, pixels * made, count, pixels, depthwise=outputs is None)
            return _turned(found) if channels_first else found


def _convolution(reads: int, writes: int, count: int, positions: int, *, depthwise: bool = False) -> Graph:
    """Of so many weights, each at so many positions."""
    stored, macs = (Constant("kernel", count),), positions * count
    step = Step("w", "Convolution", ("x",), ("y",), stored, 2 * macs, macs, depthwise=depthwise)
    return Graph((step,), {"x": reads, "y": writes}, ("x",), ("y",))


def _turned(found: Graph) -> Graph:
    (step,) = found.steps
    inner = replace(step, reads=("turned",), writes=("made",))
    begin = Step(step.layer, "Transpose", step.reads, ("turned",))
    end = Step(step.layer, "Transpose", ("made",), step.writes)
    sizes = {**found.sizes, "turned": found.sizes["x"], "made": found.sizes["y"]}
    return replace(found, steps=(begin, inner, end), sizes=sizes)


def _product(layer: str, source: str, target: str, rows: int, weight: tuple[int, int]) -> Step:
    macs = rows * weight[0] * weight[1]
    constant = Constant("kernel", weight[0] * weight[1])
    return Step(layer, "Dense", (source,), (target,), (constant,), 2 * macs, macs)
