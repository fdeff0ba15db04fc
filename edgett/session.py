"""A run from its first line in run.json to its outcome: start, go on after an interruption, finish."""

from __future__ import annotations

import enum
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgett.errors import InputError, UsageError
from edgett.inputs import Inputs
from edgett.pipeline import Outcome
from edgett.project import Job, settled
from edgett.report import document
from edgett.run import Run

_WHERE = ("jobs", "cluster")
"""Where a run is carried out may change while it goes on: the results do not."""

_LIBRARIES = ("edgett", "tensorflow", "keras", "numpy", "t3f", "onnx", "tf2onnx", "onnxruntime", "ai-edge-litert")


@contextmanager
def started(path: Path, job: Job, origins: Mapping[str, str]) -> Iterator[Run]:
    """A new run, in which is written down what is asked and where each value came from.

    Nothing of it is left when its input turns out unusable before the first trial.
    """
    values = TypeAdapter(Job).dump_python(job, mode="json")
    run = Run.start(
        path,
        {
            "options": {name: {"value": value, "from": origins.get(name, "caller")} for name, value in values.items()},
            "versions": {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()},
        },
    )
    try:
        yield run
    except (InputError, UsageError):
        if not run.trials():
            run.discard()
        raise
    finally:
        run.close()


@contextmanager
def resumed(path: Path, given: Mapping[str, Any]) -> Iterator[tuple[Run, Job, dict[str, Any] | None]]:
    """An existing run: with the job it was asked, and its outcome if it is finished.

    Raises UsageError when `given`, the options named now (None: not named), ask for something else.
    """
    run = Run.resume(path)
    try:
        asked = run.asked
        yield run, _asked_job(path, asked, given), asked.get("outcome")
    finally:
        run.close()


def _asked_job(path: Path, asked: Mapping[str, Any], given: Mapping[str, Any]) -> Job:
    try:
        values = {name: entry["value"] for name, entry in asked["options"].items()}
        job = TypeAdapter(Job).validate_python(values)
    except (KeyError, TypeError, ValidationError) as error:
        raise UsageError(f"{path / 'run.json'} is not of this version of edgett.", "Start a new run.") from error
    now = replace(job, **settled(given))
    pairs = {field.name: (getattr(job, field.name), getattr(now, field.name)) for field in fields(Job)}
    changed = [
        f"{name} was {_text(name, old)}, now {_text(name, new)}"
        for name, (old, new) in pairs.items()
        if old != new and name not in _WHERE
    ]
    if changed:
        raise UsageError(
            f"the run in {path} was asked for something else: {'; '.join(changed)}.",
            "Start a new run with another --out.",
        )
    return now


def _text(name: str, value: object) -> str:
    if value is None:
        return "all" if name == "limit" else "not set"
    return str(value.value if isinstance(value, enum.Enum) else value)


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
