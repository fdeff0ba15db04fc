"""Channels removed, ranks lowered, and both together, at the same shares of parameters and FLOPs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from compare_convolutions import TARGET, TRIED

from edgett.forms.start import Start
from edgett.job.choices import Recover
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.model.slim.pruned import Pruning
from edgett.model.weigh import output_losses, specs_of
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.solution import Solution
from edgett.target.profile import constraints, load_target
from edgett.train import finetune
from edgett.train.methods.distill import Distill
from edgett.train.screening import Tryout
from edgett.workflow import inputs
from edgett.workflow.promising import SHORTLIST, starts
from edgett.workflow.proposal import proposed
from edgett.workflow.pruning import SHARES
from edgett.workflow.survey import Room, graphs
from edgett.workflow.terms import baseline

TRAINED = 8
"""Candidates that are trained where none was measured; the best of them counts."""

WAYS = ("ranks", "channels", "both")


@dataclass(frozen=True)
class Contender:
    """A solution of some source, where its layers start from, and its loss before training."""

    source: Any
    solution: Solution
    starts: dict[Any, Start]
    loss: float
    removed: float


class Ground:
    """What all are compared on."""

    def __init__(self, model: str, data: str, epochs: int) -> None:
        self.job = Job(TARGET, model, data, search=Strategy.PARETO, epochs=epochs)
        self.loaded = inputs.load(self.job, Silent())
        self.dense = space.dense_solution(graphs(self.loaded.model)(frozenset()))
        self.limits = constraints(load_target(TARGET), baseline(self.dense))
        self.pruning = Pruning(self.loaded.source, self.loaded.data.train.stream)
        self._found: dict[float, Any] = {}

    def shares(self, solution: Solution) -> tuple[float, float]:
        return solution.cost.params / self.dense.cost.params, solution.cost.flops / self.dense.cost.flops

    def within(self, solution: Solution, point: tuple[float, float]) -> bool:
        return all(mine <= most for mine, most in zip(self.shares(solution), point, strict=True))

    def cut(self, share: float) -> Any:
        pruned = self.pruning.pruned(share) if share < 1 else None
        return self.loaded.source if pruned is None else pruned.of(self.loaded.source)

    def found(self, share: float) -> Any:
        if share not in self._found:
            source = self.cut(share)
            graph = graphs(source)
            room = Room(graph, self.limits, x=self.loaded.data.train.stream)
            found = proposed(self.job, source, room, Silent())
            whole = space.dense_solution(graph(frozenset()))
            print(f"share {share}: {self.shares(whole)}, {len(found.able)} candidates", flush=True)
            self._found[share] = source, found, whole
        return self._found[share]

    def weighed(self, share: float, point: tuple[float, float]) -> list[Contender]:
        """Of fully connected layers: by what they lose on inputs of theirs, and what the missing channels do."""
        source, found, _ = self.found(share)
        some = sorted((item for item in found.able if self.within(item, point)), key=lambda item: item.loss or 0.0)
        some = some[: TRIED * SHORTLIST]
        losses = output_losses(source, self.loaded.data.train.stream, some, lambda done: None)
        pruned = self.pruning.pruned(share) if share < 1 else None
        lost = 0.0 if pruned is None else pruned.lost
        return [Contender(source, one, {}, lost + loss, share) for one, loss in zip(some, losses, strict=True)]

    def measured(self, share: float, point: tuple[float, float]) -> Iterator[Contender]:
        """With convolutions: by the loss that is measured."""
        source, found, whole = self.found(share)
        some = [item for item in found.able if self.within(item, point)]
        some = sorted(some, key=lambda item: item.loss or 0.0)[:TRIED]
        known = starts(found.exploration, source, specs_of(some), lambda done: None)
        paths = {path for one in some for path in one.edits}
        tryout = Tryout(source, self.loaded.data.validation, self.loaded.judge, paths)
        for one in [*some, *([whole] if self.within(whole, point) and share < 1 else [])]:
            begun = {path: known[path, spec] for path, spec in one.edits.items()}
            yield Contender(source, one, known, _loss(tryout.quality(one.edits, begun)), share)

    def best(self, way: str, point: tuple[float, float]) -> list[Contender]:
        """Whom to train: one where all were measured, else as many as a run might."""
        if way == "channels":
            low, high = 0.0, 1.0
            for _ in range(12):
                middle = (low + high) / 2
                whole = space.dense_solution(graphs(self.cut(middle))(frozenset()))
                low, high = (middle, high) if self.within(whole, point) else (low, middle)
            source = self.cut(low)
            whole = space.dense_solution(graphs(source)(frozenset()))
            tryout = Tryout(source, self.loaded.data.validation, self.loaded.judge, ())
            return [Contender(source, whole, {}, _loss(tryout.quality({}, {})), low)]
        every: list[Contender] = []
        shares = (1.0,) if way == "ranks" else SHARES
        if not any(item.windowed for item in self.found(1.0)[1].able):
            every = [one for share in shares for one in self.weighed(share, point)]
            return sorted(every, key=lambda one: one.loss)[:TRAINED]
        for share in shares:
            some = list(self.measured(share, point))
            if some:
                here = min(some, key=lambda one: one.loss)
                print(f"{way} {point} share {share}: loss {here.loss:.4f} {self.shares(here.solution)}", flush=True)
                every.append(here)
            elif every:
                break
        return sorted(every, key=lambda one: one.loss)[:1]


def _loss(quality: Any) -> float:
    return float(quality.loss)


def prune(
    results: Annotated[Path, typer.Argument(help="A line a trial; it goes on where it was stopped.")],
    model: Annotated[str, typer.Option(help="A trained network, or example:lenet300.")],
    data: Annotated[str, typer.Option(help="Its data.")],
    point: Annotated[list[str], typer.Option(help="Shares of parameters and FLOPs that may be left: 0.45,0.44")],
    seeds: Annotated[int, typer.Option(help="Fine-tunings from so many seeds.")] = 2,
    epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning.")] = 3,
    samples: Annotated[int | None, typer.Option(help="Training samples; all.")] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(WAYS)}.")] = None,
) -> None:
    """Before and after fine-tuning: ranks lowered, channels removed, both."""
    finetune.make_deterministic()
    ground: Ground | None = None
    for text in point:
        here = tuple(map(float, text.split(",")))
        for way in only or WAYS:
            about = {"model": Path(model).stem, "point": list(here), "way": way, "epochs": epochs, "samples": samples}
            known = {row["seed"] for row in _rows(results) if about.items() <= row.items()}
            left = [seed for seed in range(seeds) if seed not in known]
            if not left:
                continue
            ground = ground or Ground(model, data, epochs)
            best = ground.best(way, (here[0], here[1]))
            for seed in left if best else ():
                rows = [_trained(ground, one, seed, samples) for one in best]
                row = about | {"seed": seed} | min(rows, key=lambda row: float(row["drop"]))
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    show(results)


def _trained(ground: Ground, one: Contender, seed: int, samples: int | None) -> dict[str, Any]:
    loaded, epochs = ground.loaded, ground.job.epochs
    train = loaded.data.train if samples is None else loaded.data.train.take(slice(samples))
    recipe = finetune.Recipe(epochs, ground.job.batch_size, seed, recover=Recover.DISTILL)
    tutor = Distill(loaded.source, loaded.judge, train)
    tuner = finetune.Tuner(one.source, train, loaded.data.validation, loaded.judge, recipe, one.starts, tutor=tutor)
    tuned = tuner.run(finetune.Task(one.solution, epochs), lambda batches: None)
    return {
        "shares": ground.shares(one.solution), "removed": one.removed, "loss_before": one.loss,
        "drop": float(tuned.quality.drop_from(loaded.quality)), "loss": tuned.quality.loss, "seconds": tuned.seconds,
        "forms": {path: str(spec) for path, spec in one.solution.edits.items()},
    }  # fmt: skip


def show(results: Path) -> None:
    """Print the table of results."""
    print("| network | parameters, FLOPs left | way | left by channels | loss before | points lost after | seeds |")
    print("|---|---|---|---:|---:|---:|---:|")
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in _rows(results):
        groups.setdefault((row["model"], *row["point"], row["way"], row["epochs"]), []).append(row)
    for (model, *_, way, _), some in groups.items():
        drops, (params, flops) = [row["drop"] for row in some], some[0]["shares"]
        print(
            f"| {model} | {params:.3f}, {flops:.3f} | {way} | {some[0]['removed']:.2f} | {some[0]['loss_before']:.3f}"
            f" | {statistics.fmean(drops):.2f} ({min(drops):.2f} .. {max(drops):.2f}) | {len(some)} |"
        )


def _rows(results: Path) -> Iterator[dict[str, Any]]:
    if results.exists():
        yield from map(json.loads, results.read_text(encoding="utf-8").splitlines())
