"""Inputs for a model that comes without data: drawn at random, of what its first layers take."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from edgett.errors import ModelError
from edgett.model.ports import input_ports
from edgett.model.trace import Trace, trace
from edgett.train.data import Data, Split
from edgett.train.quality import Judge

SAMPLES = 64
INDICES = 10
"""Whole numbers of an input of which nothing tells how large they may be are below this."""

UNJUDGED = Judge((), inferred=True)
"""Judges no output."""


def drawn(model: keras.Model, seed: int) -> Data:
    """The same few samples as each split, without labels.

    Indices of an embedding are within its table, what is rescaled is from 0 to 255, what is normalised has the mean and
    the variance that the layer subtracts and divides by; other numbers are of a standard normal distribution. Raises
    ModelError for an input of no fixed shape.
    """
    random, form = np.random.default_rng(seed), trace(model)
    x = {}
    for port in input_ports(model):
        if None in port.shape:
            raise ModelError(f"input {port.name!r} is {port}: of no fixed shape.", "Save the model with a fixed one.")
        shape = (SAMPLES, *(size for size in port.shape if size is not None))
        x[port.name] = _values(form, form.inputs[port.name], shape, random)
    split = Split(x, {})
    return Data(split, split, split)


def _values(form: Trace, tensor: Any, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(keras.backend.standardize_dtype(tensor.dtype))
    layers = [call.layer for call in form.readers(tensor)]
    tables = [layer.input_dim for layer in layers if isinstance(layer, keras.layers.Embedding)]
    if tables or (dtype.kind in "iu" and not any(isinstance(layer, keras.layers.Rescaling) for layer in layers)):
        return random.integers(0, min(tables, default=INDICES), shape).astype(dtype)
    if dtype.kind == "b":
        return random.random(shape) < 0.5
    for layer in layers:
        if isinstance(layer, keras.layers.Rescaling):
            return random.integers(0, 255, shape, endpoint=True).astype(dtype)
        if isinstance(layer, keras.layers.Normalization) and not layer.invert:
            mean, variance = (np.asarray(each, np.float64) for each in (layer.mean, layer.variance))
            return (mean + np.sqrt(variance) * random.normal(size=shape)).astype(dtype)
    return random.normal(size=shape).astype(dtype)
