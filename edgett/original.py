"""The dense model's own file: written before anything is trained, for percentages of a budget are of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgett.export.calibration import Calibration
from edgett.files import Style, batches, taken, write
from edgett.inputs import Inputs
from edgett.run import Run
from edgett.targets import Runtime
from edgett.values import DType

FOLDER = Path("artifacts")
BASELINE = "baseline"
CALIBRATION = 256
"""Training samples that the ranges of int8 are taken from."""


@dataclass(frozen=True)
class Original:
    """The file of the dense model for the target, where it stays; how it was written; the bytes that it takes there."""

    path: Path
    style: Style
    bytes: int


def original(inputs: Inputs, runtime: Runtime, batch: int, run: Run) -> Original:
    """Write it into the run. Raises ToolError for a model that the format cannot hold."""
    style = Style(batch, calibration(inputs, batch) if runtime.dtype is DType.INT8 else None)
    with run.staging() as staging:
        (part,) = write(inputs.model, style, staging / BASELINE, (runtime.format.suffix,))
        place = FOLDER / part.name
        run.adopt(part, place)
    return Original(run.path / place, style, taken(run.path / place, runtime.format))


def calibration(inputs: Inputs, batch: int) -> Calibration:
    """Batches of training samples, the same each time, evenly taken from all."""
    train = inputs.data.train
    rows = np.linspace(0, len(train) - 1, min(CALIBRATION, len(train))).astype(np.int64)
    return batches(train.take(rows).x, batch)
