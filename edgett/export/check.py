"""Predicted against found: the graph read back from a file, and the outputs it gives. Pure arithmetic."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgett.export.decisions import Decision
from edgett.export.operators import Pair, Ways, differences
from edgett.export.owners import UNKNOWN
from edgett.graph.graph import Graph
from edgett.graph.memory import arena_bytes, live_bytes

TOLERANCE = 1e-4
"""Largest L2 relative error of a float32 artefact's outputs: rounding, summed over the layers."""

INT8_TOLERANCE = 1.0
"""That of an int8 one, by which it says nothing of the model any more. What it may lose is the budget's to say."""

BLIND = 0.9
"""The error of an int8 output, over the spread of the model's, from which on it says next to nothing: a constant's is
1."""


@dataclass(frozen=True)
class Mismatch:
    """A number of an artefact that is not what was predicted, and in words where it stands."""

    where: str
    predicted: float
    found: float

    def __str__(self) -> str:
        return f"{self.where}: predicted {self.predicted:,}, found {self.found:,}"


class Verdict(enum.Enum):
    """What came of a comparison: all is as predicted; all that a rule counts is; or not."""

    OK = "ok"
    PARTIAL = "partial"
    DIFFERS = "differs"


@dataclass(frozen=True)
class LayerCheck:
    """One layer of a file against its prediction, (predicted, found) each.

    Attributes:
        layer: its path.
        params: numbers stored.
        weight_bytes: what they take.
        flops: what is computed.
        macs: the multiply-accumulates among it.
        operators: those of which there are others than predicted, in words.
    """

    layer: str
    params: Pair
    weight_bytes: Pair
    flops: Pair
    macs: Pair
    operators: Mapping[str, Pair] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything found equals what was predicted."""
        return all(predicted == found for predicted, found in self.pairs.values())

    @property
    def pairs(self) -> dict[str, Pair]:
        """(predicted, found) of all that must be equal, by its name in words."""
        return {
            "parameters": self.params,
            "bytes of parameters": self.weight_bytes,
            "FLOPs": self.flops,
            "MACs": self.macs,
            **self.operators,
        }


@dataclass(frozen=True)
class GraphCheck:
    """A whole file against its prediction, (predicted, found) each.

    Attributes:
        params: numbers stored.
        weight_bytes: what they take.
        flops: what is computed.
        macs: the multiply-accumulates among it.
        peak_bytes: what tensors take at once. Nobody predicts that of a file with operators that no rule counts;
            nothing is found where the file does not tell how large a tensor of it becomes.
        layers: those that `partial` does not list, one by one.
        partial: operators that no rule counts, whose layers are left out of all totals.
        mismatches: all that is not as predicted.
        plan_bytes: what a memory plan of the file itself takes; None as in `peak_bytes`.
    """

    params: Pair
    weight_bytes: Pair
    flops: Pair
    macs: Pair
    peak_bytes: tuple[int | None, int | None]
    layers: tuple[LayerCheck, ...]
    partial: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]
    plan_bytes: int | None = None


@dataclass(frozen=True)
class Numerics:
    """The outputs of a file against Keras's, for the same samples.

    Attributes:
        samples: how many were compared.
        max_abs: the largest absolute error.
        l2_relative: the L2 relative error of the worst output.
        top1: the share of the same decisions; None where no output decides anything.
        tolerance: the L2 relative error from which on the file is wrong.
        blind: why it is wrong all the same: it tells no more than a constant would.
    """

    samples: int
    max_abs: float
    l2_relative: float
    top1: float | None
    tolerance: float = TOLERANCE
    blind: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the outputs are the same to the rounding of the file's numbers."""
        return self.l2_relative < self.tolerance and self.blind is None

    @property
    def fault(self) -> str | None:
        """What is wrong with the outputs, in words; None where nothing is."""
        if self.blind is not None or self.ok:
            return self.blind
        return f"outputs differ from Keras's by {self.l2_relative:.1e} (L2, relative)"


