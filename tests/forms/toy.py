"""A form that edgett does not have: what somebody would write who wants one of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgett.forms import cost
from edgett.forms.error import Bracket
from edgett.forms.form import Form
from edgett.forms.front import Front, Search, loss_of
from edgett.forms.moments import Moments
from edgett.forms.operators import Add, Moves, Mul, Operator, Product
from edgett.forms.site import Layer
from edgett.forms.spec import Factors, Matrix, Spec

SWEEPS = 20


@dataclass(frozen=True)
class DiagonalPlus(Spec):
    """A square weight as a diagonal matrix plus one of rank one."""

    size: int
    form: ClassVar[str] = "diagonal_plus"
    title: ClassVar[str] = "diagonal plus rank one"

    def __str__(self) -> str:
        return f"diagonal of {self.size} plus rank one"

    @property
    def matrix(self) -> tuple[int, int]:
        return self.size, self.size

    @property
    def factors(self) -> tuple[tuple[int, ...], ...]:
        return (self.size,), (self.size, 1), (1, self.size)

    def operators(self, batch: int, moves: Moves) -> tuple[Operator, ...]:
        return (
            Mul(0, batch, self.size),
            Product(1, batch, self.size, 1, of=(0,)),
            Product(2, batch, 1, self.size),
            Add(batch, self.size, of=(1, 3)),
        )

    def rebuild(self, factors: Any, xp: Any = np) -> Any:
        diagonal, left, right = factors
        eye = xp.reshape(xp.eye(self.size, dtype=diagonal.dtype), (self.size, self.size))
        return eye * xp.reshape(diagonal, (1, self.size)) + xp.matmul(left, right)

    @classmethod
    def decompose(cls, weight: Matrix, specs: Iterable[DiagonalPlus]) -> Iterator[tuple[DiagonalPlus, Factors]]:
        for spec in specs:
            if weight.shape != spec.matrix:
                raise ValueError(f"a weight of {weight.shape} cannot take {spec}")
            rest = weight.astype(np.float64)
            diagonal = np.zeros(spec.size)
            for _ in range(SWEEPS):
                left, values, right = np.linalg.svd(rest - np.diag(diagonal))
                low = values[0] * np.outer(left[:, 0], right[0])
                diagonal = np.diag(rest - low)
            root = np.sqrt(values[0])
            yield (
                spec,
                tuple(np.float32(each) for each in (diagonal, root * left[:, :1], root * right[:1])),
            )

    def error(self, weight: Matrix) -> Bracket:
        norm = float(np.linalg.norm(weight))
        lost = float(np.linalg.norm(self.dense(self.best(weight)) - weight)) / norm if norm else 0.0
        return Bracket(0.0, lost, lost)


class Toy(Form):
    spec = DiagonalPlus

    def unfit(self, layer: Layer) -> str | None:
        return None if layer.inputs == layer.outputs else f"{layer.inputs}x{layer.outputs}: it is not square"

    def front(
        self,
        layer: Layer,
        weight: Matrix,
        search: Search,
        advance: Callable[[int], None],
        seen: Moments | None = None,
    ) -> Front:
        only = DiagonalPlus(layer.inputs)
        error = only.error(weight)
        lost = loss_of(error.estimate**2)
        return Front(layer, 1, (only,), (cost.held(layer, only),), (lost,), (error,))
