"""A run from its first line in run.json to its outcome: start, go on after an interruption, finish."""

from __future__ import annotations

import enum
import hashlib
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgett.errors import CheckFailed, EdgettError, InputError, UsageError, recorded
from edgett.job.job import Command, Job, settled, target_of
from edgett.run import record
from edgett.run.directory import Run, read_asked

_WHERE = ("jobs", "cluster")
"""Where a run is carried out may change while it goes on: the results do not, but for those of `jobs` 0."""

_LIBRARIES = ("edgett", "tensorflow", "keras", "numpy", "t3f", "onnx", "tf2onnx", "onnxruntime", "ai-edge-litert")
_DECISIVE = ("edgett", "tensorflow", "keras", "numpy")
"""Whose versions change what fine-tuning comes to."""
_DIGESTS = {
    "code": "edgett's code",
    "target": "the target's profile",
    "model": "the model",
    "data": "the data",
    "metric": "the metric",
    "augment": "the augmentation",
}


@contextmanager
def started(
    path: Path, job: Job, origins: Mapping[str, str], *, fresh: bool = False, command: Command = Command.COMPRESS
) -> Iterator[Run]:
    """A new run, in which is written down what is asked and where each value came from; `fresh` in an old one's place.

    Nothing of it is left when its input turns out unusable before the first trial.
    """
    values = TypeAdapter(Job).dump_python(job, mode="json")
    asked = {
        "command": command.value,
        "options": {name: {"value": values[name], "from": origins.get(name, "caller")} for name in command.options},
        "versions": _versions(),
        "digests": _ground(job),
    }
    run = Run.start(path, asked, fresh=fresh)
    try:
        yield run
    except (InputError, UsageError, CheckFailed):
        if not run.trials() and run.asked.get("outcome") is None:
            run.discard()
        raise
    finally:
        run.close()


@contextmanager
def resumed(
    path: Path, given: Mapping[str, Any], command: Command | None = None
) -> Iterator[tuple[Run, Job, dict[str, Any] | None]]:
    """An existing run: with the job it was asked, and its outcome if it is finished.

    Raises UsageError when `given`, the options named now (None: not named), ask for something else, and when the run is
    not of that `command`.
    """
    run = Run.resume(path)
    try:
        asked = run.asked
        if asked.get("outcome") is not None:
            record.finished(path, asked)
        if command is not None and command is not record.command(asked):
            made = f"edgett {record.command(asked).value}"
            raise UsageError(f"the run in {path} is of '{made}'.", f"Go on with: {_going_on(path, asked)}")
        yield run, _asked_job(path, asked, given), _here(path, asked.get("outcome"))
    finally:
        run.close()


def told(path: Path) -> tuple[dict[str, Any], Job, dict[str, Any]]:
    """What a finished run was asked, as a document and as a job, and its outcome; read only, so that any number may.

    Raises UsageError when there is no run, or no outcome yet.
    """
    asked = read_asked(path)
    if (outcome := asked.get("outcome")) is None:
        raise unfinished(path, asked)
    record.finished(path, asked)
    return asked, _asked_job(path, asked, {}), _here(path, outcome)


def _here(path: Path, outcome: Any) -> Any:
    """The outcome, which says where its run is: it may have been moved."""
    return None if outcome is None else outcome | {"run": str(path)}


def unfinished(path: Path, asked: Mapping[str, Any]) -> UsageError:
    """What to say of a run that has no outcome yet."""
    return UsageError(f"the run in {path} is not finished.", f"Go on with: {_going_on(path, asked)}")


def _going_on(path: Path, asked: Mapping[str, Any]) -> str:
    return f"edgett {record.command(asked).value} --out {shlex.quote(str(path))} --resume"


def _asked_job(path: Path, asked: Mapping[str, Any], given: Mapping[str, Any]) -> Job:
    values = {name: entry["value"] for name, entry in asked.get("options", {}).items()}
    try:
        job = TypeAdapter(Job).validate_python(values)
    except (TypeError, ValidationError, EdgettError) as error:
        raise record.damaged(path / "run.json", error, record.anew(asked), "options") from error
    now = replace(job, **settled(given))
    _refuse_another(path, asked, job, now)
    return now


def refuse_other_job(run: Run, asked: Job, job: Job) -> None:
    """Raise UsageError where a run was asked for something else than `job`; it says what."""
    _refuse_another(run.path, run.asked, asked, job)


def _refuse_another(path: Path, asked: Mapping[str, Any], job: Job, now: Job) -> None:
    pairs = {field.name: (getattr(job, field.name), getattr(now, field.name)) for field in fields(Job)}
    same = _WHERE if (job.jobs == 0) == (now.jobs == 0) else ()
    changed = [
        f"{name} was {_text(name, old)}, now {_text(name, new)}"
        for name, (old, new) in pairs.items()
        if old != new and name not in same
    ]
    if changed:
        raise UsageError(f"the run in {path} was asked for something else: {'; '.join(changed)}.", record.anew(asked))


def _text(name: str, value: object) -> str:
    if name == "jobs" and value == 0:
        return "0 (all threads of one process, whose digits are others)"
    if value is None:
        return "all" if name == "limit" else "not set"
    return str(value.value if isinstance(value, enum.Enum) else value)


def refuse_other_ground(run: Run, job: Job) -> None:
    """Raise UsageError where a run began with other code, other libraries or another profile; it says which."""
    asked = run.asked
    before, now = asked.get("versions", {}), _versions()
    changed = [f"{name} was {before.get(name)}, is {now[name]}" for name in _DECISIVE if before.get(name) != now[name]]
    _refuse(run, changed + _others(asked.get("digests", {}), _ground(job)))


def identify(run: Run, digests: Mapping[str, str]) -> None:
    """Write down which model and data a run is about; on a resumed run, raise UsageError for others."""
    asked = run.asked
    known = asked.get("digests", {})
    _refuse(run, _others(known, {name: value for name, value in digests.items() if name in known}))
    run.write_json("run.json", asked | {"digests": {**known, **digests}})


def _refuse(run: Run, changed: Sequence[str]) -> None:
    if changed:
        raise UsageError(f"the run in {run.path} cannot go on: {'; '.join(changed)}.", record.anew(run.asked))


def _others(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [f"{_DIGESTS[name]} changed since it began" for name in now if before.get(name) != now[name]]


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()}


def _ground(job: Job) -> dict[str, str]:
    """Digests of what a run stands on before its model and data are loaded."""
    code, root = hashlib.sha256(), Path(__file__).parent.parent
    for file in sorted(root.rglob("*.py")):
        code.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    target = target_of(job).model_copy(update={"title": "", "sources": {}})  # which nothing is computed from
    return {"code": code.hexdigest(), "target": hashlib.sha256(repr(target).encode()).hexdigest()}


def verdict(outcome: Mapping[str, Any]) -> EdgettError | None:
    """What is wrong with the outcome of a finished run, if anything is; however often it is told."""
    return recorded(outcome["error"]) if "error" in outcome else None
