"""A run from its first line in run.json to its outcome: start, go on after an interruption, finish."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgett.errors import UsageError
from edgett.inputs import Inputs
from edgett.pipeline import Outcome
from edgett.project import Job
from edgett.report import document
from edgett.run import Run

_LIBRARIES = ("edgett", "tensorflow", "keras", "numpy", "t3f", "onnx", "tf2onnx", "onnxruntime", "ai-edge-litert")


def start(path: Path, job: Job, origins: Mapping[str, str]) -> Run:
    """Make the run directory and write down what is asked, with where each value came from."""
    values = TypeAdapter(Job).dump_python(job, mode="json")
    return Run.start(
        path,
        {
            "options": {name: {"value": value, "from": origins.get(name, "caller")} for name, value in values.items()},
            "versions": {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()},
        },
    )


def resume(path: Path, given: Mapping[str, Any]) -> tuple[Run, Job, dict[str, Any] | None]:
    """Open a run: the job it was asked, and its outcome if it is finished.

    Raises UsageError when `given`, the options named now (None: not named), ask for something else.
    """
    run = Run.resume(path)
    asked = run.asked
    try:
        values = {name: entry["value"] for name, entry in asked["options"].items()}
        job = TypeAdapter(Job).validate_python(values)
    except (KeyError, TypeError, ValidationError) as error:
        raise UsageError(f"{path / 'run.json'} is not of this version of edgett.", "Start a new run.") from error
    now = TypeAdapter(dict[str, Any]).dump_python({k: v for k, v in given.items() if v is not None}, mode="json")
    changed = [f"{name} was {values[name]!r}, now {value!r}" for name, value in now.items() if values[name] != value]
    if changed:
        raise UsageError(
            f"the run in {path} was asked for something else: {'; '.join(changed)}.",
            "Start a new run with another --out.",
        )
    return run, job, asked.get("outcome")


def identify(run: Run, inputs: Inputs) -> None:
    """Write down which model, data and code a run is about; on a resumed run, refuse others.

    Raises UsageError that names what changed.
    """
    asked = run.asked
    now = dict(inputs.digests)
    before = asked.get("digests", now)
    changed = [name for name in now if before.get(name) != now[name]]
    if asked.get("versions", {}).get("edgett") != version("edgett"):
        changed.append("edgett's version")
    if changed:
        raise UsageError(
            f"the run in {run.path} cannot go on: {', '.join(changed)} changed since it began.",
            "Start a new run with another --out.",
        )
    run.write_json("run.json", asked | {"digests": now})


def finish(run: Run, outcome: Outcome) -> dict[str, Any]:
    """Write the outcome and the cross-check into the run; the outcome's document."""
    content = document.compressed(outcome)
    run.write_json("check.json", content["check"])
    run.write_json("run.json", run.asked | {"outcome": content})
    return content
