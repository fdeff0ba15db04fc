"""A weight as a tensor train."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgett.forms.error import Bracket
from edgett.forms.moments import Moments
from edgett.forms.operators import Moves, Operator
from edgett.forms.spec import Factors, Matrix, Spec
from edgett.forms.stages import Stage
from edgett.forms.tt import contraction, cost, decompose, error, fit
from edgett.forms.tt.order import Order


@dataclass(frozen=True)
class TTShape(Spec):
    """A tensor-train factorisation of one layer: core i has shape (ranks[i], inputs[i], outputs[i], ranks[i + 1]).

    Attributes:
        inputs: the factors x_1..x_L of X, outermost first.
        outputs: the factors y_1..y_L of Y, of the same length L >= 2.
        ranks: r_0..r_L, with r_0 = r_L = 1.
        order: which core the input meets first.

    Raises:
        ValueError: for lengths that do not fit, outer ranks that are not 1, and any number below 1.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ranks: tuple[int, ...]
    order: Order = Order.LAST_FIRST
    form: ClassVar[str] = "tt"
    title: ClassVar[str] = "TT"

    def __post_init__(self) -> None:
        if len(self.inputs) < 2 or len(self.inputs) != len(self.outputs):
            raise ValueError(f"{self}: inputs and outputs need the same number of factors, at least 2")
        if len(self.ranks) != len(self.inputs) + 1 or self.ranks[0] != 1 or self.ranks[-1] != 1:
            raise ValueError(f"{self}: {len(self.inputs)} cores need {len(self.inputs) + 1} ranks, the outer two 1")
        if min(self.inputs + self.outputs + self.ranks) < 1:
            raise ValueError(f"{self}: every factor and rank must be at least 1")

    def __str__(self) -> str:
        ranks = ",".join(map(str, self.ranks[1:-1]))
        turn = "" if self.order is Order.LAST_FIRST else ", first core first"
        return f"{'x'.join(map(str, self.inputs))} -> {'x'.join(map(str, self.outputs))}, rank {ranks}{turn}"

    @property
    def length(self) -> int:
        """The number of cores."""
        return len(self.inputs)

    @property
    def cores(self) -> tuple[tuple[int, int, int, int], ...]:
        """The shape of each core, in T3F's layout (rank before, input factor, output factor, rank after)."""
        return tuple(zip(self.ranks[:-1], self.inputs, self.outputs, self.ranks[1:], strict=True))

    @property
    def matrix(self) -> tuple[int, int]:
        """The size (X, Y) of the weight that the cores stand for."""
        return math.prod(self.inputs), math.prod(self.outputs)

    @classmethod
    def decompose(cls, weight: Matrix, specs: Iterable[TTShape]) -> Iterator[tuple[TTShape, Factors]]:
        """Decompose a weight into the cores of several shapes by TT-SVD (Oseledets 2011); see `tt_svds`.

        Args:
            weight: the dense weight (X, Y).
            specs: factorisations with their ranks.

        Returns:
            Each shape with its cores, (r_{i-1}, x_i, y_i, r_i) each, float32.

        Raises:
            ValueError: when the weight is of another size than a shape, or a rank exceeds what its bond can hold.
        """
        return decompose.tt_svds(weight, specs)

    @property
    def factors(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the cores."""
        return self.cores

    def operators(self, batch: int, moves: Moves) -> tuple[Operator, ...]:
        """Plan one product a core, and at most one transpose between two; see `Spec.operators`.

        Args:
            batch: the rows of the input, each of X numbers.
            moves: what the transposes move; the products and their results are the same.

        Returns:
            What takes an input (batch, X) to an output (batch, Y), the bias left out.
        """
        return contraction.plan(self, batch, moves)

    def rebuild(self, factors: Any, xp: Any = np) -> Any:
        """Multiply cores out to the dense weight, in their own precision.

        Args:
            factors: the cores, (r_{i-1}, x_i, y_i, r_i) each.
            xp: what calculates: NumPy, or another module that has its `matmul`, `reshape` and `transpose`.

        Returns:
            The dense weight (X, Y).
        """
        return decompose.multiplied_out(factors, xp)

    def error(self, weight: Matrix) -> Bracket:
        """Bracket the error of the best cores by the spectra of the weight's unfoldings, without decomposing it.

        Args:
            weight: the dense weight (X, Y).

        Returns:
            Bounds and an estimate of ||W - W'|| / ||W|| in the Frobenius norm.

        Raises:
            ModelError: for a weight that is not finite.
            ValueError: for one of another size.
        """
        return error.bracket(weight, self)

    def stages(self, factors: Sequence[Any]) -> tuple[Stage, ...]:
        """Tell how an entry of the weight is a product of matrices: of core k the one of the digits x_k and y_k.

        Args:
            factors: the cores, (r_{i-1}, x_i, y_i, r_i) each.

        Returns:
            A stage for each core.
        """
        return tuple(
            Stage(
                ((place, x), (self.length + place, y)),
                factors[place].transpose(1, 2, 0, 3).reshape(x * y, before, after),
            )
            for place, (before, x, y, after) in enumerate(self.cores)
        )

    def scaled(self, factors: Sequence[Matrix], scale: Matrix) -> list[Matrix]:
        """Scale the weight that cores stand for: in the first one, wherever the input meets it; it is linear in each.

        Args:
            factors: the cores, (r_{i-1}, x_i, y_i, r_i) each.
            scale: a number.

        Returns:
            Cores that stand for `scale` times the weight.
        """
        return [factors[0] * scale, *factors[1:]]

    def fitted(self, factors: Factors, target: Moments) -> Factors:
        """Fit cores to the outputs that the dense layer has for its inputs, by alternating least squares.

        Args:
            factors: the start, (r_{i-1}, x_i, y_i, r_i) each.
            target: the dense weight, and moments of the layer's inputs.

        Returns:
            Cores whose outputs are closer to the dense layer's, or the same if none are found.
        """
        return fit.fitted(target, factors)

    def fit_work(self) -> float:
        """FLOPs of the alternating least squares."""
        return fit.work(self)

    def alternatives(self) -> tuple[TTShape, ...]:
        """The shape with adjacent cores merged where that costs nothing, and unmerged; see `Spec.alternatives`.

        Both are contracted in the order of the lower peak memory, where that costs no more FLOPs.
        """
        own = cost.lighter(self)
        return cost.merged(own), own

    def rebuild_from(self) -> float:
        """As `Spec.rebuild_from`; many cores make many transposes, which rebuilding spares."""
        return cost.rebuild_from(self)

    def training_work(self, rows: int) -> float:
        """What the layer's forward pass costs in training; elements that transposes copy count too.

        Args:
            rows: the rows of X numbers in a training batch.

        Returns:
            FLOPs, about.
        """
        return cost.training_work(self, rows)

    def paper_flops(self) -> int:
        """Equation 4 of the paper as printed; see `cost.paper_flops`."""
        return cost.paper_flops(self)

    def deviation(self) -> float:
        """As `Spec.deviation`: an entry of the weight is a sum of products, one for each path through the ranks."""
        return math.sqrt(2 / sum(self.matrix) / math.prod(self.ranks)) ** (1 / self.length)


def tt_shape(inputs: Sequence[int], outputs: Sequence[int], max_rank: int) -> TTShape:
    """The shape with one max rank for all bonds, clamped to what each can hold, as T3F does.

    r_k = min(max_rank, x_1 y_1 ... x_k y_k, x_{k+1} y_{k+1} ... x_L y_L).

    Args:
        inputs: the factors x_1..x_L of X.
        outputs: the factors y_1..y_L of Y, of the same length.
        max_rank: the largest rank.

    Returns:
        The shape.

    Raises:
        ValueError: for factors that are no shape.
    """
    cells = [x * y for x, y in zip(inputs, outputs, strict=True)]
    inner = [min(max_rank, math.prod(cells[:k]), math.prod(cells[k:])) for k in range(1, len(cells))]
    return TTShape(tuple(inputs), tuple(outputs), (1, *inner, 1))
