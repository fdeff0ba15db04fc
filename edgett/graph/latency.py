"""How long an inference takes on a target, predicted operator by operator: arithmetic, moves and a fixed cost."""

from __future__ import annotations

from dataclasses import dataclass

from edgett.graph.dtype import DType
from edgett.graph.graph import Graph, Step
from edgett.graph.op import TRANSPOSE


@dataclass(frozen=True)
class Speeds:
    """What an inference costs on a target, in microseconds, by what it does.

    Attributes:
        start: an inference as such.
        operator: an operator, however small.
        transpose: a transpose, however small.
        mac: a multiply-accumulate of a product whose columns fill registers.
        columns: how many columns those compute at once.
        read: a number of a product's input.
        write: a number of its output.
        move: a number that a transpose copies.
        touch: a number that anything else reads or writes.
        streams: (bytes, cost) each, increasing: what a byte of a weight costs where all weights take at most so many
            bytes; those that take more lie in a slower memory.
        windows: (taps, cost) each, increasing: what a multiply-accumulate costs where each channel has a window of its
            own, of at most so many taps; larger ones as the largest.
    """

    start: float
    operator: float
    transpose: float
    mac: float
    columns: int
    read: float
    write: float
    move: float
    touch: float
    streams: tuple[tuple[int, float], ...]
    windows: tuple[tuple[int, float], ...]

    def stream(self, held: int) -> float:
        """What a byte of a weight costs on its way from memory.

        Args:
            held: the bytes that all weights of the model take.

        Returns:
            Microseconds.
        """
        return _level(self.streams, held)

    def window(self, taps: int) -> float:
        """What a multiply-accumulate costs where each channel has a window of its own.

        Args:
            taps: the numbers that such a window has.

        Returns:
            Microseconds.
        """
        return _level(self.windows, taps)


def _level(levels: tuple[tuple[int, float], ...], size: int) -> float:
    return next((cost for most, cost in levels if size <= most), levels[-1][1] if levels else 0.0)


def latency_us(graph: Graph, speeds: Speeds, size: int = DType.FLOAT32.size) -> float:
    """Predict the time of one inference.

    A product takes its arithmetic, the way of its weights from the memory that holds all of the model's, and what it
    takes to read its input and to write its output. These add up: a roofline (Williams, Waterman and Patterson 2009)
    would take the longest of them alone, which for a few rows is a third too short on the kernels that we measured.
    A convolution is a product whose rows are what its window sees, one position after the other. Where each channel has
    a window of its own nothing is shared between them, and kernels are made for a few sizes of windows: what a
    multiply-accumulate costs goes by its size. A convolution in groups is taken for one product, which is too fast.

    Args:
        graph: the model's operators.
        speeds: those of the target.
        size: the bytes of a number.

    Returns:
        Microseconds.
    """
    return speeds.start + sum(steps_us(graph, speeds, size))


def layers_us(graph: Graph, speeds: Speeds, size: int = DType.FLOAT32.size) -> dict[str, float]:
    """Predict the part of an inference's time that each layer takes; see `latency_us`.

    Args:
        graph: the model's operators.
        speeds: those of the target.
        size: the bytes of a number.

    Returns:
        Microseconds, by the path of the layer.
    """
    times: dict[str, float] = {}
    for step, time in zip(graph.steps, steps_us(graph, speeds, size), strict=True):
        times[step.layer] = times.get(step.layer, 0.0) + time
    return times


def steps_us(graph: Graph, speeds: Speeds, size: int = DType.FLOAT32.size) -> list[float]:
    """Predict the part of an inference's time that each step takes; see `latency_us`.

    Args:
        graph: the model's operators.
        speeds: those of the target.
        size: the bytes of a number.

    Returns:
        Microseconds, step by step.
    """
    stream = size * speeds.stream(size * graph.params())
    return [_step(step, graph, speeds, stream) for step in graph.steps]


def _step(step: Step, graph: Graph, speeds: Speeds, stream: float) -> float:
    """`stream`: what a weight costs on its way."""
    made, read = graph.sizes[step.writes[0]], sum(graph.sizes[name] for name in step.reads)
    if step.op.view:
        return 0.0
    if step.op is TRANSPOSE:
        return speeds.transpose + speeds.move * made
    if not step.macs:
        return speeds.operator + speeds.touch * (read + made)
    weights = max((constant.count for constant in step.constants), default=0)
    columns = made * weights / step.macs if weights else 1  # a weight serves every row once
    filled = -(-columns // speeds.columns) * speeds.columns / columns
    fixed = speeds.operator + stream * weights + speeds.write * made * filled
    if step.depthwise:
        return fixed + speeds.window(step.macs // made) * step.macs * filled
    return fixed + speeds.mac * step.macs * filled + speeds.read * (step.macs / columns if weights else read)
