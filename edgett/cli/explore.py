"""edgett explore"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgett.cli import options
from edgett.cli.console import Screen
from edgett.errors import UsageError
from edgett.forms.site import CostModel, Found
from edgett.search.choices import EmptyTiles, Strategy

if TYPE_CHECKING:
    from edgett.forms.front import Search
    from edgett.forms.site import Layer
    from edgett.job.job import Job
    from edgett.model.apart import Apart
    from edgett.search.explore import Exploration
    from edgett.search.sized import Sized
    from edgett.search.whole import Whole
    from edgett.workflow.survey import Explored


def explore(
    model: options.Model = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE",
            help="A layer instead of a model, with a bias: XxY of X inputs and Y outputs, or a convolution"
            " KHxKWxCxN@HxW, its window, the channels that it reads and writes, and its image (stride 1, padding same;"
            " a sequence is an image of one row). May be repeated.",
        ),
    ] = None,
    cost: Annotated[
        CostModel | None,
        typer.Option(help="exact counts what a graph executes; paper is equation 4 as printed. Default exact."),
    ] = None,
    search: options.SearchBy = None,
    data: options.Data = None,
    ranks: options.Ranks = None,
    grid: options.GridSize = None,
    empty_tiles: Annotated[
        EmptyTiles | None, typer.Option(help="What stands for a tile that is empty in some layer. Default skip.")
    ] = None,
    rank_multiple: options.RankMultiple = None,
    max_rank: options.MaxRank = None,
    estimate: options.ErrorEstimate = None,
    max_peak: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="For pareto: most elements a layer may hold at a time.")
    ] = None,
    max_moved: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="For pareto: most elements a layer's transposes may copy.")
    ] = None,
    thin: Annotated[
        int | None,
        typer.Option(min=8, metavar="N", help="For pareto: at most N of each layer's undominated solutions."),
    ] = None,
    share: options.Share = None,
    only_layer: options.OnlyLayer = None,
    skip_layer: options.SkipLayer = None,
    custom_objects: options.CustomObjects = None,
    input_shape: options.InputShape = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the design spaces and grids, or the Pareto sets: a .png, .svg or .html file."
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Explore the design space of MODEL's layers, or of layers given by size; nothing is compressed.

    [bold]Examples[/bold]

    edgett explore --layer 4096x4096 --layer 4096x1000 --cost paper --json

    edgett explore model.keras --ranks 4:16:4 --empty-tiles nearest

    edgett explore --layer 784x300 --plot space.html

    edgett explore --layer 3x3x64x64@8x8 --search pareto --max-peak 8192 --plot forms.html

    edgett explore model.keras --search pareto --max-rank 32 --plot front.png
    """
    from edgett.job.job import load_project, resolve
    from edgett.report import terminal
    from edgett.search.sized import Sized
    from edgett.workflow import document, survey

    screen = Screen(json=json, silent=quiet)
    if plot:
        from edgett.report.draw import check_place

        check_place(plot)
    given = {
        "target": "host", "model": model, "data": data, "search": search, "ranks": ranks, "grid": grid,
        "empty_tiles": empty_tiles, "rank_multiple": rank_multiple, "max_rank": max_rank, "estimate": estimate,
        "share": share, "only_layer": only_layer or None, "skip_layer": skip_layer or None,
        "custom_objects": custom_objects, "input_shape": input_shape or None,
    }  # fmt: skip
    sizes = _sizes(layer or ())
    if sizes:
        _refuse_of_model(given | {"thin": thin})
        given["search"] = search or _strategy(sizes)
    elif search is None and cost:
        given["search"] = Strategy.GRID
    job, origins = resolve(given, load_project())
    if not sizes:
        _announce(job, origins["model"], screen)
    exploration: Explored | Sized
    others: tuple[Apart, ...] = ()
    if job.search is Strategy.GRID:
        _refuse({"--max-peak": max_peak, "--max-moved": max_moved, "--thin": thin}, Strategy.PARETO)
        exploration, others = _grid(job, sizes, cost or CostModel.EXACT, screen)
    else:
        _refuse({"--cost": cost}, Strategy.GRID)
        bounds = replace(job.whole_space, most_peak=max_peak, most_moved=max_moved)
        if sizes:
            _refuse_max_rank(max_rank)
            exploration = survey.over_sizes(sizes, bounds, screen)
        else:
            found, others = _whole(job, bounds, screen)
            exploration = found if thin is None else found.thinned(thin)
    if plot:
        _draw(exploration, plot, screen)
    drawn = terminal.spaces if isinstance(exploration, Sized) else terminal.explored
    screen.show(document.explored(exploration, others), drawn)


