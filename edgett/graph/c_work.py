"""What the kernels of C have to do in an inference: what its instructions are predicted from.

Which kernel computes a step, and how, `export.kernels` decides; what has none there is computed by loops. The plan of
memory tells where two rows are computed at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgett.forms.window import Window
from edgett.graph.c_plan import plane, two_positions
from edgett.graph.c_view import compiled
from edgett.graph.graph import Graph, Step
from edgett.graph.op import ADD, PRODUCT, SOFTMAX

_FOUR = 4
"""Columns that a product takes at once, and inputs."""
_COPIED = 16
"""Codes of a row from which on memcpy copies words."""


@dataclass(frozen=True)
class Effort:
    """What a kernel does, by what it takes instructions for.

    Attributes:
        kernel: its name, with the type of its numbers.
        macs: multiply-accumulates, those of columns that only fill four among them.
        tails: those of inputs that are left of fours; of a depthwise window, its rows at each position; of a patch,
            its channels.
        outputs: numbers that it makes.
        reads: numbers that it reads, as often as it does.
        rows: rows of a product, of an image, of a window that is brought together.
        calls: parts that have a beginning of their own: channels, positions, a call.
    """

    kernel: str
    macs: int = 0
    tails: int = 0
    outputs: int = 0
    reads: int = 0
    rows: int = 0
    calls: int = 1


def efforts(graph: Graph, size: int = 4) -> Iterator[tuple[Step, Effort]]:
    """What a model in C does, kernel by kernel.

    Args:
        graph: what `model.predict` foretells of the .onnx.
        size: the bytes of a number.

    Yields:
        A step, and what a kernel does for it; some take two kernels, or more.
    """
    found = compiled(graph, size)
    for step in found.steps:
        (target, *_) = step.writes
        width = found.graph.widths.get(target, size)
        turned = target in found.claims and bool(found.claims[target].idle)
        for work in _of(step, found.graph, width, found.scratch(step, size), turned):
            yield step, replace(work, kernel=f"{work.kernel}_{'int8' if width == 1 else 'float'}")


def _of(step: Step, graph: Graph, width: int, room: int, turned: bool) -> Iterator[Effort]:
    """`width` is that of what it makes, `room` the bytes of its scratch; `turned`: it does the work of a transpose."""
    made, window = graph.sizes[step.writes[0]], step.window
    if not step.macs:
        yield _plain(step, graph, width)
    elif window is not None and step.depthwise:
        yield from _depthwise(window, made, width)
    elif step.op.family is PRODUCT or (window is not None and not _grouped(step, window, graph)):
        for work in _products(step, made, width, room):
            yield work
            if turned:
                yield Effort(f"turned_{work.kernel}", outputs=work.outputs, rows=work.rows)
    else:
        yield Effort("loops", step.macs, outputs=made)


def _products(step: Step, made: int, width: int, room: int) -> Iterator[Effort]:
    """A product; of a convolution, with what brings its rows together."""
    window, inner = step.window, step.macs // made
    columns = step.constants[0].count // inner
    rows = made // columns
    gathers = width == 1 and window is not None and (window.taps, window.strides) == (1, (1, 1))
    enough = room >= two_positions(inner) if window is not None else room > 0
    paired = rows - rows % 2 if width == 1 and enough else 0
    if paired:
        yield _product("pixels" if gathers else "rows", paired, inner, columns)
    if rows > paired:
        fours = columns if width == 1 else columns - columns % _FOUR
        if fours:
            yield _product("row", rows - paired, inner, fours)
        if fours < columns:  # one by one
            yield Effort("column", rows * inner * (columns - fours), outputs=rows * (columns - fours), rows=rows)
    patched = rows - paired if gathers else rows
    if window is not None and patched:
        yield _patch(window, patched, inner)


def _product(kernel: str, rows: int, inner: int, columns: int) -> Effort:
    filled = -(-columns // _FOUR) * _FOUR * rows
    left = filled * (inner % _FOUR)
    return Effort(kernel, filled * inner - left, left, filled, rows * inner, rows)


def _patch(window: Window, rows: int, inner: int) -> Effort:
    """What a window sees, brought together at each position; where some of that is padding, all is filled first."""
    if window.taps == 1:
        return Effort("point", tails=rows * inner, reads=rows * inner, rows=rows * inner, calls=rows)
    down, across = window.inside
    images, channels = rows // window.positions, inner // window.taps
    whole = down.count(window.kernel[0]) * across.count(window.kernel[1])
    kernel = "patch_of_threes" if window.kernel[1] == 3 else "patch"
    return Effort(
        kernel, tails=rows * channels, outputs=images * (window.positions - whole) * inner,
        reads=images * channels * sum(down) * sum(across), rows=images * channels * sum(down) * window.made[1],
        calls=rows,
    )  # fmt: skip


def _depthwise(window: Window, made: int, width: int) -> Iterator[Effort]:
    """A channel with its padding, and its outputs; those of a 3x3 window come in pairs where it moves by one."""
    channels, (height, across) = made // window.positions, window.made
    kernel = "narrow_plane" if width == 1 and window.size[1] < _COPIED else "plane"
    yield Effort(kernel, reads=channels * plane(*window.seen), rows=channels * window.size[0], calls=channels)
    lines = channels * height
    if width == 1 and window.kernel == (3, 3) and window.dilation[1] == 1:
        alone = across - across // 2 * 2 if window.strides[1] == 1 else across
        yield Effort("threes", tails=lines * alone, outputs=made, rows=lines)
        return
    kernel = "threes" if width > 1 and window.kernel[1] == 3 else "window"
    yield Effort(kernel, made * window.taps, made * window.kernel[0], made, rows=lines)


def _plain(step: Step, graph: Graph, width: int) -> Effort:
    """What goes through its numbers one by one."""
    kernel = step.op.family.name
    if step.op.family is ADD and len(step.reads) > 1:
        kernel = "sum"
    if width == 1 and step.activates and step.op is not SOFTMAX:
        kernel = "lookup"
    return Effort(kernel, outputs=graph.sizes[step.writes[0]], reads=sum(graph.sizes[name] for name in step.reads))


def _grouped(step: Step, window: Window, graph: Graph) -> bool:
    """Whether the window of a convolution does not see all channels."""
    seen = step.macs // graph.sizes[step.writes[0]] // window.taps
    columns = step.constants[0].count // (seen * window.taps)
    images = graph.sizes[step.writes[0]] // (columns * window.positions)
    return seen * window.pixels * images != graph.sizes[step.reads[0]]
