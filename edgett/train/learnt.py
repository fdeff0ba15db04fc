"""Whether a model has learnt the very samples that it is judged on: then what others lose on them says little."""

from __future__ import annotations

import math
from dataclasses import replace

import keras
import numpy as np

from edgett.train.assess import assess, outputs
from edgett.train.data import Data, Split, halves
from edgett.train.quality import Judge

FAR = 2.0
"""Points, or % of the baseline, by which a model is worse on samples that it has not learnt before that matters."""

SURE = 3.0
"""Standard errors that such a difference must have."""

PARTS = 10
"""Parts of the test data, whose figures tell how far chance alone takes them."""


def gap(model: keras.Model, data: Data, judge: Judge) -> float | None:
    """How far the model is worse on the test data than on the user's training data, in points of a drop.

    None where it is not, or no further than chance and `FAR`. Of the training data, as many samples tell as there are
    test ones: those set aside, which were drawn from it by chance, are too few.
    """
    learnt = _joined(data.validation, _some(data.train, max(len(data.test) - len(data.validation), 1)))
    quality = assess(model, learnt, judge)
    found = outputs(model, data.test.x)
    worse = judge.quality(found, data.test.y).drop_from(quality)
    count = min(PARTS, len(data.test) // 2)
    if worse <= FAR or not math.isfinite(worse) or count < 2:
        return None
    drops = []
    for rows in np.array_split(np.random.default_rng(0).permutation(len(data.test)), count):
        part = data.test.take(rows)
        drops.append(judge.quality({name: array[rows] for name, array in found.items()}, part.y).drop_from(quality))
    one = np.var(drops, ddof=1) * len(data.test) / count  # of a single sample
    chance = math.sqrt(one * (1 / len(data.test) + 1 / len(learnt)))
    return worse if worse > SURE * chance else None


def _some(split: Split, count: int) -> Split:
    """Samples, evenly taken from all."""
    return split.take(np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64))


def unlearnt(data: Data, judge: Judge, seed: int) -> Data:
    """The data with half of those for testing in place of the samples set aside, which go back to training."""
    validation, test = halves(data.test, judge.gauges[0], seed)
    return replace(data, train=_joined(data.train, data.validation), validation=validation, test=test, aside=False)


def _joined(one: Split, other: Split) -> Split:
    x, y = (
        {name: np.concatenate([array, theirs[name]]) for name, array in mine.items()}
        for mine, theirs in ((one.x, other.x), (one.y, other.y))
    )
    return Split(x, y)
