"""What int8 makes of the tensors inside a model: the file against its float32 twin, tensor by tensor."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ToolError
from edgett.export import onnx, qdq, tflite
from edgett.export.calibration import Calibration
from edgett.export.owners import Owners
from edgett.export.watched import watched
from edgett.graph.graph import Graph, Step
from edgett.system.quiet import quiet

Values = Mapping[str, NDArray[Any]]


class Role(enum.Enum):
    """What a tensor is to its layer."""

    INPUT = "input"
    PRODUCT = "product"
    OUTPUT = "output"


@dataclass(frozen=True)
class TensorError:
    """A tensor of the int8 file against the float32 one: squared sums over the samples, largest absolute error."""

    layer: str
    role: Role
    tensor: str
    signal: float
    noise: float
    max_abs: float

    @property
    def snr_db(self) -> float:
        """10 log10(signal / noise): inf where nothing differs, -inf where there is nothing but noise."""
        return -10 * math.log10(self.noise_ratio) if self.noise_ratio else math.inf

    @property
    def noise_ratio(self) -> float:
        """Noise by signal."""
        return self.noise / self.signal if self.signal else (math.inf if self.noise else 0.0)


def own_noise(rows: Sequence[TensorError], layer: str) -> float:
    """The noise ratio that a layer adds to that of what it reads: a linear layer hands that on as it is."""
    mine = [row for row in rows if row.layer == layer]
    made, read = (
        max((row.noise_ratio for row in mine if row.role is role), default=0.0) for role in (Role.OUTPUT, Role.INPUT)
    )
    return made - read if made < math.inf else math.inf


def tensor_errors(
    path: Path, twin: Path, owners: Owners, replaced: Collection[str], batches: Calibration
) -> tuple[TensorError, ...]:
    """Of every product's result, and of what each layer in `replaced` reads and makes, in the order of the file.

    `twin` is the same model as `path`, in float32. Raises ToolError when it is another, or when a file does not run.
    """
    litert = path.suffix == ".tflite"
    found, exact = (_plain((tflite if litert else onnx).read(file, owners)) for file in (path, twin))
    titles, others = (tflite.names(file) if litert else {} for file in (path, twin))
    partners = _partners(found, exact, titles, others)
    points = [(layer, role, name) for layer, role, name in _points(found, replaced) if name in partners]
    watch = _litert if litert else _onnxruntime
    sums = {name: _Sum() for name in partners}
    try:
        with quiet():
            wanted = list(dict.fromkeys(name for _, _, name in points))
            pairs = zip(
                watch(path, wanted, batches), watch(twin, [partners[name] for name in wanted], batches), strict=True
            )
            for mine, other in pairs:
                for name in wanted:
                    sums[name].add(mine[name], other[partners[name]])
    except Exception as error:  # ONNX Runtime's have no base class of their own
        raise ToolError(
            f"the tensors of {path.name} cannot be compared: {' '.join(str(error).split())[:300]}", "Export it again."
        ) from error
    return tuple(
        TensorError(layer, role, titles.get(name, name), sums[name].signal, sums[name].noise, sums[name].largest)
        for layer, role, name in points
    )


class _Sum:
    """Adds up the samples of a tensor: all of them at once may not fit into the memory."""

    def __init__(self) -> None:
        self.signal = self.noise = self.largest = 0.0

    def add(self, found: NDArray[Any], exact: NDArray[Any]) -> None:
        reference = exact.astype(np.float64)
        difference = found.astype(np.float64).reshape(reference.shape) - reference
        self.signal += float(np.square(reference).sum())
        self.noise += float(np.square(difference).sum())
        self.largest = max(self.largest, float(np.abs(difference).max(initial=0.0)))


def _plain(graph: Graph) -> Graph:
    """The graph without steps that only change the type of numbers."""
    origin: dict[str, str] = {}
    steps: list[Step] = []
    for step in graph.steps:
        if step.op.converts:
            origin[step.writes[0]] = origin.get(step.reads[0], step.reads[0])
        else:
            steps.append(replace(step, reads=tuple(origin.get(name, name) for name in step.reads)))
    outputs = tuple(origin.get(name, name) for name in graph.outputs)
    return replace(graph, steps=tuple(steps), outputs=outputs)


def _points(graph: Graph, replaced: Collection[str]) -> list[tuple[str, Role, str]]:
    made = {layer: {name for step in graph.steps if step.layer == layer for name in step.writes} for layer in replaced}
    read = {layer: {name for step in graph.steps if step.layer == layer for name in step.reads} for layer in replaced}
    points: list[tuple[str, Role, str]] = []
    for step in graph.steps:
        layer = step.layer
        if layer in made:
            points += [(layer, Role.INPUT, name) for name in step.reads if name not in made[layer]]
        if layer in made and not read[layer] & set(step.writes):
            points.append((layer, Role.OUTPUT, step.writes[0]))
        elif step.macs:
            points.append((layer, Role.PRODUCT, step.writes[0]))
    return list(dict.fromkeys(points))


def _partners(found: Graph, exact: Graph, titles: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """What both call the same; but an output leaves its name to the tensor that it is quantised to, or back from."""
    known = {others.get(name, name): name for name in exact.sizes}
    partners = {name: known[titles.get(name, name)] for name in found.sizes if titles.get(name, name) in known}
    return partners | dict(zip(found.outputs, exact.outputs, strict=True))


def _litert(path: Path, names: Sequence[str], batches: Calibration) -> Iterator[Values]:
    for held in watched(path.read_bytes(), [*map(int, names)], batches):
        yield {str(index): values for index, values in held.items()}


def _onnxruntime(path: Path, names: Sequence[str], batches: Calibration) -> Iterator[Values]:
    import onnxruntime

    model, places = qdq.watched(path, names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = qdq.input_types(model)
    for batch in batches:
        fed = {name: batch[name].astype(kind) for name, kind in kinds.items()}
        made = [name for name in names if places[name] not in fed]
        yield fed | dict(zip(made, session.run([places[name] for name in made], fed), strict=True))
