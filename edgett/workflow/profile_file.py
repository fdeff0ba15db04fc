"""The file of a profile, written anew with what was found on its device."""

from __future__ import annotations

import re
from pathlib import Path

from edgett.errors import ProfileError, UsageError
from edgett.system.folders import scratch
from edgett.target.places import search_folders
from edgett.target.profile import Target, load_profile, load_target

LATENCY, INSTRUCTIONS = "latency", "instructions"
"""The tables that are found on a device."""


def refuse(base: str, out: Path) -> None:
    """Raise UsageError where the profile `base` cannot be written anew to `out`."""
    if out.suffix != ".toml":
        raise UsageError(f"--out {out} is no profile.", f"Name it {out.stem or 'device'}.toml.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", out.stem):
        raise UsageError(f"--out {out}: {out.stem!r} is no name of a target.", "It takes a to z, 0 to 9, . and -.")
    if out.exists() and not (Path(base).exists() and out.samefile(base)):
        raise UsageError(f"{out} exists.", "Name another, or the profile itself with --target.")
    if not out.parent.is_dir():
        raise UsageError(f"the folder {out.parent} does not exist.", "Make it first.")


def loaded(base: str) -> Target:
    """The profile; without what was found before where that is the mistake, as an older edgett wrote it."""
    try:
        return load_target(base)
    except ProfileError as error:
        with scratch() as folder:
            part = folder / f"{Path(base).stem}.toml"
            try:
                part.write_text(_without(_without(text_of(base), LATENCY), INSTRUCTIONS), encoding="utf-8")
                return load_profile(part)
            except (ProfileError, ValueError, StopIteration):
                raise error from None


def text_of(base: str) -> str:
    """What the profile of a name or a path says."""
    paths = [Path(base), *(folder / f"{base}.toml" for folder in search_folders())]
    return next(path for path in paths if path.is_file()).read_text(encoding="utf-8")


def write(out: Path, text: str, name: str, table: str) -> None:
    """A profile with another table of that name, and called as its file; whole or not at all."""
    text = _without(text, name).rstrip() + "\n\n" + table
    text = re.sub(r'(?m)^name *= *".*"', f'name = "{out.stem}"', text, count=1)
    with scratch(out.parent) as folder:
        part = folder / out.name
        part.write_text(text, encoding="utf-8")
        try:
            load_profile(part)
        except ProfileError as error:
            raise UsageError(
                f"--out {out} would be no profile: {error.message}", "Name it in small letters."
            ) from error
        part.replace(out)


def _without(text: str, name: str) -> str:
    """A profile without a table and its parts."""
    return re.sub(rf"(?m)^\[{name}(\.[a-z]+)?\]\n(?:(?!\[).*\n?)*", "", text)
