"""The files of a model: written, read back, and compared with what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgett.device import local
from edgett.export.calibration import Calibration
from edgett.export.check import INT8_TOLERANCE, TOLERANCE, GraphCheck, Numerics, Verdict, compare, compare_outputs
from edgett.forms.operators import Moves
from edgett.graph.filesize import Format
from edgett.graph.graph import Graph
from edgett.search.explore import Costing
from edgett.system.folders import scratch

if TYPE_CHECKING:
    from edgett.export.tensors import TensorError
    from edgett.model.reference import Deviation

Arrays = Mapping[str, NDArray[Any]]

SUFFIXES = (".keras", ".tflite", ".onnx")
WATCHED = 32
"""Samples, evenly taken, on which the tensors inside an int8 file are compared with the float32 ones."""


@dataclass(frozen=True)
class Style:
    """How files are written: samples at once, what int8 is calibrated on, None for float32, and what stays in float32.

    `floats` names layers of an int8 file.
    """

    batch: int = 1
    calibration: Calibration | None = None
    floats: frozenset[str] = frozenset()

    @property
    def width(self) -> int:
        """Bytes of a number."""
        return 4 if self.calibration is None else 1

    @property
    def tolerance(self) -> float:
        """The relative error from which on outputs are wrong."""
        return TOLERANCE if self.calibration is None else INT8_TOLERANCE


@dataclass(frozen=True)
class FileCheck:
    """One artefact, its graph and outputs against the prediction.

    `paper`: equation 4's FLOPs of each fully connected layer in a form.

    `tensors` has what int8 makes of those inside, of a model with such layers; nothing for a float32 file.
    `compiled_peak` is what an .onnx file takes at once as C, its inputs and outputs included, in bytes, as predicted;
    None where some operator has no rule. `deviations`: how far the model's layers in forms are from others' arithmetic.
    """

    graph: GraphCheck
    numerics: Numerics
    paper: Mapping[str, int]
    tensors: tuple[TensorError, ...] = ()
    compiled_peak: int | None = None
    deviations: tuple[Deviation, ...] = ()

    @property
    def mismatches(self) -> tuple[str, ...]:
        """Where it is other than predicted, its outputs apart; a wrong layer in a form, in every file of it."""
        wrong = (item.fault for item in self.deviations)
        return (*map(str, self.graph.mismatches), *(fault for fault in wrong if fault is not None))

    @property
    def verdict(self) -> Verdict:
        """Whether the file is what was predicted, as far as that goes."""
        if self.mismatches or not self.numerics.ok:
            return Verdict.DIFFERS
        return Verdict.PARTIAL if self.graph.partial else Verdict.OK

    @property
    def ok(self) -> bool:
        """Whether nothing in the file is other than predicted."""
        return self.verdict is not Verdict.DIFFERS


def batches(arrays: Arrays, batch: int) -> Calibration:
    """Samples by name, (n, ...) each, in batches of one size; the first ones fill the last batch up."""
    count = len(next(iter(arrays.values())))
    starts = range(0, count, batch)
    return [
        {name: array[np.arange(start, start + batch) % count] for name, array in arrays.items()} for start in starts
    ]


def write(model: Any, style: Style, stem: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[Path, ...]:
    """Write a model as stem.keras, stem.tflite, stem.onnx, or those of them that are wanted; Keras's is float32."""
    from edgett.model.models import save_model

    form = _Form(model, style.batch)
    paths = []
    for suffix in suffixes:
        path = stem.with_name(stem.name + suffix)
        if suffix == ".keras":
            save_model(model, path)
        else:
            form.write(path, style)
        paths.append(path)
    return tuple(paths)


def taken(path: Path, form: Format) -> int:
    """The bytes of a file on its target: all of it, or of what becomes C its constants."""
    from edgett.export import c

    return c.constant_bytes(path) if form is Format.C else path.stat().st_size


