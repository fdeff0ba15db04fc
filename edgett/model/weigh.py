"""What a factored layer loses where it matters: in its outputs, for inputs that the model really sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms.error import Bracket
from edgett.forms.spec import Spec, decomposed
from edgett.model.layers import kernels
from edgett.model.trace import run
from edgett.search.solution import Solution

SAMPLES = 1024
"""Training samples that the layers are judged on."""

POSITIONS = 16
"""Of the positions of a sample at most so many: neighbours are much alike."""

BATCH = 256

WORST = 1 - 1e-6
"""Share of the outputs' energy from which on a loss is as bad as any."""


def output_losses(
    model: keras.Model, x: Mapping[str, Any], solutions: Sequence[Solution], advance: Callable[[int], None]
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


def some_inputs(model: keras.Model, x: Mapping[str, Any], paths: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """What the layers of these paths are given for some of the samples, spread out: they may be sorted."""
    count = len(next(iter(x.values())))
    rows = np.unique(np.linspace(0, count - 1, SAMPLES).astype(int))
    return inputs_of(model, {name: array[rows] for name, array in x.items()}, paths)


def inputs_of(model: keras.Model, x: Mapping[str, Any], paths: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """What the layers of these paths are given, over all their calls: (n, X).

    A row is a position of a sample: of more than `POSITIONS` so many, drawn by chance.
    """
    seen: dict[str, list[NDArray[np.float32]]] = {path: [] for path in paths}
    random = np.random.default_rng(0)

    def call(path: str, layer: Any, args: Any, kwargs: Any) -> Any:
        if path in seen:
            rows = np.asarray(args[0], np.float32).reshape(-1, args[0].shape[-1])
            most = POSITIONS * len(args[0])
            seen[path].append(rows if len(rows) <= most else rows[random.choice(len(rows), most, replace=False)])
        return layer(*args, **kwargs)

    count = len(next(iter(x.values())))
    for begin in range(0, count, BATCH):
        run(model, {name: array[begin : begin + BATCH] for name, array in x.items()}, call)
    return {path: np.concatenate(parts) for path, parts in seen.items()}
