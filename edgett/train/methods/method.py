"""The interface of a training method: how accuracy comes back after layers have been put into forms."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from edgett.forms.spec import Factors, Spec
from edgett.train.data import Split
from edgett.train.quality import Judge
from edgett.train.training import Teacher, Training


class Method:
    """Plain fine-tuning: factors start from the decomposed weights, and learn from labels. Others do more."""

    before = 0.0
    """The share of the epochs that the dense model trains on, pulled towards the forms, before it is decomposed."""

    undoes = True
    """Whether a training is undone that made a model worse than it began: not where it is for samples under attack."""

    def __init__(self, model: keras.Model, judge: Judge, samples: Split, tutor: Method | None = None) -> None:
        """Take what all solutions of a run have in common.

        Args:
            model: the dense model.
            judge: what models are judged by.
            samples: what it is trained on.
            tutor: that of the model to learn from; None: it is this one.
        """
        self.model, self.judge, self.samples, self.tutor = model, judge, samples, tutor

    def prepare(self, edits: Mapping[str, Spec]) -> None:
        """Do what is done once, for all solutions with these layers, and takes a while.

        Args:
            edits: by the path of a layer the form of its weight.
        """

    def factors(self, edits: Mapping[str, Spec]) -> Mapping[str, Factors]:
        """The factors that layers start from.

        Args:
            edits: by the path of a layer the form of its weight.

        Returns:
            Factors by path, (...) of the spec's shapes; layers that are missing start from their decomposed weights.
        """
        return {}

    @property
    def teacher(self) -> Teacher | None:
        """What is learnt from beside the labels; None: the labels alone."""
        return None

    def training(self, model: keras.Model, samples: Split, seed: int, rate: float) -> Training:
        """Begin to train what is in forms.

        Args:
            model: compiled.
            samples: what it is trained on.
            seed: of the order of samples.
            rate: where the learning rate starts.

        Returns:
            The training, before its first epoch.
        """
        return Training(model, samples, seed, self.teacher, rate)
