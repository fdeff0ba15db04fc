"""The links of a convolution fitted to what it puts out on training inputs.

A chain is cut into a head and a tail. Behind a given head the best tail is known in closed form, a reduced-rank
regression (Izenman 1975): W' = B Z, where B is the head at every place at which the tail looks, and Z = G^-1 B^T M W
with G = B^T M B, projected on the leading eigenvectors of Z^T G Z. What is lost is so a function of the head alone
(variable projection, Golub and Pereyra 1973), and L-BFGS makes it small. A form without a head is solved at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgett.forms.convolution.balance import TINY, balanced
from edgett.forms.convolution.lbfgs import minimised
from edgett.forms.moments import Moments

if TYPE_CHECKING:
    from edgett.forms.convolution.chain import Chain, ChainLink

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Array = NDArray[np.floating]
Head = list[Floats]
"""The leading links, the first one in coordinates in which its inputs do not depend on one another."""

ALIKE = 1e-9
"""What keeps the normal equations from being singular where channels of a head are alike, of their mean diagonal."""

CANCEL = 3e-3
"""Where a link is depthwise, the share of what each channel makes of the outputs that counts as lost (the sensitivity
of Phan et al. 2020). Without it channels grow that cancel one another: training moves them slowly, and int8 not at all.

In a ResNet-8 with six layers in CP at 0.41 of the MACs the channels make 11 to 23 times the energy of the outputs with
1e-4, 2 to 3 times with this, for 0.1 points at the start; its last two layers are 24 dB exact in int8, not 16 to 18.
"""

DOUBLE = 1024
"""Up to so many numbers in a patch all is multiplied in float64."""

WORK = 6e10
"""FLOPs that a fit may take."""

MOST = 300
"""How often it may look what a head loses, however little work that is."""

TOLERANCE = 3e-4
"""It ends when five steps together lower what is lost by less than this share."""


@dataclass(frozen=True)
class Tail:
    """The best tail behind a head.

    Attributes:
        near: its part before the last link where it has two, else all of it: (places, p, s).
        far: its last link (s, N) where it has two.
        loss: the share of the outputs' energy that the two lose.
        slope: the derivative of that after the basis of the head, (wide, p).
    """

    near: Floats
    far: Floats | None
    loss: float
    slope: Floats


class Fitter:
    """Fits chains of one form to one convolution, of whatever ranks."""

    def __init__(self, like: Chain, wanted: Moments) -> None:
        """Look at a layer.

        Args:
            like: a chain of the form and the sizes.
            wanted: moments of what the layer is given; they must be `usable`, and the weight not 0.
        """
        heads, window = like.links[: like.head], like.window.kernel
        self.wanted, self.channels, self.outputs = wanted, like.inputs, like.outputs
        self.kernel = tuple(max([1, *(link.kernel[axis] for link in heads)]) for axis in (0, 1))
        self.around = tuple(whole // own for whole, own in zip(window, self.kernel, strict=True))
        self.places, side = math.prod(self.around), len(wanted.weight)
        self.wide = side // self.places
        self.first = math.prod(like.links[0].kernel if heads else (1, 1)) * like.inputs
        self.precision: type[np.floating] = np.float64 if side <= DOUBLE else np.float32
        # The places of the tail stand before the taps of the head; there is nothing to do where either has no rows.
        taps = np.arange(side).reshape(*window, self.channels)
        self.split = self.kernel[0] > 1 and self.around[1] > 1
        self.order = taps.transpose(1, 0, 2).reshape(-1) if self.split else taps.reshape(-1)
        self.scale = float(np.abs(wanted.weight).max())
        self.weight: Array = (wanted.weight[self.order] / self.scale).astype(self.precision)
        self.image: Array = (wanted.image[self.order] / self.scale).astype(self.precision)
        self.energy = float(np.vdot(self.weight.astype(np.float64), self.image))

    def fitted(self, spec: Chain, heads: Iterable[Head], most: int) -> tuple[Head, tuple[Singles, ...]]:
        """Fit a chain, from the best of some heads.

        Args:
            spec: the chain.
            heads: where to begin.
            most: how often to look what a head loses.

        Returns:
            The head that loses least, and all links.
        """
        if not spec.head:
            return [], self._finished(spec, self._solved(spec))
        begun = list(heads)
        head = begun[0] if len(begun) == 1 else min(begun, key=lambda one: self.tail(spec, one).loss)
        head = self._improved(spec, head, most)
        tail = self.tail(spec, head)
        links = [self._first(head), *head[1:], tail.near.reshape(spec.factors[spec.head])]
        if tail.far is not None:
            links.append(tail.far.reshape(spec.factors[-1]))
        return head, self._finished(spec, links)

    def start(self, spec: Chain) -> Head:
        """A head that knows the weight and, of the inputs, how those of its first link depend on one another."""
        return self._head(spec, self._seen)

    def given(self, spec: Chain, factors: Sequence[Array]) -> Head:
        """The head of links that there are."""
        links = [factor.astype(np.float64) for factor in factors[: spec.head]]
        links[0] = (self._roots[0].T @ links[0].reshape(self.first, -1)).reshape(links[0].shape)
        return _normal(spec, links)

    def grown(self, spec: Chain, before: Chain, head: Head) -> Head:
        """A head of more channels than another one: the others are the start of what that one leaves."""
        tail = self.tail(before, head)
        made = (self._basis(before, head) @ tail.near).reshape(self.weight.shape)
        rest = self._through(self.weight - (made if tail.far is None else made @ tail.far))
        more = self._head(replace(spec, rank=spec.ranks[0] - before.ranks[0]), rest)  # type: ignore[call-arg]
        axes = (2 if link.depthwise else 3 for link in spec.links)
        return [np.concatenate(pair, axis) for *pair, axis in zip(head, more, axes, strict=False)]

    def tail(self, spec: Chain, head: Head) -> Tail:
        """The best tail behind a head."""
        across, seen, both = self._behind(spec, head)
        places, inner = self.places, len(both) // self.places
        near, far, kept = both, None, float(np.vdot(seen, both))
        if len(spec.links) - spec.head > 1:
            energies, vectors = np.linalg.eigh(seen.T @ both)
            far = vectors[:, ::-1][:, : spec.ranks[-1]].T
            kept = float(energies[::-1][: len(far)].sum())
            near = both @ far.T
            both = near @ far
        rest = (across @ both.astype(self.precision) - self.image).reshape(places, self.wide, -1)
        turned: Array = both.astype(self.precision).reshape(places, inner, -1).transpose(0, 2, 1)
        change = (rest @ turned).sum(axis=0, dtype=np.float64)
        if spec.depthwise:
            change += CANCEL * across * np.square(both).sum(axis=1)
        slope = 2 / self.energy * change
        return Tail(np.asarray(near.reshape(places, inner, -1), np.float64), far, 1 - kept / self.energy, slope)

    def losses(self, spec: Chain, head: Head) -> Floats:
        """What the best tails of 0, 1, ... N channels behind a head lose of the outputs' energy, (N + 1,)."""
        _, seen, both = self._behind(spec, head)
        energies = np.linalg.eigvalsh(seen.T @ both)[::-1]
        return 1 - np.concatenate([[0.0], np.cumsum(energies)]) / self.energy

    def _behind(self, spec: Chain, head: Head) -> tuple[Array, Floats, Floats]:
        """The moment times the basis, (X, p); the weight through both; the best tail of all channels, (p, N)."""
        basis: Array = self._basis(spec, head).astype(self.precision)
        across, unknowns = self._across(basis), self.places * basis.shape[1]
        gram = (basis.T @ across.reshape(self.places, self.wide, -1)).reshape(unknowns, -1).astype(np.float64)
        seen = (basis.T @ self.image.reshape(self.places, self.wide, -1)).reshape(unknowns, -1).astype(np.float64)
        own = np.diag(gram)
        gram[np.diag_indices(unknowns)] += ALIKE * own.mean() + (CANCEL * own if spec.depthwise else 0.0)
        return across, seen, np.asarray(np.linalg.solve(gram, seen), np.float64)

    @cached_property
    def _moment(self) -> Array | None:
        """The moment (X, X), the places of the tail before the taps of the head."""
        if self.wanted.moment is None:
            return None
        ordered = self.wanted.moment[np.ix_(self.order, self.order)] if self.split else self.wanted.moment
        return ordered.astype(self.precision, copy=False)

    @cached_property
    def _roots(self) -> tuple[Floats, Floats]:
        """The root L of the moment of what the first link sees, and L^-1."""
        root = _root(self.wanted, self.order.reshape(-1, self.first))
        return root, np.asarray(np.linalg.inv(root), np.float64)

    def _through(self, weight: Array) -> Floats:
        """A weight (X, N) seen through the root."""
        seen = self._roots[0].T @ weight.astype(np.float64).reshape(-1, self.first, self.outputs)
        return np.asarray(seen.reshape(weight.shape), np.float64)

    @cached_property
    def _seen(self) -> Floats:
        return self._through(self.weight)

    @cached_property
    def _leading(self) -> Floats:
        return _leading(self._seen, self.first)

    def _head(self, spec: Chain, seen: Floats) -> Head:
        """The head of what the form makes of a weight seen through the root."""
        if spec.depthwise:
            natural = seen[np.argsort(self.order)]
            return _normal(spec, [link.astype(np.float64) for link in type(spec).start(natural, spec)[: spec.head]])
        first = self._leading if seen is self._seen else _leading(seen, self.first)
        found = [first[:, : spec.links[0].outputs]]
        for link in spec.links[1 : spec.head]:
            taps = seen.reshape(-1, len(found[0]), self.outputs)
            projected = found[0].T @ taps
            found.append(
                _leading(projected.reshape(-1, self.outputs), math.prod(link.kernel) * link.inputs)[:, : link.outputs]
            )
        return [factor.reshape(shape) for factor, shape in zip(found, _shapes(spec), strict=True)]

    def _first(self, head: Head) -> Floats:
        return (self._roots[1].T @ head[0].reshape(self.first, -1)).reshape(head[0].shape)

    def _basis(self, spec: Chain, head: Head) -> Floats:
        """What a head makes of its taps, (wide, p)."""
        whole = self._first(head)
        for link, factor in zip(spec.links[1 : spec.head], head[1:], strict=True):
            whole = _joined(whole, link, factor)
        return whole.reshape(self.wide, -1)

    def _across(self, basis: Array) -> Array:
        """The moment times the basis at every place, (X, places p)."""
        if self._moment is not None:
            product = self._moment.reshape(-1, self.wide) @ basis
        else:
            product = np.zeros((self.places, self.wide, self.places, basis.shape[1]), self.precision)
            product[range(self.places), :, range(self.places)] = basis
        return product.reshape(self.places * self.wide, -1)

    def gradient(self, spec: Chain, head: Head, slope: Floats) -> Head:
        """The derivative after each link of a head, from that after its basis."""
        slope = slope.reshape(*self.kernel, self.channels, -1)
        steps: list[tuple[ChainLink, Floats, Floats]] = []
        whole, found = self._first(head), list[Floats]()
        for link, factor in zip(spec.links[1 : spec.head], head[1:], strict=True):
            steps.append((link, factor, whole))
            whole = _joined(whole, link, factor)
        for link, factor, whole in reversed(steps):
            if link.depthwise:
                change, slope = (slope * whole).sum(axis=2)[..., None], slope * factor.transpose(0, 1, 3, 2)
            else:
                change, slope = whole.transpose(0, 1, 3, 2) @ slope, slope @ factor.transpose(0, 1, 3, 2)
            found.append(_summed(change, factor.shape))
            slope = _summed(slope, (*whole.shape[:2], *slope.shape[2:]))
        first = self._roots[1] @ slope.reshape(self.first, -1)
        return [first.reshape(head[0].shape), *reversed(found)]

    def _improved(self, spec: Chain, head: Head, most: int) -> Head:
        """A head that loses less."""
        shapes, ends = [link.shape for link in head], np.cumsum([link.size for link in head])[:-1]

        def links(point: Floats) -> Head:
            return [part.reshape(shape) for part, shape in zip(np.split(point, ends), shapes, strict=True)]

        def lost(point: Floats) -> tuple[float, Floats]:
            tail = self.tail(spec, links(point))
            return tail.loss, _flat(self.gradient(spec, links(point), tail.slope))

        return links(minimised(lost, _flat(head), most, TOLERANCE)) if most > 1 else head

    def _solved(self, spec: Chain) -> list[Floats]:
        """The links of a form without a head: the outputs' principal components."""
        weight = self.weight.astype(np.float64)
        far = np.linalg.eigh(weight.T @ self.image)[1][:, ::-1][:, : spec.ranks[-1]]
        return [each.reshape(shape) for each, shape in zip((weight @ far, far.T), spec.factors, strict=True)]

    def _finished(self, spec: Chain, links: list[Floats]) -> tuple[Singles, ...]:
        """The links at the scale of the weight, in float32."""
        links[-1] = links[-1] * self.scale
        return tuple(link.astype(np.float32) for link in balanced(spec, links))


