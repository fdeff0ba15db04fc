"""The truncated singular value decomposition: two thin matrices in place of a wide one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgett.forms import cost
from edgett.forms.error import Bracket, between, cut, normalised
from edgett.forms.form import Form
from edgett.forms.front import Front, Search, loss_of, nothing
from edgett.forms.moments import LONGEST, Moments
from edgett.forms.operators import Moves, Operator, Product
from edgett.forms.site import Layer, not_flat, too_large
from edgett.forms.spec import Factors, Matrix, Spec
from edgett.forms.spectra import Unfolding, of_unfolding, rounding
from edgett.forms.splitting import Splitter
from edgett.forms.stages import Stage

EIGEN = 9
"""Multiplications of a number of a symmetric matrix, and of its side, that all of its eigenvectors take, about."""

TINY = 1e-30
"""What stands for a length of 0."""


@dataclass(frozen=True)
class SVDShape(Spec):
    """A weight (inputs, outputs) as the product of (inputs, rank) and (rank, outputs).

    Attributes:
        inputs: X.
        outputs: Y.
        rank: how many singular values are kept.

    Raises:
        ValueError: for a rank below 1, or above X or Y.
    """

    inputs: int
    outputs: int
    rank: int
    form: ClassVar[str] = "svd"
    title: ClassVar[str] = "SVD"

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= min(self.inputs, self.outputs):
            raise ValueError(f"{self}: the rank must be from 1 to {min(self.inputs, self.outputs)}")

    def __str__(self) -> str:
        return f"SVD {self.inputs} -> {self.rank} -> {self.outputs}"

    @property
    def matrix(self) -> tuple[int, int]:
        """The size (X, Y) of the weight."""
        return self.inputs, self.outputs

    @property
    def factors(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the two matrices."""
        return (self.inputs, self.rank), (self.rank, self.outputs)

    def operators(self, batch: int, moves: Moves) -> tuple[Operator, ...]:
        """Plan one product after the other, by (X, rank) and by (rank, Y); see `Spec.operators`."""
        return Product(0, batch, self.inputs, self.rank), Product(1, batch, self.rank, self.outputs)

    def rebuild(self, factors: Any, xp: Any = np) -> Any:
        """Multiply the two matrices; see `Spec.rebuild`."""
        return xp.matmul(*factors)

    def stages(self, factors: Sequence[Any]) -> tuple[Stage, ...]:
        """A row of the one matrix and a column of the other; see `Spec.stages`."""
        left, right = factors
        return (
            Stage(((0, self.inputs),), left[:, np.newaxis]),
            Stage(((1, self.outputs),), right.T[:, :, np.newaxis]),
        )

    @classmethod
    def decompose(cls, weight: Matrix, specs: Iterable[SVDShape]) -> Iterator[tuple[SVDShape, Factors]]:
        """Take the leading singular vectors of a weight; the root of their values goes into both matrices.

        Args:
            weight: the dense weight (X, Y).
            specs: the ranks to take.

        Yields:
            Each spec with its matrices (X, rank) and (rank, Y), float32.

        Raises:
            ValueError: when the weight is of another size.
        """
        wanted = list(specs)
        for spec in wanted:
            if weight.shape != spec.matrix:
                raise ValueError(f"a weight of {weight.shape} cannot take {spec}, which is {spec.matrix}")
        splitter = Splitter(weight)
        for spec in wanted:
            yield spec, _balanced(*splitter.split(spec.rank))

    def error(self, weight: Matrix) -> Bracket:
        """How far a weight is from its truncated SVD: what the other singular values hold (Eckart and Young 1936).

        Args:
            weight: the dense weight (X, Y).

        Returns:
            A bracket of the relative error, as wide as rounding.

        Raises:
            ModelError: for a weight that is not finite.
            ValueError: for one of another size.
        """
        if weight.shape != self.matrix:
            raise ValueError(f"{self} is {self.matrix}, the weight {weight.shape}")
        ((_, found),) = _brackets(weight, [self.rank])
        return found

    def fitted(self, factors: Factors, target: Moments) -> Factors:
        """Fit the matrices to the layer's outputs: the closest that there are, in closed form.

        With the second moment M = L L^T of the inputs the distance is ||L^T (W' - W)||, so W' is L^-T times the
        truncated L^T W. That is W V V^T, with V the leading eigenvectors of W^T M W: where there is no M but its
        product with W, it takes no more memory than the weight.

        Args:
            factors: the start, (X, rank) and (rank, Y).
            target: the dense weight, and moments of the layer's inputs.

        Returns:
            Matrices of the same shapes whose outputs are closer to the dense layer's, or the same if none are found.
        """
        if not target.usable or not target.seen:
            return factors
        if target.moment is None:
            leading = _leading(target.weight.T @ target.image, self.rank)
            found = _balanced(target.weight @ leading, leading.T)
        else:
            root = np.linalg.cholesky(target.moment.astype(np.float64)).T
            left, right = Splitter(root @ target.weight).split(self.rank)
            found = _balanced(np.linalg.solve(root, left), right)
        better = target.distance(self.dense(found)) < target.distance(self.dense(factors))
        return found if better else factors

    def fit_work(self) -> float:
        """FLOPs of a Cholesky decomposition of the inputs' second moment, and of products with its root.

        Beyond `LONGEST` inputs, of the eigenvectors of a matrix of the outputs.
        """
        if self.inputs > LONGEST:
            return 2.0 * self.outputs**2 * (self.inputs + EIGEN * self.outputs)
        return 4.0 * self.inputs**2 * (self.inputs + self.outputs)


