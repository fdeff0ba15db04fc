"""What tells, before any training, which candidates of a network will be accurate after fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer
from compare_convolutions import TARGET, Ground, ground_of
from scipy.stats import spearmanr

from edgett.forms.front import Front
from edgett.forms.moments import target
from edgett.forms.start import Start
from edgett.job.job import Job
from edgett.model.layers import kernels
from edgett.model.weigh import some_inputs, specs_of
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.solution import Solution
from edgett.train import finetune
from edgett.train.screening import Tryout, screened
from edgett.workflow.promising import starts

SAMPLES = 1024
"""Validation samples whose feature maps are compared."""

MOST = 24.0
"""Points that a candidate may lose before fine-tuning: of those that lose more, everything tells that they are bad."""

PROXIES = {
    "weight": "error of the weights, decomposed, summed over the layers",
    "outputs": "error of the outputs of each layer, fitted, summed",
    "expected": "what is summed in the search, from that of a few ranks",
    "maps": "1 - cosine of the feature maps, dense and compressed",
    "drop": "measured drop",
    "loss": "measured loss",
    "begun": "measured loss where training starts: dense layers fitted, convolutions also one after the other",
}


def proxies(
    results: Annotated[Path, typer.Argument(help="A line a trial; it goes on where it was stopped.")],
    model: Annotated[str, typer.Option(help="A trained network.")],
    data: Annotated[str, typer.Option(help="Its data.")],
    seed: Annotated[list[int] | None, typer.Option(help="Of the fine-tunings; 0, 1 and 2.")] = None,
    limit: Annotated[int, typer.Option(help="Candidates.")] = 10,
    epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning.")] = 1,
) -> None:
    """The rank correlation of every proxy with the drop after fine-tuning, over the same candidates."""
    known = {(row["model"], row["solution"], row["seed"], row["epochs"]) for row in _rows(results)}
    finetune.make_deterministic()
    ground = ground_of(Job(TARGET, model, data, search=Strategy.PARETO, epochs=epochs))
    name, seeds = Path(model).stem, seed or [0, 1, 2]
    for solution, begun in _chosen(ground, limit):
        left = [one for one in seeds if (name, solution.number, one, epochs) not in known]
        told = _told(ground, solution, begun) if left else {}
        for one in left:
            row = {"model": name, "solution": solution.number, "seed": one, "epochs": epochs, **told}
            row["after"] = _after(ground, solution, begun, one)
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name} seed {one} {solution.number}: {row['drop']:.2f} -> {row['after']:.2f}", flush=True)
    show(results)


def _chosen(ground: Ground, limit: int) -> list[tuple[Solution, Mapping[str, Start]]]:
    """Candidates that are spread out, with where their layers start from, each fitted for itself."""
    loaded, found = ground.loaded, ground.found
    some = space.spread_out(found.able, 3 * limit)
    known = starts(found.exploration, loaded.source, specs_of(some), lambda done: None)
    begun = [(one, {path: known[path, spec] for path, spec in one.edits.items()}) for one in some]
    paths = {path for one in some for path in one.edits}
    lost = screened(Tryout(loaded.source, loaded.data.validation, loaded.judge, paths), begun)
    able = [pair for pair, one in zip(begun, lost, strict=True) if one.drop <= MOST]
    return able[:limit]


def _tuner(ground: Ground, solution: Solution, begun: Mapping[str, Start], seed: int) -> finetune.Tuner:
    loaded, job = ground.loaded, ground.job
    recipe = finetune.Recipe(job.epochs, job.batch_size, seed, recover=job.recover)
    known = {(path, spec): begun[path] for path, spec in solution.edits.items() if spec.windowed}  # as `compress` does
    return finetune.Tuner(loaded.source, loaded.data.train, loaded.data.validation, loaded.judge, recipe, known)


def _after(ground: Ground, solution: Solution, begun: Mapping[str, Start], seed: int) -> float:
    tuned = _tuner(ground, solution, begun, seed).run(finetune.Task(solution, ground.job.epochs), lambda units: None)
    return tuned.quality.drop_from(ground.loaded.quality)


def _told(ground: Ground, solution: Solution, begun: Mapping[str, Start]) -> dict[str, float]:
    """What is known before any training."""
    loaded = ground.loaded
    tryout = Tryout(loaded.source, loaded.data.validation, loaded.judge, solution.edits)
    better = _tuner(ground, solution, begun, 0).beginnings.of(solution)
    alone, best = screened(tryout, [(solution, begun), (solution, better)])
    return {
        "weight": _weights(ground, solution),
        "outputs": _outputs(ground, solution, begun),
        "expected": solution.loss or 0.0,
        "maps": _maps(ground, solution, begun),
        "drop": alone.drop,
        "loss": alone.loss,
        "begun": best.loss,
        "params": solution.cost.params,
        "flops": solution.cost.flops,
    }


def _weights(ground: Ground, solution: Solution) -> float:
    weights = kernels(ground.loaded.source, set(solution.edits))
    lost = (
        np.sum((spec.dense(spec.best(weights[path])) - weights[path]) ** 2) / np.sum(weights[path] ** 2)
        for path, spec in solution.edits.items()
    )
    return float(sum(lost))


def _outputs(ground: Ground, solution: Solution, begun: Mapping[str, Start]) -> float:
    """Of convolutions about their means, which biases make up for."""
    fronts = [front for _, front in ground.found.exploration.layers if isinstance(front, Front)]
    seen = {front.layer.name: front.seen for front in fronts if front.seen is not None}
    left = solution.edits.keys() - seen.keys()
    source = ground.loaded.source
    inputs = some_inputs(source, ground.loaded.data.train.x, left) if left else {}
    weights = kernels(source, left)
    seen |= {path: target(weights[path].astype(np.float32), inputs[path]) for path in left}
    return sum(seen[path].lost(spec.dense(begun[path].factors)) for path, spec in solution.edits.items())


def _maps(ground: Ground, solution: Solution, begun: Mapping[str, Start]) -> float:
    """How unlike the feature maps are that the layers put out (the idea of arXiv 2510.00062): the mean over layers."""
    loaded = ground.loaded
    x = {name: values[:SAMPLES] for name, values in loaded.data.validation.x.items()}
    twin = finetune.compressed(loaded.source, solution, loaded.judge, begun)
    made = [_made(model, [*solution.edits], x) for model in (loaded.source, twin)]
    return float(np.mean([1 - _cosine(dense, other) for dense, other in zip(*made, strict=True)]))


def _made(model: keras.Model, paths: Sequence[str], x: Mapping[str, Any]) -> list[Any]:
    reader = keras.Model(model.inputs, [model.get_layer(path).output for path in paths])
    found: list[Any] = keras.tree.flatten(reader.predict(dict(x), verbose=0))
    return found


def _cosine(one: Any, other: Any) -> float:
    """The mean over samples."""
    one, other = (values.reshape(len(values), -1) for values in (one, other))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.mean(np.sum(one * other, axis=1) / np.maximum(lengths, 1e-12)))


def show(results: Path) -> None:
    """Print the table of results, a column for a model and its epochs."""
    rows = list(_rows(results))
    columns = list(dict.fromkeys((row["model"], row["epochs"]) for row in rows))
    titles = [f"{model}, epochs: {epochs}" for model, epochs in columns]
    print(f"| Spearman with the drop after fine-tuning | {' | '.join(titles)} |\n|---{'|---' * len(columns)}|")
    for proxy, words in PROXIES.items():
        cells = []
        for column in columns:
            here = [row for row in rows if (row["model"], row["epochs"]) == column]
            runs = [[row for row in here if row["seed"] == seed] for seed in sorted({row["seed"] for row in here})]
            told = [_rank(run, proxy) for run in runs]
            cells.append(f"{np.median(told):.2f} ({min(told):.2f} .. {max(told):.2f})")
        print(f"| {words} | {' | '.join(cells)} |")


def _rank(rows: Sequence[Mapping[str, float]], proxy: str) -> float:
    return float(spearmanr([row[proxy] for row in rows], [row["after"] for row in rows]).statistic)


def _rows(results: Path) -> Iterator[dict[str, Any]]:
    if results.exists():
        yield from map(json.loads, results.read_text(encoding="utf-8").splitlines())
