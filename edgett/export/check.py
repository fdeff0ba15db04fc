"""Predicted against found: the graph read back from a file, and the outputs it gives. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgett.export.owners import UNKNOWN
from edgett.space.graph import Graph, arena_bytes, live_bytes
from edgett.values import Mismatch

TOLERANCE = 1e-4
"""Largest L2 relative error of a float32 artefact's outputs: rounding, summed over the layers."""

INT8_TOLERANCE = 1.0
"""That of an int8 one, by which it says nothing of the model any more. What it may lose is the budget's to say."""


@dataclass(frozen=True)
class LayerCheck:
    """One layer: what it stores and computes, predicted and found."""

    layer: str
    params: tuple[int, int]
    flops: tuple[int, int]


@dataclass(frozen=True)
class GraphCheck:
    """A whole file, (predicted, found) each. `partial` lists what no rule counts, left out of both totals."""

    params: tuple[int, int]
    flops: tuple[int, int]
    peak_bytes: tuple[int, int]
    layers: tuple[LayerCheck, ...]
    partial: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]


@dataclass(frozen=True)
class Numerics:
    """Outputs against Keras's: the largest absolute error, the worst output's L2 relative one, top-1 agreement.

    `tolerance` is the L2 relative error from which on the file is wrong.
    """

    samples: int
    max_abs: float
    l2_relative: float
    top1: float
    tolerance: float = TOLERANCE

    @property
    def ok(self) -> bool:
        """Whether the outputs are the same to the rounding of the file's numbers."""
        return self.l2_relative < self.tolerance


def compare(predicted: Graph, found: Graph, where: str, size: int = 4) -> GraphCheck:
    """Every layer and the totals must be equal, and the predicted peak must not be exceeded.

    `size` is the bytes of a predicted element. A layer that has an operator without a rule on either side is listed
    and counts in neither total.
    """
    open_layers = {step.layer for graph in (predicted, found) for step in graph.steps if step.flops is None}
    layers = [name for name in dict.fromkeys((*predicted.layers, *found.layers)) if name not in open_layers]
    rows = tuple(
        LayerCheck(name, (predicted.params(name), found.params(name)), (predicted.flops(name), found.flops(name)))
        for name in layers
    )
    params = sum(row.params[0] for row in rows), sum(row.params[1] for row in rows)
    flops = sum(row.flops[0] for row in rows), sum(row.flops[1] for row in rows)
    peak = arena_bytes(predicted, size), live_bytes(found, size)
    mismatches = [
        Mismatch(f"{where}, {_titled(row.layer)}, {what}", *pair)
        for row in rows
        for what, pair in (("parameters", row.params), ("FLOPs", row.flops))
        if pair[0] != pair[1]
    ]
    if peak[0] < peak[1] and not open_layers:
        mismatches.append(Mismatch(f"{where}, peak bytes", *peak))
    partial = tuple(dict.fromkeys((*predicted.unruled, *found.unruled)))
    return GraphCheck(params, flops, peak, rows, partial, tuple(mismatches))


def compare_outputs(
    reference: Mapping[str, NDArray[np.floating]],
    found: Mapping[str, NDArray[np.floating]],
    tolerance: float = TOLERANCE,
) -> Numerics:
    """Two models' outputs for the same samples, by name; (n, ...) each. Raises ValueError for other names or shapes."""
    if reference.keys() != found.keys():
        raise ValueError(f"outputs {sorted(found)}, not {sorted(reference)}")
    largest, relative = 0.0, 0.0
    agree: list[float] = []
    for name, expected in reference.items():
        actual = found[name]
        if actual.shape != expected.shape:
            raise ValueError(f"output {name!r} is {actual.shape}, not {expected.shape}")
        # Whatever is not a number is as wrong as can be, and must not get lost in a maximum.
        if not (np.isfinite(actual).all() and np.isfinite(expected).all()):
            largest = relative = math.inf
            agree.append(0.0)
            continue
        difference = actual.astype(np.float64) - expected
        norm = float(np.linalg.norm(expected.astype(np.float64)))
        largest = max(largest, float(np.abs(difference).max(initial=0.0)))
        relative = max(relative, float(np.linalg.norm(difference)) / (norm or 1.0))
        agree.append(float(np.mean(_top(actual) == _top(expected))))
    samples = len(next(iter(reference.values())))
    return Numerics(samples, largest, relative, float(np.mean(agree)), tolerance)


def _top(outputs: NDArray[np.floating]) -> NDArray[np.int64]:
    return outputs.argmax(axis=-1) if outputs.ndim > 1 and outputs.shape[-1] > 1 else np.sign(outputs).astype(np.int64)


def _titled(layer: str) -> str:
    return "operators that belong to no layer" if layer == UNKNOWN else f"layer {layer}"
