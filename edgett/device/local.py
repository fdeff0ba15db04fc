"""Runs and measures an artefact on this machine: LiteRT for .tflite, ONNX Runtime for .onnx."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgett.device import bench, runner
from edgett.errors import ModelError, ToolError, UsageError
from edgett.graph.wire import WirePort, litert_port
from edgett.meter import Meter
from edgett.system.folders import scratch
from edgett.system.quiet import quiet

MOMENT = 0.2
"""Seconds between two looks at how far a measurement has come."""

Arrays = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Local:
    """This machine."""

    name: str = "local"

    def measure(self, subjects: Sequence[bench.Subject], plan: bench.Plan, meter: Meter) -> bench.BenchReport:
        """Measure in processes of their own. Raises ToolError when it cannot be done."""
        with scratch() as folder:
            bench.pack(folder, subjects, plan)
            # -P: what lies in the folder must not be taken for a module.
            command = [sys.executable, "-P", str(folder / bench.RUNNER.name), str(folder)]
            none = subprocess.DEVNULL
            process = subprocess.Popen(command, stdin=none, stdout=none, stderr=none, start_new_session=True)
            try:
                with meter.stage("measuring", plan.turns) as advance:
                    seen = 0
                    while process.poll() is None:
                        done = _turns(folder)
                        advance(done - seen)
                        seen = done
                        with suppress(subprocess.TimeoutExpired):
                            process.wait(MOMENT)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            return bench.unpack(folder, "this machine")


def input_ports(path: Path) -> tuple[WirePort, ...]:
    """What a .tflite or an .onnx takes, the batch first among its sizes; 1 where that is open.

    Raises ToolError when it is no such file, ModelError when it takes what edgett cannot feed.
    """
    return _batched(path, _ports(path))


def refuse_open(path: Path) -> None:
    """Raise ModelError, and as `input_ports` does, for a file whose batch is open: what is compiled has a fixed one."""
    for port in _ports(path):
        if any(size < 0 for size in port.shape):
            told = f"{path}: the input {port.name!r} is {_shape(port)}, and C takes fixed sizes."
            raise ModelError(told, _closed(path, port))


def _ports(path: Path) -> tuple[WirePort, ...]:
    """As the file says, -1 for a size that is open."""
    read = {".tflite": _litert_inputs, ".onnx": _onnx_inputs}.get(path.suffix)
    if not path.is_file():
        raise UsageError(f"{path} is no file.", "Give a file that was exported, or a run's directory.")
    if read is None:
        raise UsageError(f"{path} is neither .tflite nor .onnx.", "Give such a file, or a run's directory.")
    try:
        with quiet():
            return read(path)
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's have no base class of their own
        raise ToolError(f"{path} does not load here: {_words(error)}", "Export it again.") from error


def _batched(path: Path, ports: Sequence[WirePort]) -> tuple[WirePort, ...]:
    """The ports with one batch for all. Raises ModelError where there is none, or another size is open or 0."""
    if not ports:
        raise ModelError(f"{path} takes no input: it gives the same every time.", "Export the model with its inputs.")
    for port in ports:
        told = f"{path}: the input {port.name!r} is {_shape(port)}"
        if not port.shape:
            raise ModelError(f"{told}, without a batch.", "Export it with the batch as the first size.")
        if 0 in port.shape:
            raise ModelError(f"{told}, which holds nothing.", "Export it with a batch of 1.")
        if any(size < 0 for size in port.shape[1:]):
            raise ModelError(f"{told}: only the batch may be open.", _closed(path, port))
    batches = {port.shape[0] for port in ports if port.shape[0] > 0}
    if len(batches) > 1:
        told = ", ".join(f"{port.name!r} is {_shape(port)}" for port in ports)
        raise ModelError(f"{path}: the inputs have different batches: {told}.", "Export it with one batch for all.")
    batch = next(iter(batches), 1)
    return tuple(replace(port, shape=(batch, *port.shape[1:])) for port in ports)


def _shape(port: WirePort) -> str:
    return f"({', '.join('?' if size < 0 else str(size) for size in port.shape)})" if port.shape else "a scalar"


def _closed(path: Path, port: WirePort) -> str:
    """How to fix the open sizes of an input."""
    if path.suffix != ".onnx":
        return "Export it with fixed sizes."
    module = "python -m onnxruntime.tools.make_dynamic_shape_fixed"
    sizes = ",".join("1" if size < 0 else str(size) for size in port.shape)
    options = f"--input_name {shlex.quote(port.name)} --input_shape {sizes}"
    return f"Fix the sizes, such as: {module} {options} {shlex.quote(str(path))} fixed.onnx"


def _litert_inputs(path: Path) -> tuple[WirePort, ...]:
    from ai_edge_litert.interpreter import Interpreter

    from edgett.export.flatbuffer import parsed

    parsed(path.read_bytes())  # the interpreter does not come back from some broken files
    details = Interpreter(model_path=str(path)).get_signature_runner().get_input_details()
    ports = []
    for name, detail in details.items():
        port = replace(litert_port(detail), name=name)
        _refuse_no_numbers(path, name, port.dtype)
        # The interpreter tells 1 for what is open.
        ports.append(replace(port, shape=tuple(map(int, detail.get("shape_signature", port.shape)))))
    return tuple(ports)


def _onnx_inputs(path: Path) -> tuple[WirePort, ...]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for value in (*session.get_inputs(), *session.get_outputs()):
        _refuse_no_numbers(path, value.name, _numbers(value.type))
    return tuple(
        WirePort(
            one.name, one.name, tuple(size if isinstance(size, int) else -1 for size in one.shape), _numbers(one.type)
        )
        for one in session.get_inputs()
    )


def _numbers(kind: str) -> str:
    """NumPy's name of the numbers that ONNX Runtime calls tensor(KIND), else what it calls them."""
    name = runner.FLOATS.get(kind, kind.removeprefix("tensor(").removesuffix(")"))
    return name if name in _NUMBERS else kind


