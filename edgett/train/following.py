"""Layers fitted one after the other to what the network before them, already in forms, feeds them.

What the links of a layer are given differs from what the dense layer was given once layers before it are in forms. With
x the inputs of the dense layer, x' those that it gets now, and W its weight, the links are fitted so that x' W' is near
x W (Zhang et al. 2015, asymmetric reconstruction): the same as fitting them to W* = C'^-1 C W, the least-squares weight
for the new inputs, with C' the moment of x' and C that of x' with x.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms.moments import Moments, of_patches, sums
from edgett.forms.spec import Spec
from edgett.forms.start import Start
from edgett.model.layers import kernels, spots_of, substituted
from edgett.model.shifts import takers
from edgett.model.trace import trace
from edgett.model.weigh import some_inputs

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]


class Following:
    """Fits the layers of one model after one another, for whatever solution."""

    def __init__(self, model: keras.Model, x: Mapping[str, Any]) -> None:
        """Look at a model.

        Args:
            model: the dense one.
            x: training inputs by name, of which some are looked at.
        """
        self._model, self._x = model, x
        self._order = [call.path for call in trace(model).calls]
        self._given: dict[str, Singles] = {}

    def starts(self, edits: Mapping[str, Spec]) -> dict[str, Start]:
        """Where the layers of a solution start from.

        Args:
            edits: by the path of a layer the form of its weight; convolutions alone are fitted.

        Returns:
            By path their links, and what makes up for the mean.
        """
        made, begun = substituted(self._model, {}), {}
        paths = sorted((path for path, spec in edits.items() if spec.windowed), key=self._order.index)
        able, weights, places = takers(made, paths), kernels(self._model, paths), spots_of(made, paths)
        for path in paths:
            spec, weight, place = edits[path], weights[path], places[path]
            now = some_inputs(made, self._x, [path])[path]
            wanted = self._given_to(path) @ weight
            seen, mean = _matched(weight, now, wanted, path in able)
            factors = spec.fitted(spec.best(seen.weight), seen)
            dense = spec.dense(factors)
            shift = None if mean is None or seen.mean is None else mean - seen.mean @ dense
            begun[path] = Start(factors, shift)
            bias = np.asarray(place.layer.bias) if place.site.bias else None
            place.kind.give(place.layer, place.site, dense.astype(np.float32), bias)
            if shift is not None:
                able[path].add(shift)
        return begun

    def _given_to(self, path: str) -> Singles:
        if path not in self._given:
            self._given[path] = some_inputs(self._model, self._x, [path])[path]
        return self._given[path]


def _matched(weight: Singles, now: Singles, wanted: Singles, bias: bool) -> tuple[Moments, Floats | None]:
    """Moments of the new inputs (n, X) for the weight that makes the most of them, and the mean of what is wanted."""
    found = sums(now)
    plain = of_patches(weight, found, bias)
    if not plain.usable or plain.moment is None:
        return plain, None
    cross = now.T.astype(np.float64) @ wanted / len(now)
    mean = wanted.mean(axis=0, dtype=np.float64)
    if bias:
        cross -= np.outer(found.total / found.count, mean)
    best = np.linalg.solve(plain.moment.astype(np.float64), cross + plain.ridge * weight).astype(np.float32)
    fitted = Moments(best, plain.moment, plain.moment @ best, plain.ridge, plain.mean)
    return fitted, mean if bias else None
