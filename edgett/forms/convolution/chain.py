"""A convolution as a chain of smaller ones: what every form for convolutions has in common.

The weight of a convolution of window (k_h, k_w) from C channels to N is written as the matrix (k_h k_w C, N) that the
pixels under the window, one after the other with all their channels, are multiplied by.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from edgett.forms.convolution import fit
from edgett.forms.error import Bracket, normalised
from edgett.forms.moments import Moments
from edgett.forms.operators import Convolve, Moves, Operator
from edgett.forms.site import Layer
from edgett.forms.spec import Factors, Matrix, Spec
from edgett.forms.stages import Stage
from edgett.forms.window import Pair, Window


@dataclass(frozen=True)
class ChainLink:
    """One convolution of a chain.

    Attributes:
        kernel: its window, (rows, columns).
        inputs: the channels that it reads.
        outputs: the channels that it writes; as many where each channel is by itself (`depthwise`).
        depthwise: whether each channel has a window of its own.
    """

    kernel: Pair
    inputs: int
    outputs: int
    depthwise: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its weight, as Keras has it."""
        return (*self.kernel, self.inputs, 1 if self.depthwise else self.outputs)


@dataclass(frozen=True)
class Chain(Spec):
    """The weight of a convolution as a chain of smaller convolutions, without anything between them.

    Attributes:
        window: how the convolution moves over its image.
        inputs: C, the channels that it reads.
        outputs: N, those that it writes.

    Raises:
        ValueError: for no channels, and for a rank below 1 or above `most`.
    """

    window: Window
    inputs: int
    outputs: int

    def __post_init__(self) -> None:
        if min(self.inputs, self.outputs) < 1:
            raise ValueError(f"{self}: it has channels on both sides")
        for rank, most in zip(self.ranks, self.most, strict=True):
            if not 1 <= rank <= most:
                raise ValueError(f"{self}: rank {rank} must be from 1 to {most}")

    @property
    @abc.abstractmethod
    def links(self) -> tuple[ChainLink, ...]:
        """The convolutions, one after the other; at most one of them sees more than one row, and one more column."""

    @property
    @abc.abstractmethod
    def ranks(self) -> tuple[int, ...]:
        """The channels between the links, as the form counts them."""

    @property
    @abc.abstractmethod
    def most(self) -> tuple[int, ...]:
        """The largest that each rank may be: with more, the links could only stand for the same weights."""

    @property
    @abc.abstractmethod
    def head(self) -> int:
        """How many leading links a fit searches for; behind them the best ones are known in closed form."""

    @property
    @abc.abstractmethod
    def cuts(self) -> tuple[tuple[str, int], ...]:
        """The unfoldings whose rank it bounds: the axes, of "h", "w" and "c", that are the rows, and the rank."""

    @classmethod
    @abc.abstractmethod
    def unfit(cls, layer: Layer) -> str | None:
        """Why no convolution of these sizes can be held so, in the user's words; see `Form.unfit`."""

    @classmethod
    @abc.abstractmethod
    def every(cls, layer: Layer, multiple: int) -> Iterator[Self]:
        """Every spec for a layer whose ranks are multiples of a number, or the most that is of use."""

    @classmethod
    @abc.abstractmethod
    def start(cls, weight: Matrix, spec: Self) -> list[Matrix]:
        """Decompose a weight (k_h k_w C, N) into links that are close to it, in float64; `decompose` is for others."""

    def __str__(self) -> str:
        """Such as "spatial SVD 3x3x16x32, rank 8"."""
        size = "x".join(map(str, (*self.window.kernel, self.inputs, self.outputs)))
        return f"{self.title} {size}, rank {', '.join(map(str, self.ranks))}"

    @property
    def matrix(self) -> tuple[int, int]:
        """The size (k_h k_w C, N) of the weight."""
        return self.window.taps * self.inputs, self.outputs

    @property
    def factors(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the weights of the links."""
        return tuple(link.shape for link in self.links)

    @property
    def windowed(self) -> bool:
        """That it is one of a convolution."""
        return True

    @property
    def depthwise(self) -> bool:
        """Whether one of its links sees each channel by itself."""
        return any(link.depthwise for link in self.links)

    @property
    def reads(self) -> int:
        """The numbers of a sample."""
        return self.window.pixels * self.inputs

    @property
    def writes(self) -> int:
        """The numbers that are made of a sample."""
        return self.window.positions * self.outputs

    def windows(self) -> tuple[Window, ...]:
        """How each link moves over what it reads.

        A stride is that of the link that sees more than one pixel along its axis, or of the first one where none does:
        then no more is computed than what is written.
        """
        long = [[place for place, link in enumerate(self.links) if link.kernel[axis] > 1] for axis in (0, 1)]
        steps = [places[0] if places else 0 for places in long]
        size, found = self.window.size, []
        for place, link in enumerate(self.links):
            down, along = (self.window.strides[axis] if steps[axis] == place else 1 for axis in (0, 1))
            found.append(replace(self.window, kernel=link.kernel, size=size, strides=(down, along)))
            size = found[-1].made
        return tuple(found)

    def operators(self, batch: int, moves: Moves) -> tuple[Operator, ...]:
        """Plan one convolution a link; see `Spec.operators`. The input of a sample is a whole image."""
        pairs = enumerate(zip(self.links, self.windows(), strict=True))
        return tuple(
            Convolve(place, batch, window, link.inputs, link.outputs, depthwise=link.depthwise)
            for place, (link, window) in pairs
        )

    def rebuild(self, factors: Any, xp: Any = np) -> Any:
        """Join the links to the weight of one convolution; see `Spec.rebuild`."""
        whole = None
        for link, factor in zip(self.links, factors, strict=True):
            if whole is None:
                whole = factor
            elif link.depthwise:
                whole = whole * xp.transpose(factor, (0, 1, 3, 2))
            else:
                whole = xp.matmul(whole, factor)
        return xp.reshape(whole, self.matrix)

    def stages(self, factors: Sequence[Any]) -> tuple[Stage, ...]:
        """A link for the pixels of its window, the first for the channels read too, the last for those written.

        See `Spec.stages`; the axes of the weight are those of the window, then both kinds of channels.
        """
        found, last = [], len(self.links) - 1
        for place, (link, factor) in enumerate(zip(self.links, factors, strict=True)):
            axes = [(axis, size) for axis, size in enumerate(link.kernel) if size > 1]
            axes += [(2, self.inputs)] * (place == 0) + [(3, self.outputs)] * (place == last)
            if link.depthwise:
                matrices = factor.reshape(-1, link.inputs)
            elif place == last:
                matrices = np.swapaxes(factor, 2, 3).reshape(-1, link.inputs, 1)
            else:
                matrices = factor.reshape(-1, 1 if place == 0 else link.inputs, link.outputs)
            found.append(Stage(tuple(axes), matrices))
        return tuple(found)

    @classmethod
    def decompose(cls, weight: Matrix, specs: Iterable[Self]) -> Iterator[tuple[Self, Factors]]:
        """Decompose a weight (k_h k_w C, N) into the links of several specs; see `Spec.decompose`."""
        for spec in specs:
            if weight.shape != spec.matrix:
                raise ValueError(f"a weight of {weight.shape} cannot take {spec}, which is {spec.matrix}")
            links = cls.start(weight.astype(np.float64), spec)
            yield spec, tuple(link.astype(np.float32) for link in links)

    def fitted(self, factors: Factors, target: Moments) -> Factors:
        """Fit the links to what the convolution puts out; see `Spec.fitted` and `fit.fitted`."""
        return fit.fitted(self, factors, target)

    def fit_work(self) -> float:
        """The FLOPs of as many looks as a fit takes; see `Spec.fit_work`."""
        return fit.work(self) * fit.evaluations(self)

    def deviation(self) -> float:
        """Glorot's for the weight of the convolution, shared out between its links; see `Spec.deviation`."""
        taps = self.window.taps
        return math.sqrt(2 / (taps * (self.inputs + self.outputs))) ** (1 / len(self.links))

    def error(self, weight: Matrix) -> Bracket:
        """How far its links are from a weight; see `Spec.error`.

        None of these ranks is closer than what any unfolding loses beyond its rank (Eckart and Young 1936).
        """
        if weight.shape != self.matrix:
            raise ValueError(f"{self} is {self.matrix}, the weight {weight.shape}")
        if (scaled := normalised(weight.astype(np.float64))) is None:
            return Bracket(0.0, 0.0, 0.0)
        low = max(lost(self.unfolded(scaled, rows), rank) for rows, rank in self.cuts)
        found = float(np.linalg.norm(self.rebuild(type(self).start(scaled, self)) - scaled))
        return Bracket(min(low, found), found, found)

    def unfolded(self, weight: Matrix, rows: str) -> Matrix:
        """A weight (k_h k_w C, N) as the matrix whose rows are these axes, of "h", "w" and "c"."""
        axes = "hwcn"
        tensor = weight.reshape(*self.window.kernel, self.inputs, self.outputs)
        order = [axes.index(axis) for axis in (*rows, *(axis for axis in axes if axis not in rows))]
        height = math.prod(tensor.shape[place] for place in order[: len(rows)])
        return tensor.transpose(order).reshape(height, -1)


SMALL = 32
"""Where a layer can have fewer ranks, every one of them is worth a look."""


def multiples(most: int, multiple: int, count: int | None = None) -> list[int]:
    """The multiples of a number up to another one, and all numbers where there are few.

    Args:
        most: the largest.
        multiple: what they are multiples of.
        count: how many there may be; of more, some at about equal ratios stay.

    Returns:
        Ranks, ascending.
    """
    step = 1 if most < SMALL else multiple
    ranks = list(range(step, most + 1, step))
    return ranks if count is None or len(ranks) <= count else [ranks[place] for place in spread(ranks, count)]


def spread(numbers: Sequence[float], count: int) -> list[int]:
    """The places of at most so many of some ascending numbers above 0, at about equal ratios, the ends among them."""
    wanted = np.geomspace(numbers[0], numbers[-1], count)
    return np.unique(np.abs(np.subtract.outer(wanted, np.asarray(numbers))).argmin(axis=1)).tolist()


def split(matrix: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """Split a matrix on its leading singular vectors, the root of their values going into both parts.

    Args:
        matrix: (m, n).
        rank: how many are kept.

    Returns:
        Matrices (m, rank) and (rank, n).
    """
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(values[:rank])
    return left[:, :rank] * root, root[:, None] * right[:rank]


def leading(matrix: Matrix, rank: int) -> Matrix:
    """The leading left singular vectors of a matrix (m, n): (m, rank)."""
    vectors: Matrix = np.linalg.eigh(matrix @ matrix.T)[1][:, ::-1][:, :rank]
    return vectors


def lost(matrix: Matrix, rank: int) -> float:
    """The norm of what a matrix (m, n) holds beyond its leading singular values."""
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    values = np.linalg.eigvalsh(gram)
    return math.sqrt(max(float(values[: max(len(values) - rank, 0)].sum()), 0.0))


def pixel(layer: Layer) -> str | None:
    """Why a layer has no window to be taken apart."""
    return "its window is one pixel" if layer.window is None or layer.window.taps == 1 else None


def flat(layer: Layer) -> str | None:
    """Why a layer has no window that can be split into rows and columns."""
    if layer.window is None or min(layer.window.kernel) == 1:
        return "its window has one row or one column"
    return None
