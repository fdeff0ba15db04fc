"""Runs a .tflite in the interpreter of LiteRT for Microcontrollers: its arena, its outputs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ModelError, ToolError
from edgett.system.folders import scratch

PACKAGE = "tflite_micro"
LIMIT = 600.0
"""Seconds after which a run is given up."""
_LACKS = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_ARENA = re.compile(r"Arena allocation (head|tail|total) (\d+) bytes")


@dataclass(frozen=True)
class MicroRun:
    """The arena in bytes: its `head` holds activations and scratch buffers, its `tail` the interpreter's structures.

    The head is comparable with a predicted peak. The tail is of 64-bit pointers: on a chip of 32 bits it is smaller.
    `outputs` are (n, ...) numbers as the device gives them, in the order of the file; empty where no inputs were given.
    """

    head: int
    tail: int
    outputs: tuple[NDArray[np.generic], ...] = ()

    @property
    def total(self) -> int:
        """What the interpreter must be given."""
        return self.head + self.tail


def run(path: Path, inputs: Sequence[NDArray[np.generic]] = (), limit: float = LIMIT) -> MicroRun:
    """The arena that a .tflite of batch 1 takes, and its outputs for (n, ...) inputs as the device takes them.

    Raises ModelError when the interpreter lacks operators of the graph, which it names, and ToolError when the package
    is not installed, the file is none, or the interpreter fails or takes more than `limit` seconds.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise ToolError(
            f"{PACKAGE} is not installed: it is the interpreter for microcontrollers, which measures the arena.",
            "pip install 'edgett[firmware]'",
        )
    with scratch() as folder:
        if inputs:
            np.savez(folder / "inputs.npz", *inputs)
        said = _probe(path, folder, limit)
        arena = {part: int(size) for part, size in _ARENA.findall(said)}
        outputs = _stored(folder / "outputs.npz") if inputs else ()
    return MicroRun(arena["head"], arena["tail"], outputs)


def arena(path: Path) -> MicroRun | None:
    """The arena that a .tflite of batch 1 takes; None without the package, or an operator of it."""
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    try:
        return run(path)
    except (ModelError, ToolError):
        return None


def _probe(path: Path, folder: Path, limit: float) -> str:
    """What the interpreter says of the file, on standard error."""
    # -P: the probe's own folder holds modules of edgett, which are not to be imported by their bare names.
    command = [sys.executable, "-P", str(Path(__file__).with_name("micro_probe.py")), str(path), str(folder)]
    try:
        if path.read_bytes()[4:8] != b"TFL3":  # the interpreter would believe it
            raise ToolError(f"{path} is no TFLite model: the identifier TFL3 is missing.", "Export it again.")
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit)
    except OSError as error:
        raise ToolError(f"{path} cannot be run: {error}.", "Export it again.") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"{path.name} ran more than {limit:g} s in the interpreter for microcontrollers.", "Give fewer samples."
        ) from error
    lacking = tuple(dict.fromkeys(_LACKS.findall(ended.stderr)))
    if lacking:
        raise ModelError(
            f"LiteRT for Microcontrollers has no {', '.join(lacking)}, which {path.name} needs.",
            "Replace the layer that needs it, or take --format c.",
        )
    if ended.returncode:
        raise ToolError(
            f"{path.name} does not run in the interpreter for microcontrollers: {_reason(ended)}",
            "Check that it is whole, that its batch is 1, and that the inputs are what it takes.",
        )
    return ended.stderr


def _reason(ended: subprocess.CompletedProcess[str]) -> str:
    """The last words of the interpreter and of Python; a signal leaves none."""
    words = [line.strip() for line in ended.stderr.splitlines() if line.strip() and not line.startswith((" ", "Trace"))]
    if ended.returncode < 0:
        words.append(f"it was ended by signal {-ended.returncode}")
    return "; ".join(words[-3:])[:300] + "."


def _stored(path: Path) -> tuple[NDArray[Any], ...]:
    with np.load(path) as arrays:
        return tuple(arrays[name] for name in arrays.files)
