"""int8 products and convolutions whose weights are not stored: their factors are, and rebuild them in RAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgett.export.kernels import convolution, product
from edgett.export.kernels.kernel import Kernel, Nodes
from edgett.forms.integers import Rebuilding
from edgett.forms.stages import Axis, entries, strides
from edgett.graph.op import QGEMM, QLINEAR_CONV, named
from edgett.graph.rebuilt import RebuildRoom

_COLUMNS = {QGEMM: product.quantised, QLINEAR_CONV: convolution.quantised}
_WEIGHTS = 3
"""The place of a weight among the inputs of both."""


def rebuilt(nodes: Nodes, own: Mapping[str, Kernel], held: Mapping[str, Rebuilding]) -> dict[str, tuple[str, Kernel]]:
    """Find the products and convolutions of a graph whose weights come of factors, number by number.

    Args:
        nodes: of the graph.
        own: the kernels that compute them from stored weights, by node.
        held: by layer how its weight is rebuilt.

    Returns:
        By node the layer, and a kernel that rebuilds the weight first.
    """
    found = dict[str, tuple[str, Kernel]]()
    for node in nodes.told.values():
        kind = named(node.op_type)
        if node.name not in own or kind not in _COLUMNS or (kind is QGEMM and own[node.name].idle):
            continue  # or columns may be in another order
        if (columns := _COLUMNS[kind](node, nodes)) is None:
            continue
        window = nodes.given(node)[_WEIGHTS].shape[2:] if kind is QLINEAR_CONV else None
        for layer, made in held.items():
            if columns.weights.size == entries(made.stages) and len(columns.weights) == len(made.columns):
                apart = _apart(made, columns.weights.shape[1], window)
                signs = _signs(_laid_out(made, apart), columns.weights)
                if signs is not None:
                    found[node.name] = layer, _kernel(own[node.name], made, apart, signs, columns)
    return found


def _kernel(
    plain: Kernel, made: Rebuilding, apart: Mapping[int, int], signs: NDArray[np.bool_], columns: product.Columns
) -> Kernel:
    """The kernel in the place of one that reads stored weights."""
    room = RebuildRoom.of(made)
    _, starts, factors = columns.plain
    constants = _factors(made), _plan(made, apart, columns.weights.shape[1]), _roundings(made, signs), starts, factors
    name = f"{plain.name.partition('_')[0]}_rebuilt"
    return replace(plain, name=name, constants=constants, needs=plain.needs + room.ram, scratch=None)


def _apart(made: Rebuilding, inner: int, window: tuple[int, ...] | None) -> dict[int, int]:
    """How far entries are apart along each axis of a weight whose columns lie one after the other.

    A convolution has the pixels of the window behind the channels: the axes of its weight are rows and columns of that,
    channels read, channels made.
    """
    if window is not None:
        taps = int(np.prod(window))
        return {0: window[-1], 1: 1, 2: taps, 3: inner}
    count = len(made.columns)
    return {place: step // count if step >= count else step * inner for place, step in strides(made.stages).items()}


def _laid_out(made: Rebuilding, apart: Mapping[int, int]) -> NDArray[np.int8]:
    """The weight (columns, inner)."""
    places = np.zeros(1, np.int64)
    for place, size in _axes(made):
        places = (places[:, np.newaxis] + apart[place] * np.arange(size)).ravel()
    found = np.zeros(places.size, np.int8)
    found[places] = made.stream()
    return found.reshape(len(made.columns), -1)


def _signs(codes: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.bool_] | None:
    """Whether each column is the negative of what is rebuilt, as a normalisation may make it; None: one is neither."""
    same, turned = (codes == rows).all(axis=1), (codes == -rows).all(axis=1)
    return ~same if (same | turned).all() else None


def _axes(made: Rebuilding) -> Sequence[Axis]:
    return [axis for stage in made.stages for axis in stage.axes]


def _factors(made: Rebuilding) -> NDArray[np.int8]:
    """What meets a vector lies together."""
    parts = [stage.matrices if stage.diagonal else stage.matrices.transpose(0, 2, 1) for stage in made.stages]
    return np.concatenate([part.ravel() for part in parts])


def _plan(made: Rebuilding, apart: Mapping[int, int], inner: int) -> NDArray[np.int32]:
    """As `rebuild.c` reads it."""
    plan = [len(made.stages), inner, RebuildRoom.of(made).rows]
    shifts = [0, *(rounding.shift for rounding in made.roundings), 0]
    for stage, shift in zip(made.stages, shifts, strict=True):
        plan += [stage.values, stage.before, stage.after, int(stage.diagonal), shift, len(stage.axes)]
        plan += [number for place, size in stage.axes for number in (size, apart[place])]
    return np.array(plan, np.int32)


def _roundings(made: Rebuilding, signs: NDArray[np.bool_]) -> NDArray[np.uint32]:
    words = [
        each.multiplier | each.shift << 16 | int(turned) << 31
        for each, turned in zip(made.columns, signs.tolist(), strict=True)
    ]
    return np.array(words, np.uint32)
