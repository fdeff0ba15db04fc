"""What a node is computed by instead of the C that emx-onnx-cgen writes for it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = "NAME"
"""Stands for the name of the model in C."""


@dataclass(frozen=True)
class Struct:
    """A constant struct of C: the name of its type, and its numbers in order, as they are written."""

    type: str
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, *numbers: int | str) -> Struct:
        """One of whole numbers and of literals."""
        return cls(kind, tuple(map(str, numbers)))


@dataclass(frozen=True)
class Words:
    """Constants that a macro makes words of, as the processor reads them best.

    Attributes:
        words: what it makes of them without Helium.
        text: writes them in C, `PREFIX` for the model's name; only who writes a file needs it.
    """

    words: NDArray[np.uint32]
    text: Callable[[], str]

    @property
    def nbytes(self) -> int:
        """What they take in flash."""
        return self.words.nbytes


@dataclass(frozen=True)
class Kernel:
    """A call of the C function `name`: input and output, scratch, `constants`, none where empty, `numbers`, `struct`.

    Attributes:
        name: the function.
        constants: what it reads from flash.
        numbers: other arguments in C.
        struct: the last one, given by its address.
        needs: bytes of the workspace that it must have besides.
        scratch: bytes with which it is faster, those among them; None: no number of bytes makes it so.
        idle: nodes around this one that have nothing left to do.
        over: whether it may write over what it reads.
        late: bytes of the workspace besides with which it may do that too, where that is worth it; None: it may not.
    """

    name: str
    constants: tuple[NDArray[Any] | Words, ...] = ()
    numbers: tuple[str, ...] = ()
    struct: Struct | None = None
    needs: int = 0
    scratch: int | None = None
    idle: tuple[str, ...] = ()
    over: bool = False
    late: int | None = None


class Nodes:
    """The nodes of an ONNX graph: what they read that is constant, how large and of which type results are, who reads
    these."""

    def __init__(self, model: Any) -> None:
        from onnx import helper, numpy_helper

        self.model = model
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        self.shapes = {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in values}
        kinds = {value.name: value.type.tensor_type.elem_type for value in values}
        self.types = {name: helper.tensor_dtype_to_np_dtype(kind).name for name, kind in kinds.items() if kind}

    @cached_property
    def readers(self) -> Mapping[str, Sequence[Any]]:
        """The nodes that read a tensor; None among them: it is an output."""
        found: dict[str, list[Any]] = {value.name: [None] for value in self.model.graph.output}
        for node in self.model.graph.node:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def makers(self) -> Mapping[str, Any]:
        """The nodes that write a tensor."""
        return {name: node for node in self.model.graph.node for name in node.output}

    @cached_property
    def told(self) -> Mapping[str, Any]:
        """By their names the nodes that have one of their own, and of whose result the shape is known."""
        nodes = self.model.graph.node
        names = Counter(node.name for node in nodes)
        told = (node for node in nodes if node.output[0] in self.shapes and names[node.name] == 1)
        return {node.name: node for node in told if node.name}

    def given(self, node: Any) -> list[Any]:
        """The constants that a node reads; None for what is none."""
        return [self.constants.get(name) for name in node.input]

    def size(self, name: str) -> int:
        """How many numbers a tensor has."""
        return math.prod(self.shapes[name])


def attribute(node: Any, name: str, default: Any) -> Any:
    """An attribute of an ONNX node."""
    from onnx import helper

    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def literal(value: float) -> str:
    """A float32 in C, to the last bit."""
    digits = re.sub(r"0+p", "p", float(np.float32(value)).hex()).replace(".p", "p")
    return f"{digits}f"
