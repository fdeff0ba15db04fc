"""edgett's candidates against the common practice on a convolutional network: the same weights, data and epochs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer
from practice import PRACTICE, Edits, Network

from edgett.forms.start import Start
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.model.kinds import KINDS
from edgett.model.layers import compilation, kernels
from edgett.model.weigh import specs_of
from edgett.model.worth import Wish, replaceable
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.quality import Quality
from edgett.search.solution import Candidate, Solution
from edgett.target.profile import constraints, load_target
from edgett.train import finetune
from edgett.train.assess import assess
from edgett.train.rates import unscheduled
from edgett.train.screening import Tryout, screened
from edgett.workflow import inputs
from edgett.workflow.promising import starts
from edgett.workflow.proposal import Proposal, proposed
from edgett.workflow.survey import Room, graphs
from edgett.workflow.terms import baseline

OURS = "edgett"
POINTS = ((0.62, 0.62), (0.43, 0.45))
"""Shares of the network's parameters and FLOPs that may be left."""

TRIED = 40
"""Of our candidates at a point, those that are measured before one is trained."""

TARGET = "host"


@dataclass(frozen=True)
class Ground:
    """What all are compared on."""

    job: Job
    loaded: inputs.Inputs
    found: Proposal
    dense: Solution
    graph: Any
    network: Network

    def shares(self, solution: Solution) -> tuple[float, float]:
        """Of the parameters and FLOPs."""
        mine, whole = solution.cost, self.dense.cost
        return mine.params / whole.params, mine.flops / whole.flops


def convolutions(
    results: Annotated[Path, typer.Argument(help="A line a trial; it goes on where it was stopped.")],
    model: Annotated[str, typer.Option(help="A trained network.")],
    data: Annotated[str, typer.Option(help="cifar10.npz")],
    seeds: Annotated[int, typer.Option(help="Fine-tunings from so many seeds.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning.")] = 3,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join((OURS, *PRACTICE))}.")] = None,
) -> None:
    """Before and after fine-tuning, at the same shares of parameters and FLOPs: edgett's pick, and common practice."""
    known = {(row["method"], *row["point"], row["seed"], row["epochs"]) for row in _rows(results)}
    finetune.make_deterministic()
    base = ground_of(Job(TARGET, model, data, search=Strategy.PARETO, epochs=epochs))
    for point in POINTS:
        ground = replace(base, network=replace(base.network, fits=partial(_fits, base, point)))
        for method in only or (OURS, *PRACTICE):
            left = [seed for seed in range(seeds) if (method, *point, seed, epochs) not in known]
            for row in _trials(ground, method, point, left) if left else ():
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row | {"epochs": epochs}) + "\n")
    show(results)


def ground_of(job: Job) -> Ground:
    """What all points have in common; nothing fits into no point."""
    loaded = inputs.load(job, Silent())
    graph = graphs(loaded.model)
    dense = space.dense_solution(graph(frozenset()))
    limits = constraints(load_target(job.target), baseline(dense))
    found = proposed(job, loaded.source, Room(graph, limits, x=loaded.data.train.x), Silent())
    layers = {
        item.layer.name: item.layer
        for item in replaceable(loaded.source, Wish(job.least_share), KINDS)
        if item.excluded is None and item.layer.window
    }
    weights = kernels(loaded.source, layers)
    tryout = Tryout(loaded.source, loaded.data.validation, loaded.judge, layers)

    def accuracy(path: str, spec: Any) -> float:
        return tryout.quality({path: spec}, {path: Start(spec.best(weights[path]))}).scores[0].value

    return Ground(job, loaded, found, dense, graph, Network(layers, weights, lambda some: None, accuracy))


def _fits(ground: Ground, point: tuple[float, float], some: Sequence[Edits]) -> Edits | None:
    solutions = space.solutions([Candidate(one, 0.0) for one in some], ground.graph)
    able = (edits for edits, one in zip(some, solutions, strict=True) if _within(one, ground.dense, point))
    return next(able, None)


def _within(solution: Solution, dense: Solution, point: tuple[float, float]) -> bool:
    params, flops = point
    return solution.cost.params <= params * dense.cost.params and solution.cost.flops <= flops * dense.cost.flops


