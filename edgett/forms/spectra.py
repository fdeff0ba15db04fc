"""The leading singular values of every unfolding of a weight.

The Gram matrix of an unfolding gives that of every coarser one by partial traces, so the 169 unfoldings of 4096x4096
take 13 products with the weight. Small Gram matrices are diagonalised, large ones meet block Lanczos.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgett.forms.factors import divisors

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating]
Grams = Iterator[tuple["Unfolding", Matrix]]

EXACT_SIDE = 1024
"""Up to this smaller side all singular values of an unfolding are computed, above it the leading ones."""

GRAM_SIDE = 4096
"""Up to this smaller side a Gram matrix is formed; above it Lanczos multiplies by the unfolding itself."""

DOUBLE_SIZE = 1 << 22
"""Weights of up to this many numbers are handled in float64, larger ones in float32."""

TOLERANCE = 4e-3
"""Lanczos ends when another block lowers no cut by more than this share of it."""


class GramOf(enum.Enum):
    """Whose inner products a Gram matrix holds: the rows of an unfolding or its columns."""

    ROWS = enum.auto()
    COLUMNS = enum.auto()


@dataclass(frozen=True)
class Unfolding:
    """The weight (X, Y) as a matrix: rows (x-prefix of P, y-prefix of Q), columns the suffixes (X/P, Y/Q)."""

    size: tuple[int, int]
    prefix: tuple[int, int]

    @property
    def rows(self) -> int:
        return math.prod(self.prefix)

    @property
    def columns(self) -> int:
        return math.prod(self.size) // self.rows

    @property
    def rank(self) -> int:
        """The smaller side: the most singular values it can have."""
        return min(self.rows, self.columns)

    @property
    def sides(self) -> tuple[GramOf, ...]:
        """Which sides are the smaller one: both when it is square."""
        either = {GramOf.ROWS: self.rows, GramOf.COLUMNS: self.columns}
        return tuple(side for side, length in either.items() if length == self.rank)

    def matrix(self, weight: Matrix, side: GramOf) -> Matrix:
        """The unfolding, transposed when `side` is COLUMNS; a copy unless the weight already lies that way."""
        (x, y), (p, q) = self.size, self.prefix
        axes = (0, 2, 1, 3) if side is GramOf.ROWS else (1, 3, 0, 2)
        length = self.rows if side is GramOf.ROWS else self.columns
        return weight.reshape(p, x // p, q, y // q).transpose(axes).reshape(length, -1)

    def coarser(self, side: GramOf) -> list[tuple[Unfolding, int, int]]:
        """The unfoldings with a prime factor less on that side, each with (0: of x, 1: of y) and the factor."""
        found = []
        for axis in (0, 1):
            whole, kept = self.size[axis], self.prefix[axis]
            for factor in _primes(kept if side is GramOf.ROWS else whole // kept):
                prefix = list(self.prefix)
                prefix[axis] = kept // factor if side is GramOf.ROWS else kept * factor
                found.append((replace(self, prefix=(prefix[0], prefix[1])), axis, factor))
        return found


@dataclass(frozen=True)
class Spectrum:
    """What is known of the squared singular values of an unfolding of a weight of norm 1, which add up to 1.

    `ritz`: the leading ones, descending, each at most the true one; all of them if `exact`. `square`: at least the sum
    of the squares of them all. `rank`: how many there are.
    """

    rank: int
    ritz: Floats
    square: float
    exact: bool


def working_type(size: int) -> type[np.floating]:
    """In which precision a weight of `size` numbers is multiplied."""
    return np.float64 if size <= DOUBLE_SIZE else np.float32


def rounding(size: int) -> float:
    """How far rounding can shift the share of energy that is kept, for a weight of `size` numbers.

    In float32 up to 1e-6 was measured, on rank-one and heavy-tailed weights; cores are stored in float32 anyway.
    """
    return 1e-12 if working_type(size) is np.float64 else 4e-6


def norm(matrix: Matrix) -> float:
    """The Frobenius norm, summed in float64."""
    return math.sqrt(np.einsum("ij,ij->", matrix, matrix, dtype=np.float64))


def of_unfolding(unfolding: Unfolding, weight: Matrix, count: int) -> Spectrum:
    """The spectrum of one unfolding of a weight of norm 1, up to `count` singular values."""
    rows = unfolding.matrix(weight, unfolding.sides[0])
    if unfolding.rank > GRAM_SIDE:
        return of_matrix(rows, count, 1.0)
    return of_gram(rows @ rows.T, count, rounding(weight.size))


def unfoldings(size: tuple[int, int]) -> list[Unfolding]:
    """All unfoldings of a weight of that size, the largest smaller side first."""
    found = [Unfolding(size, (p, q)) for p in divisors(size[0]) for q in divisors(size[1])]
    return sorted(found, key=lambda unfolding: -unfolding.rank)


def spectra_of(weight: Matrix, count: int) -> Iterator[tuple[Unfolding, Spectrum]]:
    """Every unfolding of a weight (X, Y) of norm 1 with its `count` leading squared singular values, in any order."""
    x, y = weight.shape
    squares: dict[Unfolding, float] = {}
    everything = unfoldings((x, y))
    for root in everything:
        if root not in squares and root.rank <= GRAM_SIDE:
            side = max(root.sides, key=lambda side: sum(c not in squares for c, _, _ in root.coarser(side)))
            rows = root.matrix(weight, side)
            gram = rows @ rows.T
            del rows
            for unfolding, matrix in _descend(root, side, gram, squares):
                spectrum = of_gram(matrix, count, rounding(weight.size))
                squares[unfolding] = spectrum.square
                yield unfolding, spectrum
    for unfolding in reversed(everything):
        if unfolding not in squares:
            side = unfolding.sides[0]
            # The coarser one's Gram matrix C is the sum of the diagonal blocks of this one's, G, all of them positive
            # semidefinite: ||G||^2 <= (sum ||G_ii||)^2 <= factor * sum ||G_ii||^2 <= factor * ||C||^2.
            squares[unfolding] = min(factor * squares[c] for c, _, factor in unfolding.coarser(side))
            yield unfolding, of_matrix(unfolding.matrix(weight, side), count, squares[unfolding])


def _descend(
    unfolding: Unfolding, side: GramOf, gram: Matrix, done: Container[Unfolding]
) -> Iterator[tuple[Unfolding, Matrix]]:
    """The Gram matrix of an unfolding and of all coarser ones that are not done, depth first: few are held at once."""
    yield unfolding, gram
    for coarser, axis, factor in unfolding.coarser(side):
        if coarser not in done:
            yield from _descend(coarser, side, _trace_out(gram, unfolding, side, (axis, factor)), done)


def _trace_out(gram: Matrix, unfolding: Unfolding, side: GramOf, digit: tuple[int, int]) -> Matrix:
    """The Gram matrix with the digit next to the bond, a factor of one axis, summed over its diagonal blocks."""
    axis, factor = digit
    (x, y), (p, q) = unfolding.size, unfolding.prefix
    lengths = [p, q] if side is GramOf.ROWS else [x // p, y // q]
    rest = lengths[axis] // factor
    # The digit next to the bond is the last of a prefix and the first of a suffix.
    lengths[axis : axis + 1] = [rest, factor] if side is GramOf.ROWS else [factor, rest]
    place = axis + (side is GramOf.ROWS)
    blocks = np.moveaxis(gram.reshape(lengths * 2), (place, place + 3), (0, 1))
    total = blocks[0, 0].copy()
    for index in range(1, factor):
        total += blocks[index, index]
    length = len(gram) // factor
    return total.reshape(length, length)


def of_gram(gram: Matrix, count: int, precision: float) -> Spectrum:
    """The spectrum of an unfolding from its Gram matrix; all of it when that is small or most of it is wanted."""
    side = len(gram)
    square = norm(gram) ** 2 * (1 + 5 * precision)
    if side <= max(EXACT_SIDE, 3 * count):
        values = np.linalg.eigvalsh(gram.astype(np.float64))[::-1]
        return Spectrum(side, np.maximum(values, 0.0), square, exact=True)
    ritz = lanczos(lambda block: gram @ block, gram, count, precision)
    return Spectrum(side, ritz, square, exact=False)


def of_matrix(rows: Matrix, count: int, square: float) -> Spectrum:
    """The spectrum of an unfolding with no more rows than columns, of which `square` bounds the squared shares."""

    def apply(block: Matrix) -> Matrix:
        product: Matrix = rows @ (rows.T @ block)
        return product

    return Spectrum(len(rows), lanczos(apply, rows, count, rounding(rows.size)), square, exact=False)


def lanczos(apply: Callable[[Matrix], Matrix], like: Matrix, count: int, precision: float) -> Floats:
    """Ritz values, descending, of a positive semidefinite operator of trace 1 on as many numbers as `like` has rows.

    Block Lanczos with full reorthogonalisation (Golub and Underwood 1977), from a seeded random block. By Cauchy's
    interlacing no Ritz value exceeds the eigenvalue at its place, and every one counts as proved from below.
    """
    side = len(like)
    count = min(count, side)
    random = np.random.default_rng(0)
    basis, projected = np.empty((side, 0)), np.empty((0, 0))
    # As many at once as are wanted: a narrower block misses what a repeated eigenvalue holds beyond its width.
    block, before = random.normal(size=(side, max(8, count))), np.zeros(count)
    while basis.shape[1] < side:
        block = _orthonormal(block[:, : side - basis.shape[1]], basis)
        basis = np.hstack([basis, block])
        image = apply(block.astype(like.dtype)).astype(np.float64)
        projected = _grown(projected, basis.T @ image)
        ritz = np.linalg.eigvalsh(projected)[::-1]
        kept = np.cumsum(ritz)[:count]
        # Far below the rounding of the products another block only follows noise.
        if np.all(kept - before <= TOLERANCE * np.maximum(1 - kept, 1e3 * precision)):
            break
        before = kept
        # A little noise in case the operator has nothing outside the basis.
        block = image + 1e-15 * random.normal(size=image.shape)
    return np.maximum(ritz, 0.0)


def _orthonormal(block: Floats, basis: Floats) -> Floats:
    """An orthonormal basis of what `block` adds to `basis`, by products alone (Stathopoulos and Wu 2002).

    A pass divides the condition of the block by up to 1e7, and the next removes the rounding of the one before.
    """
    for _ in range(6):
        block = block - basis @ (basis.T @ block)
        block = block / np.maximum(np.linalg.norm(block, axis=0), 1e-300)
        values, vectors = np.linalg.eigh(block.T @ block)
        block = block @ (vectors / np.sqrt(np.maximum(values, 1e-14 * values[-1])))
        if values[0] > 0.99:
            break
    return block


def _grown(matrix: Floats, columns: Floats) -> Floats:
    """A symmetric matrix with more columns, and the same as rows."""
    old, width = len(matrix), columns.shape[1]
    grown = np.empty((old + width, old + width))
    grown[:old, :old] = matrix
    grown[:, old:] = columns
    grown[old:, :old] = columns[:old].T
    grown[old:, old:] = (columns[old:] + columns[old:].T) / 2
    return grown


def most_kept(spectrum: Spectrum, count: int) -> Floats:
    """No less than the sum of the first r squared singular values, for r = 0 .. `count`.

    Let t_j be the Ritz values and l_j >= t_j the true ones, of which the sum is 1 and the sum of squares F at most
    `square`. (1) S = l_1 + .. + l_r = 1 - sum_{j>r} l_j <= 1 - sum_{j>r} t_j. (2) What lies beyond r exceeds its Ritz
    values by e >= 1 - S' - sum_{j>r} t_j in all, for any S' >= S, and there sum_{j>r} l_j^2 >= sum_{j>r} t_j^2 +
    e^2 / (rank - r): the rest of F is an upper bound of sum_{j<=r} l_j^2. (3) Under it and l_j >= t_j, S is largest
    where the smallest l_j are raised to one level: l_j = max(t_j, level).
    """
    ritz = np.pad(spectrum.ritz, (0, max(0, count - len(spectrum.ritz))))
    most = np.zeros(count + 1)
    for r in range(1, count + 1):
        head, tail = ritz[:r], ritz[r:]
        if r >= spectrum.rank:
            most[r] = 1.0
            continue
        most[r] = min(1.0, 1.0 - tail.sum())
        for _ in range(8):  # each pass tightens S'
            beyond = max(0.0, 1.0 - most[r] - tail.sum()) ** 2 / (spectrum.rank - r)
            most[r] = min(most[r], _most_at(head, spectrum.square - (tail**2).sum() - beyond))
    return most


def _most_at(values: Floats, square: float) -> float:
    """The largest sum of numbers none of which is below its place in `values` and whose squares add up to `square`."""
    squares = np.concatenate([[0.0], np.cumsum(values**2)])
    square = max(square, squares[-1])
    count = len(values)
    levelled = squares[1:] + np.arange(count - 1, -1, -1) * values**2  # with all below values[j] raised to it
    fixed = min(int((levelled > square).sum()), count - 1)
    level = math.sqrt((square - squares[fixed]) / (count - fixed))
    return float(values[:fixed].sum() + (count - fixed) * level)


def _primes(number: int) -> list[int]:
    """The prime factors of `number`, each once."""
    return [d for d in divisors(number)[1:] if len(divisors(d)) == 2]
