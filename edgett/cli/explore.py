"""edgett explore"""

from __future__ import annotations

from typing import Annotated

import typer

from edgett.cli import options
from edgett.cli.console import Screen
from edgett.errors import UsageError
from edgett.values import CostModel, EmptyTiles, Found


def explore(
    model: options.Model = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="XxY", help="A layer of X inputs and Y outputs, with a bias, instead of a model; may be repeated."
        ),
    ] = None,
    cost: Annotated[
        CostModel, typer.Option(help="exact counts what a graph executes; paper is equation 4 as printed.")
    ] = CostModel.EXACT,
    ranks: options.Ranks = None,
    grid: options.GridSize = None,
    empty_tiles: Annotated[
        EmptyTiles | None, typer.Option(help="What stands for a tile that is empty in some layer. Default skip.")
    ] = None,
    share: options.Share = None,
    only_layer: options.OnlyLayer = None,
    skip_layer: options.SkipLayer = None,
    custom_objects: options.CustomObjects = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Explore the design space of MODEL's fully connected layers, or of layers given by size; nothing is trained.

    [bold]Examples[/bold]

    edgett explore --layer 4096x4096 --layer 4096x1000 --cost paper --json

    edgett explore model.keras --ranks 4:16:4 --empty-tiles nearest
    """
    from edgett import pipeline
    from edgett.project import load_project, resolve
    from edgett.report import document, terminal
    from edgett.space.explore import Grid

    screen = Screen(json=json, silent=quiet)
    given = {
        "target": "host", "model": model, "ranks": ranks, "grid": grid, "empty_tiles": empty_tiles, "share": share,
        "only_layer": only_layer or None, "skip_layer": skip_layer or None, "custom_objects": custom_objects,
    }  # fmt: skip
    job, origins = resolve(given, load_project())
    if layer and model:
        raise UsageError(f"--layer and the model {model} are both given.", "Give one of the two.")
    if layer:
        found = _sized(layer)
    else:
        if origins["model"] == "default":
            screen.say(f"No model is named: this is the built-in {job.model}.")
        found = _of_model(job, screen)
    exploration = pipeline.explore(found, Grid(job.max_ranks, job.grid, job.empty_tiles, cost), screen)
    screen.show(document.explored(exploration), terminal.explored)


def _sized(layers: list[str]) -> tuple[Found, ...]:
    from edgett.space.shapes import parse_layer

    return tuple(Found(parse_layer(text)) for text in layers)


def _of_model(job: object, screen: Screen) -> tuple[Found, ...]:
    from edgett.inputs import model_only
    from edgett.project import Job

    assert isinstance(job, Job)
    with screen.stage("loading the model"):
        from edgett.nn.layers import Wish, fc_layers

        return fc_layers(model_only(job), Wish(job.share, job.only_layer, job.skip_layer))
