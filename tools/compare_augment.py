"""What altering scarce training samples gives back: where layers start from, and after fine-tuning."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from compare_convolutions import TARGET, Ground, ground_of, leading
from numpy.typing import NDArray

from edgett.forms.start import fitted
from edgett.job.job import Job
from edgett.model import weigh
from edgett.search.choices import Strategy
from edgett.search.solution import Solution
from edgett.train import finetune
from edgett.train.assess import assess
from edgett.train.augment import Augmentation, Called
from edgett.train.augmented import Augmented
from edgett.train.data import Split

WAYS = ("plain", "altered")
"""Samples as they are, or as `--augment` has it: altered where layers are fitted and in each epoch."""


def augment(
    results: Annotated[Path, typer.Argument(help="A line a trial; it goes on where it was stopped.")],
    model: Annotated[str, typer.Option(help="A trained network, or example:lenet300.")],
    data: Annotated[str, typer.Option(help="Its data, images.")],
    params: Annotated[float, typer.Option(help="The share of its parameters that may be left.")] = 0.4,
    flops: Annotated[float, typer.Option(help="That of its FLOPs.")] = 0.6,
    samples: Annotated[list[int] | None, typer.Option(help="Training samples; 256 and 1,024.")] = None,
    shift: Annotated[int, typer.Option(help="Pixels that an image is moved by at most.")] = 4,
    mirror: Annotated[bool, typer.Option(help="Whether images are mirrored too.")] = True,
    seeds: Annotated[int, typer.Option(help="Draws of so few samples, and fine-tunings.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Samples a step.")] = 32,
) -> None:
    """Fit and fine-tune one solution with few samples, as they are and altered."""
    about = {"model": Path(model).stem, "params": params, "flops": flops, "epochs": epochs, "batch_size": batch_size}
    about |= {"shift": shift, "mirror": mirror}
    known = {(row["samples"], row["seed"], row["way"]) for row in _rows(results) if about.items() <= row.items()}
    counts = samples or [256, 1024]
    asked = [(count, seed, way) for seed in range(seeds) for count in counts for way in WAYS]
    left = [one for one in asked if one not in known]
    finetune.make_deterministic()
    job = Job(TARGET, model, data, search=Strategy.PARETO, epochs=epochs, batch_size=batch_size)
    ground = ground_of(job) if left else None
    begun = leading(ground, ground.found, (params, flops)) if ground else None
    if ground and begun is None:
        raise typer.BadParameter(f"nothing fits {params} of the parameters and {flops} of the FLOPs")
    for count, seed, way in left:
        assert ground is not None and begun is not None
        altering = Augmentation("shifted", Called(__name__, _shifting(shift, mirror=mirror)))
        few = _split(ground.loaded.data.train, count, seed, None if way == "plain" else altering)
        row = about | {"samples": count, "seed": seed, "way": way, "shares": ground.shares(begun[0])}
        row |= _trial(ground, begun[0], few, seed)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{count} samples, seed {seed}, {way}: {row['begun']:.2f} -> {row['drop']:.2f} points", flush=True)
    show(results)


def _split(train: Split, count: int, seed: int, altering: Augmentation | None) -> Split:
    """Few of the samples, drawn by chance; altered where there is something to do that."""
    few = train.take(np.sort(np.random.default_rng(seed).permutation(len(train))[:count]))
    return few if altering is None else Augmented(few.x, few.y, altering, seed)


def _trial(ground: Ground, solution: Solution, train: Split, seed: int) -> dict[str, float]:
    """What is lost as the layers start, and after fine-tuning; nothing but these samples is known."""
    loaded, job = ground.loaded, ground.job
    recipe = finetune.Recipe(job.epochs, job.batch_size, seed, recover=job.recover)
    windowed = {path: spec for path, spec in solution.edits.items() if spec.windowed}
    seen = weigh.moments(loaded.source, train.stream, windowed, lambda samples: None)
    starts = {(path, spec): fitted(spec, seen[path]) for path, spec in windowed.items()}
    tuner = finetune.Tuner(loaded.source, train, loaded.data.validation, loaded.judge, recipe, starts)
    before = assess(tuner.begun(solution, tuner.beginnings.of(solution)), loaded.data.validation, loaded.judge)
    tuned = tuner.run(finetune.Task(solution, job.epochs), lambda batches: None)
    drop = math.inf if tuned.failure else tuned.quality.drop_from(loaded.quality)
    return {"begun": before.drop_from(loaded.quality), "drop": drop, "seconds": tuned.seconds}


def _shifting(most: int, *, mirror: bool) -> Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]:
    """What moves each image by whole pixels, with zeros where it was, and mirrors every other one."""

    def shifted(images: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        margin = [(0, 0), (most, most), (most, most), *[(0, 0)] * (images.ndim - 3)]
        wide, (height, width) = np.pad(images, margin), images.shape[1:3]
        for index, (down, right) in enumerate(random.integers(0, 2 * most + 1, (len(images), 2))):
            image = wide[index, down : down + height, right : right + width]
            images[index] = image[:, ::-1] if mirror and random.random() < 0.5 else image
        return images

    return shifted


def show(results: Path) -> None:
    """Print the table of results: means over the seeds, and from the least to the most."""
    print("| network, parameters left | samples | way | points lost as layers start | after fine-tuning | seconds |")
    print("|---|---:|---|---:|---:|---:|")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in _rows(results):
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    for (model, *_, count, way), some in sorted(groups.items()):
        cells = [f"{model}, {some[0]['shares'][0]:.2f}", f"{count:,}", way]
        for figure in ("begun", "drop"):
            values = [row[figure] for row in some]
            cells.append(f"{statistics.fmean(values):.2f} ({min(values):.2f} .. {max(values):.2f})")
        print(f"| {' | '.join(cells)} | {statistics.fmean(row['seconds'] for row in some):.0f} |")


GROUP = ("model", "params", "flops", "epochs", "batch_size", "shift", "mirror", "samples", "way")
"""What the rows of a line of the table have in common."""


def _rows(results: Path) -> Iterator[dict[str, Any]]:
    if results.exists():
        yield from map(json.loads, results.read_text(encoding="utf-8").splitlines())
