"""A matrix split into two thin ones on its leading singular vectors, however large it is."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgett.forms.spectra import norm, working_type

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating]
Eigen = tuple[Floats, Floats]

EXACT_SIDE = 1024
"""Up to this smaller side a matrix is split through all eigenvalues of its Gram matrix."""

EXACT_SHARE = 8
"""So it is where the rank exceeds the smaller side divided by this: a Krylov space would grow as large."""

TOLERANCE = 1e-3
"""A Krylov space is large enough when its last block lowered what the rank cuts off by no more than this share."""

SINGLE_CUT = 0.01
"""Products in float32 move energies by up to 4e-6 of the whole: they are trusted where this share or more is cut."""

SINGLE_VALUE = 1e-5
"""And a Gram matrix in float32 only where every wanted squared singular value is a larger share than this."""

DOUBLE_CUT = 1e-13
"""Below this share of the energy there is only the rounding of products in float64."""

SLICE = 1 << 22
"""Gram matrices and products are made in slices of this many numbers: of more, float64 makes no whole copy."""

CACHED = 1 << 21
"""So many are still in the cache when the transpose of the slice multiplies what the slice has given."""


class Splitter:
    """A matrix to be split at several ranks: the eigenvectors of its Gram matrix, if needed, are computed once."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix

    def split(self, rank: int) -> tuple[Matrix, Matrix]:
        """Orthonormal columns L and a matrix R of as many rows: L R is the matrix on its leading singular vectors."""
        if min(self._matrix.shape) > max(EXACT_SIDE, EXACT_SHARE * rank):
            return _krylov_split(self._matrix, rank)
        if working_type(self._matrix.size) is np.float32:
            if rank == len(self._matrix):  # nothing is cut
                return np.eye(rank), self._matrix
            values, vectors = self._single
            if values[:-rank].sum() > SINGLE_CUT * values.sum() and values[-rank] > SINGLE_VALUE * values.sum():
                return self._single_split(vectors[:, ::-1][:, :rank])
        return self._double_split(self._double[1][:, ::-1][:, :rank])

    @cached_property
    def _single(self) -> Eigen:
        return np.linalg.eigh(_gram(self._matrix, np.float32))

    @cached_property
    def _double(self) -> Eigen:
        """In float64 a Gram matrix gives singular vectors to the precision of a float32 weight."""
        return np.linalg.eigh(_gram(self._matrix, np.float64))

    def _single_split(self, vectors: Floats) -> tuple[Matrix, Matrix]:
        """By the leading eigenvectors of the Gram matrix, of the rows or of the columns."""
        if len(vectors) == len(self._matrix):
            left: Matrix = vectors * _signs(vectors)
            return left, _product(left.T, self._matrix, np.float32)
        image = _product(self._matrix, vectors, np.float32)
        # Cholesky's condition is at most 1 / SINGLE_VALUE here; QR of a tall matrix is far slower.
        triangle = np.linalg.cholesky(_gram(image, np.float64)).T
        left = image @ np.linalg.inv(triangle)
        signs = _signs(left)
        return left * signs, triangle @ vectors.T * signs[:, np.newaxis]

    def _double_split(self, vectors: Floats) -> tuple[Matrix, Matrix]:
        """The same without losing a digit, however little is cut."""
        left: Matrix = vectors
        if len(vectors) != len(self._matrix):
            left = np.linalg.qr(_product(self._matrix, vectors, np.float64))[0]
        left = left * _signs(left)
        return left, _product(left.T, self._matrix, np.float64)


def _gram(matrix: Matrix, precision: type[np.floating]) -> Floats:
    """The inner products of the rows or, when these are fewer, of the columns; slices are added up in float64."""
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    gram = np.zeros((len(wide), len(wide)))
    for part in _slices(wide.shape[1], SLICE // len(wide)):
        columns = wide[:, part].astype(precision, copy=False)
        gram += columns @ columns.T
    return gram


def _product(left: Matrix, right: Matrix, precision: type[np.floating]) -> Matrix:
    """Left times right, sliced along the longer side of the product."""
    product: Matrix = np.empty((len(left), right.shape[1]), precision)
    if len(left) > right.shape[1]:
        right = right.astype(precision, copy=False)
        for part in _slices(len(left), SLICE // left.shape[1]):
            product[part] = left[part].astype(precision, copy=False) @ right
    else:
        left = left.astype(precision, copy=False)
        for part in _slices(right.shape[1], SLICE // len(right)):
            product[:, part] = left @ right[:, part].astype(precision, copy=False)
    return product


def _slices(length: int, step: int) -> list[slice]:
    """`length` in steps, of 1 at least."""
    return [slice(start, start + max(1, step)) for start in range(0, length, max(1, step))]


def _krylov_split(matrix: Matrix, rank: int) -> tuple[Floats, Floats]:
    """Nearly the same, through a Krylov space."""
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
    for part in _slices(len(tall), CACHED // tall.shape[1]):
        rows = tall[part].astype(precision, copy=False)
        ahead[part] = there = rows @ block.astype(precision, copy=False)
        back += rows.T @ there
    return ahead, back


def _orthonormal(block: Floats, basis: Floats) -> Floats:
    """An orthonormal basis of what the block adds to `basis`; the second pass removes the rounding of the first."""
    for _ in range(2):
        block = np.linalg.qr(block - basis @ (basis.T @ block))[0]
    return block


def _signs(vectors: Matrix) -> Floats:
    """For each column 1, or -1 where its largest entry is negative."""
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return np.where(signs == 0, 1.0, signs)
