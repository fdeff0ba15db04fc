"""The manifest of a package: what is in it, where that came from, and whether it still is what was written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgett.errors import ToolError, UsageError
from edgett.schema import SCHEMA

NAME = "manifest.json"
_PART = ".part-"


class _File(BaseModel):
    sha256: str
    bytes: int


class _Artefact(BaseModel):
    suffix: str
    sha256: str


class _Target(BaseModel):
    name: str


class _Origin(BaseModel):
    solution: int
    edits: dict[str, Any]
    target: _Target
    digests: dict[str, str]


class _Manifest(BaseModel):
    """What is read of a manifest; there is more in it."""

    model_config = ConfigDict(strict=True)

    schema_: Literal[SCHEMA] = Field(alias="schema")  # type: ignore[valid-type]
    name: Annotated[str, Field(pattern="^[A-Za-z][0-9A-Za-z_]*$")]
    edgett: str
    artefact: _Artefact
    run: _Origin
    files: dict[Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)*$")], _File]


@dataclass(frozen=True)
class Freshness:
    """A package against its manifest: files that were `changed`, that are `missing`, that are `foreign` to it."""

    manifest: Mapping[str, Any]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was written is there as it was written; what others put beside it is theirs."""
        return not (self.changed or self.missing)


def write(folder: Path, files: Mapping[str, str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the package, or bring an older one up to date; the manifest.

    It comes first: what is cut off is seen to be incomplete, and can be packed again. A file that is as it should be is
    not touched, so that a build does nothing twice. What others put beside the files stays. Raises UsageError when
    something is in the way that is no package, or a file that is not of it.
    """
    refuse_occupied(folder)
    before = set(read(folder)["files"]) if (folder / NAME).exists() else set()
    for path in sorted(files.keys() - before):
        if _inside(folder, path).exists():
            raise UsageError(f"{folder / path} is in the way, and not of the package.", "Move it, or pack elsewhere.")
    contents = {path: text.encode() for path, text in sorted(files.items())}
    listed = {path: {"sha256": _digest(content), "bytes": len(content)} for path, content in contents.items()}
    manifest = {"schema": SCHEMA, **facts, "files": listed}
    stale = [_inside(folder, path) for path in sorted(before - contents.keys())]
    for place in (*folder.rglob(f"{_PART}*"), *stale):
        place.unlink(missing_ok=True)
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    for path, content in ({NAME: text.encode()} | contents).items():
        _put(_inside(folder, path), content)
    return manifest


def _put(place: Path, content: bytes) -> None:
    """The file with that content, never a part of it."""
    if place.is_file() and _content(place) == content:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=_PART, delete=False) as part:
        try:
            part.write(content)
            part.flush()
            Path(part.name).chmod(0o644)
            Path(part.name).replace(place)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise


def refuse_occupied(folder: Path) -> None:
    """Raise UsageError when something is in the way that is no package of edgett's."""
    # Build tools make the folders of what they expect.
    empty = folder.is_dir() and all(path.is_dir() and not path.is_symlink() for path in folder.rglob("*"))
    if empty or not (folder.exists() or folder.is_symlink()):
        return
    if not (folder / NAME).is_file():
        raise UsageError(f"{folder} is in the way, and no package of edgett's.", "Choose another --out.")
    read(folder)


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a package. Raises UsageError when there is none that this edgett reads."""
    place = folder / NAME
    try:
        content = json.loads(place.read_text())
        _Manifest.model_validate(content)
    except OSError as error:
        raise UsageError(
            f"{place} cannot be read: {error.strerror}.", "Name a folder that 'edgett firmware pack' wrote."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{place} is no manifest of schema {SCHEMA}: {_first(error)}.", "Pack it again, in another folder."
        ) from error
    return dict(content)


def _first(error: Exception) -> str:
    """The first thing that is wrong, and where."""
    if isinstance(error, ValidationError):
        detail = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
    return str(error)


def verify(folder: Path) -> Freshness:
    """Compare every file of a package with its manifest."""
    manifest = read(folder)
    changed, missing = [], []
    for path, entry in manifest["files"].items():
        place = _inside(folder, path)
        if not place.is_file():
            missing.append(path)
        elif _digest(_content(place)) != entry["sha256"]:
            changed.append(path)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    foreign = sorted(there - set(manifest["files"]) - {NAME})
    return Freshness(manifest, tuple(changed), tuple(missing), tuple(foreign))


def _inside(folder: Path, path: str) -> Path:
    """The place of a file that a manifest names, which anybody may have written."""
    place = folder / path
    if not place.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder / NAME} names {path!r}, which is not in the package.", "Pack it again elsewhere.")
    return place


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}.") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