def compare(predicted: Graph, found: Graph, where: str, size: int = 4) -> GraphCheck:
    """Compare a file's graph with its prediction: layers and totals must be equal, the predicted peak not exceeded.

    A layer that has an operator without a rule on either side is listed and counts in no total, and the peak of such a
    file is what is found in it.

    Args:
        predicted: what the model was expected to be exported as.
        found: what was read from the file.
        where: the name of the file, for messages.
        size: the bytes of a predicted element.

    Returns:
        Both sides of every number, and the mismatches.
    """
    open_layers = {step.layer for graph in (predicted, found) for step in graph.steps if step.flops is None}
    layers = [name for name in dict.fromkeys((*predicted.layers, *found.layers)) if name not in open_layers]
    ways = Ways(predicted), Ways(found)
    rows = tuple(replace(_layer(predicted, found, name), operators=differences(*ways, name)) for name in layers)
    partial = _partial(predicted, found)
    foretold = None if partial else arena_bytes(predicted, size)
    alive = None if found.unsized else live_bytes(found, size)
    mismatches = [
        Mismatch(f"{where}, {_titled(row.layer)}, {what}", *pair)
        for row in rows
        for what, pair in row.pairs.items()
        if pair[0] != pair[1]
    ]
    if foretold is not None and alive is not None and foretold < alive:
        mismatches.append(Mismatch(f"{where}, peak bytes", foretold, alive))
    return GraphCheck(
        _sum([row.params for row in rows]),
        _sum([row.weight_bytes for row in rows]),
        _sum([row.flops for row in rows]),
        _sum([row.macs for row in rows]),
        (foretold, alive),
        rows,
        partial,
        tuple(mismatches),
        None if found.unsized else arena_bytes(found, size),
    )


def _partial(predicted: Graph, found: Graph) -> tuple[str, ...]:
    """What no rule counts: layers as they were predicted, operators of the file only where those of others lack one."""
    known = {step.layer for step in predicted.steps if step.flops is None}
    rest = replace(found, steps=tuple(step for step in found.steps if step.layer not in known))
    return (*predicted.unruled, *rest.unruled)


def _layer(predicted: Graph, found: Graph, name: str) -> LayerCheck:
    return LayerCheck(
        name,
        (predicted.params(name), found.params(name)),
        (predicted.weight_bytes(name), found.weight_bytes(name)),
        (predicted.flops(name), found.flops(name)),
        (_macs(predicted, name), _macs(found, name)),
    )


def _macs(graph: Graph, layer: str) -> int:
    return sum(step.macs for step in graph.steps if step.layer == layer)


def _sum(pairs: Sequence[Pair]) -> Pair:
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


def compare_outputs(
    reference: Mapping[str, NDArray[np.floating]],
    found: Mapping[str, NDArray[np.floating]],
    tolerance: float = TOLERANCE,
    decisions: Mapping[str, Decision] | None = None,
) -> Numerics:
    """Compare two models' outputs for the same samples.

    Args:
        reference: Keras's outputs by name, (n, ...) each.
        found: the file's.
        tolerance: the L2 relative error from which on the file is wrong.
        decisions: of the outputs that decide something, what.

    Returns:
        The errors, and whether they are rounding.

    Raises:
        ValueError: for outputs of other names or shapes.
    """
    if reference.keys() != found.keys():
        raise ValueError(f"outputs {sorted(found)}, not {sorted(reference)}")
    largest, relative = 0.0, 0.0
    agree, blind = list[float](), list[str]()
    for name, expected in reference.items():
        actual, decides = found[name], (decisions or {}).get(name)
        if actual.shape != expected.shape:
            raise ValueError(f"output {name!r} is {actual.shape}, not {expected.shape}")
        finite = bool(np.isfinite(actual).all() and np.isfinite(expected).all())
        if decides is not None:
            agree.append(decides.agreement(expected, actual) if finite else 0.0)
        # Whatever is not a number is as wrong as can be, and must not get lost in a maximum.
        if not finite:
            largest = relative = math.inf
            continue
        difference = actual.astype(np.float64) - expected
        norm = float(np.linalg.norm(expected.astype(np.float64)))
        largest = max(largest, float(np.abs(difference).max(initial=0.0)))
        relative = max(relative, float(np.linalg.norm(difference)) / (norm or 1.0))
        blind += _blind(name, expected, actual, decides) if tolerance > TOLERANCE else []
    samples = len(next(iter(reference.values())))
    top1 = float(np.mean(agree)) if agree else None
    return Numerics(samples, largest, relative, top1, tolerance, "; ".join(blind) or None)


def _blind(
    name: str, expected: NDArray[np.floating], actual: NDArray[np.floating], decides: Decision | None
) -> list[str]:
    """Why an output tells no more of the model's than a constant would; nothing where it does.

    Of an output that decides nothing the error counts by the spread of its values, whatever their mean is: a constant
    has an error of 1.
    """
    if decides is not None:
        if not decides.blind(expected, actual):
            return []
        shares = f"{decides.agreement(expected, actual):.1%} of the decisions, always saying the same"
        return [f"output {name!r} agrees with Keras's on {shares} on {decides.chance(expected):.1%}"]
    spread = float(np.linalg.norm((expected - expected.mean(axis=0)).astype(np.float64)))
    error = float(np.linalg.norm(actual.astype(np.float64) - expected))
    if spread == 0 or error < BLIND * spread:
        return []
    return [f"output {name!r} is off by {error / spread:.2f} times what Keras's varies by"]


def _titled(layer: str) -> str:
    return "operators that belong to no layer" if layer == UNKNOWN else f"layer {layer}"