def fitted(spec: Chain, factors: Sequence[Array], wanted: Moments) -> tuple[Any, ...]:
    """Fit the links of a chain to a layer's outputs; see `Spec.fitted`."""
    found = wanted.kept.get(spec)
    if found is None:
        if not wanted.usable or not wanted.energy > 0:
            return tuple(factors)
        fitter = Fitter(spec, wanted)
        heads = [fitter.given(spec, factors), fitter.start(spec)] if spec.head else []
        _, found = fitter.fitted(spec, heads, evaluations(spec))
        wanted.kept[spec] = found
    better = wanted.distance(spec.dense(found)) < wanted.distance(spec.dense(factors))
    return found if better else tuple(factors)


def shares(spec: Chain, wanted: Moments, rows: str) -> Floats:
    """What an unfolding of a weight, seen through the root of what its rows are given, loses beyond 0, 1, ... values.

    Args:
        spec: a chain of the weight's sizes.
        wanted: moments of what the layer is given.
        rows: the axes of the unfolding's rows, of "h", "w" and "c".

    Returns:
        Shares of the energy, falling from 1 to 0: exact for the rows "hwc" and where nothing is known of the inputs;
        else how the places depend on one another is not in them.
    """
    taps = np.arange(len(wanted.weight)).reshape(*spec.window.kernel, spec.inputs)
    axes = sorted(range(3), key=lambda axis: "hwc"[axis] in rows)
    order = taps.transpose(axes).reshape(-1, math.prod(taps.shape["hwc".index(axis)] for axis in rows))
    weight = wanted.weight.astype(np.float64) / np.abs(wanted.weight).max()
    if len(order) == 1:
        values = np.linalg.eigvalsh(weight.T @ (wanted.image / np.abs(wanted.weight).max()))
    else:
        seen = _root(wanted, order).T @ weight[order]
        tall = seen.transpose(1, 0, 2).reshape(order.shape[1], -1)
        values = np.linalg.eigvalsh(tall @ tall.T if len(tall) <= tall.shape[1] else tall.T @ tall)
    values = np.maximum(values, 0.0)
    beyond = np.cumsum(values)[::-1] / values.sum()
    return np.pad(beyond, (0, max(len(taps.reshape(-1)), spec.outputs) + 1 - len(beyond)))