_NUMBERS = frozenset("float16 float32 float64 bool int8 int16 int32 int64 uint8 uint16 uint32 uint64".split())


def _refuse_no_numbers(path: Path, name: str, dtype: str) -> None:
    if dtype not in _NUMBERS:
        raise ModelError(
            f"{path}: {name!r} is {dtype}; edgett feeds and reads {', '.join(sorted(_NUMBERS))}.",
            "Export the part that takes and gives numbers.",
        )


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _turns(folder: Path) -> int:
    """The turns that are done."""
    try:
        return int(json.loads((folder / "progress.json").read_text())["done"])
    except OSError:
        return 0


def run(path: Path, inputs: Arrays, batch: int) -> dict[str, NDArray[np.floating]]:
    """The outputs of an artefact of a fixed `batch` for (n, ...) inputs, by name, on one thread.

    The last samples are repeated to fill a batch. Raises ToolError when the runtime refuses the file.
    """
    return _run(path, inputs, batch, plainly=False)


def reference(path: Path, inputs: Arrays, batch: int) -> dict[str, NDArray[np.floating]]:
    """The same by the runtimes' reference kernels, operator by operator: what the file says, without any cleverness."""
    return _run(path, inputs, batch, plainly=True)


def _run(path: Path, inputs: Arrays, batch: int, *, plainly: bool) -> dict[str, NDArray[np.floating]]:
    call = {".tflite": _litert, ".onnx": _onnxruntime}[path.suffix]
    count = len(next(iter(inputs.values())))
    try:
        with quiet():
            return call(
                path, inputs, plainly, [np.arange(start, start + batch) % count for start in range(0, count, batch)]
            )
    except Exception as error:  # ONNX Runtime's have no base class of their own
        raise ToolError(
            f"{path.name} does not run here: {_words(error)}",
            f"Check that it is whole, that its batch is {batch}, and that its inputs are {', '.join(inputs)}.",
        ) from error


def _litert(
    path: Path, inputs: Arrays, plainly: bool, batches: list[NDArray[np.int64]]
) -> dict[str, NDArray[np.floating]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def loaded(kernels: OpResolverType) -> Interpreter:
        interpreter = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=kernels)
        interpreter.allocate_tensors()
        return interpreter

    try:
        interpreter = loaded(OpResolverType.BUILTIN_REF if plainly else OpResolverType.AUTO)
    except (RuntimeError, ValueError):
        if not plainly:
            raise
        # The reference kernels lack some operators, such as ELU.
        interpreter = loaded(OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    serve = interpreter.get_signature_runner()
    details = serve.get_input_details()
    # The interpreter would resize the graph instead, which is not the one that was exported.
    if any(detail["shape"][0] != len(batches[0]) for detail in details.values()):
        raise ValueError(f"its inputs are {', '.join(str(tuple(d['shape'].tolist())) for d in details.values())}")
    entries = {name: litert_port(detail) for name, detail in details.items()}
    ends = {name: litert_port(detail) for name, detail in serve.get_output_details().items()}
    results = []
    for rows in batches:
        made = serve(**{name: port.stored(inputs[name][rows]) for name, port in entries.items()})
        results.append({name: ends[name].real(values) for name, values in made.items()})
    return _joined(results, len(next(iter(inputs.values()))))


def _onnxruntime(
    path: Path, inputs: Arrays, plainly: bool, batches: list[NDArray[np.int64]]
) -> dict[str, NDArray[np.floating]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if plainly or b"QuantizeLinear" in path.read_bytes():
        # Its integer kernels saturate on x86 without VNNI; operator by operator it computes what the file says.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {value.name: _numbers(value.type) for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    results = [
        dict(
            zip(names, session.run(names, {k: inputs[k][rows].astype(kind) for k, kind in kinds.items()}), strict=True)
        )
        for rows in batches
    ]
    return _joined(results, len(next(iter(inputs.values()))))


def _joined(results: list[dict[str, NDArray[np.floating]]], count: int) -> dict[str, NDArray[np.floating]]:
    return {name: np.concatenate([np.atleast_1d(one[name]) for one in results])[:count] for name in results[0]}
