"""From a trained weight to the cores of a TT layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgett.forms.splitting import Splitter

if TYPE_CHECKING:
    from edgett.forms.tt.shape import TTShape

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating]
Cores = tuple[NDArray[np.float32], ...]


def tt_svd(weight: Matrix, shape: TTShape) -> Cores:
    """Decompose a weight into the cores of a shape by TT-SVD (Oseledets 2011, algorithm 1).

    The squared error is at most the sum over the bonds of the squared singular values cut there.

    Args:
        weight: the dense weight (X, Y).
        shape: the factorisation and the ranks.

    Returns:
        The cores, (r_{i-1}, x_i, y_i, r_i) each, float32, in the layout of `t3f.to_tt_matrix`.

    Raises:
        ValueError: when the weight is of another size, or a rank exceeds what its bond can hold.
    """
    ((_, cores),) = tt_svds(weight, [shape])
    return cores


def tt_svds(weight: Matrix, shapes: Iterable[TTShape]) -> Iterator[tuple[TTShape, Cores]]:
    """Decompose a weight into the cores of several shapes; what they have in common is computed once.

    They come in the order of a depth-first walk over the tree of their first factors and ranks: beside the weight only
    what one branch needs is held.

    Args:
        weight: the dense weight (X, Y).
        shapes: factorisations with their ranks.

    Yields:
        Each shape with its cores, which are those of `tt_svd` to the bit, whatever the other shapes are.

    Raises:
        ValueError: when the weight is of another size than a shape, or a rank exceeds what its bond can hold.
    """
    wanted = list(shapes)
    for shape in wanted:
        _check(weight, shape)
    yield from _walk(weight[np.newaxis], wanted, ())


def _walk(rest: Matrix, shapes: Sequence[TTShape], cores: tuple[Matrix, ...]) -> Iterator[tuple[TTShape, Cores]]:
    """The shapes, all of which begin with these cores; `rest` (r, X', Y') is what they leave of the weight."""
    place = len(cores)
    for shape in shapes:
        if shape.length == place + 1:
            sizes = zip((*cores, rest), shape.cores, strict=True)
            yield shape, tuple(np.array(core, np.float32, order="C").reshape(size) for core, size in sizes)
    longer = [shape for shape in shapes if shape.length > place + 1]
    for alike in _grouped(longer, lambda shape: (shape.inputs[place], shape.outputs[place])):
        yield from _walk_on(rest, alike, cores)


def _walk_on(rest: Matrix, shapes: Sequence[TTShape], cores: tuple[Matrix, ...]) -> Iterator[tuple[TTShape, Cores]]:
    """The same where all have their next factors in common, too."""
    place = len(cores)
    x, y = shapes[0].inputs[place], shapes[0].outputs[place]
    before, rows, columns = len(rest), rest.shape[1] // x, rest.shape[2] // y
    unfolding = Splitter(
        rest.reshape(before, x, rows, y, columns).transpose(0, 1, 3, 2, 4).reshape(before * x * y, rows * columns)
    )
    for equal in _grouped(shapes, lambda shape: shape.ranks[place + 1]):
        core, image = unfolding.split(equal[0].ranks[place + 1])
        yield from _walk(image.reshape(-1, rows, columns), equal, (*cores, core))
        del image


def _grouped(shapes: Sequence[TTShape], key: Callable[[TTShape], Hashable]) -> Iterable[list[TTShape]]:
    """The shapes by what they have in common, in the order of the first of each group."""
    groups: dict[Hashable, list[TTShape]] = {}
    for shape in shapes:
        groups.setdefault(key(shape), []).append(shape)
    return groups.values()


def _check(weight: Matrix, shape: TTShape) -> None:
    """Raises ValueError unless the weight can take the shape."""
    if weight.shape != shape.matrix:
        raise ValueError(f"a weight of {weight.shape} cannot take {shape}, which is {shape.matrix}")
    columns = weight.size
    for before, x, y, after in shape.cores[:-1]:
        columns //= x * y
        side = min(before * x * y, columns)
        if after > side:
            raise ValueError(f"{shape}: rank {after} exceeds {side}, all that its bond can hold")


def rebuild(cores: Iterable[Matrix]) -> Floats:
    """Multiply cores out to the dense weight.

    Args:
        cores: (r_{i-1}, x_i, y_i, r_i) each.

    Returns:
        The dense weight (X, Y), in float64.
    """
    weight: Floats = multiplied_out([np.asarray(core, np.float64) for core in cores], np)
    return weight


def multiplied_out(cores: Sequence[Any], xp: Any) -> Any:
    """Multiply cores out to the dense weight, from the last one on: so the copies move the longest runs.

    Args:
        cores: (r_{i-1}, x_i, y_i, r_i) each.
        xp: what calculates: NumPy, or another module that has its `matmul`, `reshape` and `transpose`.

    Returns:
        The dense weight (X, Y), in the cores' own precision.
    """
    *others, last = cores
    weight = xp.reshape(last, last.shape[:-1])
    for core in reversed(others):
        before, x, y, after = core.shape
        _, rows, columns = weight.shape
        weight = xp.matmul(xp.reshape(core, (-1, after)), xp.reshape(weight, (after, -1)))
        weight = xp.transpose(xp.reshape(weight, (before, x, y, rows, columns)), (0, 1, 3, 2, 4))
        weight = xp.reshape(weight, (before, x * rows, y * columns))
    return xp.reshape(weight, weight.shape[1:])


def relative_error(weight: Matrix, cores: Cores) -> float:
    """How far cores are from a weight.

    Args:
        weight: the dense weight (X, Y).
        cores: (r_{i-1}, x_i, y_i, r_i) each.

    Returns:
        ||W - W'|| / ||W|| in the Frobenius norm; 0 for a weight of zeros.
    """
    whole = float(np.linalg.norm(weight))
    return float(np.linalg.norm(rebuild(cores) - weight)) / whole if whole else 0.0