def _announce(job: Job, origin: str, screen: Screen) -> None:
    from edgett.workflow.inputs import announced

    if origin == "default":
        screen.say(f"No model is named: this is the built-in {job.model}.")
    announced(job, screen)


def _refuse(values: dict[str, object], strategy: Strategy) -> None:
    for name, value in values.items():
        if value is not None:
            raise UsageError(
                f"{name} belongs to --search {strategy.value}.", f"Leave it out, or search by {strategy.value}."
            )


def _sizes(texts: Sequence[str]) -> tuple[Layer, ...]:
    from edgett.forms.site import parse_layer

    return tuple(map(parse_layer, texts))


def _strategy(sizes: Sequence[Layer]) -> Strategy:
    """The one that layers given by size are explored by, where none is named: trains of a grid are no convolutions."""
    return Strategy.PARETO if any(layer.window for layer in sizes) else Strategy.GRID


def _refuse_of_model(given: Mapping[str, object]) -> None:
    """Raise UsageError for what means nothing to layers of which no more than the size is known."""
    if given["model"] is not None:
        raise UsageError(f"--layer and the model {given['model']} are both given.", "Give one of the two.")
    for name in ("data", "estimate", "thin", "share", "only_layer", "skip_layer", "custom_objects", "input_shape"):
        if given[name] is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} means nothing to --layer, which has no weights and no model.",
                "Leave it out, or explore a model.",
            )


def _refuse_max_rank(given: int | None) -> None:
    if given is not None:
        raise UsageError(
            f"--max-rank {given} is for tensor trains: ranks of a convolution run up to what is smaller than dense.",
            "Leave it out; --max-peak and --rank-multiple do bound them.",
        )


def _grid(job: Job, sizes: Sequence[Layer], cost: CostModel, screen: Screen) -> tuple[Exploration, tuple[Apart, ...]]:
    from edgett.search.explore import Grid
    from edgett.workflow import survey

    found, others = (tuple(map(Found, sizes)), ()) if sizes else _of_model(job, screen)
    return survey.over_grid(found, Grid(job.max_ranks, job.grid, job.empty_tiles, cost), screen), others


def _whole(job: Job, search: Search, screen: Screen) -> tuple[Whole, tuple[Apart, ...]]:
    from edgett.workflow import inputs, survey

    with screen.stage("loading TensorFlow"):
        from edgett.model.apart import apart
        from edgett.model.worth import Wish, replaceable
    model, x = inputs.explorable(job, screen)
    found = replaceable(model, Wish(job.least_share, job.only_layer, job.skip_layer))
    return survey.whole_of(model, found, search, screen, x), apart(model)


def _of_model(job: Job, screen: Screen) -> tuple[tuple[Found, ...], tuple[Apart, ...]]:
    from edgett.workflow.inputs import model_only

    with screen.stage("loading the model"):
        from edgett.model.apart import apart
        from edgett.model.kinds import searched
        from edgett.model.worth import Wish, replaceable

        model = model_only(job, screen)
        kinds = searched(job.search)
        return replaceable(model, Wish(job.least_share, job.only_layer, job.skip_layer), kinds), apart(model, kinds)


def _draw(explored: Explored | Sized, path: Path, screen: Screen) -> None:
    from edgett.report import draw, front_plots, sized_plots, space_plots
    from edgett.search.explore import Exploration
    from edgett.search.sized import Sized

    if isinstance(explored, Exploration):
        with screen.stage("counting solutions for the plot", space_plots.units(explored)) as advance:
            picture = space_plots.space_picture(explored, advance)
    elif isinstance(explored, Sized):
        picture = sized_plots.sized_picture(explored)
    else:
        picture = front_plots.front_picture(explored)
    with screen.stage("drawing"):
        draw.write(picture, path)
    screen.say(f"The plot is in {path}.")
