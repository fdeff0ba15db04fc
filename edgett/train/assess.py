"""What a model makes of data, and how good that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgett.model.ports import by_output, feed
from edgett.search.quality import Quality
from edgett.train.data import Split
from edgett.train.quality import Judge

PREDICTED = 256
"""Samples that are predicted at once."""


def assess(model: keras.Model, split: Split, judge: Judge) -> Quality:
    """The model's quality on a split."""
    return judge.quality(outputs(model, split.x), split.y)


def outputs(model: keras.Model, x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model's outputs for (n, ...) inputs, by name."""
    return answering(model)(x)


def reader(model: keras.Model, x: Mapping[str, np.ndarray]) -> Callable[[], dict[str, np.ndarray]]:
    """What tells the model's outputs for (n, ...) inputs, by name, with the weights that it has when it is asked."""
    answer = answering(model)
    return lambda: answer(x)


def answering(model: keras.Model) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """What tells the model's outputs for whatever inputs (n, ...), by name; it is compiled for the first ones."""
    compiled: list[Any] = []

    def answer(x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = feed(model, x)
        if not compiled:
            some = keras.tree.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), given)
            compiled.append(tf.function(lambda part: model(part, training=False), [some], autograph=False))
        return _read(model, compiled[0], given)

    return answer


def _read(model: keras.Model, serve: Callable[[Any], Any], given: Any) -> dict[str, np.ndarray]:
    parts = []
    for begin in range(0, len(keras.tree.flatten(given)[0]), PREDICTED):
        part = keras.tree.map_structure(lambda array, begin=begin: array[begin : begin + PREDICTED], given)
        parts.append(keras.tree.map_structure(np.asarray, serve(part)))
    return by_output(model, keras.tree.map_structure(lambda *rows: np.concatenate(rows), *parts))