class SingularValues(Form):
    """The truncated singular value decomposition."""

    spec = SVDShape

    def unfit(self, layer: Layer) -> str | None:
        """Why a layer has no SVD that is smaller than dense, or is too large to be explored; see `Form.unfit`."""
        if reason := not_flat(layer):
            return reason
        if min(layer.inputs, layer.outputs) < 3:
            return f"{layer.size}: no product of two thinner matrices is smaller"
        return too_large(layer)

    def front(
        self,
        layer: Layer,
        weight: Matrix,
        search: Search,
        advance: Callable[[int], None],
        seen: Moments | None = None,
    ) -> Front:
        """Give every rank at which both matrices are smaller than the weight: none beats another; see `Form.front`."""
        inputs, outputs = layer.inputs, layer.outputs
        specs = [SVDShape(inputs, outputs, rank) for rank in search.ranks(min(inputs, outputs)).tolist()]
        dense, most = cost.dense(layer), math.inf if search.most_peak is None else search.most_peak
        costs = {spec: cost.held(layer, spec) for spec in specs}
        able = {spec: each for spec, each in costs.items() if each.params < dense.params and each.peak_elements <= most}
        if not able:
            return nothing(layer, len(specs), search)
        errors = tuple(error for _, error in _brackets(weight, [spec.rank for spec in able]))
        losses = tuple(loss_of(error.estimate**2) for error in errors)
        return Front(layer, len(specs), tuple(able), tuple(able.values()), losses, errors)


def _brackets(weight: Matrix, ranks: list[int]) -> Iterator[tuple[int, Bracket]]:
    """Each rank with what it leaves of a weight."""
    if (scaled := normalised(weight)) is None:
        yield from ((rank, Bracket(0.0, 0.0, 0.0)) for rank in ranks)
        return
    inputs, outputs = weight.shape
    most, precision = max(ranks), rounding(weight.size)
    whole = Unfolding((inputs, outputs), (inputs, 1))
    cuts, floor = cut(of_unfolding(whole, scaled, most), most, precision)
    for rank in ranks:
        yield rank, between(cuts[[rank]], floor[[rank]], precision)


def _leading(matrix: Matrix, count: int) -> NDArray[np.float64]:
    """The eigenvectors (Y, count) of a matrix (Y, Y), symmetric but for rounding, with the largest eigenvalues."""
    whole = matrix.astype(np.float64)
    return np.asarray(np.linalg.eigh((whole + whole.T) / 2).eigenvectors[:, ::-1][:, :count])


def _balanced(left: Matrix, right: Matrix) -> Factors:
    """Two matrices with the same product, column k of the one as long as row k of the other."""
    lengths = np.linalg.norm(right, axis=1) / np.maximum(np.linalg.norm(left, axis=0), TINY)
    root = np.sqrt(np.maximum(lengths, TINY))
    return (left * root).astype(np.float32), (right / root[:, np.newaxis]).astype(np.float32)
