"""How good solutions are before they are fine-tuned, measured: a pass over some of the validation data for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms.spec import Spec
from edgett.forms.start import Start
from edgett.model.layers import Spot, spots_of, substituted
from edgett.model.shifts import takers
from edgett.search.quality import Quality
from edgett.search.solution import Solution
from edgett.train.assess import reader
from edgett.train.data import Split
from edgett.train.quality import Judge

SAMPLES = 2048
"""Samples that a solution is judged on."""


class Tryout:
    """A copy of a dense model in which weights are swapped for what forms stand for: nothing is built anew."""

    def __init__(self, model: keras.Model, split: Split, judge: Judge, paths: Collection[str]) -> None:
        """Copy the model, of which layers with these paths may be put into forms."""
        self._model, self._judge = substituted(model, {}), judge
        self._places: Mapping[str, Spot] = spots_of(self._model, paths)
        self._dense = {path: _state(place) for path, place in self._places.items()}
        self._takers = takers(self._model, set(self._places))
        self._still = {path: np.asarray(taker.numbers).copy() for path, taker in self._takers.items()}
        some = split.take(np.unique(np.linspace(0, len(split) - 1, SAMPLES).astype(np.int64)))
        self._read, self._y = reader(self._model, some.x), some.y

    def quality(self, edits: Mapping[str, Spec], starts: Mapping[str, Start]) -> Quality:
        """The quality with some layers in forms, as they are before any training.

        Args:
            edits: by the path of a layer the form of its weight.
            starts: by path where the layers start from.

        Returns:
            The quality on the samples.
        """
        for path, spec in edits.items():
            start, (weight, bias) = starts[path], self._dense[path]
            self._give(path, spec.dense(start.factors).astype(weight.dtype), bias)
            if start.shift is not None:
                self._takers[path].add(start.shift)
        try:
            return self._judge.quality(self._read(), self._y)
        finally:
            for path in edits:
                self._give(path, *self._dense[path])
                if path in self._takers:
                    self._takers[path].numbers.assign(self._still[path])

    def _give(self, path: str, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        place = self._places[path]
        place.kind.give(place.layer, place.site, weight, bias)


@dataclass(frozen=True)
class Untuned:
    """What a solution loses before it is fine-tuned.

    Attributes:
        drop: as after fine-tuning; see `Quality.drop_from`.
        loss: how much larger the loss is than the dense model's, from 0; the drop where a model has no loss.
    """

    drop: float
    loss: float


def screened(
    screen: Tryout,
    begun: Sequence[tuple[Solution, Mapping[str, Start]]],
    advance: Callable[[int], None] = lambda solutions: None,
    whole: Quality | None = None,
) -> list[Untuned]:
    """Measure what solutions lose before they are fine-tuned.

    Args:
        screen: the model.
        begun: solutions, each with where its layers start from, by path.
        advance: hears of solutions.
        whole: the quality that losses are measured from; None: that of the dense model.

    Returns:
        What each loses.
    """
    dense, found = whole or screen.quality({}, {}), []
    for solution, starts in begun:
        found.append(_measured(screen.quality(solution.edits, starts), dense))
        advance(1)
    return found


def _measured(quality: Quality, dense: Quality) -> Untuned:
    drop = quality.drop_from(dense)
    if quality.loss is None or dense.loss is None:
        return Untuned(drop, max(drop, 0.0))
    return Untuned(drop, max(quality.loss - dense.loss, 0.0) if math.isfinite(quality.loss) else math.inf)


def _state(place: Spot) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The weight and the bias of a layer."""
    bias = np.asarray(place.layer.bias).copy() if place.site.bias else None
    return np.asarray(place.kind.weight(place.layer, place.site)).copy(), bias
