"""A model's dead channels removed: what it puts out is compared before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgett.errors import CheckFailed
from edgett.job.job import Job
from edgett.meter import Meter
from edgett.schema import SCHEMA
from edgett.system import folders
from edgett.workflow import inputs
from edgett.workflow.inputs import Inputs

if TYPE_CHECKING:
    from edgett.model.slim.slimmed import Slimmed

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

    model, _ = inputs.trained(job, meter)
    found, off = _compared(model, job.model, job.seed, meter)
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


def slimmed(given: Inputs, job: Job, meter: Meter) -> Inputs:
    """The inputs with their model slimmed, and a remark that says so; as they are where every channel contributes.

    Raises:
        ModelError: for a model that cannot be copied.
        CheckFailed: where the outputs are others than before.
    """
    found, _ = _compared(given.model, job.model, job.seed, meter)
    if not found.removed:
        return given
    before, after = given.model.count_params(), found.model.count_params()
    told = (
        f"{_channels(found.removed)} that contribute nothing went before anything else: {before:,} parameters became"
        f" {after:,}, and the outputs stay. Percentages of budgets are of the model as it was given."
    )
    meter.say(f"Note: {told}")
    return replace(given, model=found.model, given=given.model, remarks=(*given.remarks, told))


def _compared(model: Any, name: str, seed: int, meter: Meter) -> tuple[Slimmed, float]:
    """The model slimmed, and how far its outputs are off on random inputs. Raises CheckFailed where that is too far."""
    from edgett.model.slim.slimmed import slimmed

    with meter.stage("looking for channels that contribute nothing"):
        found = slimmed(model)
        off, largest = _difference(model, found.model, seed) if found.removed else (0.0, 0.0)
    if not off <= TOLERANCE * largest:
        raise CheckFailed(
            f"without {_channels(found.removed)} the outputs of {name} are off by {off:.3g}.",
            "Nothing was written. Please report it with the model's summary.",
        )
    return found, off


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
