"""A dense model trains on with its weights pulled towards what forms can hold, before it is decomposed.

That is ADMM, the alternating direction method of multipliers (Yin et al., CVPR 2021): of the weights W that are
trained, Z is what the forms make of W + U, and U sums up W - Z. A step of training is followed by one towards Z - U,
the proximal step of the penalty rho / 2 ||W - Z + U||^2. That is a share of the way, rho times the learning rate,
whatever the optimiser makes of gradients: it grows by `RISE` over the training, and all shares add up to `PULL`.
Between two projections W goes but a part of the way, and U takes as large a part of W - Z: else it runs ahead.

Forms of convolutions are fitted to what the layers are given, each time on from where they were: a projection by
weights alone loses more of what layers put out, and a CP of weights that have hardly moved may be another one. So many
fits of other layers would take longer than the training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.forms.moments import LONGEST, Sums, of_patches, sums
from edgett.forms.spec import Factors, Spec
from edgett.model.layers import kernels, spots_of, substituted
from edgett.model.weigh import meet
from edgett.search.quality import Quality
from edgett.train.data import Split
from edgett.train.training import Teacher, Training

Singles = NDArray[np.float32]

PULL = 3.0
"""The shares of the way to Z - U that all steps go, added up: with nothing to learn exp(-3) of it would be left."""

RISE = 100.0
"""Times the first share that the last one is."""

PROJECTIONS = 8
"""How often an epoch Z and U are calculated again."""


@dataclass(frozen=True)
class Pull:
    """How far a dense model has come, and what it is as it is decomposed then.

    Attributes:
        distances: ||W - Z|| / ||W|| over all weights that are pulled, from 0, at each projection.
        quality: of the model in its forms, before it is trained in them.
    """

    distances: tuple[float, ...]
    quality: Quality


class Pulled(Training):
    """A dense model on its way through the epochs in which it is pulled towards forms."""

    def __init__(
        self, model: keras.Model, edits: Mapping[str, Spec], samples: Split, seed: int, steps: int,
        teacher: Teacher | None = None, rate: float = math.nan,
    ) -> None:  # fmt: skip
        """Take a compiled dense model.

        Args:
            model: it is trained.
            edits: by the path of a layer the form that its weight is pulled towards.
            samples: what it is trained on.
            seed: of the order of samples.
            steps: the batches after which the pull is strongest.
            teacher: what is learnt from beside the labels.
            rate: where the learning rate starts.
        """
        self.distances: list[float] = []
        self._edits, self._steps = dict(sorted(edits.items())), steps
        self._places, self._goals = spots_of(model, edits), spots_of(substituted(model, {}), edits)
        for place in (*self._places.values(), *self._goals.values()):
            place.layer.trainable = True
        self._pairs = self._paired()
        self._strength = tf.Variable(0.0, trainable=False)
        self._duals = {path: tf.Variable(self._weight(path) * 0, trainable=False) for path in self._edits}
        self._seen = _seen(model, samples, [path for path, spec in edits.items() if spec.windowed])
        self._held = {path: self._begun(path) for path in self._edits}
        super().__init__(model, samples, seed, teacher, rate)

    def variables(self) -> list[Any]:
        """Everything that training may change."""
        held = [factor for factors in self._held.values() for factor in factors]
        goals = [goal for _, goal in self._pairs]
        return [*super().variables(), self._strength, *self._duals.values(), *held, *goals]

    def epoch(
        self, number: int, size: int, rates: NDArray[np.float32] | None, advance: Callable[[int], None],
        part: range | None = None,
    ) -> float:  # fmt: skip
        """As of any training; `PROJECTIONS` times an epoch Z and U are calculated first."""
        every = -(-len(self.samples) // size)
        whole, piece = range(every) if part is None else part, -(-every // PROJECTIONS)
        total, begin = 0.0, whole.start
        while begin < whole.stop:
            if begin % piece == 0:
                self._project((number * every + begin) / self._steps, piece)
            end = min(begin - begin % piece + piece, whole.stop)
            total += super().epoch(number, size, rates, advance, range(begin, end))
            if not math.isfinite(total):
                break
            begin = end
        return total

    def _project(self, done: float, steps: int) -> None:
        """`done`: the share of the training that is over; `steps`: since Z and U were calculated last."""
        before, strength = float(self._strength.numpy()), _share(done, self._steps)
        self._strength.assign(strength)
        if done == 0:
            self.distances.clear()  # some batches were tried
        apart = whole = 0.0
        for path in self._edits:
            weight = self._weight(path)
            dual = self._duals[path].numpy() * np.float32(before / strength)  # U is in units of rho, which has grown
            near = self._near(path, weight + dual)
            dual += np.float32(1 - (1 - before) ** steps) * (weight - near)
            self._duals[path].assign(dual)
            self._give(path, near - dual)
            apart += float(np.sum((weight - near) ** 2, dtype=np.float64))
            whole += float(np.sum(weight**2, dtype=np.float64))
        self.distances.append(math.sqrt(apart / whole) if whole else 0.0)

    def _near(self, path: str, weight: Singles) -> Singles:
        """What the form of a layer makes of a weight."""
        spec, held = self._edits[path], self._held[path]
        factors = self._fitted(path, weight, tuple(factor.numpy() for factor in held))
        for variable, factor in zip(held, factors, strict=True):
            variable.assign(factor)
        return spec.dense(factors).astype(np.float32)

    def _fitted(self, path: str, weight: Singles, begun: Factors) -> Factors:
        spec, seen = self._edits[path], of_patches(weight, self._seen.get(path), bias=False)
        known = seen.moment is not None and seen.usable
        return spec.fitted(begun, seen) if known else spec.best(weight)

    def _begun(self, path: str) -> list[Any]:
        return [tf.Variable(factor, trainable=False) for factor in self._edits[path].best(self._weight(path))]

    def _give(self, path: str, weight: Singles) -> None:
        place = self._goals[path]
        place.kind.give(place.layer, place.site, weight, np.asarray(place.layer.bias) if place.site.bias else None)

    def _weight(self, path: str) -> Singles:
        place = self._places[path]
        return np.asarray(place.kind.weight(place.layer, place.site))

    def _paired(self) -> list[tuple[Any, Any]]:
        """The variables of the weights, each with the one of its goal; biases are free."""
        found: dict[int, tuple[Any, Any]] = {}
        for path, place in self._places.items():
            bias = place.layer.bias if place.site.bias else None
            goals = self._goals[path].layer.trainable_weights
            for variable, goal in zip(place.layer.trainable_weights, goals, strict=True):
                if variable is not bias:
                    found[id(variable)] = variable, goal
        return list(found.values())

    def step(self, x: Any, y: Any, soft: Any) -> Any:
        loss = super().step(x, y, soft)
        for variable, goal in self._pairs:
            variable.assign_add(self._strength * (goal - variable))
        return loss


def _share(done: float, steps: int) -> float:
    """Of the way to Z - U what a step goes when a share `done` of so many steps is over."""
    first = PULL / steps * math.log(RISE) / (RISE - 1)
    return float(min(first * RISE ** min(done, 1.0), 1.0))


def _seen(model: keras.Model, samples: Split, fitted: Collection[str]) -> dict[str, Sums]:
    """Sums over some of what the layers of these paths are given; not of the longest."""
    sides = {path: len(weight) for path, weight in kernels(model, fitted).items()}
    found = {path: Sums(0, np.zeros(side), np.zeros((side, side))) for path, side in sides.items() if side <= LONGEST}

    def add(path: str, rows: Singles) -> None:
        found[path] = found[path] + sums(rows)

    meet(model, samples.stream, list(found), add)
    return found