def check(model: Any, samples: Arrays, artifacts: Sequence[Path], root: Path, style: Style) -> dict[str, FileCheck]:
    """Read the exported files of a model back and compare them with its prediction and its outputs, by path.

    Its layers in forms are held against arithmetic of others, too: a wrong one would be wrong in the model and in its
    files alike. `samples`
    are inputs by name, (n, ...) each; the paths are relative to `root`.
    """
    from edgett.model.layers import factored_layers, factored_positions
    from edgett.model.reference import deviations
    from edgett.train.agreement import decisions
    from edgett.train.assess import outputs

    batch, form = style.batch, _Form(model, style.batch)
    reference, decided, met = outputs(model, samples), decisions(model), factored_positions(model)
    layers = factored_layers(model)
    paper = {
        path: (layer.spec.paper_flops() + layer.spec.writes * layer.use_bias) * batch * met[path]
        for path, layer in layers.items()
        if not layer.spec.windowed  # the paper has no convolutions
    }
    held = deviations(model)
    checks = {}
    for artifact in artifacts:
        path = root / artifact
        if path.suffix == ".keras":
            continue
        expected = form.predicted(path.suffix, style)
        graph = compare(expected, form.read(path), path.name, style.width)
        numerics = compare_outputs(reference, local.run(path, samples, batch), style.tolerance, decided)
        tensors = form.tensors(path, samples, tuple(layers)) if layers and style.calibration else ()
        counted = path.suffix == ".onnx" and not graph.partial
        compiled = Costing(batch, style.width, Format.C).peak_bytes(expected) if counted else None
        checks[str(artifact)] = FileCheck(graph, numerics, paper, tensors, compiled, held)
    return checks


def tensors(model: Any, path: Path, samples: Arrays, layers: Sequence[str], batch: int) -> tuple[TensorError, ...]:
    """What int8 makes of the tensors in the file of a model, some of whose `layers` have been replaced."""
    return _Form(model, batch).tensors(path, samples, layers)


def read(model: Any, path: Path, batch: int) -> Graph:
    """What the file of a model holds and executes."""
    return _Form(model, batch).read(path)


def predicted(model: Any, suffix: str, style: Style) -> Graph:
    """What the file of a model will hold and execute."""
    return _Form(model, style.batch).predicted(suffix, style)


class _Form:
    """The inference form of a model, ready for the converters."""

    def __init__(self, model: Any, batch: int) -> None:
        from edgett.export.owners import Owners
        from edgett.model.inference import inference_form
        from edgett.model.predict import predict
        from edgett.model.servable import Servable

        self._batch, self._form = batch, inference_form(model, batch)
        self._servable = Servable(self._form)
        counted = frozenset(predict(self._form, batch).layers)
        self._owners = Owners(self._servable.paths, counted, self._servable.producers)

    def write(self, path: Path, style: Style) -> None:
        """Write the file whose format the path's suffix names."""
        from edgett.export import onnx, tflite
        from edgett.model.servable import Servable

        fed = style.calibration and [self._servable.cast(part) for part in style.calibration]
        floats = self._in(style.floats) if style.floats and fed else None
        if path.suffix == ".tflite":
            tflite.write(Servable(self._form, Moves.RUNS), path, fed, floats)
        else:
            onnx.write(self._servable, self._owners, path, fed, floats)

    def _in(self, layers: frozenset[str]) -> Callable[[list[str]], bool]:
        owners = self._owners
        return lambda names: owners.layer(names) in layers

    def read(self, path: Path) -> Graph:
        """The graph in a file."""
        from edgett.export import onnx, tflite

        return (tflite if path.suffix == ".tflite" else onnx).read(path, self._owners)

    def predicted(self, suffix: str, style: Style) -> Graph:
        """The graph that a file will hold."""
        from edgett.model.predict import predict

        int8 = style.calibration is not None
        return predict(self._form, self._batch, fused=suffix == ".tflite", quantised=int8, floats=style.floats)

    def tensors(self, path: Path, samples: Arrays, layers: Sequence[str]) -> tuple[TensorError, ...]:
        """The tensors in an int8 file against those of the same model in float32."""
        from edgett.export.tensors import tensor_errors

        count = len(next(iter(samples.values())))
        rows = np.unique(np.linspace(0, count - 1, WATCHED).astype(np.int64))
        fed = batches({name: array[rows] for name, array in samples.items()}, self._batch)
        with scratch() as folder:
            twin = folder / path.name
            self.write(twin, Style(self._batch))
            return tensor_errors(path, twin, self._owners, layers, fed)
