"""Layers fitted one after the other to what the network before them, already in forms, feeds them.

What the links of a layer are given differs from what the dense layer was given once layers before it are in forms. With
x the inputs of the dense layer, x' those that it gets now, and W its weight, the links are fitted so that x' W' is near
x W (Zhang et al. 2015, asymmetric reconstruction): the same as fitting them to W* = C'^-1 C W, the least-squares weight
for the new inputs, with C' the moment of x' and C that of x' with x.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms.moments import LONGEST, Moments, Sums, of_patches, sums
from edgett.forms.spec import Spec
from edgett.forms.start import Start
from edgett.model.layers import kernels, spots_of, substituted
from edgett.model.shifts import takers
from edgett.model.stream import Batch, Stream
from edgett.model.trace import trace
from edgett.model.weigh import inputs_of, meet, spread

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]


class Following:
    """Fits the convolutions of one model, one after the other, for whatever solution."""

    def __init__(self, model: keras.Model, x: Batch | Stream) -> None:
        """Look at a model.

        Args:
            model: the dense one.
            x: training inputs by name, of which some are looked at; or a stream of those that are.
        """
        self._model, self._x = model, spread(x)
        self._order = [call.path for call in trace(model).calls]
        self._given: dict[str, Singles] = {}

    def starts(self, edits: Mapping[str, Spec], alone: Mapping[str, Start]) -> dict[str, Start]:
        """Where the layers of a solution start from.

        Args:
            edits: by the path of a layer the form of its weight; convolutions alone are fitted.
            alone: by path where each starts from for itself, which its fit begins with.

        Returns:
            By path their links, and what makes up for the mean.
        """
        made, begun = substituted(self._model, {}), {}
        paths = sorted((path for path, spec in edits.items() if spec.windowed), key=self._order.index)
        able, weights, places = takers(made, paths), kernels(self._model, paths), spots_of(made, paths)
        for path in paths:
            spec, weight, place = edits[path], weights[path], places[path]
            seen, mean = self._matched(made, path, weight, path in able)
            factors = spec.fitted(alone[path].factors, seen)
            dense = spec.dense(factors)
            shift = None if mean is None or seen.mean is None else mean - seen.mean @ dense
            begun[path] = Start(factors, shift)
            bias = np.asarray(place.layer.bias) if place.site.bias else None
            place.kind.give(place.layer, place.site, dense.astype(np.float32), bias)
            if shift is not None:
                able[path].add(shift)
        return begun

    def _matched(self, made: keras.Model, path: str, weight: Singles, bias: bool) -> tuple[Moments, Floats | None]:
        """Moments of what a layer (X, N) gets in `made`, for the weight that makes the most of it; the mean to reach.

        The mean is that of the dense layer's outputs, None where nothing takes it up.
        """
        if len(weight) > LONGEST:
            return of_patches(weight, None), None
        wanted = self._wanted(path, weight)
        found, cross, met = Sums(0, np.zeros(len(weight)), np.zeros((len(weight),) * 2)), np.zeros(weight.shape), 0

        def add(_: str, rows: Singles) -> None:
            nonlocal found, cross, met
            found = found + sums(rows)
            cross += rows.T @ wanted[met : met + len(rows)]
            met += len(rows)

        meet(made, self._x, [path], add)
        seen = of_patches(weight, found, bias)
        if not (seen.usable and seen.moment is not None and np.isfinite(cross).all()):
            return seen, None
        mean, cross = wanted.mean(axis=0, dtype=np.float64), cross / met
        if bias:
            cross -= np.outer(found.total / found.count, mean)
        best = np.linalg.solve(seen.moment.astype(np.float64), cross + seen.ridge * weight).astype(np.float32)
        matched = Moments(best, seen.moment, seen.moment @ best, seen.ridge, seen.mean)
        return matched, mean if bias else None

    def _wanted(self, path: str, weight: Singles) -> Singles:
        """What the weight of the dense layer makes of its inputs, (n, N)."""
        if path not in self._given:
            self._given[path] = inputs_of(self._model, self._x, [path])[path] @ weight
        return self._given[path]