def evaluations(spec: Chain, budget: float = WORK) -> int:
    """How often a fit may look what a head loses for so many FLOPs."""
    return int(min(MOST, max(budget / work(spec), 1)))


def work(spec: Chain) -> float:
    """FLOPs of a look at what a head loses: the moment times the basis, the normal equations, the derivative.

    Args:
        spec: the chain.

    Returns:
        FLOPs, about; those of the solution where it has no head.
    """
    side, outputs = spec.matrix
    if not spec.head:
        return 2.0 * side * outputs**2
    heads = spec.links[: spec.head]
    inner = heads[-1].outputs
    unknowns = inner * spec.window.taps // math.prod(max(link.kernel[axis] for link in heads) for axis in (0, 1))
    return 2.0 * side**2 * inner + 2.0 * side * inner * unknowns + unknowns**3 + 4.0 * side * unknowns * outputs


def _root(wanted: Moments, order: NDArray[np.intp]) -> Floats:
    """The Cholesky root of the moment of some numbers of a patch, (places, numbers), the mean of all places."""
    length = order.shape[1]
    if wanted.moment is None:
        return np.eye(length)
    mean = np.zeros((length, length))
    for some in order:
        mean += wanted.moment[np.ix_(some, some)]
    return np.linalg.cholesky(mean / (np.trace(mean) / length))


