"""How many instructions an inference in C executes on a target, predicted kernel by kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgett.graph.c_work import THINGS, Effort, efforts
from edgett.graph.dtype import DType
from edgett.graph.graph import Graph


@dataclass(frozen=True)
class Rates:
    """The instructions of a kernel for each thing that it does; see `Effort`."""

    macs: float = 0.0
    tails: float = 0.0
    outputs: float = 0.0
    reads: float = 0.0
    rows: float = 0.0
    calls: float = 0.0

    def of(self, work: Effort) -> float:
        """Sum up the instructions of a kernel.

        Args:
            work: what it does.

        Returns:
            Instructions.
        """
        return sum(getattr(self, name) * getattr(work, name) for name in THINGS)


@dataclass(frozen=True)
class Cycles:
    """Published timings of a processor.

    Attributes:
        instructions: that it starts in a cycle at most.
        macs: multiply-accumulates that it finishes in a cycle at most.
        hertz: cycles of a second.
    """

    instructions: float
    macs: float
    hertz: float

    def us(self, instructions: float, macs: int) -> float:
        """Estimate the time of an inference: no less than its instructions take, nor its multiply-accumulates.

        Args:
            instructions: those that it executes.
            macs: its multiply-accumulates.

        Returns:
            Microseconds.
        """
        return 1e6 / self.hertz * max(instructions / self.instructions, macs / self.macs)


@dataclass(frozen=True)
class Instructions:
    """What an inference in C takes on a processor.

    Attributes:
        start: of an inference as such.
        kernels: by kernel.
    """

    start: float
    kernels: Mapping[str, Rates]

    def total(self, graph: Graph, size: int = DType.FLOAT32.size) -> float | None:
        """Predict the instructions of one inference.

        Args:
            graph: what `model.predict` foretells of the .onnx.
            size: the bytes of a number.

        Returns:
            Instructions; None where something is computed of which nobody knows what it takes.
        """
        found = [number for _, number in self._of(graph, size)]
        known = [number for number in found if number is not None]
        return None if graph.unruled or len(known) < len(found) else self.start + sum(known)

    def layers(self, graph: Graph, size: int = DType.FLOAT32.size) -> dict[str, float]:
        """Predict what each layer takes; see `total`.

        Args:
            graph: what `model.predict` foretells of the .onnx.
            size: the bytes of a number.

        Returns:
            Instructions by the path of the layer, 0 for what is not known.
        """
        found: dict[str, float] = {}
        for layer, number in self._of(graph, size):
            found[layer] = found.get(layer, 0.0) + (number or 0.0)
        return found

    def _of(self, graph: Graph, size: int) -> Iterator[tuple[str, float | None]]:
        for step, work in efforts(graph, size):
            rates = self.kernels.get(work.kernel)
            yield step.layer, None if rates is None else rates.of(work)
