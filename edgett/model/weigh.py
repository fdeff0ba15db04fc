"""What a factored layer loses where it matters: in its outputs, for inputs that the model really sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms.error import Bracket
from edgett.forms.moments import LONGEST, Moments, Sums, of_patches, sums
from edgett.forms.spec import Spec, decomposed
from edgett.model.layers import Spot, kernels, spots_of
from edgett.model.shifts import takers
from edgett.model.stream import Batch, Stream, stream
from edgett.model.trace import run
from edgett.search.solution import Solution

SAMPLES = 1024
"""Training samples that the layers are judged on."""

POSITIONS = 16
"""Of the positions of a sample at most so many: neighbours are much alike."""

MOST = 1 << 24
"""Numbers of rows that are made at once."""

WORST = 1 - 1e-6
"""Share of the outputs' energy from which on a loss is as bad as any."""


def output_losses(
    model: keras.Model, x: Batch | Stream, solutions: Sequence[Solution], advance: Callable[[int], None]
) -> tuple[float, ...]:
    """For each solution -log(1 - E||x (W - W')||^2 / E||x W||^2), added up over its layers; W' is what the
    best factors of W stand for.

    `x` are training inputs. `advance` hears of every spec of a layer (see `specs_of`). Weighted by the inputs' second
    moment, the error tells the accuracy after fine-tuning better than that of the weight alone (tools/compare.py).
    """
    wanted = specs_of(solutions)
    seen = some_inputs(model, x, {path for path, _ in wanted})
    weights = kernels(model, seen)
    losses = {}
    for path, weight in weights.items():
        energy = float(np.square(seen[path] @ weight).sum())
        for spec, factors in decomposed(weight, [spec for name, spec in wanted if name == path]):
            lost = seen[path] @ (spec.dense(factors) - weight).astype(np.float32)
            share = float(np.square(lost).sum()) / energy if energy else 0.0
            losses[path, spec] = -math.log1p(-min(share, WORST))
            advance(1)
    return tuple(sum(losses[item] for item in solution.edits.items()) for solution in solutions)


def brackets(model: keras.Model, solutions: Sequence[Solution]) -> dict[tuple[str, Spec], Bracket]:
    """Between which relative errors the specs of the solutions stand for the model's weights, before fine-tuning."""
    wanted = specs_of(solutions)
    weights = kernels(model, {path for path, _ in wanted})
    return {(path, spec): spec.error(weights[path]) for path, spec in wanted}


def specs_of(solutions: Sequence[Solution]) -> list[tuple[str, Spec]]:
    """The distinct specs of each layer."""
    return list(dict.fromkeys(item for solution in solutions for item in solution.edits.items()))


def some_inputs(model: keras.Model, x: Batch | Stream, paths: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """What the layers of these paths are given for some of the samples, spread out: they may be sorted."""
    return inputs_of(model, spread(x), paths)


def inputs_of(model: keras.Model, x: Batch | Stream, paths: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """What the layers of these paths are given, over all their calls: (n, X).

    A row is what the weight meets at a position of a sample: of more than `POSITIONS` so many, drawn by chance.
    """
    seen: dict[str, list[NDArray[np.float32]]] = {path: [] for path in paths}
    meet(model, x, paths, lambda path, rows: seen[path].append(rows))
    return {path: np.concatenate(parts) for path, parts in seen.items()}


def moments(
    model: keras.Model, x: Batch | Stream, paths: Collection[str], advance: Callable[[int], None]
) -> dict[str, Moments]:
    """What the convolutions of these paths are fitted to, by what they are given for some of the samples.

    `x` are training inputs, of which `advance` hears.
    """
    weights, absorbed = kernels(model, paths), takers(model, paths)
    found: dict[str, Sums] = {}

    def add(path: str, rows: NDArray[np.float32]) -> None:
        some = sums(rows)
        found[path] = found[path] + some if path in found else some

    meet(model, spread(x), [path for path in paths if len(weights[path]) <= LONGEST], add, advance)
    return {path: of_patches(weights[path], found.get(path), path in absorbed) for path in paths}


def spread(x: Batch | Stream) -> Stream:
    """Take `SAMPLES` of the samples of inputs by name, spread out: they may be sorted. A stream is all of itself."""
    return x if isinstance(x, Stream) else stream(x, evenly(len(next(iter(x.values())))))


def evenly(count: int) -> NDArray[np.int64]:
    """Which of so many samples are taken."""
    return np.unique(np.linspace(0, count - 1, SAMPLES).astype(np.int64))


def meet(
    model: keras.Model,
    x: Batch | Stream,
    paths: Collection[str],
    tell: Callable[[str, NDArray[np.float32]], None],
    advance: Callable[[int], None] = lambda samples: None,
) -> None:
    """Hand on, batch by batch, some of the rows that the weights of layers meet.

    Args:
        model: a Sequential or functional model.
        x: inputs by name, or batches of them.
        paths: of the layers. Of one path the rows are from the same positions in whatever model.
        tell: hears of the path of a layer and rows (n, X).
        advance: hears of samples.
    """
    random, places = np.random.default_rng(0), spots_of(model, paths)

    def call(path: str, layer: Any, args: Any, kwargs: Any) -> Any:
        if path in places:
            tell(path, _some(args[0], places[path], random))
        return layer(*args, **kwargs)

    for batch in stream(x).batches():
        run(model, batch, call)
        advance(len(next(iter(batch.values()))))


def _some(inputs: Any, place: Spot, random: np.random.Generator) -> NDArray[np.float32]:
    """Some of the rows that the weight of a layer meets."""
    inputs = np.asarray(inputs, np.float32)
    positions = place.site.positions
    if positions <= POSITIONS:
        return np.asarray(place.kind.rows(place.layer, place.site, inputs), np.float32).reshape(-1, place.site.inputs)
    most = max(MOST // (positions * place.site.inputs), 1)
    parts = []
    for begin in range(0, len(inputs), most):
        rows = np.asarray(place.kind.rows(place.layer, place.site, inputs[begin : begin + most]), np.float32)
        drawn = random.random((len(rows), positions)).argsort(axis=1)[:, :POSITIONS]
        parts.append(np.take_along_axis(rows, drawn[:, :, None], axis=1).reshape(-1, place.site.inputs))
    return np.concatenate(parts)
