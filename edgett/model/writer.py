"""Collects the steps of a prediction: names their tensors, and lays out what walks over pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from edgett.graph.graph import Step
from edgett.model.trace import Call, Trace


@dataclass
class Writer:
    """Collects steps and names tensors: `fused` says that biases and simple activations ride on their product.

    `shapes` has those of tensors that are laid out in another way than Keras has them.
    """

    form: Trace
    batch: int
    fused: bool
    quantised: bool
    names: dict[int, str]
    steps: list[Step] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def reads(self, call: Call) -> tuple[str, ...]:
        return tuple(self.names[id(tensor)] for tensor in call.reads)

    def copy(self, source: str) -> str:
        """ONNX has one tensor for each output."""
        target = f"t{len(self.sizes)}"
        self.sizes[target] = self.sizes[source]
        self.steps.append(Step("", "Identity", (source,), (target,)))
        return target

    def add(self, call: Call, operator: str, source: tuple[str, ...], elements: int, **rest: Any) -> tuple[str, ...]:
        target = f"t{len(self.sizes)}"
        self.sizes[target] = elements
        self.steps.append(Step(call.path, operator, source, (target,), **rest))
        return (target,)

    def into(self, call: Call, source: tuple[str, ...], elements: int) -> tuple[str, ...]:
        """The copies that bring a tensor into the layout of what walks over pixels; the converters drop those they can.

        A sequence is an image of one row.
        """
        if len(call.reads[0].shape) == 3:
            batch, _, channels = call.reads[0].shape
            source = self.add(call, "Reshape", source, elements)
            self.shapes[source[0]] = (batch, 1, elements // (batch * channels), channels)
        if not self.fused:
            source = self.add(call, "Transpose", source, elements)
        return source

    def out_of(self, call: Call, result: tuple[str, ...]) -> tuple[str, ...]:
        """The copies that bring its result back into the layout of Keras."""
        if len(call.reads[0].shape) == 3:
            batch, *others = call.writes[0].shape
            self.shapes[result[0]] = (batch, 1, *others)
            result = self.add(call, "Reshape", result, elements_of(call))
            self.shapes[result[0]] = call.writes[0].shape
        if not self.fused:
            result = self.add(call, "Transpose", result, elements_of(call))
        return result


def elements_of(call: Call) -> int:
    return math.prod(call.writes[0].shape)
