"""A model's dead channels removed: what it puts out is compared before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgett.errors import CheckFailed
from edgett.job.job import Job
from edgett.meter import Meter
from edgett.schema import SCHEMA
from edgett.system import folders
from edgett.workflow import inputs

TOLERANCE = 1e-5
"""How far outputs may be off, as a share of the largest: sums of other lengths are rounded otherwise."""


def slim(job: Job, out: Path, meter: Meter) -> dict[str, Any]:
    """Remove the channels of a model that contribute nothing, compare the outputs, and write what is left.

    Args:
        job: names the model; its seed draws the inputs that outputs are compared on.
        out: the `.keras` file to write, whole or not at all.
        meter: hears of the stages.

    Returns:
        The document of `edgett slim`.

    Raises:
        ModelError: for a model that cannot be worked with.
        CheckFailed: where the outputs are others than before; then nothing is written.
        ToolError: where the file cannot be written.
    """
    from edgett.model.models import save_model
    from edgett.model.slim.slimmed import slimmed

    model = inputs.trained(job, meter)
    with meter.stage("looking for channels that contribute nothing"):
        found = slimmed(model)
    with meter.stage("comparing outputs"):
        off, largest = _difference(model, found.model, job.seed)
    if not off <= TOLERANCE * largest:
        raise CheckFailed(
            f"without {_channels(found.removed)} the outputs of {job.model} are off by {off:.3g}.",
            "Nothing was written. Please report it with the model's summary.",
        )
    with folders.scratch() as folder:
        save_model(found.model, folder / "slim.keras")
        folders.put((folder / "slim.keras").read_bytes(), out, "model")
    return {
        "schema": SCHEMA,
        "model": job.model,
        "written": str(out),
        "params": {"before": model.count_params(), "after": found.model.count_params()},
        "layers": [{"name": path, "removed": count} for path, count in found.removed.items()],
        "folded": found.folded,
        "max_abs": off,
    }


def _channels(removed: Mapping[str, int]) -> str:
    count = sum(removed.values())
    return "a channel" if count == 1 else f"{count:,} channels"


def _difference(one: Any, other: Any, seed: int) -> tuple[float, float]:
    """How far the outputs of two models are off on random inputs, and the largest of them."""
    from edgett.train.assess import outputs
    from edgett.train.drawn import drawn

    x: Mapping[str, Any] = drawn(one, seed).train.x
    mine, theirs = outputs(one, x), outputs(other, x)
    off = max(float(np.abs(theirs[name] - mine[name]).max()) for name in mine)
    return off, max(float(np.abs(array).max()) for array in mine.values())
