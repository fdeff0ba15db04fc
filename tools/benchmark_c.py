"""The benchmark of C on emulated chips: `python tools/benchmark.py c`. It counts instructions, which is exact."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import typer
from benchmark_cmsis import program

from edgett.device import emulator
from edgett.device.program import Program
from edgett.export import c
from edgett.export.kernels import every
from edgett.export.kernels.kernel import Kernel
from edgett.export.qdq import quantised
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.graph import Graph
from edgett.search.explore import Costing
from edgett.target.profile import list_targets

SAMPLES = 4
DRAW = np.random.default_rng(0)


@dataclass(frozen=True)
class Operator:
    """A product (rows, inner) x (inner, columns), or a convolution of an image of some channels to others."""

    title: str
    reads: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int = 1
    group: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return int(np.prod(self.writes) * np.prod(self.weight[1:]))

    @property
    def writes(self) -> tuple[int, ...]:
        """The shape of its output."""
        if len(self.reads) == 2:
            return self.reads[0], self.weight[0]
        return 1, self.weight[0], *(-(-size // self.stride) for size in self.reads[2:])

    def model(self) -> Any:
        """An ONNX graph of it alone, with random weights."""
        from onnx import TensorProto, helper, numpy_helper

        weights = DRAW.normal(size=self.weight).astype(np.float32)
        if len(self.reads) == 2:
            node = helper.make_node("MatMul", ["x", "w"], ["y"])
            weights = weights.T
        else:
            pads = [self.weight[2] // 2] * 2 + [(self.weight[2] - 1) // 2] * 2
            node = helper.make_node("Conv", ["x", "w"], ["y"], pads=pads, strides=[self.stride] * 2, group=self.group)
        value = helper.make_tensor_value_info
        ends = value("x", TensorProto.FLOAT, self.reads), value("y", TensorProto.FLOAT, self.writes)
        graph = helper.make_graph([node], "one", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _product(rows: int, inner: int, columns: int) -> Operator:
    return Operator(f"product {rows} x {inner} x {columns}", (rows, inner), (columns, inner))


def _convolution(taps: int, inputs: int, outputs: int, size: int, stride: int = 1) -> Operator:
    title = f"convolution {taps}x{taps}, {inputs} to {outputs}, {size}x{size}" + f", stride {stride}" * (stride > 1)
    return Operator(title, (1, inputs, size, size), (outputs, inputs, taps, taps), stride)


def _depthwise(taps: int, channels: int, size: int, stride: int = 1) -> Operator:
    title = f"depthwise {taps}x{taps}, {channels}, {size}x{size}" + f", stride {stride}" * (stride > 1)
    return Operator(title, (1, channels, size, size), (channels, 1, taps, taps), stride, channels)


OPERATORS = (
    _product(1, 784, 300), _product(112, 224, 120), _product(112, 64, 120), _product(112, 16, 120),
    _product(14, 32, 400), _convolution(3, 16, 16, 32), _convolution(3, 64, 64, 8), _convolution(1, 64, 64, 8),
    _convolution(1, 16, 32, 32, 2), _depthwise(3, 24, 32), _depthwise(3, 64, 8), _depthwise(3, 32, 32, 2),
    _depthwise(5, 64, 8),
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What is counted: an .onnx, and the operator that it is, if it is but one."""

    title: str
    path: Path
    operator: Operator | None = None
    dtype: DType = DType.INT8
    graph: Graph | None = None


