"""edgett compress"""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from edgett.cli import complete, options
from edgett.cli.console import Screen
from edgett.cli.interrupts import interrupted
from edgett.errors import EdgettError, Interrupted, UsageError
from edgett.values import DType, EmptyTiles, Meter, Objective, Recover, Schedule, Trunk


def compress(
    model: options.Model = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="A target's name, or a profile's path.", autocompletion=complete.targets),
    ] = None,
    data: options.Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run directory. Default: runs/<model>-<target>-<n>.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of fine-tuning. Default 3.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Largest loss of accuracy in percentage points. Default: the target's.")
    ] = None,
    metric: options.Metric = None,
    objective: Annotated[Objective | None, typer.Option(help="What is recommended. Default: the target's.")] = None,
    model_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help='Largest file: "512 KiB", "50 %". Default: the target\'s.')
    ] = None,
    flops: Annotated[
        str | None, typer.Option(metavar="WORK", help='Most FLOPs: "2 MFLOP", "50 %". Default: the target\'s.')
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="Longest time of an inference, on a target that was calibrated. Default: the target's.",
        ),
    ] = None,
    dtype: Annotated[
        DType | None,
        typer.Option(help="Type of the exported numbers, calibrated on training data. Default: the target's."),
    ] = None,
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
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples an exported model takes at once. Default 1.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples a step of fine-tuning. Default 128.")] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many epochs without a lower validation loss. Default: never."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Rate that fine-tuning starts from and falls to zero. Default: from the model's optimiser."),
    ] = None,
    schedule: Annotated[
        Schedule | None,
        typer.Option(
            help="full: every candidate for all epochs (the paper's). halving: after 0.3 epochs only those that may be"
            " picked, again and again. Default full.",
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
            " the baseline's outputs beside the labels. Default distill.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=0,
            help="Processes that fine-tune, a thread each. Default: one a processor. 0: this one.",
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
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random. Default 0.")] = None,
    custom_objects: options.CustomObjects = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Start anew in --out, in the place of the run that is there; with --resume only where anything has"
            " changed that it stands on.",
        ),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Compress MODEL for a target: explore, fine-tune, select, export, cross-check.

    What is not given comes from ./edgett.toml, then the target, then the defaults.

    [bold]Examples[/bold]

    edgett compress --target cortex-a53

    edgett compress example:lenet300 --data mnist.npz --target cortex-m4 --max-drop 0.5

    edgett compress model.keras --data data.npz --target my-board.toml --out runs/first

    edgett compress --out runs/first --resume

    edgett compress model.keras --data data.npz --target my-board.toml --out runs/first --resume --fresh
    """
    given = {
        "model": model, "target": target, "data": data, "epochs": epochs, "max_drop": max_drop, "objective": objective,
        "model_bytes": model_bytes, "flops": flops,
        "latency_ms": latency_ms, "search": search, "ranks": ranks, "grid": grid,
        "empty_tiles": empty_tiles, "rank_multiple": rank_multiple, "max_rank": max_rank, "estimate": estimate,
        "limit": _limit(limit), "share": share, "only_layer": only_layer or None, "skip_layer": skip_layer or None,
        "batch": batch, "dtype": dtype, "batch_size": batch_size, "patience": patience,
        "learning_rate": learning_rate, "seed": seed, "schedule": schedule, "trunk": trunk, "recover": recover,
        "jobs": jobs, "cluster": cluster, "custom_objects": custom_objects, "metric": metric,
    }  # fmt: skip
    screen = Screen(json=json, silent=quiet)
    if resume and fresh:
        return _either(given, out, screen)
    return _resumed(given, out, screen) if resume else _started(given, out, screen, fresh)


def _started(given: dict[str, Any], out: Path | None, screen: Screen, fresh: bool) -> int:
    from edgett import pipeline, session
    from edgett.project import load_project, resolve
    from edgett.run import new_path, refuse_occupied

    project = load_project()
    job, origins = resolve(given, project)
    if origins["model"] == "default":
        screen.say(f"No model is named: this is the built-in {job.model}.")
    target = pipeline.target_of(job)
    path = out or new_path(job.title, target.name)
    refuse_occupied(path, fresh=fresh)
    # What is there goes only when its successor's input has turned out usable.
    loaded = _loaded(job, screen) if fresh and path.exists() else None
    with session.started(path, job, origins, fresh=fresh) as run:
        return _carried_out(job, run, screen, loaded)


def _either(given: dict[str, Any], out: Path | None, screen: Screen) -> int:
    """Go on with the run in `out` if all that it stands on is as it was, else start anew there."""
    from edgett import session
    from edgett.project import load_project, resolve

    if out is None or not (out / "run.json").exists():
        return _started(given, out, screen, fresh=False)
    job, _ = resolve(given, load_project())
    try:
        with session.resumed(out, {}) as (run, asked, _):
            session.refuse_other_job(run, asked, job)
            session.refuse_other_ground(run, job)
            loaded = _loaded(job, screen)
            session.identify(run, loaded)
    except UsageError as changed:
        screen.say(f"starting anew: {changed.message}")
        return _started(given, out, screen, fresh=True)
    return _resumed(given, out, screen, loaded)


def _resumed(given: dict[str, Any], out: Path | None, screen: Screen, loaded: Any = None) -> int:
    from edgett import reporting, session
    from edgett.report import terminal

    if out is None:
        raise UsageError("--resume needs to know the run.", "Add --out DIR.")
    with session.resumed(out, given) as (run, job, outcome):
        if outcome is None:
            session.refuse_other_ground(run, job)
            return _carried_out(job, run, screen, loaded)
        screen.say(f"run: {out}")
        reporting.complete(run, screen)
    screen.show(outcome, terminal.compressed)
    return 0


def _loaded(job: Any, meter: Meter) -> Any:
    from edgett import inputs

    with meter.stage("loading TensorFlow"):
        import_module("edgett.nn")
    return inputs.load(job, meter)


def _carried_out(job: Any, run: Any, screen: Screen, loaded: Any = None) -> int:
    from edgett import pipeline, reporting, session
    from edgett.log import logged
    from edgett.report import evidence, terminal

    target = pipeline.target_of(job)
    try:
        with logged(run.path, screen) as meter:
            meter.say(f"run: {run.path}\ntarget: {target.name}, {target.title}")
            meter.note(evidence.command(run.asked["options"]))
            loaded = loaded or _loaded(job, meter)
            session.identify(run, loaded)
            outcome = pipeline.compress(job, loaded, run, meter)
            document = reporting.finish(run, outcome, meter)
            problem = _problem(outcome)
            meter.note(f"error: {problem.message}" if problem else f"recommended: {_recommended(outcome)}")
    except BaseException as error:
        if not interrupted(error):
            raise
        raise Interrupted(
            "interrupted; every finished trial is kept.",
            f"Go on with: edgett compress --out {shlex.quote(str(run.path))} --resume",
        ) from error
    return screen.conclude(document, terminal.compressed, problem)


def _problem(outcome: Any) -> EdgettError | None:
    from edgett import pipeline

    if not outcome.release.ok:
        return pipeline.unchecked(outcome.release)
    return pipeline.infeasible(outcome) if outcome.picks is None else None


def _recommended(outcome: Any) -> str:
    trial = outcome.picks.recommended
    return f"solution {trial.solution.number}, {trial.solution.cost.params:,} parameters, drop {trial.drop:.3f}"


def _limit(text: str | None) -> int | str | None:
    if text is None or text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--limit {text} is neither a number nor 'all'.", "Give --limit 24 or --limit all.") from None
