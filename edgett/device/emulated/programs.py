"""Starts compilers and emulators; says what is not installed and how to get it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgett.device.debian import PACKAGES
from edgett.device.emulated import MARK
from edgett.errors import ToolError

HERE = Path(__file__).parent
OLDEST = 1
"""API of QEMU's plugins, up to QEMU 8; a newer QEMU tells which one it takes."""
_FAILURE = re.compile(r"\berror: |\w*Error: |^E: |overflowed|unable to")
_APIS = re.compile(r"(?:minimum version of|up to version) (\d+)")


def start(
    command: Sequence[str | Path], folder: Path, limit: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A program that has ended, well or not, within `limit` seconds, `folder` its working directory."""
    program = Path(command[0]).name
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, timeout=limit,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
    except FileNotFoundError as error:
        raise ToolError(f"{program} is not installed.", f"apt-get install {PACKAGES.get(program, program)}") from error
    except OSError as error:
        raise ToolError(f"{program} cannot be started: {error}.", "Install it again.") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{program} ran more than {limit:g} s.", "Give fewer samples or more time.") from error


def call(command: Sequence[str | Path], folder: Path, limit: float, cure: str) -> str:
    """What a program said that ended well. Raises ToolError with the cure when it did not."""
    ended = start(command, folder, limit)
    if ended.returncode:
        raise ToolError(f"{Path(command[0]).name} failed: {last_words(ended)}", cure)
    return ended.stdout


def last_words(ended: subprocess.CompletedProcess[str]) -> str:
    """What a program said of its failure, else the end of what it said; a signal leaves nothing."""
    lines = [line.strip() for line in ended.stdout.splitlines() if line.strip()]
    words = [line for line in lines if _FAILURE.search(line)][-2:] or lines[-3:]
    if ended.returncode < 0:
        words.append(f"it was ended by signal {-ended.returncode}")
    return ("; ".join(words)[:400] or f"exit code {ended.returncode}").rstrip(".") + "."


def plugin(folder: Path, api: int) -> Path:
    """The plugin that counts, compiled for this machine and an API of QEMU's plugins."""
    made = folder / f"counter-{api}.so"
    options = ("-O2", "-shared", "-fPIC", "-fvisibility=hidden", f"-DAPI={api}", f"-DMARK={MARK}u")
    call(["gcc", *options, HERE / "counter.c", "-o", made], folder, 60, f"apt-get install {PACKAGES['gcc']}")
    return made


def other_api(said: str) -> int | None:
    """The API of plugins that QEMU says it takes, when it refused the one of ours."""
    found = _APIS.search(said)
    return int(found[1]) if found else None
