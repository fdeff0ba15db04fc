"""The space of a form for convolutions: the ranks it may have, fitted to what the layer puts out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.forms import cost
from edgett.forms.convolution.chain import Chain, spread
from edgett.forms.convolution.fit import Fitter, Head, shares, work
from edgett.forms.dominance import thinned_to, undominated
from edgett.forms.error import Bracket, normalised
from edgett.forms.form import Form
from edgett.forms.front import ONE, Front, Search, Space, loss_of, nothing
from edgett.forms.moments import Moments, of_patches
from edgett.forms.site import Cost, Layer, too_large
from edgett.forms.spec import Matrix

Floats = NDArray[np.float64]
Costs = dict[Chain, Cost]

FITTED = 24
"""So many chains of a layer are fitted at most; they stand for those of ranks between."""

FEWEST = 8
"""So many are, however long it takes."""

LEAST = 4
"""Looks that a fit takes at least, what is around it among them."""

WORK = 2e11
"""FLOPs that all fits of a form may take about."""

LOOKS = 120
"""How often a fit may look at most: it begins near its end. With 40, fits in CP lost a tenth more."""

UNITS = 24
"""Of work, for a progress bar."""


class Chained(Form):
    """A convolution as a chain of smaller ones, in one of the ways that there are."""

    def __init__(self, spec: type[Chain]) -> None:
        """Open the space of a class of chains."""
        self.spec: type[Chain] = spec

    def unfit(self, layer: Layer) -> str | None:
        """Why a layer is no convolution, or none that a chain can be smaller than; see `Form.unfit`."""
        if layer.window is None:
            return f"{layer.size}: it is no convolution"
        if (reason := too_large(layer) or self.spec.unfit(layer)) is not None:
            return reason
        weights = layer.inputs * layer.outputs
        smaller = any(spec.params < weights for spec in self.spec.every(layer, 1))
        return None if smaller else f"{layer.size}: no chain of smaller convolutions is smaller"

    def units(self, layer: Layer) -> int:
        """Count as many for every layer; see `Form.units`."""
        return UNITS

    def space(self, layer: Layer, search: Search) -> Space:
        """List the chains of a layer of which no weight is known.

        Args:
            layer: a layer that is not `unfit`.
            search: which ranks there may be, and bounds.

        Returns:
            Those that are smaller and cheaper than dense.
        """
        count, able = self._able(layer, search)
        return Space(layer, count, tuple(able), tuple(able.values()))

    def front(
        self,
        layer: Layer,
        weight: Matrix,
        search: Search,
        advance: Callable[[int], None],
        seen: Moments | None = None,
    ) -> Front:
        """Fit chains of all sizes to what the layer puts out, and give those that nothing beats; see `Form.front`.

        Ranks run up to what is smaller than dense, whatever `search.max_rank` says: that is for bonds of tensor trains.
        Losses and errors are those of the outputs, or of the weight where nothing is known of the inputs; the fitted
        links are kept with the moments. Errors are bracketed from below by what no weight of that rank can reach.
        """
        count, able = self._able(layer, search)
        scaled = normalised(weight)
        if not able:
            advance(UNITS)
            return nothing(layer, count, search)
        if scaled is None:
            advance(UNITS)
            found = dict.fromkeys(able, Bracket(0.0, 0.0, 0.0))
        else:
            wanted = seen if seen is not None and seen.usable else of_patches(np.asarray(weight, np.float32), None)
            found = _fitted(able, wanted, advance)
        front = Front(
            layer,
            count,
            tuple(found),
            tuple(able[spec] for spec in found),
            tuple(loss_of(error.estimate**2) for error in found.values()),
            tuple(found.values()),
        )
        return front.efficient()

    def _able(self, layer: Layer, search: Search) -> tuple[int, Costs]:
        """How many chains there are; those smaller and cheaper than dense and inside the bounds, and what they cost."""
        specs = list(self.spec.every(layer, search.rank_multiple))
        dense, most = cost.dense(layer), math.inf if search.most_peak is None else search.most_peak
        bias = layer.outputs * layer.bias
        costs = {spec: cost.held(layer, spec) for spec in specs if spec.params + bias < dense.params}
        able = {spec: each for spec, each in costs.items() if each.flops < dense.flops and each.peak_elements <= most}
        return len(specs), able


def _fitted(able: Costs, wanted: Moments, advance: Callable[[int], None]) -> dict[Chain, Bracket]:
    """Some chains fitted, with the error of their outputs."""
    families = [list(alike) for _, alike in itertools.groupby(able, key=lambda spec: spec.head)]
    found: dict[Chain, Bracket] = {}
    chosen = [_chosen(able, family, wanted) for family in families]
    count, done = sum(map(len, chosen)), 0
    for some in chosen:
        for spec, error in _one_by_one(some, wanted):
            found[spec] = error
            done += 1
            advance(UNITS * done // count - UNITS * (done - 1) // count)
    return found


def _one_by_one(specs: Sequence[Chain], wanted: Moments) -> Iterator[tuple[Chain, Bracket]]:
    """Each chain fitted; of one rank, it begins where the one before it ended."""
    floors = [shares(specs[0], wanted, rows) for rows, _ in specs[0].cuts if wanted.moment is None or rows == "hwc"]
    known = [place for place, (rows, _) in enumerate(specs[0].cuts) if wanted.moment is None or rows == "hwc"]
    looks = min(LOOKS, max(int(WORK / sum(map(work, specs))), 1))
    fitter = Fitter(specs[0], wanted)
    before: tuple[Chain, Head] | None = None
    for spec in specs:
        if spec not in wanted.kept:
            grows = before is not None and len(spec.ranks) == 1 and spec.links[0].outputs > before[0].links[0].outputs
            heads = [fitter.grown(spec, *before)] if before is not None and grows else []
            if spec.head and not (heads and looks == 1):
                heads.append(fitter.start(spec))
            head, wanted.kept[spec] = fitter.fitted(spec, heads, looks)
            before = (spec, head) if spec.head else None
        lost = wanted.lost(spec.dense(wanted.kept[spec]))
        floor = max((each[spec.cuts[place][1]] for each, place in zip(floors, known, strict=True)), default=0.0)
        yield spec, Bracket(math.sqrt(min(floor, lost)), math.sqrt(lost), math.sqrt(lost))


def _chosen(able: Costs, family: Sequence[Chain], wanted: Moments) -> list[Chain]:
    """The chains of a family that are fitted, ascending; of several ranks those that lose least by an estimate."""
    params = np.array([able[spec].params for spec in family])
    order = np.argsort(params, kind="stable")
    family = [family[place] for place in order]
    typical = float(np.mean([work(spec) for spec in family]))
    count = int(min(FITTED, max(WORK / (LEAST * typical), FEWEST)))
    if len(family[0].ranks) == 1:
        return [family[place] for place in spread(params[order].tolist(), count)]
    flops = np.array([able[spec].flops for spec in family])
    heads = {spec.links[: spec.head]: spec for spec in family}
    looks = sum(map(work, heads.values())) <= WORK
    losses = (_looked if looks else estimates)(family, wanted)
    rows = undominated([params[order], flops, np.rint(losses * ONE).astype(np.int64)])
    rows = rows[thinned_to([params[order][rows], flops[rows], losses[rows]], count)[0]]
    return [family[row] for row in sorted(rows)]


def _looked(family: Sequence[Chain], wanted: Moments) -> Floats:
    """What chains of several ranks lose before they are fitted: a look at a head tells it of all tails."""
    fitter, known = Fitter(family[0], wanted), dict[Any, Floats]()
    for spec in family:
        if (links := spec.links[: spec.head]) not in known:
            known[links] = fitter.losses(spec, fitter.start(spec))
    lost = [known[spec.links[: spec.head]][spec.ranks[-1]] for spec in family]
    return np.maximum(lost, 1e-15)


def estimates(family: Sequence[Chain], wanted: Moments) -> Floats:
    """About what chains of several ranks lose: what each unfolding loses by itself, seen through its inputs."""
    kept = np.ones(len(family))
    for place, (rows, _) in enumerate(family[0].cuts):
        beyond = shares(family[0], wanted, rows)
        kept *= 1 - beyond[[spec.cuts[place][1] for spec in family]]
    return np.maximum(1 - kept, 1e-15)
