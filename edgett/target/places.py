"""Where the profiles of targets are."""

from __future__ import annotations

from pathlib import Path

from edgett.errors import ToolError


def shipped_folder() -> Path:
    """The folder of the profiles that come with edgett: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "_targets", package.parent / "targets"):
        if folder.is_dir():
            return folder
    raise ToolError(f"The profiles that come with edgett are not in {package}.", "Install edgett again.")


def search_folders() -> tuple[Path, ...]:
    """Where a target's name is looked up, in this order: shipped profiles, ./targets, the user's configuration."""
    from platformdirs import user_config_path

    return shipped_folder(), Path("targets"), user_config_path("edgett", appauthor=False) / "targets"


def profile_files(folders: tuple[Path, ...]) -> list[Path]:
    """The profiles in these folders, each once."""
    paths = [path for folder in folders for path in sorted(folder.glob("*.toml"))]
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]
