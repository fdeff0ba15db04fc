"""A model as the operators an interpreter runs, one after the other: what they store, compute and keep alive.

The prediction and what is read back from an exported file are both a `Graph`, so that one set of sums serves both
and comparing them compares nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgett.forms.window import Window
from edgett.graph.op import named
from edgett.graph.rebuilt import RebuildRoom
from edgett.graph.traits import Op


@dataclass(frozen=True)
class Constant:
    """Numbers stored in the file that feed arithmetic.

    Attributes:
        key: those of the same key in a layer are the same numbers, stored once.
        count: how many there are.
        width: bytes of each.
        channels: in int8 each of so many has a scale of its own.
    """

    key: str
    count: int
    width: int = 4
    channels: int = 1

    @property
    def bytes(self) -> int:
        """The bytes that its numbers take."""
        return self.count * self.width


@dataclass(frozen=True)
class Step:
    """One operator that an interpreter runs.

    Attributes:
        layer: the path of the layer that it belongs to; empty: none.
        operator: its name in Keras, TFLite or ONNX.
        reads: the tensors that it reads, constants apart.
        writes: the tensors that it writes.
        constants: the stored numbers that it reads.
        flops: what it computes; None where no rule counts the operator.
        macs: the multiply-accumulates among them.
        guess: what its FLOPs may be where no rule counts them, to tell what is worth the trouble, and never to show.
        depthwise: whether it is a convolution, foretold, with a window of its own for each channel.
        window: how it moves, where it is a convolution, foretold.
        over: whether it may write over what it reads, as what is element-wise may anyway.
        turns: the rows and columns of the matrix that it turns, where it is a transpose of a form, foretold.
        rebuilt: what its weight takes in C, where that is rebuilt from factors, foretold.
    """

    layer: str
    operator: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    constants: tuple[Constant, ...] = ()
    flops: int | None = 0
    macs: int = 0
    guess: int = 0
    depthwise: bool = False
    window: Window | None = None
    over: bool = False
    turns: tuple[int, ...] = ()
    rebuilt: RebuildRoom | None = None

    @property
    def op(self) -> Op:
        """The kind of operator, by its name."""
        return named(self.operator)

    def stores(self, key: str) -> bool:
        """Whether it reads stored numbers of that key."""
        return any(constant.key == key for constant in self.constants)

    @property
    def activates(self) -> bool:
        """Whether it is an activation of a prediction, which bears its name in Keras's list: "relu"."""
        return self.operator.islower()


@dataclass(frozen=True)
class Graph:
    """The operators of a model in the order they run.

    Attributes:
        steps: the operators.
        sizes: the elements of every tensor.
        inputs: the tensors that the model reads.
        outputs: those that it gives; they live to the last step.
        widths: the bytes of an element of each tensor that is known to have others than most.
        unsized: tensors of which a file does not tell how large they become; they count as nothing.
        fused: whether a bias that can ride on the product before it does.
        in_c: the same model as C of it is made, where that is foretold besides.
    """

    steps: tuple[Step, ...]
    sizes: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    widths: Mapping[str, int] = field(default_factory=dict)
    unsized: tuple[str, ...] = ()
    fused: bool = False
    in_c: Graph | None = None

    def bytes(self, name: str, size: int) -> int:
        """The bytes that a tensor takes.

        Args:
            name: of the tensor.
            size: the bytes of an element, unless `widths` knows better.

        Returns:
            Bytes.
        """
        return self.sizes[name] * self.widths.get(name, size)

    def holding(self, rooms: Mapping[str, RebuildRoom]) -> Graph:
        """Tell of the weights that are rebuilt from factors when the model runs.

        Args:
            rooms: what they take, by layer.

        Returns:
            The graph with that in the steps that read them.
        """
        steps = (replace(step, rebuilt=rooms.get(step.layer)) if step.macs else step for step in self.steps)
        return replace(self, steps=tuple(steps))

    def params(self, layer: str | None = None) -> int:
        """Count the numbers stored.

        Args:
            layer: of this layer; None: of all.

        Returns:
            Their number, those of one key counted once.
        """
        return sum(constant.count for constant in self._stored(layer))

    def weight_bytes(self, layer: str | None = None) -> int:
        """The bytes that the numbers stored take.

        Args:
            layer: of this layer; None: of all.

        Returns:
            Bytes, those of one key counted once.
        """
        return sum(constant.bytes for constant in self._stored(layer))

    def flops(self, layer: str | None = None) -> int:
        """Sum the FLOPs of every operator that has a rule.

        Args:
            layer: of this layer; None: of all.

        Returns:
            FLOPs: a multiplication is one, an addition is one.
        """
        return sum(step.flops or 0 for step in self._of(layer))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products."""
        return sum(step.macs for step in self.steps)

    @property
    def quantised(self) -> bool:
        """Whether numbers are stored in int8."""
        return any(constant.width == 1 for constant in self._stored(None))

    @property
    def unruled(self) -> tuple[str, ...]:
        """Operators that no rule counts, as "operator (layer)"; the totals are partial when there are any."""
        return tuple(dict.fromkeys(f"{step.operator} ({step.layer})" for step in self.steps if step.flops is None))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that store or compute anything, in the order they run."""
        return tuple(dict.fromkeys(step.layer for step in self.steps if step.constants or step.flops))

    def _stored(self, layer: str | None) -> Iterator[Constant]:
        distinct = {(step.layer, constant) for step in self._of(layer) for constant in step.constants}
        return (constant for _, constant in distinct)

    def _of(self, layer: str | None) -> Iterator[Step]:
        return (step for step in self.steps if layer is None or step.layer == layer)


def around(step: Step, inner: Sequence[Step]) -> Iterator[Step]:
    """Put what runs inside an operator of control flow behind it, while all that it reads and writes is alive.

    Args:
        step: the operator.
        inner: what runs inside it.

    Yields:
        The operator, what is inside, and a step that frees its tensors.
    """
    yield step
    if inner:
        yield from inner
        yield Step(step.layer, "Leave", (*step.reads, *step.writes), ())
