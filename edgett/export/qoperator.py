"""int8 as integers: a graph of QuantizeLinear and DequantizeLinear pairs becomes one that computes on int8 itself.

ONNX Runtime does the same when it loads such a graph; a compiler to C has to be given the result. What has no integer
form stays in float32 between a DequantizeLinear and a QuantizeLinear: activations only, never weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.export.qrules import RULES, Codes, attribute_of, coded
from edgett.graph.op import named

_PLAIN, _CONTRIB = "", "com.microsoft"


@dataclass(frozen=True)
class Integer:
    """The rewritten graph; `codes` gives the scale and zero point of each input and output that is int8 now."""

    model: Any
    codes: Mapping[str, tuple[float, int]]


def is_quantised(model: Any) -> bool:
    """Whether the graph was quantised at all."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def integer(model: Any) -> Integer:
    """The graph with int8 between its operators, and with int8 inputs and outputs where the first and the last are.

    It gives what the graph of pairs gives, to one step of a tensor's scale an operator.
    """
    rewriter = Rewriter.of(model)
    for value in model.graph.input:
        rewriter.take(value.name)
    for node in model.graph.node:
        rewriter.visit(node)
    return rewriter.finished(model)


@dataclass
class Rewriter:
    """The new graph as it grows. `codes` holds the float32 tensors that are there as int8."""

    constants: dict[str, NDArray[Any]]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, Any]
    readers: dict[str, list[Any]]
    outputs: tuple[str, ...]
    codes: dict[str, Codes] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    real: dict[str, str] = field(default_factory=dict)
    ports: dict[str, tuple[float, int]] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)
    made: dict[str, tuple[Any, tuple[int, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any) -> Rewriter:
        import onnx
        from onnx import helper, numpy_helper

        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        types = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
        shapes = {name: tuple(dim.dim_value for dim in kind.shape.dim) for name, kind in types.items()}
        dtypes = {name: helper.tensor_dtype_to_np_dtype(kind.elem_type) for name, kind in types.items()}
        readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        return cls(constants, shapes, dtypes, readers, tuple(value.name for value in graph.output))

    def take(self, name: str) -> None:
        """An input: int8 from the start when nothing else is made of it."""
        if kept := self.wanted(name):
            self.codes[name] = Codes(name, *kept)
            self.ports[name] = self.read(self.codes[name])

    def visit(self, node: Any) -> None:
        """Add what becomes of a node."""
        if node.op_type == "DequantizeLinear":
            self.dequantise(node)
        elif node.op_type == "QuantizeLinear":
            self.quantise(node)
        elif self.movable(node):
            self.move(node)
        elif (
            (rule := RULES.get(named(node.op_type)))
            and (kept := self.wanted(node.output[0]))
            and rule(self, node, kept)
        ):
            self.codes[node.output[0]] = Codes(coded(node.output[0]), *kept)
        else:
            self.compute(node)

    def dequantise(self, node: Any) -> None:
        axis = attribute_of(node, "axis", 1) if self.constants[node.input[1]].size > 1 else None
        source = self.same.get(node.input[0], node.input[0])
        self.codes[node.output[0]] = Codes(source, node.input[1], node.input[2], axis)

    def quantise(self, node: Any) -> None:
        source, scale, zero = node.input
        known = self.codes.get(source)
        if known and self.alike(known, Codes("", scale, zero)):
            self.same[node.output[0]] = known.name
        else:
            self.add(node.op_type, (self.as_real(source), scale, zero), node.output[0], np.int8, self.shapes[source])

    def movable(self, node: Any) -> bool:
        known = self.codes.get(node.input[0])
        return known is not None and known.axis is None and _moves(node)

    def move(self, node: Any) -> None:
        known, result = self.codes[node.input[0]], node.output[0]
        inputs = [known.name, *node.input[1:]]
        if node.op_type == "Pad":  # with the zeros of the scale
            inputs.append(known.zero)
        self.add(node.op_type, inputs, coded(result), np.int8, self.shapes[result], node.attribute)
        self.codes[result] = Codes(coded(result), known.scale, known.zero)

    def compute(self, node: Any) -> None:
        """A node in float32, and int8 of its result where only that is wanted."""
        import onnx

        plain = onnx.NodeProto()
        plain.CopyFrom(node)
        plain.input[:] = [self.as_real(name) if name else "" for name in node.input]
        self.nodes.append(plain)
        for name in node.output:
            self.made[name] = self.dtypes[name], self.shapes[name]
            if kept := self.wanted(name):
                self.add("QuantizeLinear", (name, *kept), coded(name), np.int8, self.shapes[name])
                self.codes[name] = Codes(coded(name), *kept)

    def as_real(self, name: str) -> str:
        """The float32 tensor itself, read from its codes if need be; a constant is read once and for all here."""
        known = self.codes.get(name)
        if known is None:
            return name
        if name not in self.real:
            self.real[name] = f"{name}/real"
            if known.name in self.constants:
                self.constants[self.real[name]] = self.values(known)
            else:
                inputs = known.name, known.scale, known.zero
                self.add("DequantizeLinear", inputs, self.real[name], np.float32, self.shapes[name])
        return self.real[name]

    def values(self, known: Codes) -> NDArray[np.float32]:
        codes, scale, zero = (self.constants[name] for name in (known.name, known.scale, known.zero))
        if known.axis is not None:
            wide = [1] * codes.ndim
            wide[known.axis] = -1
            scale, zero = scale.reshape(wide), zero.reshape(wide)
        return ((codes.astype(np.int64) - zero) * scale).astype(np.float32)

    def wanted(self, name: str) -> tuple[str, str] | None:
        """Scale and zero point by which all who read a tensor, or what is but moved from it, quantise it."""
        found: list[Codes] = []
        if name in self.outputs or name not in self.readers:
            return None
        for node in self.readers[name]:
            if node.op_type == "QuantizeLinear":
                found.append(Codes("", node.input[1], node.input[2]))
            elif _moves(node) and node.input[0] == name:
                kept = self.wanted(node.output[0])
                if kept is None:
                    return None
                found.append(Codes("", *kept))
            else:
                return None
        first = found[0]
        return (first.scale, first.zero) if all(self.alike(first, other) for other in found) else None

    def alike(self, one: Codes, other: Codes) -> bool:
        pairs = ((one.scale, other.scale), (one.zero, other.zero))
        return all(np.array_equal(self.constants[a], self.constants[b]) for a, b in pairs)

    def read(self, codes: Codes) -> tuple[float, int]:
        return float(self.constants[codes.scale].item()), int(self.constants[codes.zero].item())

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants[name] = values
        return name

    def add(
        self, kind: str, inputs: Sequence[str], output: str, dtype: Any, shape: tuple[int, ...], attributes: Any = ()
    ) -> None:
        from onnx import helper

        domain = _CONTRIB if named(kind).onnx.contributed else _PLAIN
        node = helper.make_node(kind, inputs, [output], name=output, domain=domain)
        node.attribute.extend(attributes)
        self.nodes.append(node)
        self.made[output] = (dtype, shape)

    def finished(self, model: Any) -> Integer:
        """The outputs as int8 where they are, and a model of what was added."""
        for name in self.outputs:
            if known := self.codes.get(name):
                self.add("Identity", (known.name,), name, np.int8, self.shapes[name])
                self.ports[name] = self.read(known)
        return Integer(self.model(model), self.ports)

    def model(self, old: Any) -> Any:
        import onnx
        from onnx import helper, numpy_helper

        def value(name: str, old: Any = None) -> Any:
            dtype, shape = self.made.get(name, (np.int8, self.shapes.get(name)))
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

        used = {name for node in self.nodes for name in node.input}
        stored = [numpy_helper.from_array(self.constants[name], name) for name in sorted(used & self.constants.keys())]
        inputs = [value(one.name) if one.name in self.ports else one for one in old.graph.input]
        outputs = [value(one.name) if one.name in self.ports else one for one in old.graph.output]
        inner = [value(name) for name in sorted(self.made.keys() - set(self.outputs))]
        graph = helper.make_graph(self.nodes, old.graph.name, inputs, outputs, stored, value_info=inner)
        model: Any = onnx.ModelProto()
        model.CopyFrom(old)
        model.graph.CopyFrom(graph)
        if all(one.domain != _CONTRIB for one in model.opset_import):
            model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
        return model


def _moves(node: Any) -> bool:
    """Whether a node only moves numbers, zeros that it adds apart."""
    if node.op_type == "Pad":
        return len(node.input) < 3 and attribute_of(node, "mode", b"constant") == b"constant"
    return named(node.op_type).moves and len(node.output) == 1
