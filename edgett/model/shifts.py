"""Constants that are added to what a layer puts out: into its bias, or into the batch normalisation behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.model.trace import Trace, trace


@dataclass(frozen=True)
class Taker:
    """What takes up a constant that is added to the outputs of a layer: these numbers, added or taken away."""

    numbers: Any
    sign: int

    def add(self, amount: NDArray[Any]) -> None:
        """Add (Y,) numbers to what the layer puts out."""
        self.numbers.assign(np.asarray(self.numbers) + self.sign * amount)


def takers(model: keras.Model, paths: Collection[str]) -> dict[str, Taker]:
    """Find what can take up a constant that is added to the outputs of layers.

    Args:
        model: a Sequential or functional model.
        paths: those of layers.

    Returns:
        By path the bias of the layer, or the mean of the batch normalisation that alone reads what it puts out; layers
            with neither are left out.
    """
    flow = trace(model)
    found: dict[str, Taker] = {}
    for call in flow.calls:
        if call.path not in paths or call.path in found:
            continue
        if getattr(call.layer, "use_bias", False):
            found[call.path] = Taker(call.layer.bias, 1)
        elif (norm := _norm_behind(call.layer, flow)) is not None:
            found[call.path] = Taker(norm.moving_mean, -1)
    return found


def shift(model: keras.Model, shifts: Mapping[str, NDArray[Any]]) -> None:
    """Add constants to what layers put out.

    Args:
        model: a Sequential or functional model; it is changed.
        shifts: by the path of a layer that there is something to take it up for: (Y,) numbers.
    """
    for path, taker in takers(model, shifts.keys()).items():
        taker.add(shifts[path])


def _norm_behind(layer: Any, flow: Trace) -> Any:
    """The batch normalisation that alone reads what each call of a layer makes, and nothing else."""
    readers = [flow.readers(call.writes[0]) for call in flow.calls_of(layer)]
    norms = {id(one.layer): one.layer for each in readers for one in each}
    if len(norms) != 1 or any(call.writes[0] is output for call in flow.calls_of(layer) for output in _ends(flow)):
        return None
    (norm,) = norms.values()
    if type(norm) is not keras.layers.BatchNormalization or len(flow.calls_of(norm)) != len(readers):
        return None
    axes = len(flow.calls_of(norm)[0].reads[0].shape)
    return norm if norm.axis in (-1, axes - 1) else None


def _ends(flow: Trace) -> list[Any]:
    return list(flow.outputs.values())