def _flat(links: Sequence[Floats]) -> Floats:
    return np.concatenate([link.reshape(-1) for link in links])


def _shapes(spec: Chain) -> tuple[tuple[int, ...], ...]:
    return spec.factors[: spec.head]


def _leading(seen: Floats, rows: int) -> Floats:
    """The left singular vectors of a weight unfolded to so many rows, the strongest first."""
    taps = seen.reshape(-1, rows, seen.shape[1])
    vectors: Floats = np.linalg.eigh(np.einsum("trn,tsn->rs", taps, taps, optimize=True))[1][:, ::-1]
    return vectors


def _normal(spec: Chain, head: Head) -> Head:
    """The same channels at length 1, orthonormal where each sees all of those before."""
    found = list(head)
    if spec.depthwise:
        lengths = [np.linalg.norm(found[0][0, 0], axis=0), np.sqrt(np.square(found[1]).sum(axis=(0, 1, 3)))]
        near, window = (np.maximum(length, TINY) for length in lengths)
        return [found[0] / near, found[1] / window[:, None]]
    for place, link in enumerate(found):
        columns, triangle = np.linalg.qr(link.reshape(-1, link.shape[-1]))
        found[place] = columns.reshape(link.shape)
        if place + 1 < len(found):
            found[place + 1] = triangle @ found[place + 1]
    return found


def _joined(whole: Floats, link: ChainLink, factor: Floats) -> Floats:
    """What links make of their taps, with one more."""
    return whole * factor.transpose(0, 1, 3, 2) if link.depthwise else whole @ factor


def _summed(array: Floats, shape: tuple[int, ...]) -> Floats:
    """An array summed along the axes in which it was repeated."""
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and array.shape[axis] > 1)
    return array.sum(axis=axes, keepdims=True)
