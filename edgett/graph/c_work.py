"""What the kernels of C have to do in an inference: what its instructions are predicted from.

Which kernel computes a step, and how, `export.kernels` decides; what has none there is computed by loops. The plan of
memory tells where two rows are computed at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from edgett.forms.window import Window
from edgett.graph.c_fuse import Blocks
from edgett.graph.c_plan import plane, two_positions, two_rows
from edgett.graph.c_view import compiled, grouped, matrix
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


THINGS = tuple(field.name for field in fields(Effort) if field.name != "kernel")
"""What a kernel takes instructions for."""


def efforts(graph: Graph, size: int = 4) -> Iterator[tuple[Step, Effort]]:
    """What a model in C does, kernel by kernel.

    Args:
        graph: what `model.predict` foretells of the .onnx.
        size: the bytes of a number.

    Yields:
        A step, and what a kernel does for it; some take two kernels, or more.
    """
    found = compiled(graph, size)
    makers = {step.writes[0]: step for step in found.graph.steps if step.writes}
    for step in found.steps:
        (target, *_) = step.writes
        width = found.graph.widths.get(target, size)
        turned = target in found.claims and bool(found.claims[target].idle)
        works = _of(step, found.graph, width, found.scratch(step, size), turned)
        if fusion := found.fused.get(target):
            works = _fused((makers[fusion.first], step), fusion.blocks, found.graph, width, turned)
        for work in works:
            yield step, replace(work, kernel=f"{work.kernel}_{'int8' if width == 1 else 'float'}")


def _of(step: Step, graph: Graph, width: int, room: int, turned: bool) -> Iterator[Effort]:
    """`width` is that of what it makes, `room` the bytes of its scratch; `turned`: it does the work of a transpose."""
    made, window = graph.sizes[step.writes[0]], step.window
    if not step.macs:
        yield _plain(step, graph, width)
    elif window is not None and step.depthwise:
        yield from _depthwise(window, made, width)
    elif window is not None and not grouped(step, graph):
        yield from _windows(window, matrix(step, graph), width, room, turned)
    elif step.op.family is PRODUCT:
        (rows, inner, columns) = matrix(step, graph)
        yield from _rows(rows, inner, columns, width, paired=room > 0, turned=turned)
    else:
        yield Effort("loops", step.macs, outputs=made)


def _fused(pair: tuple[Step, Step], blocks: Blocks, graph: Graph, width: int, turned: bool) -> Iterator[Effort]:
    """Two products, block by block; there is room for two rows of both."""
    (_, one, _), (_, other, columns) = (matrix(step, graph) for step in pair)
    first = _rows(blocks.high * blocks.rows, one, blocks.wide * blocks.columns, width, paired=True)
    second = _rows(blocks.at_once, other, columns, width, paired=True, turned=turned)
    yield Effort("fused", rows=blocks.count)
    for work in (*first, *second):
        yield replace(work, **{thing: blocks.count * getattr(work, thing) for thing in THINGS})


def _rows(
    rows: int, inner: int, columns: int, width: int, *, paired: bool, alone: bool = False, turned: bool = False
) -> Iterator[Effort]:
    """The rows of a product; `paired`: in int8 there is room for two; `turned`: it does the work of a transpose.

    Whether two are computed at once for which there is no room is up to the processor; `alone`: they are not.
    """
    twos = rows - rows % 2 if width == 1 and (paired or not alone) else 0
    left = columns % _FOUR if width > 1 else int(columns % _FOUR == 1 and not alone)  # one by one
    roomy = twos if paired or not twos else 0 if turned else _before(rows, inner, columns)
    fours = columns - left
    works = [
        _product(kernel, count, inner, fours)
        for kernel, count in (("rows", roomy), ("tight_rows", twos - roomy), ("row", rows - twos))
        if count and fours
    ]
    if left:
        works.append(Effort("column", rows * inner * left, outputs=rows * left, rows=rows))
    for work in works:
        yield work
        if turned:
            yield Effort(f"turned_{work.kernel}", outputs=work.outputs, rows=work.rows)


def _before(rows: int, inner: int, columns: int) -> int:
    """The rows of a product in int8 behind which there is room for two in 16 bits where others are not written."""
    return max(0, rows - -(-(two_rows(inner) + _FOUR - 1) // columns)) // 2 * 2


def _windows(window: Window, sizes: tuple[int, int, int], width: int, room: int, turned: bool) -> Iterator[Effort]:
    """A convolution over all channels: a product of these `sizes`, and what brings its rows together."""
    patched, inner, columns = sizes
    gathers = width == 1 and (window.taps, window.strides) == (1, (1, 1)) and not turned
    for work in _rows(patched, inner, columns, width, paired=room >= two_positions(inner), alone=True):
        if gathers and work.kernel == "rows":
            patched -= work.rows
            work = replace(work, kernel="pixels")
        yield work
    if patched:
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
    """A channel with its padding, and its outputs."""
    channels, lines = made // window.positions, made // window.made[1]
    kernel = "narrow_plane" if width == 1 and window.size[1] < _COPIED else "plane"
    yield Effort(kernel, reads=channels * plane(*window.seen), rows=channels * window.size[0], calls=channels)
    if width == 1 and window.kernel == (3, 3) and window.dilation[1] == 1:
        yield from _threes(window, channels)
        return
    kernel = "threes" if width > 1 and window.kernel[1] == 3 else "window"
    yield Effort(kernel, made * window.taps, made * window.kernel[0], made, rows=lines)


def _threes(window: Window, channels: int) -> Iterator[Effort]:
    """A 3x3 window in int8: its outputs come in pairs where it moves by one, and two rows of these at once."""
    (height, across), one = window.made, (1, 1)
    pairs = across // 2 if window.strides[1] == 1 else 0
    alone, twice = across - 2 * pairs, height // 2 if pairs and window.strides == window.dilation == one else 0
    if twice:
        yield Effort("threes_twice", outputs=channels * twice * 4 * pairs, rows=channels * twice, calls=channels)
    whole, rows = height - 2 * twice, height if alone else height - 2 * twice
    if rows:
        outputs = height * alone + whole * 2 * pairs
        yield Effort("threes", tails=channels * height * alone, outputs=channels * outputs, rows=channels * rows,
                     calls=0 if twice else channels)  # fmt: skip


def _plain(step: Step, graph: Graph, width: int) -> Effort:
    """What goes through its numbers one by one."""
    kernel = step.op.family.name
    if step.op.family is ADD and len(step.reads) > 1:
        kernel = "sum"
    if width == 1 and step.activates and step.op is not SOFTMAX:
        kernel = "lookup"
    return Effort(kernel, outputs=graph.sizes[step.writes[0]], reads=sum(graph.sizes[name] for name in step.reads))
