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

Matrix = NDArray[np.floating]
Factors = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Spec(abc.ABC):
    """How the weight of one layer is held: the sizes and ranks of one form.

    A form has a class of these, a frozen dataclass of whole numbers, enumerations and tuples of them, so that documents
    can hold it; it checks itself when it is made. Abstract methods are what it must tell; the others have an answer
    that is right for any, if not the best.
    """

    form: ClassVar[str]
    """The name of the form, in documents and in files."""

    @classmethod
    @abc.abstractmethod
    def decompose(cls, weight: Matrix, specs: Iterable[Self]) -> Iterator[tuple[Self, Factors]]:
        """Every spec with the factors in float32 that stand for the weight (X, Y) best, in an order of its own.

        Raises ValueError when the weight is of another size, or cannot be held so.
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
        """What takes an input (batch, X) to an output (batch, Y), the bias left out."""

    @abc.abstractmethod
    def rebuild(self, factors: Any, xp: Any = np) -> Any:
        """The dense weight (X, Y) that factors stand for, in their own precision.

        `xp` is what calculates: NumPy, or another module that has its `matmul`, `reshape` and `transpose`.
        """

    @abc.abstractmethod
    def error(self, weight: Matrix) -> Bracket:
        """Between which errors the spec stands for the weight (X, Y). Raises ModelError for one that is not finite."""

    def scaled(self, factors: Sequence[Matrix], scale: Matrix) -> list[Matrix]:
        """Factors that stand for `scale`, a number, times the weight: of each way to the output the last one has it."""
        last = last_factors(self.plan())
        return [factor * scale if index in last else factor for index, factor in enumerate(factors)]

    def fitted(self, factors: Factors, target: Moments) -> Factors:
        """Factors whose outputs are closer to the dense layer's for its inputs, or the same if none are found."""
        return factors

    def fit_work(self) -> float:
        """FLOPs that `fitted` takes about; infinite where it has nothing to do or needs too much memory."""
        return math.inf

    def alternatives(self) -> tuple[Self, ...]:
        """Specs that stand for all weights that this one does and cost no more, the plainest of them first."""
        return (self,)

    def rebuild_from(self) -> float:
        """The batch from which a training step is faster with the dense weight rebuilt than factor by factor."""
        return math.inf

    def training_work(self, rows: int) -> float:
        """What the layer's forward pass on a training batch of so many rows costs, in FLOPs."""
        return rows * float(sum(operator.flops for operator in self.plan(1)))

    def paper_flops(self) -> int:
        """FLOPs by the paper's own formula, where it has one for this form; else what the plan adds up to."""
        return sum(operator.flops for operator in self.plan())

    def deviation(self) -> float:
        """The standard deviation of the factors' entries before training, Glorot's for what they stand for."""
        return math.sqrt(2 / sum(self.matrix)) ** (1 / len(self.factors))

    # What follows from that for every form.

    def plan(self, batch: int | None = 1, moves: Moves = Moves.NUMBERS) -> tuple[Operator, ...]:
        """As `operators`. With a `batch` of None the sizes that grow with it are -1, at most one an operator."""
        if batch is None:
            return for_any(self.operators(2, moves), self.operators(3, moves))
        return self.operators(batch, moves)

    @property
    def params(self) -> int:
        """The numbers in the factors."""
        return sum(map(math.prod, self.factors))

    def dense(self, factors: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
        """The dense weight (X, Y) that factors stand for, in float64."""
        rebuilt: NDArray[np.float64] = self.rebuild([np.asarray(factor, np.float64) for factor in factors])
        return rebuilt

    def best(self, weight: Matrix) -> Factors:
        """The factors that stand for the weight best; see `decompose`."""
        ((_, factors),) = self.decompose(weight, [self])
        return factors


def decomposed(weight: Matrix, specs: Iterable[Spec]) -> Iterator[tuple[Spec, Factors]]:
    """Specs of whatever forms with the factors that stand for a weight (X, Y) best; see `Spec.decompose`."""
    kinds: dict[type[Spec], list[Spec]] = {}
    for spec in specs:
        kinds.setdefault(type(spec), []).append(spec)
    for kind, alike in kinds.items():
        yield from kind.decompose(weight, alike)
