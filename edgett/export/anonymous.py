"""An ONNX graph under names of edgett's own: a generator of code sees no word that a file brings along.

What is not known to be harmless is not taken over: documentation, metadata, names of dimensions are left out; an
operator or an attribute in words of no known form, functions of the model's own, and numbers in other files are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_OPERATOR = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_WORD = re.compile(rb"[A-Za-z0-9_,]*")
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


@dataclass(frozen=True)
class Anonymous:
    """A model whose tensors and nodes are numbered; `names`: what the file calls its inputs and outputs, by ours."""

    model: Any
    names: Mapping[str, str]


def anonymous(model: Any) -> Anonymous:
    """A copy under names that depend on its structure alone. Raises ValueError for what cannot be made harmless."""
    import onnx

    if model.functions:
        raise ValueError("it has functions of its own")
    renaming = _Renaming()
    graph = renaming.graph(model.graph)
    known = [one for one in model.opset_import if one.domain in _DOMAINS]
    opsets = [onnx.helper.make_opsetid(one.domain, one.version) for one in known]
    made = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
    ends = (*model.graph.input, *model.graph.output)
    return Anonymous(made, {renaming.tensor(value.name): value.name for value in ends})


@dataclass
class _Renaming:
    """Gives each tensor a name when it first meets it, by nodes in their order, and each node one by its operator."""

    tensors: dict[str, str] = field(default_factory=dict)
    nodes: int = 0

    def tensor(self, name: str) -> str:
        """None for none: an input of a node that is left out has an empty name."""
        return self.tensors.setdefault(name, f"t{len(self.tensors)}") if name else ""

    def graph(self, graph: Any) -> Any:
        """A graph, or the body of a loop or a branch, which may reach out for what is around it."""
        import onnx

        if graph.sparse_initializer:
            raise ValueError("it has sparse constants")
        inputs = [self._value(value) for value in graph.input]
        nodes = [self._node(node) for node in graph.node]
        stored = sorted(map(self._constant, graph.initializer), key=lambda one: int(one.name[1:]))
        between = [self._value(value) for value in graph.value_info if value.name in self.tensors]
        outputs = [self._value(value) for value in graph.output]
        return onnx.helper.make_graph(nodes, "graph", inputs, outputs, stored, value_info=between)

    def _node(self, node: Any) -> Any:
        import onnx

        if not _OPERATOR.fullmatch(node.op_type) or node.domain not in _DOMAINS:
            raise ValueError(f"there is no operator {node.op_type!r} of {node.domain!r}")
        made = onnx.NodeProto(op_type=node.op_type, domain=node.domain, name=f"{node.op_type}{self.nodes}")
        self.nodes += 1
        made.input.extend(map(self.tensor, node.input))
        made.attribute.extend(self._attribute(node.op_type, one) for one in node.attribute)
        made.output.extend(map(self.tensor, node.output))
        return made

    def _attribute(self, operator: str, attribute: Any) -> Any:
        import onnx

        if not _WORD.fullmatch(attribute.name.encode()) or attribute.ref_attr_name:
            raise ValueError(f"{operator} has an attribute {attribute.name!r}")
        for text in (attribute.s, *attribute.strings):
            if not _WORD.fullmatch(text):
                raise ValueError(f"{operator} has {text!r} for {attribute.name}")
        made = onnx.AttributeProto()
        made.CopyFrom(attribute)
        made.ClearField("doc_string")
        if attribute.HasField("t"):
            made.t.CopyFrom(self._constant(attribute.t, named=False))
        if attribute.HasField("g"):
            made.g.CopyFrom(self.graph(attribute.g))
        for kind in ("tensors", "graphs", "sparse_tensors", "type_protos"):
            if getattr(attribute, kind):
                raise ValueError(f"{operator} has {kind.replace('_', ' ')} for {attribute.name}")
        for kind in ("sparse_tensor", "tp"):
            made.ClearField(kind)
        return made

    def _constant(self, tensor: Any, *, named: bool = True) -> Any:
        import onnx

        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError("numbers of its lie in another file")
        if tensor.data_type == onnx.TensorProto.STRING:
            raise ValueError("it has words among its constants")
        made = onnx.TensorProto()
        made.CopyFrom(tensor)
        for told in ("doc_string", "name", "metadata_props"):
            made.ClearField(told)
        if named:
            made.name = self.tensor(tensor.name)
        return made

    def _value(self, value: Any) -> Any:
        import onnx

        if not value.type.HasField("tensor_type"):
            raise ValueError("it has what is no tensor")
        kind = value.type.tensor_type
        made = onnx.ValueInfoProto(name=self.tensor(value.name))
        made.type.tensor_type.elem_type = kind.elem_type
        if kind.HasField("shape"):
            made.type.tensor_type.shape.SetInParent()
            for size in kind.shape.dim:
                dim = made.type.tensor_type.shape.dim.add()
                if size.HasField("dim_value"):
                    dim.dim_value = size.dim_value
        return made
