"""Runs an artefact on this machine: LiteRT for .tflite, ONNX Runtime for .onnx."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ToolError
from edgett.quiet import quiet
from edgett.wire import litert_port

Arrays = Mapping[str, NDArray[np.floating]]


def run(path: Path, inputs: Arrays, batch: int) -> dict[str, NDArray[np.floating]]:
    """The outputs of an artefact of a fixed `batch` for (n, ...) inputs, by name, on one thread.

    The last samples are repeated to fill a batch. Raises ToolError when the runtime refuses the file.
    """
    call = {".tflite": _litert, ".onnx": _onnxruntime}[path.suffix]
    count = len(next(iter(inputs.values())))
    try:
        with quiet():
            return call(path, inputs, [np.arange(start, start + batch) % count for start in range(0, count, batch)])
    except Exception as error:  # ONNX Runtime's have no base class of their own
        raise ToolError(
            f"{path.name} does not run here: {' '.join(str(error).split())[:300]}",
            f"Check that it is whole, that its batch is {batch}, and that its inputs are {', '.join(inputs)}.",
        ) from error


def _litert(path: Path, inputs: Arrays, batches: list[NDArray[np.int64]]) -> dict[str, NDArray[np.floating]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
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


def _onnxruntime(path: Path, inputs: Arrays, batches: list[NDArray[np.int64]]) -> dict[str, NDArray[np.floating]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if b"QuantizeLinear" in path.read_bytes():
        # Its integer kernels saturate on x86 without VNNI; operator by operator it computes what the file says.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {value.name: _KINDS.get(value.type, np.float32) for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    results = [
        dict(
            zip(names, session.run(names, {k: inputs[k][rows].astype(kind) for k, kind in kinds.items()}), strict=True)
        )
        for rows in batches
    ]
    return _joined(results, len(next(iter(inputs.values()))))


_KINDS = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}


def _joined(results: list[dict[str, NDArray[np.floating]]], count: int) -> dict[str, NDArray[np.floating]]:
    return {name: np.concatenate([result[name] for result in results])[:count] for name in results[0]}