def chips(
    machine: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(emulator.BOARDS)}.")] = None,
    model: Annotated[list[Path] | None, typer.Option(help="Models in Keras besides, calibrated on noise.")] = None,
    artefact: Annotated[list[Path] | None, typer.Option(help="Or .onnx files that edgett wrote.")] = None,
    operators: Annotated[bool, typer.Option(help="Single operators.")] = True,
    cmsis_nn: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A checkout of CMSIS-NN, counted too.")
    ] = None,
) -> None:
    """Instructions and RAM of edgett's C, beside those of emx-onnx-cgen's for the same graphs, and CMSIS-NN's.

    Of an operator the instructions are by its multiply-accumulates. Of a model those that the profile of a chip on this
    board foretells come last, by those counted.
    """
    for board in machine or ["mps2-an386"]:
        print(f"{board:50} {'instructions':>13} {'edgett':>7} {'emx':>7} {'CMSIS':>6} {'RAM':>7} {'flash':>9}")
        with tempfile.TemporaryDirectory() as folder:
            for one in _subjects(model or (), artefact or (), operators, Path(folder)):
                source = c.generate(one.path, "model", "1")
                taken = _counted(_program(source), board)
                counts = [taken, _counted(_program(_by_emx(one.path)), board), *_by_arm(one, cmsis_nn, board)]
                each = one.operator.macs if one.operator else taken
                rates = " ".join(f"{count / each:{7 if index < 2 else 6}.2f}" for index, count in enumerate(counts))
                sizes = f"{source.workspace_bytes:7,} {source.weight_bytes:9,}"
                told = _foretold(one, board)
                foretold = "" if told is None else f" foretold {told / taken:.3f}"
                print(f"{one.title:50} {taken:13,} {rates:22} {sizes}{foretold}", flush=True)


def _subjects(models: Sequence[Path], artefacts: Sequence[Path], operators: bool, folder: Path) -> Iterator[Subject]:
    for one in OPERATORS if operators else ():
        for dtype in DType:
            made, path = one.model(), folder / "one.onnx"
            if dtype is DType.INT8:
                made = quantised(made, [{"x": DRAW.normal(size=one.reads).astype(np.float32)} for _ in range(SAMPLES)])
            path.write_bytes(made.SerializeToString())
            yield Subject(f"{one.title}, {dtype.value}", path, one, dtype)
    for path in models:
        for dtype in DType:
            yield _exported(path, folder / path.stem, dtype)
    for path in artefacts:
        yield Subject(str(path)[-48:], path)


def _exported(path: Path, stem: Path, dtype: DType) -> Subject:
    from edgett.model.models import load_model
    from edgett.workflow import files, survey

    model = load_model(path)
    samples = {one.name: DRAW.normal(size=(SAMPLES, *one.shape[1:])).astype(np.float32) for one in model.inputs}
    style = files.Style(1, files.batches(samples, 1) if dtype is DType.INT8 else None)
    (made,) = files.write(model, style, stem, [".onnx"])
    graph = survey.graphs(model, Costing(width=dtype.size, form=Format.C))(frozenset())
    return Subject(f"{path.name}, {dtype.value}", made, None, dtype, graph)


def _foretold(subject: Subject, board: str) -> float | None:
    """The instructions by the profile of a chip whose board it is."""
    rates = [target.rates for target in list_targets()[0] if target.device.machine == board and not target.device.cpu]
    known = [one for one in rates if one is not None]
    return known[0].total(subject.graph, subject.dtype.size) if known and subject.graph else None


def _by_emx(path: Path) -> c.CSource:
    """C without kernels of edgett's own, look-ups apart, which are no operators of ONNX."""
    ours = every.kernels

    def tables(model: Any, known: Mapping[str, Any], held: object = None) -> dict[str, Kernel]:
        return {name: one for name, one in ours(model, known).items() if name in known}

    with mock.patch.object(every, "kernels", tables):
        return c.generate(path, "model", "1")


def _by_arm(subject: Subject, checkout: Path | None, board: str) -> list[int]:
    one = subject.operator
    if checkout is None or one is None or subject.dtype is not DType.INT8:
        return []
    with mock.patch.dict(os.environ, {"C_INCLUDE_PATH": str(checkout.resolve() / "Include")}):
        return [_counted(program(checkout.resolve(), one.reads, one.weight, one.writes, one.stride, one.group), board)]


def _program(source: c.CSource) -> Program:
    return Program(source.name, source.header, source.code, source.inputs, source.outputs)


def _counted(program: Program, board: str) -> int:
    inputs = {port.name: DRAW.normal(size=port.shape).astype(np.float32) for port in program.inputs}
    return emulator.count_on_board(program, inputs, board).instructions
