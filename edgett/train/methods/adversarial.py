"""Learning from attacked samples: `--recover adversarial`.

Each batch is first moved by the attack that the model is judged under, against the model as it is then, so that the
loss that is brought down is that of the worst case (Madry et al. 2018), with what the dense model makes of the samples
as they were beside the labels (Goldblum et al. 2020). To cut and to harden at once is ATMC's way (Gui et al. 2019).
"""

from __future__ import annotations

from typing import Any

import keras

from edgett.model.ports import by_input, by_output, feed
from edgett.train.attacks import Adversary
from edgett.train.data import Split
from edgett.train.methods.distill import Distill
from edgett.train.methods.method import Method
from edgett.train.quality import Judge
from edgett.train.training import Training


class Adversarial(Distill):
    """The dense model teaches, and an adversary chooses where."""

    undoes = False

    def __init__(self, model: keras.Model, judge: Judge, samples: Split, tutor: Method | None = None) -> None:
        super().__init__(model, judge, samples, tutor)
        self._adversary = Adversary.of(judge, samples.x)

    def training(self, model: keras.Model, samples: Split, seed: int, rate: float) -> Training:
        """Begin a training on attacked batches."""
        assert self._adversary is not None, "a job that recovers so names an attack"
        training = Hardening(model, samples, seed, self.teacher, rate)
        training.adversary = self._adversary
        return training


class Hardening(Training):
    """A model on its way through epochs of attacked batches."""

    adversary: Adversary

    def step(self, x: Any, y: Any, soft: Any) -> Any:
        """Train on a batch where the adversary moves it."""
        moved = self.adversary.moved(self.model, by_input(self.model, x), by_output(self.model, y))
        return super().step(feed(self.model, moved), y, soft)
