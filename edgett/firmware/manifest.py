"""The manifest of a package: what is in it, where that came from, and whether it still is what was written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgett.errors import ToolError, UsageError

SCHEMA = 1
NAME = "manifest.json"


@dataclass(frozen=True)
class Verdict:
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
    """Write the package, or bring an older one up to date, its manifest last; the manifest.

    A file that is as it should be is not touched, so that a build does nothing twice. What others put beside the files
    stays. Raises UsageError when something is in the way that is no package.
    """
    refuse_occupied(folder)
    before = set(read(folder)["files"]) if (folder / NAME).exists() else set()
    contents = {path: text.encode() for path, text in sorted(files.items())}
    listed = {path: {"sha256": _digest(content), "bytes": len(content)} for path, content in contents.items()}
    manifest = {"schema": SCHEMA, **facts, "files": listed}
    for path in sorted(before - contents.keys()):
        _inside(folder, path).unlink(missing_ok=True)
    for path, content in (contents | {NAME: (json.dumps(manifest, indent=2) + "\n").encode()}).items():
        _put(folder / path, content)
    return manifest


def _put(place: Path, content: bytes) -> None:
    """The file with that content, never a part of it."""
    if place.is_file() and _content(place) == content:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".part-", delete=False) as part:
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
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir() or not (folder / NAME).is_file():
        raise UsageError(f"{folder} is in the way, and no package of edgett's.", "Choose another --out.")
    read(folder)


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a package. Raises UsageError when there is none that this edgett reads."""
    place = folder / NAME
    try:
        content = json.loads(place.read_text())
        schema, files = content["schema"], content["files"]
        listed = all(isinstance(entry["sha256"], str) for entry in files.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{folder} is no package of edgett's: {place.name} cannot be read ({error}).",
            "Name a folder that 'edgett firmware pack' wrote.",
        ) from error
    if schema != SCHEMA or not listed:
        raise UsageError(f"{place} has schema {schema}; this edgett reads schema {SCHEMA}.", "Pack it again.")
    return dict(content)


def verify(folder: Path) -> Verdict:
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
    return Verdict(manifest, tuple(changed), tuple(missing), tuple(foreign))


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
