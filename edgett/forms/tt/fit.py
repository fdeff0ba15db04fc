"""TT cores fitted to a layer's own outputs on training inputs; TT-SVD, which they start from, knows only the weight."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgett.forms.moments import LONGEST, Moments
from edgett.forms.tt.decompose import Cores, rebuild

if TYPE_CHECKING:
    from edgett.forms.tt.shape import TTShape

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Array = NDArray[np.floating]

SWEEPS = 4
"""Passes over the cores, forth and back by turns; two solve for each core at least once. An even number."""

DIRECT = 2000
"""Up to so many unknowns an output factor, a core is solved for at once; beyond, by conjugate gradients."""

ITERATIVE = 8192
"""Beyond so many, a core keeps its start."""

STEPS = 12
"""Conjugate gradients at most."""

LEAST_WORK = 64
"""Products with the moment by a number of it, however low the ranks: moving it takes as long."""

KERNEL = 1 << 22
"""Squares of frames are formed by so many numbers at a time."""

ROWS = 1024
"""Of so many inputs a moment that is made from them takes its work."""

BLOCK = 1 << 25
"""Numbers of a moment that is made from inputs, at a time."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A moment (1, x_1..x_L, 1, twice) that is too large for memory, by what it is the moment of.

    Attributes:
        inputs: (n, x_1..x_L).
        ridge: what is added to its diagonal.
    """

    inputs: Singles
    ridge: float

    @property
    def side(self) -> int:
        """x_1 .. x_L, multiplied."""
        return math.prod(self.inputs.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (1, *self.inputs.shape[1:], 1) * 2

    def blocks(self, wide: int) -> Iterator[tuple[slice, Singles]]:
        """The moment (p, u, p, u), u of `wide`, some of the first p at a time."""
        rows, rest = self.inputs.reshape(len(self.inputs), -1), self.side // wide
        some = max(1, BLOCK // (wide * self.side))
        for begin in range(0, rest, some):
            end = min(begin + some, rest)
            part = np.arange(begin * wide, end * wide)
            block = rows[:, part].T @ rows / np.float32(len(rows))
            block[np.arange(len(part)), part] += np.float32(self.ridge)
            yield slice(begin, end), block.reshape(end - begin, wide, rest, wide)


def fitted(wanted: Moments, cores: Cores) -> Cores:
    """Fit TT cores to the layer's outputs by alternating least squares.

    With the others fixed the distance is quadratic in a core, and the same for each of its output slices but for the
    linear term (Holtz, Rohwedder and Schneider 2012, for the tensor train).

    Args:
        wanted: the dense weight, and moments of the layer's inputs.
        cores: the start, (r_{i-1}, x_i, y_i, r_i) each.

    Returns:
        Cores of the same shapes whose outputs are closer to the dense layer's, or the same if none are found.
    """
    if not wanted.usable or not wanted.seen:
        return cores
    xs, ys = [core.shape[1] for core in cores], [core.shape[2] for core in cores]
    pairs = [axis for k in range(len(cores)) for axis in (k, len(cores) + k)]
    moment = _held(wanted, xs)
    image = np.ascontiguousarray(wanted.image.reshape(xs + ys).transpose(pairs))
    train = _mirrored_train([core.astype(np.float64) for core in cores])
    for index in range(len(cores) - 1):
        _shift(train, index)
    train = _mirrored_train(train)
    for _ in range(SWEEPS):
        train = _mirrored_train(_swept(moment, image, train))
        moment = _mirrored(moment) if isinstance(moment, Rows) else np.ascontiguousarray(_mirrored(moment))
        image = np.ascontiguousarray(_mirrored_image(image))
    for index in range(len(cores) - 1):  # the norm in the last core, as TT-SVD leaves it
        _shift(train, index)
    found = tuple(np.ascontiguousarray(core, np.float32) for core in train)
    return found if wanted.distance(rebuild(found)) < wanted.distance(rebuild(cores)) else cores


def _held(wanted: Moments, xs: Sequence[int]) -> Array | Rows:
    if wanted.moment is not None:
        return wanted.moment.reshape((1, *xs, 1) * 2)
    assert wanted.inputs is not None
    return Rows(wanted.inputs.reshape(-1, *xs), wanted.ridge)


def _swept(moment: Array | Rows, image: Singles, train: Sequence[Floats]) -> list[Floats]:
    """All cores but the last solved for, from the left; the others must be orthonormal from the right at the start.

    `moment` is (1, x_1..x_L, 1, twice), `image` (x_1, y_1, ..., x_L, y_L). What is solved for is applied to both, to
    the moment only when that does not make it larger.
    """
    train, pending = list(train), list[Floats]()
    for index in range(len(train) - 1):
        train[index] = _solved(_normal(moment, pending, train[index + 1 :]), image, train, index)
        _shift(train, index)
        core = train[index]
        pending.append(core)
        columns = core.reshape(-1, core.shape[3]).astype(image.dtype)
        image = columns.T @ image.reshape(len(columns), -1)
        wide = pending[0].shape[0] * math.prod(c.shape[1] for c in pending)
        if wide >= core.shape[3] and _fits(moment, wide, core.shape[3]):
            moment, pending = _absorbed_left(moment, pending), []
    return train


def _fits(moment: Array | Rows, wide: int, narrow: int) -> bool:
    """Whether a moment may be in memory once `wide` of its inputs are `narrow`; one that is there only shrinks."""
    return not isinstance(moment, Rows) or moment.side // wide * narrow <= LONGEST


def _solved(matrix: Array | None, image: Array, train: Sequence[Floats], index: int) -> Floats:
    """The core that, the others fixed, brings the train closest; as it was where there are too many unknowns."""
    a, x, y, b = train[index].shape
    if matrix is None:
        return train[index]
    count = a * x * b
    matrix = matrix.reshape(count, count)
    start = train[index].transpose(0, 1, 3, 2).reshape(count, y)
    wanted = _projected(image, train[index:]).transpose(0, 1, 3, 2).reshape(count, y)
    left = wanted - matrix @ start
    step = _direct(matrix, left) if count <= DIRECT else _conjugate(matrix, left)
    return (start + step).reshape(a, x, b, y).transpose(0, 1, 3, 2)


def _direct(matrix: Array, right: Floats) -> Floats:
    matrix = matrix.astype(np.float64)
    # Where a rank exceeds what its bond can hold, the matrix is singular.
    matrix[np.diag_indices(len(matrix))] += 1e-9 * np.trace(matrix) / len(matrix)
    return np.asarray(np.linalg.solve(matrix, right), np.float64)


def _conjugate(matrix: Array, right: Floats) -> Floats:
    """A few steps of conjugate gradients towards the solution, for all right-hand sides as one."""
    found, left, direction = np.zeros_like(right), right, right
    energy = np.vdot(left, left)
    floor = 1e-8 * energy
    for _ in range(STEPS):
        if energy <= floor:
            break
        image = matrix @ direction.astype(matrix.dtype)
        length = energy / np.vdot(direction, image)
        found = found + length * direction
        left = left - length * image
        before, energy = energy, np.vdot(left, left)
        direction = left + energy / before * direction
    return found


def _normal(moment: Array | Rows, before: Sequence[Floats], after: Sequence[Floats]) -> Array | None:
    """The matrix (a, x, b, twice) of the least squares for the core between, the same for each y; None if too large."""
    half = len(moment.shape) // 2
    a = before[-1].shape[3] if before else moment.shape[0]
    if a * moment.shape[half - 2 - len(after)] * after[0].shape[0] > ITERATIVE:
        return None
    if not _fits(moment, math.prod(core.shape[1] for core in after), after[0].shape[0]):
        return None
    return _absorbed_left(_absorbed(moment, after), before)


def _absorbed_left(moment: Array | Rows, cores: Sequence[Floats]) -> Array:
    """A moment (r, x_1..x_k, ..., twice) with the cores of x_1..x_k applied: (s, ..., twice)."""
    if not cores and not isinstance(moment, Rows):
        return moment
    return _mirrored_array(_absorbed(_mirrored(moment), _mirrored_train(cores)))


def _absorbed(moment: Array | Rows, cores: Sequence[Floats]) -> Array:
    """A moment (..., x_1..x_k, s, twice) with the cores of x_1..x_k applied: (..., r, twice).

    Cores are joined until they are wider than the bond before them: then the moment never grows. Of one that is held
    by rows, until what is left fits into memory.
    """
    own = moment.shape[: len(moment.shape) // 2 - len(cores) - 1]
    bond = moment.shape[-1]
    frame = np.eye(bond)[:, :, None]
    for index, core in reversed(list(enumerate(cores))):
        frame = np.einsum("axyb,bpq->axpyq", core, frame, optimize=True)
        frame = frame.reshape(len(core), core.shape[1] * frame.shape[2], -1)
        if index == 0 or (frame.shape[1] >= len(core) and _fits(moment, frame.shape[1], len(core))):
            moment, bond = _applied(moment, frame), len(core)
            frame = np.eye(bond)[:, :, None]
    assert not isinstance(moment, Rows)
    return moment.reshape((*own, bond) * 2)


def _applied(moment: Array | Rows, frame: Floats) -> Array:
    """The last `u` of a moment (p u, p u) taken to `b` by a frame (b, u, y), y summed over: (p, b, p, b)."""
    before, wide, _ = frame.shape
    if not isinstance(moment, Rows):
        rest = round(moment.size**0.5) // wide
        return _framed(moment.reshape(rest, wide, rest, wide), frame)
    rest = moment.side // wide
    result = np.empty((rest, before, rest, before), np.float32)
    for part, block in moment.blocks(wide):
        result[part] = _framed(block, frame)
    return result


def _framed(block: Array, frame: Floats) -> Array:
    """Some of the first p of a moment (q, u, p, u) taken to (q, b, p, b)."""
    before, wide, _ = frame.shape
    some_of, rest = len(block), block.shape[2]
    pairs = block.transpose(0, 2, 1, 3).reshape(some_of * rest, wide * wide)
    result: Array = np.empty((some_of, before, rest, before), block.dtype)
    single = frame.astype(block.dtype)
    across = single.transpose(2, 1, 0).reshape(-1, wide * before)
    some = max(1, KERNEL // (wide * wide * before))
    for begin in range(0, before, some):
        part = slice(begin, begin + some)
        squares = (single[part].reshape(-1, len(across)) @ across).reshape(-1, wide, wide, before)
        kernel = squares.transpose(1, 2, 0, 3).reshape(wide * wide, -1)
        result[:, part] = (pairs @ kernel).reshape(some_of, rest, -1, before).transpose(0, 2, 1, 3)
    return result


def _projected(image: Array, train: Sequence[Floats]) -> Floats:
    """What the image (a, x_1, y_1, ..., x_k, y_k) asks of the first core, through the others: (a, x, y, b)."""
    seen = image.reshape(-1)
    for core in reversed(train[1:]):
        rows = core.reshape(len(core), -1).astype(image.dtype)
        seen = (seen.reshape(-1, rows.shape[1]) @ rows.T).reshape(-1)
    return seen.reshape(train[0].shape).astype(np.float64)


def _shift(train: list[Floats], index: int) -> None:
    """Make a core orthonormal from the left; what that takes away goes into the next."""
    core = train[index]
    columns, triangle = np.linalg.qr(core.reshape(-1, core.shape[3]))
    extra = core.shape[3] - columns.shape[1]  # above 0 where the rank is more than the bond can hold
    train[index] = np.pad(columns, ((0, 0), (0, extra))).reshape(core.shape)
    train[index + 1] = np.tensordot(np.pad(triangle, ((0, extra), (0, 0))), train[index + 1], 1)


def _mirrored_train(train: Sequence[Floats]) -> list[Floats]:
    return [core.transpose(3, 1, 2, 0) for core in reversed(train)]


def _mirrored(moment: Array | Rows) -> Array | Rows:
    if isinstance(moment, Rows):
        axes = range(moment.inputs.ndim - 1, 0, -1)
        return Rows(np.ascontiguousarray(moment.inputs.transpose(0, *axes)), moment.ridge)
    return _mirrored_array(moment)


def _mirrored_array(moment: Array) -> Array:
    half = len(moment.shape) // 2
    return moment.transpose([*range(half)[::-1], *range(half, 2 * half)[::-1]])


def _mirrored_image(image: Array) -> Array:
    return image.transpose([axis for k in range(image.ndim // 2)[::-1] for axis in (2 * k, 2 * k + 1)])


def work(shape: TTShape) -> float:
    """The work that `fitted` takes.

    Args:
        shape: a factorisation with its ranks.

    Returns:
        FLOPs, about.
    """
    inputs, _ = shape.matrix
    if inputs > LONGEST:  # the moment is made anew from rows for each core that solves or shifts, twice a sweep
        return 4.0 * SWEEPS * inputs**2 * (max(max(shape.ranks) ** 2, LEAST_WORK) + ROWS)
    return 2.0 * SWEEPS * shape.length * inputs**2 * max(max(shape.ranks) ** 2, LEAST_WORK)
