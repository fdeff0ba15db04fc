"""What runs inside ONNX's Loop, Scan and If, read back for the memory that it takes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgett.graph.graph import Step, around
from edgett.system.quiet import quiet

Dims = tuple[int | None, ...]
"""The sizes of a tensor's axes; None where the file does not tell."""

UNTOLD: Dims = (None,)
"""Of a tensor of which the file tells nothing."""


@dataclass
class Tensors:
    """The inner tensors that have been met: their axes, and the bytes of an element."""

    shapes: dict[str, Dims] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, value: Any) -> None:
        """Another one, as the file tells of it; None where it does not."""
        if value is not None:
            self.shapes[name] = dims(value)
            self.widths[name] = _width(value.type.tensor_type.elem_type)
        else:
            self.shapes.setdefault(name, UNTOLD)


def inside(node: Any, names: Mapping[str, str | None], tensors: Tensors) -> Iterator[Step]:
    """The steps of the graphs in a node, one after the other; they count nothing, for nobody knows how often they run.

    `names` has what tensors are called that a graph may reach out for; None: a constant.
    """
    for number, body in enumerate(bodies(node)):
        known = {**names, **{tensor.name: None for tensor in body.initializer}}
        values = {value.name: value for value in (*body.input, *body.value_info, *body.output)}
        passed, entered = _passed(node, body, names), []
        for value in body.input:
            known[value.name] = passed.get(value.name, f"{node.name}/{number}/{value.name}")
            if value.name not in passed:
                entered.append(value.name)
        for inner in body.node:
            known.update({name: f"{node.name}/{number}/{name}" for name in inner.output if name})
        for name in (*entered, *(name for inner in body.node for name in inner.output if name)):
            tensors.add(str(known[name]), values.get(name))
        yield Step("", "Enter", (), _called(entered, known))
        for inner in body.node:
            step = Step("", inner.op_type, _called(reads(inner), known), _called(inner.output, known))
            yield from around(step, list(inside(inner, known, tensors)))
        yield Step("", "Leave", _called((value.name for value in body.output), known), ())


def _passed(node: Any, body: Any, names: Mapping[str, str | None]) -> dict[str, str | None]:
    """What a loop hands to each round as it got it: weights, mostly. It takes no place of its own."""
    given = dict(zip([value.name for value in body.input], node.input, strict=False))
    return {name: names.get(given[name]) for name in _handed_on(node, body) if given.get(name)}


def _handed_on(node: Any, body: Any) -> list[str]:
    """What leaves each round of a loop as it came in."""
    before = int(node.op_type == "Loop")  # the round's number has no counterpart among the results
    states = zip(body.input[before:], body.output, strict=False) if node.op_type in ("Loop", "Scan") else ()
    return [given.name for given, made in states if given.name == made.name]


def results(node: Any, used: Collection[str]) -> tuple[str, ...]:
    """What a node makes, without what a loop hands on and nobody reads."""
    idle = set()
    for body in bodies(node):
        made = [value.name for value in body.output][int(node.op_type == "Loop") :]
        idle |= {name for name, inner in zip(node.output, made, strict=False) if inner in _handed_on(node, body)}
    return tuple(name for name in node.output if name and (name in used or name not in idle))


def reads(node: Any) -> list[str]:
    """All that a node and the graphs in it read, each once."""
    inner = (name for body in bodies(node) for one in body.node for name in reads(one))
    return list(dict.fromkeys(name for name in (*node.input, *inner) if name))


def bodies(node: Any) -> list[Any]:
    """The graphs in a node."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _called(names: Any, known: Mapping[str, str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(called for name in names if name and (called := known.get(name)) is not None))


def dims(value: Any) -> Dims:
    """What the file tells of a tensor's axes."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return UNTOLD
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)


def size(shape: Dims) -> int:
    """The elements of a tensor, 0 where an axis is not told."""
    return math.prod(axis or 0 for axis in shape)


def _width(kind: int) -> int:
    from onnx import helper

    try:
        return int(np.dtype(helper.tensor_dtype_to_np_dtype(kind)).itemsize)
    except (KeyError, TypeError):
        return 4


def told_by_running(model: Any, names: Collection[str]) -> dict[str, Dims]:
    """The axes of tensors of which the file does not tell them all: how often a loop runs shows when it does."""
    import onnx
    import onnxruntime

    if not names:
        return {}
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    kept = {value.name for value in twin.graph.output}
    twin.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in kept)
    feeds = {
        value.name: np.zeros(
            [axis or 1 for axis in dims(value)], onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        )
        for value in twin.graph.input
    }
    with quiet():
        session = onnxruntime.InferenceSession(twin.SerializeToString(), providers=["CPUExecutionProvider"])
        made = session.run(list(names), feeds)
    return {name: np.shape(array) for name, array in zip(names, made, strict=True)}
