"""What all forms together are worth: against each of them alone, before any fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import typer
from compare_convolutions import TARGET, Ground, ground_of, leading

from edgett.forms.convolution.chain import Chain
from edgett.forms.convolution.channel_svd import ChannelSVD
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.form import Chained
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.front import Front
from edgett.forms.site import Found
from edgett.job.job import Job
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.solution import Candidate
from edgett.search.together import together
from edgett.search.whole import MOST_CANDIDATES, Whole
from edgett.train import finetune
from edgett.train.screening import Tryout, screened
from edgett.workflow.proposal import Proposal

LEFT = (0.8, 0.62, 0.5, 0.4, 0.3)
"""Shares of the network's parameters and FLOPs that may be left."""

KINDS: tuple[type[Chain], ...] = (CP, SpatialSVD, ChannelSVD, Tucker2, TTConv)


def forms(
    model: Annotated[str, typer.Option(help="A trained network.")],
    data: Annotated[str, typer.Option(help="cifar10.npz")],
    left: Annotated[list[float] | None, typer.Option(help=f"Of {', '.join(map(str, LEFT))}, or others.")] = None,
) -> None:
    """The drop before fine-tuning, at most these shares of parameters and FLOPs left: all forms, and each alone."""
    shares = left or LEFT
    finetune.make_deterministic()
    ground = ground_of(Job(TARGET, model, data, search=Strategy.PARETO))
    print(f"| forms | {' | '.join(f'{share:g}' for share in shares)} |\n|---{'|---' * len(shares)}|", flush=True)
    print(_row("all", ground, ground.found, shares), flush=True)
    for kind in KINDS:
        print(_row(f"{kind.title} alone", ground, _alone(ground, kind), shares), flush=True)


def _row(title: str, ground: Ground, found: Proposal, shares: Sequence[float]) -> str:
    drops = (_drop(ground, found, share) for share in shares)
    return f"| {title} | {' | '.join('nothing' if drop is None else f'{drop:.2f}' for drop in drops)} |"


def _drop(ground: Ground, found: Proposal, share: float) -> float | None:
    """That of the candidate that leads, fitted as `compress` fits it."""
    begun = leading(ground, found, (share, share))
    if begun is None:
        return None
    (solution, known), loaded, job = begun, ground.loaded, ground.job
    recipe = finetune.Recipe(job.epochs, job.batch_size, job.seed)
    tuner = finetune.Tuner(loaded.source, loaded.data.train, loaded.data.validation, loaded.judge, recipe, known)
    tryout = Tryout(loaded.source, loaded.data.validation, loaded.judge, solution.edits)
    (untuned,) = screened(tryout, [(solution, tuner.beginnings.of(solution))])
    return untuned.drop


def _alone(ground: Ground, kind: type[Chain]) -> Proposal:
    """The same space with one form for convolutions; 1x1 ones as SVDs."""
    found = ground.found
    assert isinstance(found.exploration, Whole)
    layers = tuple(_fronts(found.exploration, kind, ground))
    fronts = [front for _, front in layers]
    few = together(fronts, [1] * len(fronts)).thinned(MOST_CANDIDATES)
    candidates = [
        Candidate({front.layer.name: spec for front, spec in zip(fronts, specs, strict=True) if spec}, float(loss))
        for specs, loss in zip(few.specs, few.loss, strict=True)
    ]
    able = space.solutions(candidates, ground.graph)
    return replace(found, exploration=replace(found.exploration, layers=layers), able=able)


def _fronts(exploration: Whole, kind: type[Chain], ground: Ground) -> Iterator[tuple[Found, Front]]:
    for item, front in exploration.layers:
        if front is None or item.layer.window is None or item.excluded is not None:
            continue
        form = Chained(kind)
        if form.unfit(item.layer) is not None:
            form = Chained(PointwiseSVD)
        weight = ground.network.weights[item.layer.name]
        made = form.front(item.layer, weight, exploration.search, lambda units: None, front.seen)
        yield item, replace(made, seen=front.seen)
