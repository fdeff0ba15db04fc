"""Before anything is trained: whether the dense model converts, runs, and gives what Keras gives.

What the target needs must; of other formats those that do not are left out of the run, each with a line that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgett.device import local
from edgett.errors import CheckFailed, ModelError, ToolError
from edgett.export.check import Numerics, compare_outputs
from edgett.meter import Meter
from edgett.workflow.files import SUFFIXES, Style, write
from edgett.workflow.inputs import Inputs

_EXPORTED = tuple(suffix for suffix in SUFFIXES if suffix != ".keras")
TRIED = 8
"""Validation samples that the files are run on."""


@dataclass(frozen=True)
class Converted:
    """The exported files of a model, and by its suffix why each of the others cannot be had."""

    files: tuple[Path, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The formats that there are."""
        return tuple(path.suffix for path in self.files)


def converted(inputs: Inputs, style: Style, needed: str, stem: Path, meter: Meter) -> Converted:
    """The dense model as stem.tflite and stem.onnx: those that convert, and run as Keras does.

    Of the one with the suffix `needed` raises ModelError when it does not convert, which names the layer where that is
    known, and CheckFailed when it does, to something else.
    """
    from edgett.train.assess import outputs

    samples = inputs.data.validation.take(slice(TRIED)).x
    reference = outputs(inputs.model, samples)
    made: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for suffix in sorted(_EXPORTED, key=lambda suffix: suffix != needed):  # what may stop the run comes first
        try:
            (path,) = write(inputs.model, style, stem, (suffix,))
            _refuse_other(path, samples, reference, style)
        except (ModelError, CheckFailed) as error:
            if suffix == needed:
                raise
            left_out[suffix] = error.message
            meter.say(f"No {suffix} files, which the target does not need: {error.message}")
        else:
            made[suffix] = path
    return Converted(tuple(made[suffix] for suffix in _EXPORTED if suffix in made), left_out)


def _refuse_other(path: Path, samples: Mapping[str, Any], reference: Mapping[str, Any], style: Style) -> None:
    """Raise ModelError for a file that does not run, CheckFailed for one that gives something else than Keras."""
    try:
        found = compare_outputs(reference, local.run(path, samples, style.batch), style.tolerance)
    except ToolError as error:
        raise ModelError(f"{path.name} was written, but does not run: {error.message}", _OTHER) from error
    except ValueError as error:  # of other names or shapes
        raise CheckFailed(f"{path.name} gives something else than Keras: {error}.", _OTHER) from error
    # Whether a file tells more than a constant would shows on many samples; the cross-check has them.
    if not found.l2_relative < found.tolerance:
        raise CheckFailed(f"{path.name} gives something else than Keras: {_off(found)}.", _OTHER)


def _off(found: Numerics) -> str:
    return f"an error of {found.l2_relative:.1e} (L2, relative) on {found.samples} samples, over {found.tolerance:.0e}"


_OTHER = "Replace the layers that are unusual in it one by one, to find which it is; please report it with that layer."
