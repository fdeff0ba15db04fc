"""A model without some of the channels that contribute: what reads them is fitted anew to what it put out before.

Where channels are gone, what the layers behind are given is no more what the dense ones were given. With x the inputs
of the dense layer, x' those that are left of it, and W its weight, the layer gets the weight W' for which x' W' comes
nearest to x W, one layer after the other (He, Zhang and Sun, ICCV 2017, channel pruning by reconstruction).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.forms.moments import Moments, of_patches, sums
from edgett.forms.spec import Spec
from edgett.forms.start import Start
from edgett.model.layers import kernels, spots_of
from edgett.model.models import pack_weights, unpack_weights
from edgett.model.shifts import takers
from edgett.model.slim import rules
from edgett.model.slim.elimination import Left, Node, eliminated
from edgett.model.slim.flow import Flow
from edgett.model.slim.slimmed import Slimmed, without
from edgett.model.stream import Batch, Stream
from edgett.model.trace import Call, trace
from edgett.model.weigh import inputs_of, spread

Singles = NDArray[np.float32]

LONGEST = 1 << 11
"""Layers of more inputs are given all of them: the inverse of a larger moment takes too long to keep."""


@dataclass(frozen=True, eq=False)
class Pruned:
    """A model without some channels, as what it takes to make it of the whole one.

    Attributes:
        strands: those that are gone.
        removed: how many channels each layer with weights puts out no more, by path.
        lost: what that is expected to lose (see `Left`).
        weights: of the smaller model, packed.
        starts: by path and spec where layers start from that were fitted already.
    """

    strands: tuple[int, ...]
    removed: Mapping[str, int]
    lost: float
    weights: bytes = field(repr=False)
    starts: Mapping[tuple[str, Spec], Start] = field(default_factory=dict, repr=False)

    @property
    def gone(self) -> int:
        """How many channels are gone, of all layers; no two of a model have the same."""
        return sum(self.removed.values())

    def of(self, model: keras.Model) -> keras.Model:
        """Make the smaller model of the whole one, compiled as that one is."""
        small = _without(model, Flow(trace(model)), self.strands).model
        unpack_weights(small, self.weights)
        return small


class Pruning:
    """The channels of a model that may go, in which order, and the model without them."""

    def __init__(self, model: keras.Model, x: Batch | Stream, may: Callable[[str], bool] = lambda path: True) -> None:
        """Look at a model.

        Args:
            model: a Sequential or functional model; it stays as it is.
            x: training inputs by name, of which some are looked at, or batches of them.
            may: whether the layer of a path may lose channels that it writes.
        """
        self._model, self._x, self._may = model, spread(x), may
        self._trace = trace(model)
        self._flow = Flow(self._trace)
        self._calls = {call.path: call for call in self._flow.first_calls()}
        mixed = [path for path, call in self._calls.items() if isinstance(self._flow.rules[id(call)], rules.Mixed)]
        self._weights = {path: weight for path, weight in kernels(model, mixed).items() if len(weight) <= LONGEST}
        self._takers = takers(model, self._weights).keys()

    @cached_property
    def order(self) -> tuple[Left, ...]:
        """One strand after the other, and what is left then; empty where none may go."""
        able, nodes = self._flow.every - self._flow.pinned, []
        for path, call in self._calls.items():
            rule = self._flow.rules[id(call)]
            if not isinstance(rule, rules.Weighted):
                continue
            node = self._node(path, call)
            nodes.append(node)
            if isinstance(rule, rules.Mixed) and node.moments is None:
                able -= set(node.reads.tolist())  # nobody could make up for them
            if not self._may(path):
                able -= set(node.writes.tolist())
        tensors = [self._flow.strands(tensor) for call in self._trace.calls for tensor in call.writes]
        return tuple(eliminated(nodes, sorted(able), tensors))

    def pruned(self, share: float) -> Pruned | None:
        """The model with no more than a share of its parameters and FLOPs, on average, left by its layers.

        Args:
            share: from 0 to 1.

        Returns:
            What is left of it; None where not so many channels may go.
        """
        count = next((k + 1 for k, left in enumerate(self.order) if (left.params + left.flops) / 2 <= share), None)
        if count is None:
            return None
        strands = tuple(left.gone for left in self.order[:count])
        small = self.without(strands)
        return Pruned(strands, small.removed, self.order[count - 1].lost, pack_weights(small.model))

    def without(self, strands: Collection[int]) -> Slimmed:
        """Remove strands, and fit the layers that read them, one after the other."""
        small = _without(self._model, self._flow, strands)
        needed, able = self._flow.every - set(strands), takers(small.model, self._weights)
        for path, place in spots_of(small.model, self._weights).items():
            call = self._calls[path]
            cut = self._flow.cut(call, needed)
            if len(cut.reads) == call.reads[0].shape[-1]:
                continue
            wanted = self._given[path] @ self._weights[path][:, cut.writes]
            given = inputs_of(small.model, self._x, [path])[path]
            start = np.asarray(place.kind.weight(place.layer, place.site))
            seen = of_patches(start, sums(given), path in able)
            if seen.usable:
                best, mean = _nearest(seen, given, wanted)
                bias = np.asarray(place.layer.bias) if place.site.bias else None
                place.kind.give(place.layer, place.site, best, bias)
                if seen.mean is not None:
                    able[path].add(mean - seen.mean @ best.astype(np.float64))
        return small

    @cached_property
    def _given(self) -> Mapping[str, Singles]:
        # One by one: so rows are from the same positions as those of another model.
        return {path: inputs_of(self._model, self._x, [path])[path] for path in self._weights}

    def _node(self, path: str, call: Call) -> Node:
        layer, written = call.layer, self._flow.strands(call.writes[0])
        positions = math.prod(size or 1 for size in call.writes[0].shape[1:-1]) * len(self._trace.calls_of(layer))
        bias, taps = bool(layer.use_bias) or path in self._takers, math.prod(getattr(layer, "kernel_size", ()))
        if isinstance(self._flow.rules[id(call)], rules.Depthwise):
            return Node(np.zeros(0, np.int64), written, positions, bias, taps)
        read = np.tile(self._flow.strands(call.reads[0]), taps)
        return Node(read, written, positions, bias, moments=self._moments(path))

    def _moments(self, path: str) -> Moments | None:
        if path not in self._weights:
            return None
        seen = of_patches(self._weights[path], sums(self._given[path]), path in self._takers)
        return seen if seen.usable else None


def _without(model: keras.Model, flow: Flow, strands: Collection[int]) -> Slimmed:
    return without(model, flow, flow.every - set(strands))


def _nearest(seen: Moments, given: Singles, wanted: Singles) -> tuple[Singles, NDArray[np.float64]]:
    """The weight that makes what is wanted (n, N) of what is given (n, X), a little held where it was; and the mean."""
    assert seen.moment is not None, "what is usable was seen"
    mean = wanted.mean(axis=0, dtype=np.float64)
    cross = given.T.astype(np.float64) @ wanted.astype(np.float64) / len(given)
    if seen.mean is not None:
        cross -= np.outer(seen.mean, mean)
    best = np.linalg.solve(seen.moment.astype(np.float64), cross + seen.ridge * seen.weight)
    return best.astype(np.float32), mean
