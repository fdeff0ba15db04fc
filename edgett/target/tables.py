"""TOML files that people write, read into frozen models. A mistake is told with its key, its value and what may be."""

from __future__ import annotations

import difflib
import tomllib
import types
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from edgett.errors import ProfileError


class TomlTable(BaseModel):
    """A TOML table with known keys and strict types; `CURE` is what to do where one is missing, if anything special."""

    CURE: ClassVar[str] = ""
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


M = TypeVar("M", bound=TomlTable)


def read(model: type[M], path: Path, cure: str) -> M:
    """The file as a `model`; ProfileError names the file and every mistake in it, and says `cure` if nothing better."""
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as problem:
        raise ProfileError(f"{path} cannot be read: {problem.strerror}.", cure) from problem
    except ValidationError as problem:
        message, nearest = mistakes(problem, model)
        raise ProfileError(f"{path}: {message}", nearest or cure) from problem
    except (ValueError, RecursionError) as problem:
        raise ProfileError(f"{path} is not TOML in UTF-8: {problem}.", cure) from problem


def mistakes(problems: ValidationError, model: type[TomlTable]) -> tuple[str, str]:
    """What is wrong, a line a mistake; and what helps, such as the nearest key if one is unknown."""
    lines, cure = [], ""
    for problem in problems.errors(include_url=False):
        place = tuple(map(str, problem["loc"]))
        key, value = ".".join(place) or "the file", problem["input"]
        match problem["type"]:
            case "extra_forbidden":
                known = keys(model, place[:-1])
                near = difflib.get_close_matches(place[-1], known, 1)
                cure = cure or (f"Did you mean {near[0]!r}?" if near else "")
                lines.append(f"{key} is unknown (its value is {value!r}): the keys there are {', '.join(known)}.")
            case "missing":
                cure = cure or getattr(_table(model, place[:-1]), "CURE", "")
                lines.append(f"{key} is missing: {keys(model, place[:-1])[place[-1]]}.")
            case "value_error":
                lines.append(f"{key} is {value!r}: it must be {problem['ctx']['error']}.")
            case "model_type" | "dict_type":
                lines.append(f"{key} is {value!r}: it must be a table with the keys {', '.join(keys(model, place))}.")
            case _:
                allowed = problem["msg"].partition(" should ")[2]
                lines.append(f"{key} is {value!r}: it must {allowed}.")
    return "\n".join(lines), cure


def keys(model: type[BaseModel], place: tuple[str, ...]) -> dict[str, str]:
    """The keys that the table at `place` inside `model` can have, and what they mean."""
    found = _table(model, place)
    if found is None:
        return {"of your choice": ""}
    return {name: field.description or "" for name, field in found.model_fields.items()}


def _table(model: type[BaseModel], place: tuple[str, ...]) -> type[BaseModel] | None:
    """The table at `place` inside `model`; None where its keys are the user's own."""
    for name in place:
        kind: Any = model.model_fields[name].annotation
        parts = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        tables = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        if not tables:
            return None
        model = tables[0]
    return model
