"""C made of an artefact, compiled for this machine, and what it is held against."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import onnxruntime
import pytest

from edgett.export import c
from edgett.export.c import CSource

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2")
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
STEPS = 3
"""By how many steps of its scale an int8 output may be off. Where a sum or an average lies half-way between two codes,
float32 in another order takes the other one; a product or a softmax behind it makes a few steps of that one."""

Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True, scope="module")
def templates_are_compiled_once() -> Iterator[None]:
    """emx-onnx-cgen compiles all of its templates for each model, which takes it two seconds."""
    real = jinja2.Environment.compile
    kept: dict[Any, Any] = {}

    def compiled(self: Any, source: Any, *rest: Any) -> Any:
        key = source, rest, self.trim_blocks, self.lstrip_blocks
        return kept.get(key) or kept.setdefault(key, real(self, source, *rest))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", compiled)
        yield


@dataclass(frozen=True)
class Built:
    """The C of an artefact, and a library made of it."""

    path: Path
    source: CSource
    library: Any

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for one batch, as real numbers."""
        given = [np.ascontiguousarray(port.stored(inputs[port.name])) for port in self.source.inputs]
        made = [np.full(port.shape, 77, port.dtype) for port in self.source.outputs]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*given, *made)]
        getattr(self.library, f"{self.source.name}_run")(*pointers)
        return {
            port.name: array if port.scale is None else (array.astype(np.float64) - port.zero_point) * port.scale
            for port, array in zip(self.source.outputs, made, strict=True)
        }

    def samples(self, count: int) -> list[Arrays]:
        numbers = np.random.default_rng(5)
        return [
            {port.name: numbers.normal(size=port.shape).astype(np.float32) for port in self.source.inputs}
            for _ in range(count)
        ]


def build(path: Path, name: str, folder: Path) -> Built:
    source = c.generate(path, name, "1.2")
    command = ["gcc", *STRICT, "-fPIC", "-shared", f"-I{folder}", str(written(source, folder)), "-lm"]
    library = folder / f"{name}.so"
    subprocess.run([*command, "-o", str(library)], check=True)
    return Built(path, source, ctypes.CDLL(str(library)))


def written(source: CSource, folder: Path) -> Path:
    (folder / f"{source.name}.h").write_text(source.header)
    path = folder / f"{source.name}.c"
    path.write_text(source.code)
    return path


def exact(model: bytes, inputs: Arrays) -> Arrays:
    """What the operators of a graph say one by one.

    ONNX Runtime's int8 products, which it puts in their place, add up in 16 bits on processors without VNNI, and clip.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def off(made: Built, count: int = 20) -> float:
    """The largest difference to the artefact, in steps of each output that is int8; others to 1e-4."""
    worst = 0.0
    for inputs in made.samples(count):
        expected, found = exact(made.path.read_bytes(), inputs), made.run(inputs)
        for port in made.source.outputs:
            if port.scale is None:
                np.testing.assert_allclose(found[port.name], expected[port.name], rtol=1e-4, atol=1e-5)
            else:
                worst = max(worst, float(np.abs(found[port.name] - expected[port.name]).max() / port.scale))
    return worst
