"""edgett train"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import options
from edgett.cli.console import Screen
from edgett.cli.interrupts import interrupted
from edgett.errors import Interrupted, UsageError


def train(
    model: options.Model = None,
    target: options.Target = None,
    data: options.Data = None,
    augment: options.Augment = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The .keras file to write.")] = Path(
        "trained.keras"
    ),
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of training, all told.")] = 10,
    dense_epochs: Annotated[
        int | None, typer.Option(min=0, help="The first ones, in which it is dense. Default: a fifth.")
    ] = None,
    back_to_dense: Annotated[int, typer.Option(min=0, help="The last ones, in which it is dense again.")] = 0,
    model_bytes: options.ModelBytes = None,
    peak: options.Peak = None,
    flops: options.Flops = None,
    latency_ms: options.LatencyMs = None,
    rank_multiple: options.RankMultiple = None,
    max_rank: options.MaxRank = None,
    share: options.Share = None,
    only_layer: options.OnlyLayer = None,
    skip_layer: options.SkipLayer = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples a step. Default 128.")] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Rate that training starts from and falls to zero. Default: that of the model's optimiser, for tensor"
            " trains up to four times as much."
        ),
    ] = None,
    seed: options.Seed = None,
    metric: options.Metric = None,
    custom_objects: options.CustomObjects = None,
    input_shape: options.InputShape = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint beside --out, written after each epoch.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Train MODEL from its initial weights, most epochs in low-rank forms: where these are large, that is faster.

    After some epochs dense, its layers are put into the forms that are expected to lose least inside the target's
    budgets; a network that holds them as it is may keep a tenth of its FLOPs. What is written, a plain Keras file, goes
    on to edgett deploy.

    [bold]Examples[/bold]

    edgett train example:lenet300 --data mnist.npz --target cortex-m4 --out small.keras

    edgett train untrained.keras --data data.npz --target cortex-m7 --epochs 30 --flops "20 %"

    edgett train untrained.keras --data data.npz --target host --back-to-dense 2 --resume
    """
    from edgett.job.job import load_project, resolve
    from edgett.report import train as tables
    from edgett.train.phases import Epochs, beside
    from edgett.workflow import train as work

    screen = Screen(json=json, silent=quiet)
    if out.suffix != ".keras":
        raise UsageError(f"{out} does not end in .keras, by which Keras knows its files.", f"--out {out}.keras")
    plan = Epochs.of(epochs, dense_epochs, back_to_dense)
    given = {
        "target": target, "model": model, "data": data, "augment": augment, "seed": seed,
        "custom_objects": custom_objects,
        "input_shape": input_shape or None, "metric": metric, "model_bytes": model_bytes, "peak": peak, "flops": flops,
        "latency_ms": latency_ms, "rank_multiple": rank_multiple, "max_rank": max_rank, "share": share,
        "only_layer": only_layer or None, "skip_layer": skip_layer or None, "batch_size": batch_size,
        "learning_rate": learning_rate,
    }  # fmt: skip
    job, _ = resolve(given, load_project())
    try:
        document = work.train(job, plan, out, resume=resume, meter=screen)
    except BaseException as error:
        if not interrupted(error):
            raise
        if not beside(out).exists():
            raise
        raise Interrupted(
            "interrupted; every finished epoch is kept.", "Go on with the same command and --resume."
        ) from error
    screen.say(f"written: {out}")
    return screen.conclude(document, tables.drawn, None)
