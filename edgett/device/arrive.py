"""What a device runs before the runner is there, as the text of `python3 -c`: it puts an archive into a new folder.

python3 -c TEXT PATIENCE ROOM < archive.tar     one JSON document: the folder, or what went wrong

Folders go first that nobody has asked for in PATIENCE seconds and whose runner has ended: whoever made them was killed.
ROOM bytes have to be free in the end. Needs Python 3.9; nothing of edgett.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from pathlib import Path

PREFIX = "edgett-runner-"


def abandoned(folder: Path, patience: float) -> bool:
    """Whether nobody will come back for a folder of this user's."""
    process = folder / "process.json"
    if process.exists() and Path(f"/proc/{json.loads(process.read_text())['pid']}").exists():
        return False
    newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return folder.stat().st_uid == os.getuid() and newest < time.time() - patience


def sweep(place: Path, patience: float) -> None:
    """Remove what was left behind."""
    for folder in place.glob(f"{PREFIX}*/"):
        with contextlib.suppress(OSError, ValueError):  # another user's, or somebody else removes it
            if not folder.is_symlink() and abandoned(folder, patience):
                shutil.rmtree(folder, ignore_errors=True)


def arrive(patience: float, room: int) -> dict[str, object]:
    """Unpack what comes on standard input."""
    folder = None
    try:
        sweep(Path(tempfile.gettempdir()), patience)
        folder = tempfile.mkdtemp(prefix=PREFIX)
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
            archive.extractall(folder)
        if shutil.disk_usage(folder).free < room:
            raise OSError(28, "No space left on device")
    except Exception as error:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        full = getattr(error, "errno", None) == 28
        message = tempfile.gettempdir() if full else str(error)
        return {"error": {"kind": "disk" if full else "failed", "message": message}}
    return {"folder": folder}


if __name__ == "__main__":
    print(json.dumps(arrive(float(sys.argv[1]), int(sys.argv[2]))))
