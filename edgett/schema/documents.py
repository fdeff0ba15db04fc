"""Every JSON document that edgett prints or leaves for others to read, and its JSON Schema.

What a run keeps for itself alone, times.json and space.json, is none of them. This module is light, for the shell wants
names on the tab key; types are loaded when a schema is printed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Union

from edgett.errors import UsageError


@dataclass(frozen=True)
class Described:
    """A document: where it is met, and the types of a module here that it may be of."""

    met: str
    module: str
    types: tuple[str, ...]


DOCUMENTS: Mapping[str, Described] = {
    "compress": Described("edgett compress --json", "run", ("GridOutcome", "ParetoOutcome")),
    "deploy": Described("edgett deploy --json", "run", ("DeployedOutcome",)),
    "explore": Described(
        "edgett explore --json", "explore", ("GridExploration", "ParetoExploration", "SizedExploration")
    ),
    "train": Described("edgett train --json", "train", ("TrainAnswer",)),
    "slim": Described("edgett slim --json", "slim", ("SlimAnswer",)),
    "export": Described("edgett export --json", "check", ("ExportAnswer",)),
    "check": Described("edgett check --json, and a run's check.json", "check", ("CheckAnswer",)),
    "report": Described("edgett report --format json", "report", ("ReportDocument",)),
    "bench": Described("edgett bench --json, and a run's bench-DEVICE.json", "bench", ("Timing", "Counting")),
    "calibrate": Described("edgett calibrate --json", "bench", ("Calibration", "EmulatedCalibration")),
    "doctor": Described("edgett doctor --json", "doctor", ("HealthDocument",)),
    "targets list": Described("edgett targets list --json", "targets", ("TargetList",)),
    "targets show": Described("edgett targets show --json", "targets", ("Profile",)),
    "targets check": Described("edgett targets check --json", "targets", ("Profile",)),
    "firmware pack": Described("edgett firmware pack --json, and a package's manifest.json", "firmware", ("Package",)),
    "firmware check": Described("edgett firmware check --json", "firmware", ("PackageCheck",)),
    "firmware size": Described("edgett firmware size --json", "firmware", ("Firmware",)),
    "run.json": Described("a run's run.json: what was asked, and what came of it", "run", ("Recorded",)),
    "error": Described("any command with --json, where it fails and has no result", "parts", ("Failure",)),
}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a document, as it is written. Raises UsageError for a name that is none."""
    if name not in DOCUMENTS:
        near = difflib.get_close_matches(name, DOCUMENTS, 1, cutoff=0.4)
        nearest = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no document {name!r}.", f"{nearest}There are: {', '.join(DOCUMENTS)}.")
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

    one = DOCUMENTS[name]
    module = import_module(f"edgett.schema.{one.module}")
    either: Any = Union[tuple(getattr(module, kind) for kind in one.types)]  # noqa: UP007  # of as many as there are
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": one.met, **TypeAdapter(either).json_schema()}
