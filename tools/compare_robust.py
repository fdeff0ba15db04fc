"""Accuracy under attack against parameters, with and without `--recover adversarial`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from compare_convolutions import TARGET, Ground, ground_of, leading

from edgett.job.attack import Attack, Attacker
from edgett.job.choices import Recover
from edgett.job.job import Job
from edgett.model.models import unpack_weights
from edgett.report import draw
from edgett.report.picture import Axis, Hue, Mark, Panel, Picture, Points, Scale
from edgett.search.solution import Solution
from edgett.train import finetune
from edgett.train.assess import assess

METHODS = {Recover.DISTILL: "without", Recover.ADVERSARIAL: "with"}
LOOKS = {"clean": (Hue.GREY, Mark.DOT), "fgsm": (Hue.ORANGE, Mark.SQUARE), "pgd": (Hue.BLUE, Mark.DIAMOND)}
THOROUGH = 40
"""Steps of PGD of the last column: an attack that more steps make stronger was not at its end."""

Begun = tuple[Solution, Any]


def robust(
    results: Annotated[Path, typer.Argument(help="A line a trial; it goes on where it was stopped.")],
    data: Annotated[str, typer.Option(help="The data of the model.")],
    model: Annotated[str, typer.Option(help="A trained network, or an example.")] = "example:lenet300",
    shares: Annotated[
        str, typer.Option(help="Of the parameters that may be left; 1 is the dense model.")
    ] = "1,0.4,0.2,0.1,0.05,0.03",
    epsilon: Annotated[float, typer.Option(help="Of the attacks, also of those that are learnt from.")] = 0.1,
    seeds: Annotated[int, typer.Option(help="Fine-tunings from so many seeds.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning.")] = 3,
    plot: Annotated[Path | None, typer.Option(help="A .svg, .png or .html file.")] = None,
) -> None:
    """Fine-tune solutions of several sizes with both methods, and attack what comes of it, on test data."""
    about = {"model": Path(model).stem, "epsilon": epsilon, "epochs": epochs}
    wanted = [(share, seed, one) for share in map(float, shares.split(",")) for seed in range(seeds) for one in METHODS]
    known = {(row["share"], row["seed"], row["method"]) for row in _rows(results, about)}
    left = [each for each in wanted if (each[0], each[1], each[2].value) not in known]
    finetune.make_deterministic()
    ground = ground_of(Job(TARGET, model, data, epochs=epochs, epsilon=epsilon)) if left else None
    begun: dict[float, Begun] = {}
    for share, seed, method in left:
        assert ground is not None
        if share not in begun:
            begun[share] = _begun(ground, share)
        row = (
            about
            | {"share": share, "seed": seed, "method": method.value}
            | _trained(ground, begun[share], seed, method)
        )
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        figures = ", ".join(f"{name} {row[name]:.3f}" for name in (*LOOKS, "thorough"))
        print(f"{share} seed {seed} {method.value}: {row['params']:,} parameters, {figures}", flush=True)
    show(list(_rows(results, about)), plot)


def _begun(ground: Ground, share: float) -> Begun:
    """The solution of that size that starts with the least loss, and where its layers start."""
    if share == 1:
        return ground.dense, {}
    if (found := leading(ground, ground.found, (share, 1.0))) is None:
        raise typer.BadParameter(f"nothing fits {share} of the parameters")
    return found


def _trained(ground: Ground, begun: Begun, seed: int, method: Recover) -> dict[str, Any]:
    loaded, (solution, starts) = ground.loaded, begun
    recipe = finetune.Recipe(ground.job.epochs, ground.job.batch_size, seed, recover=method)
    tuner = finetune.Tuner(loaded.source, loaded.data.train, loaded.data.validation, loaded.judge, recipe, starts)
    tuned = tuner.run(finetune.Task(solution, ground.job.epochs), lambda batches: None)
    if tuned.failure:
        raise typer.BadParameter(tuned.failure)
    model = finetune.compressed(loaded.source, solution, loaded.judge)
    unpack_weights(model, tuned.weights)
    return {"params": solution.cost.params, "seconds": tuned.seconds} | _attacked(ground, model)


def _attacked(ground: Ground, model: Any) -> dict[str, float]:
    """The accuracies on the test data, the share that is right as it is and under each attack."""
    loaded, test = ground.loaded, ground.loaded.data.test
    assert loaded.adversary is not None
    attack = loaded.adversary.attack
    attacks = {
        "fgsm": Attack(Attacker.FGSM, attack.epsilon),
        "pgd": attack,
        "thorough": replace(attack, steps=THOROUGH),
    }
    clean = assess(model, test, loaded.judge).scores[0].value
    under = {name: replace(loaded.adversary, attack=one).scores(model, test)[0].value for name, one in attacks.items()}
    return {"clean": clean, **under}


def show(rows: Sequence[dict[str, Any]], plot: Path | None) -> None:
    """Print the table of trials, means over the seeds, and draw it."""
    print(f"| parameters | recover | test accuracy | FGSM | PGD, 7 steps | PGD, {THOROUGH} steps | seconds |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for method in METHODS:
        here = [row for row in rows if row["method"] == method.value]
        for params in sorted({row["params"] for row in here}, reverse=True):
            some = [row for row in here if row["params"] == params]
            cells = [_spread([row[name] for row in some]) for name in (*LOOKS, "thorough")]
            seconds = statistics.fmean(row["seconds"] for row in some)
            print(f"| {params:,} | {method.value} | {' | '.join(cells)} | {seconds:.0f} |")
    if plot is not None and rows:
        title = f"{rows[0]['model']} under attack, epsilon {rows[0]['epsilon']:g}, {rows[0]['epochs']} epochs"
        draw.write(Picture(title, tuple(_panel(rows, method) for method in METHODS), columns=2), plot)


def _spread(values: Sequence[float]) -> str:
    """In per cent: the mean, and from the least to the most."""
    return f"{100 * statistics.fmean(values):.1f} ({100 * min(values):.1f} .. {100 * max(values):.1f})"


def _panel(rows: Sequence[dict[str, Any]], method: Recover) -> Panel:
    here = [row for row in rows if row["method"] == method.value]
    sizes = sorted({row["params"] for row in here})
    layers = []
    for name, (hue, mark) in LOOKS.items():
        means = [statistics.fmean(100 * row[name] for row in here if row["params"] == size) for size in sizes]
        layers.append(Points(name, tuple(sizes), tuple(means), mark, hue, joined=True))
    every = [row["params"] for row in rows]
    axis = Axis("parameters", min(every) / 1.3, max(every) * 1.3, Scale.LOG)
    return Panel(f"{METHODS[method]} adversarial recovery", axis, Axis("test accuracy, %", 0, 100), tuple(layers))


def _rows(results: Path, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The trials of that model, as long and under the same attack."""
    if results.exists():
        every = map(json.loads, results.read_text(encoding="utf-8").splitlines())
        yield from (row for row in every if about.items() <= row.items())
