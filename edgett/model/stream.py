"""Samples that come batch by batch, of which no more than a batch is in memory: what layers are looked at with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BATCH = 256

Batch = Mapping[str, Any]
"""Inputs by name, (n, ...) each."""


@dataclass(frozen=True)
class Stream:
    """Batches of inputs, the same ones in the same order whenever they are asked for.

    Attributes:
        count: the samples, all told.
        batches: begins anew.
    """

    count: int
    batches: Callable[[], Iterator[Batch]]


def stream(x: Batch | Stream, rows: np.ndarray | None = None) -> Stream:
    """Cut inputs into batches.

    Args:
        x: inputs by name, (n, ...) each; or a stream, which stays what it is.
        rows: the samples to take, by index; None: all.

    Returns:
        A stream of at most `BATCH` samples a batch.
    """
    if isinstance(x, Stream):
        return x
    count = len(next(iter(x.values()))) if rows is None else len(rows)

    def batches() -> Iterator[Batch]:
        for begin in range(0, count, BATCH):
            some = slice(begin, begin + BATCH) if rows is None else rows[begin : begin + BATCH]
            yield {name: array[some] for name, array in x.items()}

    return Stream(count, batches)
