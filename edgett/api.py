"""The Python API: the same reach as the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgett.errors import UsageError
from edgett.forms.front import Search
from edgett.forms.site import CostModel, Found, Layer, parse_layer
from edgett.forms.tt.shapes import parse_ranks
from edgett.job.job import Job, Project, from_python, resolve
from edgett.meter import Meter, Silent
from edgett.report import reports
from edgett.run import session
from edgett.run.directory import Run, new_path, refuse_occupied
from edgett.run.log import logged
from edgett.search.choices import EmptyTiles
from edgett.search.explore import Exploration, Grid
from edgett.search.sized import Sized
from edgett.search.whole import Whole
from edgett.workflow import compress as work
from edgett.workflow import inputs as sources
from edgett.workflow import survey
from edgett.workflow.outcome import Outcome, unchecked

if TYPE_CHECKING:
    import keras  # noqa: TID251 - for the type checker alone
    import numpy as np

    from edgett.train.data import Data


def compress(
    model: keras.Model | str | Path,
    data: Data | Mapping[str, np.ndarray] | str | Path | None = None,
    *,
    target: str | Path,
    out: str | Path | None = None,
    meter: Meter | None = None,
    resume: bool = False,
    fresh: bool = False,
    **options: Any,
) -> Outcome:
    """Compress a trained model for a target: explore, fine-tune, select, export, cross-check.

    Args:
        model: a `keras.Model`, the path of a Keras file, or an example's name such as "example:clock".
        data: `x_train`, `y_train`, `x_test`, `y_test`, (n, ...) each, by these names; or what --data takes.
        target: the name of a profile, or the path of its TOML file.
        out: the run directory; None: runs/<model>-<target>-<n>, n counting up.
        meter: is told how far the work has come.
        resume: go on with the run in `out`.
        fresh: start anew in the place of the run in `out`.
        **options: those of the command, with _ for -: `limit="all"`, `only_layer=["fc1"]`, `model_bytes="50 %"`.

    Returns:
        The outcome; `picks` is None where nothing meets the target's constraints, `release` has the artefacts.

    Raises:
        EdgettError: for unusable input.
        CheckFailed: where an artefact is not what was predicted.
    """
    meter = meter or Silent()
    name = model if isinstance(model, (str, Path)) else f"{model.name or 'model'}"
    named = data if isinstance(data, (str, Path)) else None
    given = from_python({"target": target, "model": name, "data": named, **options})
    data = data if named is None else given["data"]
    if resume:
        if fresh or out is None:
            raise UsageError("resume goes on with the run in out; fresh does not.", "Give out=DIR, and one of the two.")
        with session.resumed(Path(out), given) as (run, job, _):
            session.refuse_other_ground(run, job)
            return _carried_out(job, _loaded(model, data, job, meter), run, meter)
    job, origins = resolve(given, Project(), "caller")
    path = Path(out) if out else new_path(job.title, Path(job.target).stem)
    refuse_occupied(path, fresh=fresh)
    loaded = _loaded(model, data, job, meter)  # before an old run goes, in whose place this one is to be
    with session.started(path, job, origins, fresh=fresh) as run:
        return _carried_out(job, loaded, run, meter)


def explore(
    layers: keras.Model | Layer | str | Iterable[Layer | str],
    *,
    ranks: str = "2:12",
    grid: int = 8,
    empty_tiles: EmptyTiles | str = EmptyTiles.SKIP,
    cost: CostModel | str = CostModel.EXACT,
    share: float = 0.10,
) -> Exploration:
    """Explore the paper's design space of fully connected layers on a grid (steps 1 to 5); nothing is trained.

    Args:
        layers: a `keras.Model`, or one or several layers: "4096x1000" (inputs x outputs, with a bias) or a `Layer`.
        ranks: the max ranks to try: "2:12" (both ends in), "2:64:4" (with a step) or "4,8,16".
        grid: into so many tiles a side each layer's solutions are cut, by parameters and FLOPs.
        empty_tiles: what becomes of a tile that is empty in some layer: "skip", or "nearest" (the nearest one stands
            for it).
        cost: "exact" counts the FLOPs that a graph executes, "paper" those of the paper's equation 4 as printed.
        share: layers of a model that hold a smaller share of its parameters are left alone.

    Returns:
        Each layer with its space of solutions, and the candidates of all layers together.

    Raises:
        UsageError: for an option or a layer's size that cannot be used.
        ModelError: for a model that is neither Sequential nor functional.
    """
    given = from_python({"ranks": ranks, "grid": grid, "empty_tiles": empty_tiles, "share": share})
    space = Grid(parse_ranks(given["ranks"]), given["grid"], given["empty_tiles"], _cost_model(cost))
    if isinstance(layers, (str, Layer, Iterable)):
        return survey.over_grid([*map(Found, _by_size(layers))], space, Silent())
    from edgett.model.kinds import FULLY_CONNECTED
    from edgett.model.worth import Wish, replaceable

    return survey.over_grid(replaceable(layers, Wish(share), FULLY_CONNECTED), space, Silent())


def explore_whole(model: keras.Model, search: Search | None = None, *, share: float = 0.01) -> Whole:
    """Find the Pareto set of the whole design space of a model's layers; nothing is trained.

    Args:
        model: a trained `keras.Model`.
        search: which ranks there may be, and bounds; None: `Search()`.
        share: layers that hold a smaller share of the model's parameters are left alone.

    Returns:
        The layers; `taken` has a front (specs, costs, brackets of their errors) for each one that is factorised.

    Raises:
        ModelError: for a model that is neither Sequential nor functional, and for weights that are not finite.
    """
    from edgett.model.worth import Wish, replaceable

    return survey.whole_of(model, replaceable(model, Wish(share)), search or Search(), Silent())


def explore_sizes(layers: Layer | str | Iterable[Layer | str], search: Search | None = None) -> Sized:
    """List the whole design space of convolutions of which no weight is known.

    Args:
        layers: one or several: "3x3x64x64@8x8" (window, channels read, channels written, image; stride 1, padding same,
            with a bias) or a `Layer` with a window.
        search: which ranks there may be, and bounds; None: `Search()`.

    Returns:
        The layers; `taken` has the space (specs, costs) of each that can be held in a form smaller and cheaper.

    Raises:
        UsageError: for a size that cannot be used, and for a fully connected layer.
    """
    return survey.over_sizes(_by_size(layers), search or Search(), Silent())


def _by_size(layers: Layer | str | Iterable[Layer | str]) -> list[Layer]:
    given = [layers] if isinstance(layers, (str, Layer)) else layers
    return [parse_layer(layer) if isinstance(layer, str) else layer for layer in given]


def _cost_model(given: CostModel | str) -> CostModel:
    try:
        return CostModel(given)
    except ValueError as error:
        raise UsageError(f"cost is {given!r}: it must be 'exact' or 'paper'.", "Leave it out for 'exact'.") from error


def _carried_out(job: Job, loaded: sources.Inputs, run: Run, meter: Meter) -> Outcome:
    with logged(run.path, meter) as meter:
        session.identify(run, loaded.digests)
        outcome = work.compress(job, loaded, run, meter)
        reports.finish(run, outcome, meter)
    if not outcome.release.ok:
        raise unchecked(outcome.release)
    return outcome


def _loaded(model: Any, data: Any, job: Job, meter: Meter) -> sources.Inputs:
    named = isinstance(model, (str, Path))
    if named:
        sources.announced(job, meter)
    if named and (data is None or isinstance(data, str)):
        return sources.load(job, meter)
    from edgett.train.data import data_from_arrays, load_data

    network = sources.model_only(job, meter) if named else sources.prepared(model, job, meter)
    if isinstance(data, str):
        data = load_data(data, network, job.seed)
    elif isinstance(data, Mapping):
        data = data_from_arrays(data, network, job.seed)
    elif data is None:
        raise sources.no_data(job.model)
    return sources.augmented(sources.inputs(network, data, meter, sources.Asked.of(job)), job)
