"""int8 in ONNX: tensors go through pairs of QuantizeLinear and DequantizeLinear, which runtimes fuse with the rest."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgett.export.calibration import Calibration
from edgett.graph.op import named
from edgett.system.folders import scratch


@dataclass(frozen=True)
class Seen:
    """A graph as it was before it was quantised: its nodes and outputs without the pairs; what int8 stands for."""

    nodes: tuple[Any, ...]
    outputs: tuple[str, ...]
    narrow: frozenset[str]


def quantised(model: Any, calibration: Calibration, spared: Sequence[str] = ()) -> Any:
    """The float32 model with int8 weights, a scale for each output of a product, and int8 between its nodes.

    The nodes named in `spared` stay in float32.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(calibration)

        def get_next(self) -> Any:
            return next(self.batches, None)

    with scratch() as folder:
        path = folder / "int8.onnx"
        quantize_static(
            model, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8, nodes_to_exclude=list(spared),
        )  # fmt: skip
        return onnx.load(path)


def seen_through(graph: Any) -> Seen:
    """A graph that never was quantised comes back as it is."""
    pairs = [node for node in graph.node if named(node.op_type).converts]
    before = {node.output[0]: node.input[0] for node in pairs}

    def origin(name: str) -> str:
        while name in before:
            name = before[name]
        return name

    nodes = []
    for node in graph.node:
        if not named(node.op_type).converts:
            plain = copy.deepcopy(node)
            plain.input[:] = map(origin, node.input)
            nodes.append(plain)
    narrow = frozenset(origin(node.input[0]) for node in pairs)
    return Seen(tuple(nodes), tuple(origin(value.name) for value in graph.output), narrow)


def input_types(content: bytes) -> dict[str, np.dtype[Any]]:
    """The types of the numbers that a model takes, by the inputs' names."""
    import onnx

    inputs = onnx.load_model_from_string(content).graph.input
    return {value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in inputs}


def watched(path: Path, names: Sequence[str]) -> tuple[bytes, dict[str, str]]:
    """The model with tensors among its outputs, named as `seen_through` names them, and what they are called there.

    Where a tensor goes through a pair, the output is what int8 stands for.
    """
    import onnx

    model = onnx.load(path)
    quantised = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    pairs = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in quantised]
    places = {name: name for name in names} | {quantised[node.input[0]]: node.output[0] for node in reversed(pairs)}
    present = {value.name for value in (*model.graph.input, *model.graph.output)}
    extra = dict.fromkeys(places[name] for name in names if places[name] not in present)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
    return model.SerializeToString(), places
