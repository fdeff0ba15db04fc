"""Samples that are altered anew each time they are seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edgett.model.stream import BATCH, Batch, Stream
from edgett.model.weigh import SAMPLES, evenly
from edgett.train.augment import Augmentation
from edgett.train.data import Answer, Split, Told


@dataclass(frozen=True)
class Augmented(Split):
    """Training samples whose inputs an augmentation alters. `x` and `y` are as they were given.

    Attributes:
        augment: what alters them.
        seed: of what it draws where layers are looked at; in training, that of the training.
        label: tells the labels of inputs, where they are what a model makes of them; None: labels stay.
    """

    augment: Augmentation
    seed: int = 0
    label: Answer | None = None

    def drawn(self, rows: np.ndarray, size: int, draw: tuple[int, int, int]) -> Split:
        """See `Split.drawn`: each batch is altered for itself."""
        seed, epoch, first = draw
        parts = [
            self._altered(rows[begin : begin + size], (seed, epoch, first + index))
            for index, begin in enumerate(range(0, len(rows), size))
        ]
        x = {name: np.concatenate([part[name] for part in parts]) for name in self.x}
        return Split(x, self.take(rows).y if self.label is None else self.label(x))

    def told(self, answer: Answer) -> Told:
        """See `Split.told`: of altered inputs a model has to be asked anew."""
        return lambda rows, x: answer(x)

    @property
    def stream(self) -> Stream:
        """See `Split.stream`: scarce samples come as often as makes `SAMPLES`, altered in another way each time."""
        rows = evenly(len(self))
        passes = -(-SAMPLES // len(rows))

        def batches() -> Iterator[Batch]:
            for number in range(passes):
                for begin in range(0, len(rows), BATCH):
                    yield self._altered(rows[begin : begin + BATCH], (self.seed, number, begin, 1))

        return Stream(passes * len(rows), batches)

    def _altered(self, rows: np.ndarray, draw: tuple[int, ...]) -> Mapping[str, np.ndarray]:
        return self.augment({name: np.array(array[rows]) for name, array in self.x.items()}, draw)
