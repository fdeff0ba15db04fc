"""The dense model's own file: written before anything is trained, for percentages of a budget are of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgett.export.calibration import Calibration
from edgett.graph.dtype import DType
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.target.profile import Runtime
from edgett.workflow.convertible import converted
from edgett.workflow.files import SUFFIXES, Style, batches, taken
from edgett.workflow.inputs import Inputs

FOLDER = Path("artifacts")
BASELINE = "baseline"
CALIBRATION = 256
"""Training samples that the ranges of int8 are taken from."""


@dataclass(frozen=True)
class Original:
    """The dense model's file for the target, where it stays; how it was written; the bytes that it takes there.

    `files` are those of every format that there is, `left_out` says by its suffix why another cannot be had.
    """

    path: Path
    style: Style
    bytes: int
    files: tuple[Path, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The formats that there are, Keras's with them."""
        return tuple(s for s in SUFFIXES if s == ".keras" or any(path.suffix == s for path in self.files))


def original(inputs: Inputs, runtime: Runtime, batch: int, run: Run, meter: Meter) -> Original:
    """Write it into the run. Raises ModelError for a model that the target's format cannot hold."""
    style = Style(batch, calibration(inputs, batch) if runtime.dtype is DType.INT8 else None)
    with run.staging() as staging, meter.stage("converting the dense model"):
        made = converted(inputs, style, runtime.format.suffix, staging / BASELINE, meter)
        for part in made.files:
            run.adopt(part, FOLDER / part.name)
    files = tuple(run.path / FOLDER / part.name for part in made.files)
    (path,) = (file for file in files if file.suffix == runtime.format.suffix)
    return Original(path, style, taken(path, runtime.format), files, made.left_out)


def calibration(inputs: Inputs, batch: int) -> Calibration:
    """Batches of training samples, the same each time, evenly taken from all."""
    train = inputs.data.train
    rows = np.linspace(0, len(train) - 1, min(CALIBRATION, len(train))).astype(np.int64)
    return batches(train.take(rows).x, batch)
