"""From a trained weight to the cores of a TT layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgett.space.spectra import norm, working_type
from edgett.values import TTShape

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating]
Cores = tuple[NDArray[np.float32], ...]

EXACT_SIDE = 1024
"""Up to this smaller side an unfolding is decomposed through all eigenvalues of its Gram matrix."""

EXACT_SHARE = 8
"""So it is where the rank exceeds the smaller side divided by this: a Krylov space would grow as large."""

TOLERANCE = 1e-3
"""A Krylov space is large enough when its last block lowered what the rank cuts off by no more than this share."""

SINGLE_CUT = 0.01
"""Products in float32 move energies by up to 4e-6 of the whole: they are trusted where this share or more is cut."""

DOUBLE_CUT = 1e-13
"""Below this share of the energy there is only the rounding of products in float64."""

SLICE = 1 << 21
"""A large weight is multiplied by slices of this many numbers: in float64 no whole copy is made of it."""


def tt_svd(weight: Matrix, shape: TTShape) -> Cores:
    """The cores of the given shape whose product comes closest to the weight, bond by bond.

    `weight` is (X, Y); core i is (r_{i-1}, x_i, y_i, r_i), float32. The squared error is at most the sum over the bonds
    of the squared singular values cut there (Oseledets 2011, algorithm 1), and the layout is that of
    `t3f.to_tt_matrix`. Raises ValueError when the weight is of another size or a rank exceeds what its bond can hold.
    """
    if weight.shape != shape.matrix:
        raise ValueError(f"a weight of {weight.shape} cannot take {shape}, which is {shape.matrix}")
    length = shape.length
    pairs = [axis for k in range(length) for axis in (k, length + k)]
    rest: Matrix = weight.reshape(shape.inputs + shape.outputs).transpose(pairs)
    cores: list[Matrix] = []
    for before, x, y, after in shape.cores[:-1]:
        unfolding = rest.reshape(before * x * y, -1)
        side = min(unfolding.shape)
        if after > side:
            raise ValueError(f"{shape}: rank {after} exceeds {side}, all that its bond can hold")
        split = _exact_split if side <= max(EXACT_SIDE, EXACT_SHARE * after) else _krylov_split
        left, rest = split(unfolding, after)
        cores.append(left.reshape(before, x, y, after))
    cores.append(rest.reshape(shape.cores[-1]))
    return tuple(np.ascontiguousarray(core, np.float32) for core in cores)


def rebuild(cores: Cores) -> Floats:
    """The dense weight (X, Y) that the cores stand for, in float64."""
    weight = np.ones((1, 1, 1))
    for core in cores:
        _, x, _, after = core.shape
        weight = np.einsum("pqr,rxys->pxqys", weight, core.astype(np.float64), optimize=True)
        weight = weight.reshape(weight.shape[0] * x, -1, after)
    return weight[:, :, 0]


def relative_error(weight: Matrix, cores: Cores) -> float:
    """||W - W'|| / ||W|| in the Frobenius norm; 0 for a weight of zeros."""
    whole = float(np.linalg.norm(weight))
    return float(np.linalg.norm(rebuild(cores) - weight)) / whole if whole else 0.0


def _exact_split(matrix: Matrix, rank: int) -> tuple[Floats, Floats]:
    """The first `rank` left singular vectors L, as columns, and L^T times the matrix.

    In float64 a Gram matrix still gives them to the precision of a float32 weight.
    """
    matrix = np.asarray(matrix, np.float64)
    rows, columns = matrix.shape
    if rows <= columns:
        left = np.linalg.eigh(matrix @ matrix.T)[1][:, ::-1][:, :rank]
    else:
        right = np.linalg.eigh(matrix.T @ matrix)[1][:, ::-1][:, :rank]
        left = np.linalg.qr(matrix @ right)[0]
    left = left * _signs(left)
    return left, left.T @ matrix


def _krylov_split(matrix: Matrix, rank: int) -> tuple[Floats, Floats]:
    """Nearly the same: orthonormal columns L and a matrix R; L R is the matrix on its leading singular vectors."""
    rows, columns = matrix.shape
    tall = matrix if rows >= columns else matrix.T
    energy = norm(matrix) ** 2
    precision = working_type(matrix.size)
    # A few vectors more than are wanted: neighbours of the last one in the spectrum slow it down less.
    start = np.random.default_rng(0).normal(size=(tall.shape[1], rank + 8))
    right, image = _leading(tall, start, rank, energy, precision)
    if energy - norm(image[:, :rank]) ** 2 < SINGLE_CUT * energy:
        right, image = _leading(tall, right, rank, energy, np.float64)
    right, image = right[:, :rank], image[:, :rank]
    if tall is matrix:
        left, triangle = np.linalg.qr(image)
        rest = triangle @ right.T
    else:
        left, rest = right, image.T
    signs = _signs(left)
    return left * signs, rest * signs[:, None]


def _leading(
    tall: Matrix, block: Floats, rank: int, energy: float, precision: type[np.floating]
) -> tuple[Floats, Floats]:
    """As many leading right singular vectors as the block has columns, and the matrix times them.

    From block Krylov spaces (Musco and Musco 2015), enlarged until the first `rank` lose nearly nothing.
    """
    side, width = block.shape
    floor = (SINGLE_CUT if precision is np.float32 else DOUBLE_CUT) * energy
    basis, image, kept = np.empty((side, 0)), np.empty((len(tall), 0)), 0.0
    while True:
        block = _orthonormal(block[:, : side - basis.shape[1]], basis)
        ahead, back = _there_and_back(tall, block, precision)
        basis, image = np.hstack([basis, block]), np.hstack([image, ahead])
        values, vectors = np.linalg.eigh(image.T @ image)
        before, kept = kept, values[-rank:].sum()
        if kept - before <= TOLERANCE * max(energy - kept, floor) or basis.shape[1] == side:
            leading = vectors[:, ::-1][:, :width]
            return basis @ leading, image @ leading
        block = back


def _there_and_back(tall: Matrix, block: Floats, precision: type[np.floating]) -> tuple[Floats, Floats]:
    """The matrix times a block, and its transpose times that, reading it once."""
    ahead, back = np.empty((len(tall), block.shape[1])), np.zeros(block.shape)
    step = max(1, SLICE // tall.shape[1])
    for start in range(0, len(tall), step):
        rows = tall[start : start + step].astype(precision, copy=False)
        there = rows @ block.astype(precision, copy=False)
        ahead[start : start + step] = there
        back += rows.T @ there
    return ahead, back


def _orthonormal(block: Floats, basis: Floats) -> Floats:
    """An orthonormal basis of what the block adds to `basis`; the second pass removes the rounding of the first."""
    for _ in range(2):
        block = np.linalg.qr(block - basis @ (basis.T @ block))[0]
    return block


def _signs(vectors: Floats) -> Floats:
    """For each column 1, or -1 where its largest entry is negative."""
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return np.where(signs == 0, 1.0, signs)
