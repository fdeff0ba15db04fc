"""What searching the whole space buys over the paper's grid, after fine-tuning as many candidates of each.

`python tools/compare.py run results.jsonl --network lenet300 --data mnist.npz` trains, a line a trial, and goes on
where it was stopped; `python tools/compare.py show results.jsonl --plot FILE.svg` makes tables and a picture of it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from compare_augment import augment
from compare_convolutions import convolutions
from compare_forms import forms
from compare_proxies import proxies
from compare_prune import prune
from compare_recover import recover
from compare_robust import robust
from numpy.typing import NDArray
from scipy.stats import spearmanr

from edgett.forms.site import Estimate
from edgett.forms.tt.error import Spectra, spectra
from edgett.forms.tt.shape import TTShape
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.report import draw
from edgett.report.picture import Axis, Hue, Mark, Panel, Picture, Points, Rules, Scale
from edgett.search import choose
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.constraints import UNKNOWN
from edgett.search.solution import Solution
from edgett.target.profile import constraints, load_target
from edgett.workflow import inputs
from edgett.workflow.promising import promising
from edgett.workflow.proposal import Proposal
from edgett.workflow.survey import Room, graphs, survey
from edgett.workflow.terms import baseline

app = typer.Typer(help=__doc__, no_args_is_help=True)
app.command()(augment)
app.command()(convolutions)
app.command()(forms)
app.command()(proxies)
app.command()(prune)
app.command()(recover)
app.command()(robust)

TARGET = "cortex-a53"
DROP = 1.5  # percentage points, the paper's
WORDS = {"grid": "grid (the paper's)", "largest-cut": "whole space", "kept-energy": "whole space, energies kept"}
SHARES = {"params": (0.02, 0.03, 0.05, 0.1, 0.2, 0.4), "flops": (0.1, 0.15, 0.2, 0.3, 0.4, 0.6)}
MEASURED = ("worst", "low", "estimate", "kept", "high", "actual", "weighted", "felt")
PROXIES = {
    "params": "fewer parameters",
    "flops": "fewer FLOPs",
    "high": "sum of the cuts",
    "estimate": "1 - product of the energies kept",
    "kept": "-log of the energies kept (kept-energy)",
    "low": "largest cut",
    "worst": "-log(1 - largest cut) (largest-cut)",
    "actual": "error of TT-SVD",
    "weighted": "E||x(W - W')||^2 / E||xW||^2, W' from TT-SVD",
    "felt": "-log(1 - that) (what chooses among the candidates)",
}


@app.command()
def run(
    results: Path,
    network: Annotated[str, typer.Option(help="lenet300 or lenet5.")],
    data: Annotated[str, typer.Option(help="mnist.npz")],
    seeds: Annotated[int, typer.Option(help="Baselines and fine-tunings from so many seeds.")] = 3,
    limit: Annotated[int, typer.Option(help="Candidates of each search.")] = 16,
    epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning.")] = 3,
    searches: Annotated[str, typer.Option(help="grid, kept-energy, largest-cut")] = "grid,largest-cut",
) -> None:
    """Fine-tune the candidates of each search."""
    known = {_key(row) for row in _rows(results)}
    for seed in range(seeds):
        for search in searches.split(","):
            strategy = Strategy.GRID if search == "grid" else Strategy.PARETO
            estimate = Estimate.KEPT_ENERGY if search == "grid" else Estimate(search)
            job = Job(
                TARGET, f"example:{network}", data, search=strategy, estimate=estimate, limit=limit, epochs=epochs,
                seed=seed,
            )  # fmt: skip
            for row in _trials(job, {"network": network, "seed": seed, "search": search}, known):
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(
                    f"{network} seed {seed} {search}: {row['params']:,} parameters, drop {row['drop']:.2f}", flush=True
                )


def _trials(job: Job, about: dict[str, Any], known: set[Any]) -> Iterator[dict[str, Any]]:
    from edgett.model.layers import kernels
    from edgett.model.worth import Wish, replaceable
    from edgett.train import finetune

    finetune.make_deterministic()
    loaded = inputs.load(job, Silent())
    graph = graphs(loaded.model)
    dense = space.dense_solution(graph(frozenset()))
    target = load_target(job.target)
    limits = constraints(target, baseline(dense))
    found = replaceable(loaded.model, Wish(job.least_share))
    explored = survey(loaded.model, found, job, Room(graph, limits), Silent())
    candidates = space.solutions(explored.candidates, graph)
    able = [item for item in candidates if all(h.holds is not False for h in choose.holdings(item, UNKNOWN, limits))]
    recipe = finetune.Recipe(job.epochs, job.batch_size, job.seed, recover=job.recover)
    tuner = finetune.Tuner(loaded.model, loaded.data.train, loaded.data.validation, loaded.judge, recipe)
    layers = [front.layer.name for front in explored.taken]
    weights = kernels(loaded.model, layers)
    measure = _measure(weights, _moments(loaded, layers), {name: spectra(weights[name], 64) for name in layers})
    proposal = Proposal(explored, candidates, tuple(able), {}, larger=False)
    for solution in promising(proposal, job, loaded, limits, Silent()).solutions:
        row = about | {"solution": solution.number, "epochs": job.epochs}
        if _key(row) in known:
            continue
        tuned = tuner.run(finetune.Task(solution, job.epochs), lambda units: None)
        costs = {"params": solution.cost.params, "flops": solution.cost.flops}
        dense_costs = {"dense_params": dense.cost.params, "dense_flops": dense.cost.flops}
        shapes = {name: str(shape) for name, shape in solution.edits.items()}
        accuracy = {
            "baseline": loaded.quality.scores[0].value,
            "drop": np.inf if tuned.failure else tuned.quality.drop_from(loaded.quality),
        }
        yield row | costs | dense_costs | accuracy | measure(solution) | {"shapes": shapes}


def _moments(loaded: inputs.Inputs, layers: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """E[x x^T] of the inputs of each layer, over some of the training data."""
    from edgett.model.weigh import inputs_of

    seen = inputs_of(loaded.model, {name: array[:4096] for name, array in loaded.data.train.x.items()}, layers)
    return {name: into.T.astype(np.float64) @ into / len(into) for name, into in seen.items()}


def _measure(
    weights: dict[str, Any], moments: dict[str, NDArray[np.float64]], known: dict[str, Spectra]
) -> Callable[[Solution], dict[str, float]]:
    """What might tell the accuracy of a solution before it is fine-tuned, each summed over the layers."""
    from edgett.forms.tt.decompose import rebuild, tt_svd

    def of_layer(name: str, shape: TTShape) -> NDArray[np.float64]:
        weight = weights[name].astype(np.float64)
        lost, bracket = rebuild(tt_svd(weights[name], shape)) - weight, known[name].bracket(shape)
        energy, moment = (weight**2).sum(), moments[name]
        weighted = ((moment @ lost) * lost).sum() / ((moment @ weight) * weight).sum()
        worst, kept, felt = -np.log1p(-np.minimum([bracket.low**2, bracket.estimate**2, weighted], 1 - 1e-6))
        return np.array(
            [
                worst,
                bracket.low**2,
                bracket.estimate**2,
                kept,
                bracket.high**2,
                (lost**2).sum() / energy,
                weighted,
                felt,
            ]
        )

    def of(solution: Solution) -> dict[str, float]:
        total = np.sum([of_layer(*item) for item in solution.edits.items()], axis=0)
        return dict(zip(MEASURED, total.tolist(), strict=True))

    return of


@app.command()
def show(
    results: Path,
    plot: Annotated[Path | None, typer.Option(help="A .svg, .png or .html file.")] = None,
) -> None:
    """The tables, and the picture, of results."""
    rows = list(_rows(results))
    panels: list[Panel] = []
    for network in dict.fromkeys(row["network"] for row in rows):
        here = [row for row in rows if row["network"] == network]
        print(f"\n## {network}\n")
        for axis in ("params", "flops"):
            _print_budgets(here, axis)
            panels.append(_panel(here, network, axis))
        _print_picks(here)
        _print_proxies(here)
    if plot:
        seeds = len({row["seed"] for row in rows})
        draw.write(Picture(f"After {rows[0]['epochs']} epochs of fine-tuning, {seeds} seeds", tuple(panels)), plot)


def _print_picks(rows: list[dict[str, Any]]) -> None:
    print(f"| search | candidates | drop <= {DROP} | lowest memory | fewest FLOPs | highest accuracy, drop |")
    print("|---|---|---|---|---|---|")
    for search, runs in _runs(rows):
        able = [[row for row in run if row["drop"] <= DROP] for run in runs]
        memory = [100 * min(row["params"] for row in run) / run[0]["dense_params"] - 100 for run in able]
        flops = [100 * min(row["flops"] for row in run) / run[0]["dense_flops"] - 100 for run in able]
        best = [min(row["drop"] for row in run) for run in runs]
        print(
            f"| {WORDS[search]} | {len(runs[0])} | {_spread([len(run) for run in able], '.0f')}"
            f" | {_spread(memory, '+.1f')} % | {_spread(flops, '+.1f')} % | {_spread(best, '+.2f')} |"
        )
    print()


def _print_budgets(rows: list[dict[str, Any]], axis: str) -> None:
    name = {"params": "parameters", "flops": "FLOPs"}[axis]
    print(
        f"| lowest drop within ... of the dense {name} | " + " | ".join(f"{share:.0%}" for share in SHARES[axis]) + " |"
    )
    print("|---" * (1 + len(SHARES[axis])) + "|")
    for search, runs in _runs(rows):
        cells = []
        for share in SHARES[axis]:
            best = [
                min((row["drop"] for row in run if row[axis] <= share * row[f"dense_{axis}"]), default=np.nan)
                for run in runs
            ]
            cells.append("-" if np.isnan(best).any() else _spread(best, ".2f"))
        print(f"| {WORDS[search]} | {' | '.join(cells)} |")
    print()


def _print_proxies(rows: list[dict[str, Any]]) -> None:
    print(f"| Spearman with the drop, all trials of a seed | all | drop <= {DROP} |\n|---|---|---|")
    seeds = [[row for row in rows if row["seed"] == seed] for seed in sorted({row["seed"] for row in rows})]
    for name, words in PROXIES.items():
        sign = -1 if name in ("params", "flops") else 1
        cells = []
        for most in (np.inf, DROP):
            some = [[row for row in run if row["drop"] <= most] for run in seeds]
            cells.append(
                _spread(
                    [sign * spearmanr([r[name] for r in run], [r["drop"] for r in run]).statistic for run in some],
                    ".2f",
                )
            )
        print(f"| {words} | {' | '.join(cells)} |")


def _panel(rows: list[dict[str, Any]], network: str, axis: str) -> Panel:
    """Accuracy lost against what is left, all seeds; joined, what none of the same search beats."""
    title = {"params": "parameters", "flops": "FLOPs"}[axis]
    looks = dict(zip(WORDS, ((Hue.ORANGE, Mark.SQUARE), (Hue.BLUE, Mark.DOT), (Hue.GREEN, Mark.DIAMOND)), strict=True))
    layers: list[Points | Rules] = [Rules("1.5 points, the paper's limit", (), (DROP,), Hue.GREY, dashed=True)]
    for search, runs in _runs(rows):
        hue, mark = looks[search]
        points = sorted((row[axis], row["drop"]) for run in runs for row in run)
        best = [point for k, point in enumerate(points) if point[1] < min((p[1] for p in points[:k]), default=np.inf)]
        x, y = zip(*points, strict=True)
        layers.append(Points(WORDS[search], x, y, mark, hue, size=4))
        x, y = zip(*best, strict=True)
        layers.append(Points("", x, y, mark, hue, joined=True, stairs=True, size=0))
    costs, drops = [row[axis] for row in rows], [row["drop"] for row in rows]
    return Panel(
        f"{network}: accuracy against {title}",
        Axis(title, min(costs) / 1.3, max(costs) * 1.3, Scale.LOG),
        Axis("drop, percentage points (validation)", min(drops) - 0.2, min(8.0, max(drops) + 0.2)),
        tuple(layers),
    )


def _runs(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[list[dict[str, Any]]]]]:
    """The trials of each search, seed by seed."""
    for search in WORDS:
        here = [row for row in rows if row["search"] == search]
        runs = [[row for row in here if row["seed"] == seed] for seed in sorted({row["seed"] for row in here})]
        if runs:
            yield search, runs


def _spread(values: Sequence[float], form: str) -> str:
    """The median, and from where to where the seeds lie."""
    middle = format(statistics.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}} .. {max(values):{form}})"


def _rows(results: Path) -> Iterator[dict[str, Any]]:
    if results.exists():
        yield from map(json.loads, results.read_text(encoding="utf-8").splitlines())


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("network", "seed", "search", "solution", "epochs"))


if __name__ == "__main__":
    app()
