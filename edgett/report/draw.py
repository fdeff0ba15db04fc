"""A picture as a file: PNG, SVG or one HTML page that needs nothing else."""

from __future__ import annotations

import enum
import tempfile
from pathlib import Path

from edgett.errors import UsageError
from edgett.report.picture import Picture
from edgett.system.folders import put


class PictureFormat(enum.Enum):
    """What a picture can be written as, by the suffix of its file."""

    PNG = ".png"
    SVG = ".svg"
    HTML = ".html"


def check_place(path: Path) -> PictureFormat:
    """The format that the suffix names. Raises UsageError unless a picture can be written there."""
    known = [item.value for item in PictureFormat]
    if path.suffix.lower() not in known:
        found = f"ends in {path.suffix!r}" if path.suffix else "has no suffix"
        raise UsageError(
            f"the plot {str(path)!r} {found}: {', '.join(known)} can be written.",
            f"Name it {path.stem or 'space'}.svg.",
        )
    try:
        if path.is_dir():
            raise UsageError(f"the plot {str(path)!r} is a directory.", "Name a file.")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(
            f"the plot {str(path)!r} cannot be written: {error.strerror or error}.",
            "Name a file in a directory that exists and that you may write to.",
        ) from error
    return PictureFormat(path.suffix.lower())


def drawn(picture: Picture, format: PictureFormat) -> bytes:
    """The content of the file; the same for the same picture."""
    # Imported here: each takes a while to load, and most commands draw nothing.
    if format is PictureFormat.HTML:
        from edgett.report import draw_page

        return draw_page.page(picture).encode()
    from edgett.report import draw_still

    return draw_still.png(picture) if format is PictureFormat.PNG else draw_still.svg(picture)


def write(picture: Picture, path: Path) -> None:
    """Draws the picture to a file, whole or not at all. Raises UsageError for the place, ToolError when it fails."""
    put(drawn(picture, check_place(path)), path, "plot")
