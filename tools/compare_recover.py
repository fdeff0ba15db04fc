"""What each training method gives back, for the same solution, epochs and samples."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from compare_convolutions import TARGET, ground_of, leading

from edgett.job.choices import Recover
from edgett.job.job import Job
from edgett.search.choices import Strategy
from edgett.train import finetune


def recover(
    results: Annotated[Path, typer.Argument(help="A line a trial; it goes on where it was stopped.")],
    model: Annotated[str, typer.Option(help="A trained network, or example:lenet300, example:lenet5.")],
    data: Annotated[str, typer.Option(help="Its data.")],
    params: Annotated[float, typer.Option(help="The share of its parameters that may be left.")] = 0.3,
    flops: Annotated[float, typer.Option(help="That of its FLOPs.")] = 0.6,
    seeds: Annotated[int, typer.Option(help="Fine-tunings from so many seeds.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of every method, all told.")] = 6,
    samples: Annotated[int | None, typer.Option(help="Training samples; all.")] = None,
    only: Annotated[list[Recover] | None, typer.Option(help="Methods; all.")] = None,
) -> None:
    """Train one solution by every method, as often and as long."""
    about = {"model": Path(model).stem, "params": params, "flops": flops, "epochs": epochs, "samples": samples}
    known = {(row["method"], row["seed"]) for row in _rows(results) if about.items() <= row.items()}
    left = [(seed, one) for seed in range(seeds) for one in only or Recover if (one.value, seed) not in known]
    finetune.make_deterministic()
    ground = ground_of(Job(TARGET, model, data, search=Strategy.PARETO, epochs=epochs)) if left else None
    begun = leading(ground, ground.found, (params, flops)) if ground else None
    if ground and begun is None:
        raise typer.BadParameter(f"nothing fits {params} of the parameters and {flops} of the FLOPs")
    for seed, method in left:
        assert ground is not None and begun is not None
        loaded, (solution, starts) = ground.loaded, begun
        train = loaded.data.train if samples is None else loaded.data.train.take(slice(samples))
        recipe = finetune.Recipe(epochs, ground.job.batch_size, seed, recover=method)
        tuner = finetune.Tuner(loaded.source, train, loaded.data.validation, loaded.judge, recipe, starts)
        tuned = tuner.run(finetune.Task(solution, epochs), lambda batches: None)
        row: dict[str, Any] = about | {"method": method.value, "seed": seed, "seconds": tuned.seconds}
        row |= {"shares": ground.shares(solution), "drop": _drop(tuned.quality, loaded.quality, tuned.failure)}
        if tuned.pull is not None:
            row |= {"distances": tuned.pull.distances, "cut": tuned.pull.quality.drop_from(loaded.quality)}
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{about['model']} seed {seed} {method.value}: {row['drop']:.2f} points in {tuned.seconds:.0f} s",
            flush=True,
        )
    show(results)


def _drop(quality: Any, dense: Any, failure: str | None) -> float:
    return math.inf if failure else float(quality.drop_from(dense))


GROUP = ("model", "params", "flops", "epochs", "samples", "method")
"""What the rows of a line of the table have in common."""


def show(results: Path) -> None:
    """Print the table of results: means over the seeds, and from the least to the most."""
    print("| network, parameters left | epochs, samples | method | points lost | seconds | decomposed | distance |")
    print("|---|---|---|---:|---:|---:|---|")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in _rows(results):
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    for (model, _, _, epochs, samples, method), some in groups.items():
        drops = [row["drop"] for row in some]
        cells = [
            f"{model}, {some[0]['shares'][0]:.2f}", f"{epochs}, {samples or 'all'}", method,
            f"{statistics.fmean(drops):.2f} ({min(drops):.2f} .. {max(drops):.2f})",
            f"{statistics.fmean(row['seconds'] for row in some):.0f}", *_pulled([row for row in some if "cut" in row]),
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")


def _pulled(some: list[dict[str, Any]]) -> tuple[str, str]:
    """What is lost as a model is decomposed that was pulled there, and how far its weights were from the forms."""
    if not some:
        return "", ""
    ends = (f"{statistics.fmean(row['distances'][at] for row in some):.2f}" for at in (0, -1))
    return f"{statistics.fmean(row['cut'] for row in some):.2f}", " to ".join(ends)


def _rows(results: Path) -> Iterator[dict[str, Any]]:
    if results.exists():
        yield from map(json.loads, results.read_text(encoding="utf-8").splitlines())
