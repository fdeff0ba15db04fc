"""edgett compress"""

from __future__ import annotations

from typing import Annotated

import typer

from edgett.cli import making, options
from edgett.cli.console import Screen
from edgett.errors import UsageError
from edgett.job.choices import Prune, Recover, Schedule, Trunk
from edgett.search.choices import EmptyTiles
from edgett.search.constraints import Objective


def compress(
    model: options.Model = None,
    target: options.Target = None,
    data: options.Data = None,
    augment: options.Augment = None,
    out: options.Out = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of fine-tuning. Default 3.")] = None,
    max_drop: options.MaxDrop = None,
    attack: options.Attack = None,
    epsilon: options.Epsilon = None,
    attack_steps: options.AttackSteps = None,
    max_robust_drop: options.MaxRobustDrop = None,
    metric: options.Metric = None,
    objective: Annotated[Objective | None, typer.Option(help="What is recommended. Default: the target's.")] = None,
    model_bytes: options.ModelBytes = None,
    peak: options.Peak = None,
    flops: options.Flops = None,
    latency_ms: options.LatencyMs = None,
    dtype: options.Dtype = None,
    search: options.SearchBy = None,
    ranks: options.Ranks = None,
    grid: options.GridSize = None,
    empty_tiles: Annotated[
        EmptyTiles | None, typer.Option(help="What stands for a tile that is empty in some layer. Default skip.")
    ] = None,
    rank_multiple: options.RankMultiple = None,
    max_rank: options.MaxRank = None,
    estimate: options.ErrorEstimate = None,
    limit: Annotated[
        str | None,
        typer.Option(metavar="N|all", help="Joint candidates to fine-tune, spread out. Default 24."),
    ] = None,
    share: options.Share = None,
    only_layer: options.OnlyLayer = None,
    skip_layer: options.SkipLayer = None,
    batch: options.Batch = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples a step of fine-tuning. Default 128.")] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many epochs without a lower validation loss. Default: never."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Rate that fine-tuning starts from and falls to zero. Default: from the model's optimiser."),
    ] = None,
    int8_epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Epochs in which a pick trains on with the numbers of int8 where these take more than 0.2 points of"
            " it. Default 1; 0: none.",
        ),
    ] = None,
    schedule: Annotated[
        Schedule | None,
        typer.Option(
            help="full: every candidate for all epochs (the paper's). halving: after a part of an epoch only those that"
            " may be picked, again and again. Default auto: halving where convolutions are put into forms.",
            show_default=False,
        ),
    ] = None,
    trunk: Annotated[
        Trunk | None,
        typer.Option(
            help="What comes before the first replaced layer: trained, or frozen and run once. Default auto: frozen"
            " where it is a third of the FLOPs or more.",
            show_default=False,
        ),
    ] = None,
    recover: Annotated[
        Recover | None,
        typer.Option(
            help="plain: fine-tune on the labels. distill: fit each layer to the dense one's outputs, then learn from"
            " the baseline's outputs beside the labels. admm: the same, after half of the epochs (rounded down) have"
            " pulled the dense model towards the forms. adversarial: distill on samples moved by --attack. Default"
            " distill.",
            show_default=False,
        ),
    ] = None,
    prune: Annotated[
        Prune | None,
        typer.Option(
            help="channels: try the model without those channels and units, too, that matter least, with what reads"
            " them fitted anew; the search picks what is best together with the ranks. Default nothing.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=0,
            help="Processes that fine-tune, a thread each; results do not depend on how many. Default: one a processor."
            " 0: this one, on all threads, for models that cannot be sent to another; last digits differ then.",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Fine-tune on the Ray cluster at HOST:PORT. Needs edgett\\[ray].",
            show_default=False,
        ),
    ] = None,
    seed: options.Seed = None,
    custom_objects: options.CustomObjects = None,
    input_shape: options.InputShape = None,
    resume: options.Resume = False,
    fresh: options.Fresh = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Compress MODEL for a target: explore, fine-tune, select, export, cross-check.

    What is not given comes from ./edgett.toml, then the target, then the defaults. The keys of edgett.toml are these
    options with _ for -. Exit code 4 when nothing holds the budgets, 5 when the cross-check fails.

    [bold]Examples[/bold]

    edgett compress --target cortex-a53

    edgett compress example:lenet300 --data mnist.npz --target cortex-m4 --max-drop 0.5

    edgett compress model.keras --data data.npz --target my-board.toml --out runs/first

    edgett compress --out runs/first --resume

    edgett compress model.keras --data data.npz --target my-board.toml --out runs/first --resume --fresh
    """
    given = {
        "model": model, "target": target, "data": data, "augment": augment, "epochs": epochs,
        "max_drop": max_drop, "objective": objective, "model_bytes": model_bytes, "peak": peak, "flops": flops,
        "latency_ms": latency_ms, "search": search, "ranks": ranks, "grid": grid,
        "empty_tiles": empty_tiles, "rank_multiple": rank_multiple, "max_rank": max_rank, "estimate": estimate,
        "limit": _limit(limit), "share": share, "only_layer": only_layer or None, "skip_layer": skip_layer or None,
        "batch": batch, "dtype": dtype, "batch_size": batch_size, "patience": patience,
        "learning_rate": learning_rate, "int8_epochs": int8_epochs, "seed": seed, "schedule": schedule, "trunk": trunk,
        "recover": recover, "prune": prune, "jobs": jobs, "cluster": cluster, "custom_objects": custom_objects,
        "metric": metric, "input_shape": input_shape or None, "attack": attack, "epsilon": epsilon,
        "attack_steps": attack_steps, "max_robust_drop": max_robust_drop,
    }  # fmt: skip
    return making.made(_work(), given, making.Place(out, resume, fresh), Screen(json=json, silent=quiet))


def _work() -> making.Work:
    from edgett.job.job import Command
    from edgett.workflow import compress as work
    from edgett.workflow import inputs

    return making.Work(Command.COMPRESS, inputs.load, work.compress)


def _limit(text: str | None) -> int | str | None:
    if text is None or text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--limit {text} is neither a number nor 'all'.", "Give --limit 24 or --limit all.") from None
