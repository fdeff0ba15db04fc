"""The channels between the links of convolutions brought to one level, so that int8 has as many steps for each.

An int8 tensor has one scale for all of its channels, and what a chain stands for leaves the scale of each channel
between its links open (Nagel et al. 2019, cross-layer equalisation). Scales are powers of two, so that no output
changes by a bit.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgett.model.convolved import DEPTHWISE_HALF, Convolved
from edgett.model.stream import Batch, Stream, stream
from edgett.model.trace import run

STEEPEST = 24
"""The largest exponent of two that a channel is scaled by."""

Floats = NDArray[np.floating]


def level(model: keras.Model, x: Batch | Stream) -> None:
    """Bring the channels between the links of every convolution in a form to the same largest magnitude, within 2**0.5.

    Args:
        model: a Sequential or functional model; its links are changed, what it puts out is not.
        x: inputs by name, or batches of them, on which magnitudes are looked at.
    """
    largest: dict[int, list[Floats]] = {}
    layers: dict[int, Convolved] = {}

    def call(path: str, layer: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(layer, Convolved):
            seen, key = _between(layer, args[0]), id(layer)
            layers[key] = layer
            largest[key] = [np.maximum(*pair) for pair in zip(largest.get(key, seen), seen, strict=True)]
        return layer(*args, **kwargs)

    for batch in stream(x).batches():
        run(model, batch, call)
    for key, layer in layers.items():
        for place, magnitudes in enumerate(largest[key]):
            _scale(layer, place, _powers(magnitudes))


def _between(layer: Convolved, inputs: Any) -> list[Floats]:
    """The largest magnitude of each channel behind each link but the last."""
    found = []
    for part in layer.parts[:-1]:
        inputs = part(inputs)
        if part.name != DEPTHWISE_HALF:
            found.append(np.abs(np.asarray(inputs)).max(axis=tuple(range(len(inputs.shape) - 1))))
    return found


def _powers(magnitudes: Floats) -> Floats:
    """What brings the magnitudes of channels to their geometric mean; 1 for a channel that is always 0."""
    alive = (magnitudes > 0) & np.isfinite(magnitudes)
    logarithms = np.log2(np.where(alive, magnitudes, 1.0))
    wanted = np.round((logarithms * alive).sum() / max(alive.sum(), 1) - logarithms) * alive
    return np.exp2(np.clip(wanted, -STEEPEST, STEEPEST)).astype(np.float32)


def _scale(layer: Convolved, place: int, powers: Floats) -> None:
    """Multiply what a link puts out, and divide what the next one takes."""
    near, far = layer.factors[place], layer.factors[place + 1]
    depthwise = layer.spec.links[place].depthwise
    near.assign(np.asarray(near) * (powers[:, None] if depthwise else powers))
    far.assign(np.asarray(far) / powers[:, None])
