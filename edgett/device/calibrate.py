"""The constants of a device's speed, from what small graphs take on it: products, TT layers, chains of next to nothing.

What is measured are probes; `fitted` finds the `Speeds` by which their times are predicted best. All arithmetic: who
builds the probes and measures them is above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ToolError
from edgett.forms.tt.shape import TTShape
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.latency import Speeds, latency_us
from edgett.search.replaced import steps_of

Floats = NDArray[np.float64]

COLUMNS = (1, 2, 4, 8, 16, 32, 64)
"""Columns that a kernel may compute at once."""

USELESS = 0.5
"""An error in the middle with which nothing is predicted."""
LEVELS = tuple(1 << power for power in (18, 21, 23, 25, 28))
"""Bytes of weights that may make a difference: caches are in between."""

USUAL = 0.15
"""The median error of a calibration that went well is below this."""


@dataclass(frozen=True)
class ProductProbe:
    """(rows, inner) times a constant (inner, columns)."""

    rows: int
    inner: int
    columns: int


@dataclass(frozen=True)
class Train:
    """A TT layer without a bias, for one sample."""

    spec: TTShape


@dataclass(frozen=True)
class ProductChain:
    """Products of one row and 8 by 8 numbers, one after the other."""

    length: int


@dataclass(frozen=True)
class Sum:
    """Two tensors added up, number by number."""

    count: int


Probe = ProductProbe | Train | ProductChain | Sum

PROBES: tuple[Probe, ...] = (
    *(ProductChain(length) for length in (1, 2, 4, 8, 16)),
    *(ProductProbe(rows, inner, columns) for rows in (1, 4, 16, 64, 256) for inner in (8, 32, 128, 512)
      for columns in (2, 8, 16, 64, 256) if rows * inner * columns <= 1 << 22),
    *(ProductProbe(1, side, side) for side in (512, 1024, 2048, 4096)),
    *(Train(TTShape((side,) * length, (side,) * length, (1, *[rank] * (length - 1), 1)))
      for side, length in ((2, 6), (4, 3), (4, 5), (8, 3), (16, 2), (16, 3), (64, 2)) for rank in (2, 8)),
    *(Sum(count) for count in (64, 1024, 16384)),
)  # fmt: skip
"""What is measured, from the smallest sizes that TT layers have to the largest dense layers."""


@dataclass(frozen=True)
class Fit:
    """Speeds, and the median and the 90 % quantile of the relative error by which they miss the probes' times."""

    speeds: Speeds
    median: float
    p90: float


def fitted(times: Mapping[Probe, float], size: int = 4) -> Fit:
    """The speeds that predict the probes' times (in microseconds) best; `size`: bytes of a number.

    A time is a sum of the constants, each as often as the probe's graph calls for it: least squares of the relative
    errors, for each number of columns that a kernel may compute at once. Where matrices are multiplied by a unit of
    their own, arithmetic may cost nothing beside what it reads and writes. Raises ToolError when more work takes no
    more time, or nothing predicts the times.
    """
    fits = [_fit(times, replace(_NOTHING, columns=columns), size) for columns in COLUMNS]
    best = min(fits, key=lambda fit: fit.median)
    speeds = best.speeds
    if speeds.mac + speeds.read + speeds.write <= 0 or speeds.start + speeds.operator <= 0 or best.median > USELESS:
        raise ToolError(
            "the times that were measured make no sense: more work took no more time.",
            "Measure again while nothing else runs on the device.",
        )
    return best


_NOTHING = Speeds(0.0, 0.0, 0.0, 0.0, 1, 0.0, 0.0, 0.0, 0.0, tuple((level, 0.0) for level in LEVELS))
_NAMES = ("start", "operator", "transpose", "mac", "read", "write", "move", "touch")


def _fit(times: Mapping[Probe, float], nothing: Speeds, size: int) -> Fit:
    units = [_with(nothing, {name: 1.0}) for name in _NAMES]
    units += [replace(nothing, streams=tuple((at, float(at == level)) for at in LEVELS)) for level in LEVELS]
    graphs = [graph(probe) for probe in times]
    counts = np.array([[latency_us(one, unit, size) for unit in units] for one in graphs])
    wanted = np.array(list(times.values()))
    found = _least_squares(counts / wanted[:, None])
    costs = np.maximum.accumulate(found[len(_NAMES) :])  # where nothing is measured, as near as what is smaller
    speeds = _with(nothing, dict(zip(_NAMES, map(float, found), strict=False)))
    speeds = replace(speeds, streams=tuple(zip(LEVELS, map(float, costs), strict=True)))
    errors = np.abs([latency_us(one, speeds, size) for one in graphs] / wanted - 1)
    return Fit(speeds, float(np.median(errors)), float(np.quantile(errors, 0.9)))


def _with(speeds: Speeds, costs: Mapping[str, Any]) -> Speeds:
    return replace(speeds, **costs)


def _least_squares(matrix: Floats) -> Floats:
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


def graph(probe: Probe) -> Graph:
    """What a probe executes."""
    match probe:
        case ProductProbe(rows, inner, columns):
            step = _product("p", "x", "y", rows, (inner, columns))
            return Graph((step,), {"x": rows * inner, "y": rows * columns}, ("x",), ("y",))
        case Train(spec):
            sizes = dict(zip("xy", spec.matrix, strict=True))
            steps = steps_of(Step("t", "Factored", ("x",), ("y",)), spec, sizes)
            return Graph(tuple(steps), sizes, ("x",), ("y",))
        case ProductChain(length):
            names = [f"t{index}" for index in range(length + 1)]
            links = tuple(_product(f"c{i}", names[i], names[i + 1], 1, (8, 8)) for i in range(length))
            return Graph(links, dict.fromkeys(names, 8), (names[0],), (names[-1],))
        case Sum(count):
            step = Step("s", "Add", ("x", "z"), ("y",), flops=count)
            return Graph((step,), dict.fromkeys("xzy", count), ("x", "z"), ("y",))


def _product(layer: str, source: str, target: str, rows: int, weight: tuple[int, int]) -> Step:
    macs = rows * weight[0] * weight[1]
    constant = Constant("kernel", weight[0] * weight[1])
    return Step(layer, "Dense", (source,), (target,), (constant,), 2 * macs, macs)
