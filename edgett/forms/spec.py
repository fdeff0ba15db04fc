"""One choice of a form: how a weight is held in several factors instead of as it is."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgett.forms.error import Bracket
from edgett.forms.moments import Moments
from edgett.forms.operators import Moves, Operator, for_any, last_factors
from edgett.forms.stages import Stage

Matrix = NDArray[np.floating]
Factors = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Spec(abc.ABC):
    """How the weight of one layer is held: a form with its sizes and ranks.

    A form has a class of these, a frozen dataclass of whole numbers, enumerations and tuples of them, so that documents
    can hold it; it checks itself when it is made. Abstract methods are what it must tell; the others have an answer
    that is right for any, if not the best.
    """

    form: ClassVar[str]
    """The name of the form, in documents and in files."""
    title: ClassVar[str]
    """What people call it."""

    @classmethod
    @abc.abstractmethod
    def decompose(cls, weight: Matrix, specs: Iterable[Self]) -> Iterator[tuple[Self, Factors]]:
        """Decompose one weight into the factors of several specs, in an order of its own.

        Args:
            weight: the dense weight (X, Y).
            specs: what it is to be held as.

        Returns:
            Each spec with the factors in float32 that stand for the weight best.

        Raises:
            ValueError: when the weight is of another size, or cannot be held so.
        """

    @property
    @abc.abstractmethod
    def matrix(self) -> tuple[int, int]:
        """The size (X, Y) of the weight that the factors stand for."""

    @property
    @abc.abstractmethod
    def factors(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each factor."""

    @abc.abstractmethod
    def operators(self, batch: int, moves: Moves) -> tuple[Operator, ...]:
        """Plan the product of inputs with the weight; `plan` is what others call.

        Args:
            batch: the rows of the input, each of X numbers.
            moves: what the transposes move; the products and their results are the same.

        Returns:
            What takes an input (batch, X) to an output (batch, Y), one operator after the other, the bias left out.
        """

    @abc.abstractmethod
    def rebuild(self, factors: Any, xp: Any = np) -> Any:
        """Multiply factors out to the dense weight, in their own precision.

        Args:
            factors: arrays of the shapes of `self.factors`.
            xp: what calculates: NumPy, or another module that has its `matmul`, `reshape` and `transpose`.

        Returns:
            The dense weight (X, Y).
        """

    @abc.abstractmethod
    def error(self, weight: Matrix) -> Bracket:
        """How far the best factors are from a weight, told without decomposing it.

        Args:
            weight: the dense weight (X, Y).

        Returns:
            Bounds and an estimate of ||W - W'|| / ||W|| in the Frobenius norm.

        Raises:
            ModelError: for a weight that is not finite.
            ValueError: for a weight of another size.
        """

    def scaled(self, factors: Sequence[Matrix], scale: Matrix) -> list[Matrix]:
        """Scale the weight that factors stand for: of each way to the output the last factor has it.

        Args:
            factors: arrays of the shapes of `self.factors`.
            scale: a number.

        Returns:
            Factors that stand for `scale` times the weight.
        """
        last = last_factors(self.plan())
        return [factor * scale if index in last else factor for index, factor in enumerate(factors)]

    def stages(self, factors: Sequence[NDArray[Any]]) -> tuple[Stage, ...]:
        """Tell how an entry of the weight is a product of matrices of the factors, for hardware that rebuilds it.

        Args:
            factors: arrays of the shapes of `self.factors`.

        Returns:
            A stage for each factor; none where the form is no such product.
        """
        return ()

    def fitted(self, factors: Factors, target: Moments) -> Factors:
        """Fit factors to the outputs that the dense layer has for its inputs.

        Args:
            factors: the start, of the shapes of `self.factors`.
            target: the dense weight, and moments of the layer's inputs.

        Returns:
            Factors whose outputs are closer to the dense layer's, or the same if none are found.
        """
        return factors

    def fit_work(self) -> float:
        """The FLOPs that `fitted` takes about; infinite where it has nothing to do or needs too much memory."""
        return math.inf

    def alternatives(self) -> tuple[Self, ...]:
        """Specs that stand for all weights that this one does and cost no more, the plainest of them first."""
        return (self,)

    def rebuild_from(self) -> float:
        """The batch size from which a training step is faster with the dense weight rebuilt than factor by factor."""
        return math.inf

    def training_work(self, rows: int) -> float:
        """What the layer's forward pass costs in training.

        Args:
            rows: the rows of X numbers in a training batch.

        Returns:
            FLOPs, whatever else takes time counted as so many of them.
        """
        return rows * float(sum(operator.flops for operator in self.plan(1)))

    def paper_flops(self) -> int:
        """FLOPs of one row by the paper's own formula where it has one for this form; else those of the plan."""
        return sum(operator.flops for operator in self.plan())

    def deviation(self) -> float:
        """The standard deviation of the factors' entries before training, Glorot's for the dense weight.

        Returns:
            sqrt(2 / (X + Y)) (Glorot and Bengio 2010), shared out between the factors that are multiplied.
        """
        return math.sqrt(2 / sum(self.matrix)) ** (1 / len(self.factors))

    # What follows from that for every form.

    def plan(self, batch: int | None = 1, moves: Moves = Moves.NUMBERS) -> tuple[Operator, ...]:
        """Plan the product of inputs with the weight, for a batch of some size or of any.

        Args:
            batch: the rows of the input; None: any, and the sizes that grow with it are -1, at most one an operator.
            moves: what the transposes move; the products and their results are the same.

        Returns:
            What takes an input (batch, X) to an output (batch, Y), one operator after the other, the bias left out.
        """
        if batch is None:
            return for_any(self.operators(2, moves), self.operators(3, moves))
        return self.operators(batch, moves)

    @property
    def windowed(self) -> bool:
        """Whether the weight is that of a convolution, and its factors convolutions."""
        return False

    @property
    def reads(self) -> int:
        """The numbers that one of a batch has: X, or those of a whole image."""
        return self.matrix[0]

    @property
    def writes(self) -> int:
        """The numbers that are made of one of a batch: Y, or those of a whole image."""
        return self.matrix[1]

    @property
    def params(self) -> int:
        """The numbers stored in all factors, the bias left out."""
        return sum(map(math.prod, self.factors))

    def dense(self, factors: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
        """Multiply factors out to the dense weight.

        Args:
            factors: arrays of the shapes of `self.factors`, of any precision.

        Returns:
            The dense weight (X, Y), in float64.
        """
        rebuilt: NDArray[np.float64] = self.rebuild([np.asarray(factor, np.float64) for factor in factors])
        return rebuilt

    def best(self, weight: Matrix) -> Factors:
        """Decompose a weight into the factors of this spec.

        Args:
            weight: the dense weight (X, Y).

        Returns:
            The factors in float32 that stand for it best.

        Raises:
            ValueError: when the weight is of another size, or cannot be held so.
        """
        ((_, factors),) = self.decompose(weight, [self])
        return factors


def decomposed(weight: Matrix, specs: Iterable[Spec]) -> Iterator[tuple[Spec, Factors]]:
    """Decompose one weight into the factors of several specs, of whatever forms.

    Args:
        weight: the dense weight (X, Y).
        specs: what it is to be held as.

    Yields:
        Each spec with its factors in float32, in an order of their own.

    Raises:
        ValueError: when the weight is of another size, or cannot be held so.
    """
    kinds: dict[type[Spec], list[Spec]] = {}
    for spec in specs:
        kinds.setdefault(type(spec), []).append(spec)
    for kind, alike in kinds.items():
        yield from kind.decompose(weight, alike)
