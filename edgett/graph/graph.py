"""A model as the operators an interpreter runs, one after the other: what they store, compute and keep alive.

The prediction and what is read back from an exported file are both a `Graph`, so that one set of sums serves both
and comparing them compares nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edgett.graph.op import named
from edgett.graph.traits import Op


@dataclass(frozen=True)
class Constant:
    """Numbers stored in the file that feed arithmetic, `width` bytes each. The same `key` in a layer is the same.

    In int8 each of its `channels` has a scale of its own.
    """

    key: str
    count: int
    width: int = 4
    channels: int = 1

    @property
    def bytes(self) -> int:
        """What they take."""
        return self.count * self.width


@dataclass(frozen=True)
class Step:
    """One operator: the layer it belongs to, the tensors it reads and writes (constants apart), its FLOPs.

    `flops` is None when there is no rule that counts the operator; `guess` is what they may then be, to tell what is
    worth the trouble, and never to show.
    """

    layer: str
    operator: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    constants: tuple[Constant, ...] = ()
    flops: int | None = 0
    macs: int = 0
    guess: int = 0

    @property
    def op(self) -> Op:
        """What kind of operator it is."""
        return named(self.operator)

    @property
    def activates(self) -> bool:
        """Whether it is an activation that was foretold, which goes by its name in Keras's list."""
        return self.operator.islower()


@dataclass(frozen=True)
class Graph:
    """Steps in the order they run; `sizes` gives every tensor's elements, outputs live to the last step.

    `widths` gives the bytes of an element of each tensor that is known to have others than most. `unsized` are tensors
    of which a file does not tell how large they become; they count as nothing. `fused`: a bias that can ride on the
    product before it does.
    """

    steps: tuple[Step, ...]
    sizes: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    widths: Mapping[str, int] = field(default_factory=dict)
    unsized: tuple[str, ...] = ()
    fused: bool = False

    def bytes(self, name: str, size: int) -> int:
        """What a tensor takes, `size` bytes an element unless it is known better."""
        return self.sizes[name] * self.widths.get(name, size)

    def params(self, layer: str | None = None) -> int:
        """Numbers stored, of one layer or of all."""
        return sum(constant.count for constant in self._stored(layer))

    def weight_bytes(self, layer: str | None = None) -> int:
        """What the numbers stored take, of one layer or of all."""
        return sum(constant.bytes for constant in self._stored(layer))

    def flops(self, layer: str | None = None) -> int:
        """FLOPs of every operator that has a rule, of one layer or of all."""
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
    """An operator of control flow and what runs inside it, while all that it reads and writes is alive."""
    yield step
    if inner:
        yield from inner
        yield Step(step.layer, "Leave", (*step.reads, *step.writes), ())
