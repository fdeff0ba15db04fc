"""The interface of a training method: how accuracy comes back after layers have been put into forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from numpy.typing import NDArray

from edgett.forms.spec import Factors, Spec
from edgett.train.quality import Judge
from edgett.train.training import Teacher


class Method:
    """Plain fine-tuning: factors start from the decomposed weights, and learn from labels. Others do more."""

    def __init__(self, model: keras.Model, judge: Judge, x: Mapping[str, NDArray[Any]]) -> None:
        """`model` is the dense one, `judge` what it is judged by, `x` the training inputs, (n, ...) by name."""
        self.model, self.judge, self.x = model, judge, x

    def prepare(self, edits: Mapping[str, Spec]) -> None:
        """Do what is done once, for all solutions with these layers, and takes a while."""

    def factors(self, edits: Mapping[str, Spec]) -> Mapping[str, Factors]:
        """The factors that layers start from, by path; those that are missing start from the decomposition."""
        return {}

    @property
    def teacher(self) -> Teacher | None:
        """What is learnt from beside the labels."""
        return None
