"""The Python API: the public names, and the same results as the command line's."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import edgett
from edgett.errors import DataError, ProfileError, UsageError
from edgett.forms.site import CostModel, Layer
from edgett.forms.window import Window
from edgett.graph.dtype import DType
from edgett.job.choices import Recover, Schedule
from edgett.job.job import Project, from_python, resolve
from edgett.model.factored import Factored
from edgett.search.choices import EmptyTiles, Strategy
from edgett.search.constraints import Objective
from edgett.workflow import document
from tests.conftest import Finished, Tiny


def test_every_exported_name_is_there_and_lives_where_it_says() -> None:
    assert {"compress", "explore", "load_target", "TTDense", "Outcome", "EdgettError"} <= set(edgett.__all__)
    for name in edgett.__all__:
        assert getattr(edgett, name).__name__ == name
    assert dir(edgett) == edgett.__all__ == sorted(edgett.__all__)
    assert edgett.__version__ == version("edgett")
    with pytest.raises(AttributeError, match="no attribute 'compres'"):
        _ = edgett.compres


@pytest.mark.slow
def test_compress_with_a_model_and_arrays_equals_the_command_line(
    tiny: Tiny, finished: Finished, tmp_path: Path
) -> None:
    import keras

    outcome = edgett.compress(
        keras.models.load_model(tiny.model), tiny.arrays(), target="cortex-a53", out=tmp_path / "run",
        ranks="2:6", limit=2, epochs=1, batch_size=64, max_drop=100.0, model_bytes="100 %", jobs=0,
    )  # fmt: skip

    assert isinstance(outcome, edgett.Outcome)
    assert outcome.picks is not None and outcome.release.ok
    assert document.compressed(outcome)["picks"] == finished.document["picks"]
    for path in (finished.path / "artifacts").iterdir():
        assert path.read_bytes() == (tmp_path / "run" / "artifacts" / path.name).read_bytes(), path.name
    model = keras.models.load_model(tmp_path / "run" / "artifacts" / "recommended.keras")
    assert not any(isinstance(layer, Factored) for layer in model._flatten_layers())


def test_bad_input_leaves_no_run(tiny: Tiny, tmp_path: Path) -> None:
    import keras

    run, model = tmp_path / "run", keras.models.load_model(tiny.model)
    with pytest.raises(DataError, match="no x_test, y_test"):
        edgett.compress(model, {name: tiny.arrays()[name] for name in ("x_train", "y_train")}, target="host", out=run)
    with pytest.raises(DataError, match="without data"):
        edgett.compress(model, target="host", out=run)
    with pytest.raises(ProfileError, match="cortex-a53"):
        edgett.compress(model, tiny.arrays(), target="cortex-a54", out=run)
    with pytest.raises(UsageError, match="epochs is 0"):
        edgett.compress(model, tiny.arrays(), target="host", out=run, epochs=0)
    assert not run.exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"search": "junk"}, "search is 'junk': it must be 'grid' or 'pareto'"),
        ({"recover": "junk"}, "recover is 'junk': it must be 'plain', 'distill', 'admm' or 'adversarial'"),
        ({"prune": "junk"}, "prune is 'junk': it must be 'nothing' or 'channels'"),
        ({"prune": "channels", "search": "grid"}, "--prune channels has no place in --search grid"),
        ({"epoch": 3}, "epoch is unknown .* Did you mean 'epochs'"),
        ({"limit": "some"}, "limit is 'some': it must be a whole number, at least 1, or 'all'"),
        ({"epochs": "3"}, "epochs is '3'"),
        ({"only_layer": 3}, "only_layer is 3"),
        ({"model_bytes": True}, "model_bytes is True"),
        ({"recover": "admm", "epochs": 1}, "--recover admm trains the dense model first: one epoch is too few"),
        ({"metric": "a:b:c"}, "--metric a:b:c is no metric"),
        ({"search": "grid", "rank_multiple": 2}, "--rank-multiple belongs to --search pareto, this is grid"),
        ({"search": "pareto", "grid": 4}, "--grid belongs to --search grid, this is pareto"),
    ],
)
def test_options_are_checked_as_on_the_command_line(tiny: Tiny, tmp_path: Path, wrong: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        edgett.compress(str(tiny.model), tiny.arrays(), target="host", out=tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_options_are_values_or_the_words_for_them() -> None:
    words = {
        "search": "pareto", "recover": "distill", "schedule": "halving", "limit": "all", "only_layer": "fc",
        "skip_layer": ["a", "b"], "model_bytes": 5000, "objective": "memory", "dtype": "int8", "target": "x.toml",
    }  # fmt: skip
    values = {
        "search": Strategy.PARETO, "recover": Recover.DISTILL, "schedule": Schedule.HALVING, "limit": None,
        "only_layer": ("fc",), "skip_layer": ("a", "b"), "model_bytes": "5000 B", "objective": Objective.MEMORY,
        "dtype": DType.INT8, "target": Path("x.toml"),
    }  # fmt: skip
    of_words, of_values = (resolve(from_python(given), Project(), "caller")[0] for given in (words, values))
    assert of_words == of_values
    assert (of_words.only_layer, of_words.limit, of_words.search) == (("fc",), None, Strategy.PARETO)


def test_explore_takes_words_and_one_layer() -> None:
    one = edgett.explore("64x48", ranks="2:6", grid=4, empty_tiles="nearest", cost="paper")
    assert [item.layer.name for item, _ in one.layers] == ["64x48"]
    assert (one.grid.empty, one.grid.model) == (EmptyTiles.NEAREST, CostModel.PAPER)
    for wrong, told in (({"cost": "real"}, "cost is 'real'"), ({"empty_tiles": "fill"}, "empty_tiles is 'fill'")):
        with pytest.raises(UsageError, match=told):
            edgett.explore("64x48", **wrong)


def test_explore_layers_and_a_model(tiny: Tiny) -> None:
    import keras

    by_size = edgett.explore(["64x48", Layer("fc", 48, 36)], ranks="2:6", grid=4, empty_tiles=EmptyTiles.NEAREST)
    of_model = edgett.explore(keras.models.load_model(tiny.model), ranks="2:6", cost=CostModel.PAPER)

    assert [item.layer.name for item, _ in by_size.layers] == ["64x48", "fc"]
    assert by_size.joint.tiles == 16
    assert [item.excluded is None for item, _ in of_model.layers] == [True, True, False]
    with pytest.raises(UsageError, match="64y48"):
        edgett.explore(["64y48"])


def test_explore_sizes() -> None:
    window = Window((3, 3), (8, 8), strides=(2, 2))
    strided = Layer("strided", 9 * 8, 8, bias=False, positions=window.positions, window=window)
    one, two = edgett.explore_sizes(["3x3x8x8@4x4", strided], edgett.Search(rank_multiple=2)).taken

    assert (one.layer.name, two.layer.name) == ("3x3x8x8@4x4", "strided")
    assert max(each.params for each in one.costs) < 9 * 8 * 8 + 8
    assert {spec.window for spec in two.specs} == {window} and max(each.params for each in two.costs) < 9 * 8 * 8
    for wrong, told in (("64x48", "fully connected"), ("3x3x8x8", "without its image")):
        with pytest.raises(UsageError, match=told):
            edgett.explore_sizes(wrong)
    with pytest.raises(UsageError, match="is a convolution"):
        edgett.explore("3x3x8x8@4x4")


def test_targets_are_loaded_by_name() -> None:
    assert edgett.load_target("cortex-m4").name == "cortex-m4"


def test_the_whole_space_of_a_model(tiny: Tiny) -> None:
    from edgett.model.models import load_model

    found = edgett.explore_whole(load_model(tiny.model), edgett.Search(rank_multiple=2, max_rank=8), share=0.2)
    (front,) = [front for front in found.taken if front.layer.name == "wide"]
    assert len(front) == len(front.costs) == len(front.errors) > 10
    assert front.solutions > len(front)
    assert {spec.form for spec in front.specs} == {"tt", "svd"}
    assert all(max(spec.ranks) <= 8 for spec in front.specs if isinstance(spec, edgett.TTShape))
