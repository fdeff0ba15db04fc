"""Whom to fine-tune of many candidates, and where they start from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgett.forms.front import Front
from edgett.forms.spec import Factors, Spec
from edgett.forms.start import Start, fitted
from edgett.job.job import Job
from edgett.meter import Meter
from edgett.search import explore as space
from edgett.search.constraints import DROP, Constraints
from edgett.search.solution import Solution
from edgett.workflow.inputs import Inputs
from edgett.workflow.proposal import Proposal
from edgett.workflow.pruning import of_each
from edgett.workflow.survey import Explored

if TYPE_CHECKING:
    from edgett.train.methods.method import Method
    from edgett.train.screening import Tryout, Untuned

SHORTLIST = 8
"""Candidates that are weighed for each one that is fine-tuned, where no convolution is in a form."""

FIRST, SECOND, NEIGHBOURS = 2, 3, 5
"""With convolutions: from all that there are, to learn where to look; from the rest; around each of those that lead."""

HOPE = 6.0
"""Times the drop allowed, of which fine-tuning may rid a model."""

MOST_ACCURATE = 2
"""Candidates that stay for their accuracy alone, where smaller ones hold as they start."""

FLOOR = 0.01
"""A loss that is as good as none: what the chance of the samples makes of it."""

Edit = tuple[str, Spec]
"""A layer by its path, and its form."""

Measured = tuple[Solution, float]
"""A solution with the loss that it starts with, and its drop."""


@dataclass(frozen=True)
class Promising:
    """The solutions to fine-tune, and where their layers start from that were fitted to data.

    That is by how many channels are gone, then by path and spec.
    """

    solutions: tuple[Solution, ...]
    starts: Mapping[int, Mapping[Edit, Start]] = field(default_factory=dict)


def promising(found: Proposal, job: Job, inputs: Inputs, limits: Constraints, meter: Meter) -> Promising:
    """Choose whom to fine-tune: spread out; where a loss is expected, by what is lost before any training.

    With a convolution in a form that is measured; with none it is told by what the layers lose on inputs of theirs.
    """
    able, limit = found.able, job.limit
    if any(item.windowed for item in able):
        return _measured(found, job, inputs, limits, meter)
    if limit is None or len(able) <= limit or any(item.loss is None for item in able):
        return Promising(space.spread_out(able, limit))
    return Promising(space.spread_out(_weighed(space.spread_out(able, SHORTLIST * limit), inputs, meter), limit))


def _weighed(some: Sequence[Solution], inputs: Inputs, meter: Meter) -> list[Solution]:
    """Solutions with what their layers lose on inputs of theirs, beyond what missing channels do, for the loss."""
    from edgett.model import weigh

    groups, losses = of_each(some), dict[int, float]()
    with meter.stage(
        "weighing the candidates", sum(len(weigh.specs_of(group)) for group in groups.values())
    ) as advance:
        for gone, group in groups.items():
            found = weigh.output_losses(inputs.source_of(gone), inputs.data.train.stream, group, advance)
            lost = inputs.pruned[gone].lost if gone else 0.0
            losses |= {item.number: lost + loss for item, loss in zip(group, found, strict=True)}
    return [replace(item, loss=losses[item.number]) for item in some]


def _measured(found: Proposal, job: Job, inputs: Inputs, limits: Constraints, meter: Meter) -> Promising:
    """Those that lead on the validation data with their layers as they start, as far as there is hope for them."""
    from edgett.model import weigh

    models, chosen = _Models(found, job, inputs), found.able
    if job.limit is not None and len(chosen) > job.limit:
        chosen = _leading(_Field(models, found.able, limits[DROP], meter), job.limit)
    groups = of_each(chosen)
    windowed = {gone: [item for item in weigh.specs_of(some) if item[1].windowed] for gone, some in groups.items()}
    with meter.stage("fitting the layers", sum(map(len, windowed.values()))) as advance:
        return Promising(chosen, {gone: models.begun(gone).of(some, advance) for gone, some in windowed.items()})


@dataclass(frozen=True)
class _Begun:
    """Where layers start from: as `starts` finds it, once; dense ones as `method` does before it trains.

    `work`: what a candidate takes to be measured, in FLOPs; no fit of a dense layer may take more.
    """

    exploration: Explored
    model: Any
    method: Method
    work: float
    known: dict[Edit, Start] = field(default_factory=dict)

    def of(self, wanted: Sequence[Edit], advance: Callable[[int], None]) -> dict[Edit, Start]:
        """Those of layers by path with their specs; `advance` hears of each."""
        missing = [item for item in wanted if item not in self.known]
        advance(len(wanted) - len(missing))
        self.known.update(starts(self.exploration, self.model, missing, advance, self._taught))
        return {item: self.known[item] for item in wanted}

    def _taught(self, path: str, spec: Spec) -> Factors | None:
        return self.method.factors({path: spec}).get(path) if spec.fit_work() <= self.work else None


class _Models:
    """The model that solutions are made of, and those without some channels, each by how many are gone."""

    def __init__(self, found: Proposal, job: Job, inputs: Inputs) -> None:
        self._found, self._job, self._inputs = found, job, inputs
        self._begun: dict[int, _Begun] = {}
        self._tryouts: dict[int, Tryout] = {}

    def begun(self, gone: int) -> _Begun:
        """Where its layers start from."""
        from edgett.train.methods import METHODS
        from edgett.train.screening import SAMPLES

        if gone not in self._begun:
            model, inputs = self._inputs.source_of(gone), self._inputs
            method = METHODS[self._job.recover](model, inputs.judge, inputs.data.train)
            work = SAMPLES * max(item.cost.flops for item in self._found.able)
            self._begun[gone] = _Begun(self._found.explored(gone), model, method, work)
        return self._begun[gone]

    def tryout(self, gone: int) -> Tryout:
        """What its solutions are measured in."""
        from edgett.model.weigh import specs_of
        from edgett.train.screening import Tryout

        if gone not in self._tryouts:
            paths = {path for path, _ in specs_of([item for item in self._found.able if item.gone == gone])}
            inputs = self._inputs
            self._tryouts[gone] = Tryout(inputs.source_of(gone), inputs.data.validation, inputs.judge, paths)
        return self._tryouts[gone]


@dataclass(frozen=True)
class _Field:
    """Candidates that are measured before any training; `most` is the drop that one may have after it."""

    models: _Models
    able: Sequence[Solution]
    most: float | None
    meter: Meter

    def measured(self, some: Sequence[Solution]) -> list[Measured]:
        """Each with the loss that was measured in place of the expected one, and its drop."""
        from edgett.model.weigh import specs_of
        from edgett.train.screening import screened

        groups = of_each(some)
        found: dict[int, Untuned] = {}
        specs = {gone: specs_of(group) for gone, group in groups.items()}
        with self.meter.stage("fitting the layers", sum(map(len, specs.values()))) as advance:
            begun = {gone: self.models.begun(gone).of(each, advance) for gone, each in specs.items()}
        whole = self.models.tryout(0).quality({}, {})
        with self.meter.stage(f"measuring {len(some)} candidates", len(some)) as advance:
            for gone, group in groups.items():
                starts = [(one, {item[0]: begun[gone][item] for item in one.edits.items()}) for one in group]
                told = screened(self.models.tryout(gone), starts, advance, whole)
                found |= {item.number: one for item, one in zip(group, told, strict=True)}
        for item in some:
            one = found[item.number]
            self.meter.note(f"solution {item.number}: loss {one.loss:.4f}, drop {one.drop:.2f} before any training")
        every = [(item, found[item.number]) for item in some]
        return [(replace(item, loss=max(one.loss, FLOOR)), one.drop) for item, one in every]

    def hopeful(self, drop: float) -> bool:
        """Whether fine-tuning may bring a drop under the limit."""
        return self.most is None or drop <= HOPE * max(self.most, 1.0)


def needful(some: Sequence[Solution], others: Sequence[Measured], most: float | None) -> list[Solution]:
    """Those of some solutions from which there is to be gained: where others hold as they start, the rest need not.

    Args:
        some: solutions.
        others: solutions, each with its drop before any training.
        most: the drop that a model may have; None: any.

    Returns:
        Those than which none of the others that hold takes both fewer bytes and less work.
    """
    holding = [other for other, drop in others if most is not None and drop <= most]
    return [
        item for item in some
        if not any(other.file_bytes < item.file_bytes and other.work < item.work for other in holding)
    ]  # fmt: skip


def _leading(field: _Field, limit: int) -> tuple[Solution, ...]:
    """As many candidates as `limit`, spread over those for which there is hope and from which there is to be gained.

    First a few of all are measured. What is expected to lose more than any hopeful one of these is not looked at again,
    nor what is larger and slower than one that holds already. Then some of the others are, and in the end those that
    are expected to lose least of what takes no more than one that would be chosen.
    """
    every = field.measured(space.spread_out(field.able, FIRST * limit))
    expected = {item.number: item.loss or 0.0 for item in field.able}
    most = max((expected[item.number] for item, drop in every if field.hopeful(drop)), default=0.0)
    near = needful([item for item in _others(field.able, every) if expected[item.number] <= most], every, field.most)
    every += field.measured(space.spread_out(near, SECOND * limit))
    every += field.measured(_no_larger(_others(field.able, every), _chosen(field, every, limit)))
    return _chosen(field, every, limit)


def _others(able: Sequence[Solution], every: Sequence[Measured]) -> list[Solution]:
    """Those that were not measured."""
    seen = {item.number for item, _ in every}
    return [item for item in able if item.number not in seen]


def _chosen(field: _Field, every: Sequence[Measured], limit: int) -> tuple[Solution, ...]:
    """So many of those that were measured."""
    best = [item for item, _ in sorted(every, key=lambda pair: pair[1])]
    able = needful([item for item, drop in every if field.hopeful(drop)], every, field.most)
    chosen = {item.number: item for item in (*able, *best[:MOST_ACCURATE], *best[: max(limit - len(able), 0)])}
    return space.spread_out(tuple(chosen.values()), limit)


def _no_larger(some: Sequence[Solution], chosen: Sequence[Solution]) -> list[Solution]:
    """For each that is chosen the few expected to lose least of some that take neither more bytes nor more work."""
    found: dict[int, Solution] = {}
    by_loss = sorted(some, key=lambda item: (item.loss or 0.0, item.number))
    for one in chosen:
        inside = (item for item in by_loss if item.file_bytes <= one.file_bytes and item.work <= one.work)
        found |= {item.number: item for item in itertools.islice(inside, NEIGHBOURS)}
    return list(found.values())


def starts(
    exploration: Explored,
    model: Any,
    wanted: Sequence[Edit],
    advance: Callable[[int], None],
    taught: Callable[[str, Spec], Factors | None] = lambda path, spec: None,
) -> dict[Edit, Start]:
    """Find where layers start from: fitted to what they are given, where that is known; else close to their weights.

    Args:
        exploration: what has been found.
        model: the dense model.
        wanted: layers by path with their specs.
        advance: hears of each.
        taught: the factors of a layer of which nothing was seen, where it knows some.

    Returns:
        A start for each.
    """
    from edgett.model.layers import kernels

    fronts = [front for _, front in exploration.layers if isinstance(front, Front)]
    seen = {front.layer.name: front.seen for front in fronts if front.seen is not None}
    weights = kernels(model, {path for path, _ in wanted if path not in seen})
    begun = {}
    for path, spec in wanted:
        if path in seen:
            begun[path, spec] = fitted(spec, seen[path])
        else:
            begun[path, spec] = Start(taught(path, spec) or spec.best(weights[path]))
        advance(1)
    return begun
