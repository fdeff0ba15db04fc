"""edgett explore"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgett.cli import options
from edgett.cli.console import Screen
from edgett.errors import UsageError
from edgett.values import CostModel, EmptyTiles, Found

if TYPE_CHECKING:
    from edgett.space.explore import Exploration


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
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the design spaces and the grids: a .png, .svg or .html file."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Explore the design space of MODEL's fully connected layers, or of layers given by size; nothing is trained.

    [bold]Examples[/bold]

    edgett explore --layer 4096x4096 --layer 4096x1000 --cost paper --json

    edgett explore model.keras --ranks 4:16:4 --empty-tiles nearest

    edgett explore --layer 784x300 --plot space.html
    """
    from edgett import pipeline
    from edgett.project import load_project, resolve
    from edgett.report import document, terminal
    from edgett.space.explore import Grid

    screen = Screen(json=json, silent=quiet)
    if plot:
        from edgett.report.draw import check_place

        check_place(plot)
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
    if plot:
        _draw(exploration, plot, screen)
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


def _draw(exploration: Exploration, path: Path, screen: Screen) -> None:
    from edgett.report import draw, space_plots

    with screen.stage("counting solutions for the plot", space_plots.units(exploration)) as advance:
        picture = space_plots.space_picture(exploration, advance)
    with screen.stage("drawing"):
        draw.write(picture, path)
    screen.say(f"The plot is in {path}.")
