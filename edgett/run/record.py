"""A run directory read: every file of it is checked here, once, so that what renders or exports it may trust it.

A directory may come from anybody. What is damaged, or of another version, is told with the file, the key and what is
allowed there; nothing outside of the directory is opened, whatever a link or a document in it says.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from edgett.errors import UsageError
from edgett.escape import one_line
from edgett.job.job import Command
from edgett.schema import SCHEMA
from edgett.schema.bench import Counting, Timing
from edgett.schema.run import Begun, DeployedOutcome, Finished, GridOutcome, ParetoOutcome

DEEPEST = 40
"""Tables inside tables; a run's own have ten."""
WITHOUT = "Take it away: the report does without it."
_OUTCOMES: Mapping[object, type[BaseModel]] = {"grid": GridOutcome, "pareto": ParetoOutcome, None: DeployedOutcome}


def anew(asked: Mapping[str, Any]) -> str:
    """The cure that tells how a run is made again.

    Args:
        asked: the content of its run.json.

    Returns:
        A sentence with the command.
    """
    return f"'edgett {command(asked).value}' starts anew there with --fresh, or elsewhere with another --out."


def command(asked: Mapping[str, Any]) -> Command:
    """The command that made a run, by the content of its run.json."""
    return Command.DEPLOY if asked.get("command") == Command.DEPLOY.value else Command.COMPRESS


def begun(run: Path) -> dict[str, Any]:
    """Read and check the run.json of a run that may not be over.

    Args:
        run: the run directory.

    Returns:
        Its content.

    Raises:
        UsageError: when it is damaged, or of another schema.
    """
    place, unknown = run / "run.json", anew({})
    content = read(run, "run.json", unknown, f"Go on with the version of edgett that wrote it. {unknown}")
    _refuse_other(content, Begun, place, anew(content))
    return content


def finished(run: Path, asked: Mapping[str, Any]) -> None:
    """Check that a run has an outcome that can be relied on.

    Args:
        run: the run directory.
        asked: what `begun` gave of it, with an outcome.

    Raises:
        UsageError: when it is damaged.
    """
    place, outcome = run / "run.json", asked["outcome"]
    _refuse_other(asked, Finished, place, anew(asked))
    search = outcome.get("search", "grid") if isinstance(outcome, dict) else "grid"
    kind = _OUTCOMES.get(search if isinstance(search, str | None) else "grid", GridOutcome)
    _refuse_other(outcome, kind, place, anew(asked), "outcome")


def benchmark(run: Path, name: str) -> dict[str, Any]:
    """Read and check a bench-*.json of a run.

    Args:
        run: the run directory.
        name: that of the file.

    Returns:
        Its content.

    Raises:
        UsageError: when it is damaged, or of another schema.
    """
    content = read(run, name, WITHOUT)
    artefacts = content.get("artifacts")
    first = artefacts[0] if isinstance(artefacts, list) and artefacts else None
    counts = isinstance(first, dict) and "instructions" in first
    _refuse_other(content, Counting if counts else Timing, run / name, WITHOUT)
    return content


def value(run: Path, name: str, key: str, codec: TypeAdapter[Any], cure: str) -> Any:
    """Read one key of a JSON document in a run as a Python value.

    Args:
        run: the run directory.
        name: that of the file.
        key: a key of the document.
        codec: checks and makes the value.
        cure: what to do about a damaged file.

    Returns:
        The value.

    Raises:
        UsageError: when it is damaged, or of another schema.
    """
    content = read(run, name, cure)
    try:
        return codec.validate_json(json.dumps(content.get(key)), strict=True)
    except (ValidationError, RecursionError) as error:
        raise damaged(run / name, error, cure, key) from error


def read(run: Path, name: str, cure: str, other: str = "") -> dict[str, Any]:
    """Read a JSON document in a run.

    Args:
        run: the run directory.
        name: that of the file.
        cure: what to do about a damaged file.
        other: what to do about one of another schema; empty: the same.

    Returns:
        Its content, of this schema.

    Raises:
        UsageError: for any other.
    """
    place = inside(run, name)
    try:
        content = json.loads(place.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        deep = _depth(content)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{place} cannot be read: {error}.", cure) from error
    if deep > DEEPEST:
        raise UsageError(f"{place} cannot be read: its tables lie more than {DEEPEST} deep.", cure)
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA or isinstance(found, bool):
        told = one_line(repr(found), 40)
        raise UsageError(f"{place} has schema {told}; this edgett reads schema {SCHEMA}.", other or cure)
    return dict(content)


def inside(run: Path, name: str | Path) -> Path:
    """The path of a file in a run, whether it is there or not.

    Args:
        run: the run directory.
        name: that of the file.

    Returns:
        The path, which leads through no link.

    Raises:
        UsageError: where it leads out of the run, or to something that is no file.
    """
    place = run / name
    try:
        real, root = place.resolve(), run.resolve()
        odd = place.exists() and not stat.S_ISREG(place.stat().st_mode)
    except (OSError, RuntimeError, ValueError) as error:  # a link that leads to itself; a name that no file can have
        raise UsageError(f"{place} cannot be read: {error}.", "Take it away.") from error
    if not real.is_relative_to(root) or place.is_symlink():
        raise UsageError(f"{place} leads to {real}: a run has its own files, and no links.", "Copy the run as a whole.")
    if odd:
        raise UsageError(f"{place} is no file.", "Take it away.")
    return place


def _refuse_other(content: object, kind: type[BaseModel], place: Path, cure: str, *within: str) -> None:
    """Raise UsageError for a document that is not of a kind."""
    try:
        kind.model_validate(content)
    except (ValidationError, RecursionError) as error:
        raise damaged(place, error, cure, *within) from error


def damaged(place: Path, error: Exception, cure: str, *within: str) -> UsageError:
    """The error for a document in which something is wrong: what is first, and where.

    Args:
        place: the file.
        error: what reading it raised.
        cure: what to do about it.
        *within: the keys around the part that was read.

    Returns:
        The error.
    """
    told = "its tables lie too deep" if isinstance(error, RecursionError) else " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False)[0]
        key = ".".join([*within, *map(str, problem["loc"])]) or "it"
        if problem["type"] == "missing":
            told = f"{key} is missing"
        elif problem["type"] == "value_error":
            told = f"{key}: {problem['ctx']['error']}"
        else:
            table = problem["type"] in ("model_type", "dict_type")
            allowed = "it must be a table" if table else problem["msg"].replace("Input should", "it must")
            told = f"{key} is {one_line(repr(problem['input'])[:1000], 60)}: {allowed}"
    return UsageError(f"{place} is damaged, or of another version of edgett: {one_line(told, 600)}.", cure)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _depth(content: object) -> int:
    """How deep tables and lists lie in each other, as far as that matters."""
    level, deep = [content], 0
    while level and deep <= DEEPEST:
        inner = [one for one in level if isinstance(one, (dict, list))]
        level = [each for one in inner for each in (one.values() if isinstance(one, dict) else one)]
        deep += 1
    return deep
