"""What a file takes of which rules do not count every operator: read back from it, or asked of what runs it."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgett.device import micro
from edgett.errors import EdgettError
from edgett.graph.filesize import Format
from edgett.graph.memory import alive, arena_bytes
from edgett.search.explore import Costing
from edgett.search.solution import Solution
from edgett.workflow.files import Style, read, taken


def as_written(solution: Solution, model: Any, path: Path, style: Style, costing: Costing) -> Solution:
    """The solution with the bytes of its file for the target; the peak too, where that could not be predicted.

    It stays unknown where the file does not tell it, and where C for it is not to be had.
    """
    written = replace(solution, file_bytes=taken(path, costing.form))
    if not solution.partial:
        return written
    peak = _compiled(path) if costing.form is Format.C else _planned(model, path, style)
    if peak is None:
        return written
    cost = replace(solution.cost, peak_elements=-(-peak // solution.width))
    return replace(written, cost=cost, read_back=True)


def least_peak(model: Any, path: Path, style: Style) -> int:
    """The most that is alive at once while a layer runs that no rule counts, of the file of the dense model.

    Replacing other layers changes nothing of it.
    """
    graph = read(model, path, style.batch)
    unruled = {step.layer for step in graph.steps if step.flops is None}
    here = zip(graph.steps, alive(graph, style.width), strict=True)
    return max((taken for step, taken in here if step.layer in unruled), default=0)


def _planned(model: Any, path: Path, style: Style) -> int | None:
    """What a plan of the file takes, or the interpreter for microcontrollers, where it is there and takes more."""
    graph = read(model, path, style.batch)
    if graph.unsized:
        return None
    used = micro.arena(path) if path.suffix == ".tflite" and style.batch == 1 else None
    return max(arena_bytes(graph, style.width), 0 if used is None else used.head)


def _compiled(path: Path) -> int | None:
    """The RAM of its C, the buffers for its inputs and outputs included."""
    from edgett.export import c

    try:
        made = c.generate(path, "model", version("edgett"))
    except EdgettError:
        return None
    return made.workspace_bytes + sum(port.bytes for port in (*made.inputs, *made.outputs))