def _trials(ground: Ground, method: str, point: tuple[float, float], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    job, loaded = ground.job, ground.loaded
    ours = method == OURS
    begun = leading(ground, ground.found, point) if ours else _theirs(ground, method)
    if begun is None:
        print(f"{method}: nothing fits", flush=True)
        return
    solution, known = begun
    params, flops = ground.shares(solution)
    at_start = {path: known[path, spec] for path, spec in solution.edits.items()}
    tryout = Tryout(loaded.source, loaded.data.validation, loaded.judge, solution.edits)
    for seed in seeds:
        if ours:
            recipe = finetune.Recipe(job.epochs, job.batch_size, seed, recover=job.recover)
            tuner = finetune.Tuner(
                loaded.source, loaded.data.train, loaded.data.validation, loaded.judge, recipe, known
            )
            at_start = dict(tuner.beginnings.of(solution))
            after = tuner.run(finetune.Task(solution, job.epochs), lambda units: None).quality
        else:
            after = _fitted(ground, solution, at_start, seed)
        (before,) = screened(tryout, [(solution, at_start)])
        row = {"method": method, "point": point, "seed": seed, "params": params, "flops": flops}
        row |= {"before": before.drop, "after": after.drop_from(loaded.quality)}
        print(f"{method} {point} seed {seed}: {row['before']:.2f} -> {row['after']:.2f}", flush=True)
        yield row


def leading(ground: Ground, found: Proposal, point: tuple[float, float]) -> tuple[Solution, Mapping[Any, Start]] | None:
    """Of the candidates that fit those expected to lose least, measured; the best of them, and where it starts."""
    loaded = ground.loaded
    able = [item for item in found.able if _within(item, ground.dense, point)]
    some = sorted(able, key=lambda item: item.loss or 0.0)[:TRIED]
    if not some:
        return None
    known = starts(found.exploration, loaded.source, specs_of(some), lambda done: None)
    paths = {path for one in some for path in one.edits}
    tryout = Tryout(loaded.source, loaded.data.validation, loaded.judge, paths)
    begun = [(one, {path: known[path, spec] for path, spec in one.edits.items()}) for one in some]
    lost = [one.loss for one in screened(tryout, begun)]
    best = some[lost.index(min(lost))]
    return best, {item: known[item] for item in best.edits.items()}


def _theirs(ground: Ground, method: str) -> tuple[Solution, Mapping[Any, Start]] | None:
    """Decomposed weights, as most programs begin."""
    edits = PRACTICE[method](ground.network)
    if edits is None:
        return None
    (solution,) = space.solutions([Candidate(edits, 0.0)], ground.graph)
    weights = ground.network.weights
    return solution, {(path, spec): Start(spec.best(weights[path])) for path, spec in edits.items()}


def _fitted(ground: Ground, solution: Solution, begun: Mapping[str, Start], seed: int) -> Quality:
    """Fine-tune with Keras' own `fit`, all as it was compiled, the rate falling to zero over the epochs."""
    loaded, job = ground.loaded, ground.job
    keras.utils.set_random_seed(seed)
    model = finetune.compressed(loaded.source, solution, loaded.judge, begun)
    given = compilation(model)
    model.compile(**given | {"optimizer": unscheduled(given["optimizer"]), "metrics": None})
    train = loaded.data.train
    steps = finetune.batches(len(train), job.batch_size) * job.epochs
    (labels,) = train.y.values()
    model.fit(dict(train.x), labels, job.batch_size, job.epochs, verbose=0, callbacks=[_Falling(steps)])
    return assess(model, loaded.data.validation, loaded.judge)


class _Falling(keras.callbacks.Callback):
    """The rate falls linearly to zero."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps, self._done, self._first = steps, 0, 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        self._first = float(self.model.optimizer.learning_rate)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate.assign(self._first * (1 - self._done / self._steps))
        self._done += 1


def show(results: Path) -> None:
    """Print the table of results."""
    rows = list(_rows(results))
    print("| method | parameters, FLOPs left | drop before | drop after (seeds) |\n|---|---|---|---|")
    for point in dict.fromkeys(tuple(row["point"]) for row in rows):
        for method in (OURS, *PRACTICE):
            some = [row for row in rows if row["method"] == method and tuple(row["point"]) == point]
            if some:
                after = sorted(row["after"] for row in some)
                spread = f"{np.median(after):.2f} ({after[0]:.2f} .. {after[-1]:.2f})"
                costs = f"{some[0]['params']:.2f}, {some[0]['flops']:.2f}"
                print(f"| {method} | {costs} | {some[0]['before']:.2f} | {spread} |")


def _rows(results: Path) -> Iterator[dict[str, Any]]:
    if results.exists():
        yield from map(json.loads, results.read_text(encoding="utf-8").splitlines())
