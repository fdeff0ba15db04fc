"""The Python API: the public names, and the same results as the command line's."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

import edgett
from edgett.errors import DataError, ProfileError, UsageError
from edgett.report import document
from edgett.values import CostModel, EmptyTiles, Layer
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
    assert any(isinstance(layer, edgett.TTDense) for layer in model.layers)


def test_bad_input_leaves_no_run(tiny: Tiny, tmp_path: Path) -> None:
    import keras

    run, model = tmp_path / "run", keras.models.load_model(tiny.model)
    with pytest.raises(DataError, match="no y_train, x_test, y_test"):
        edgett.compress(model, {"x_train": tiny.arrays()["x_train"]}, target="host", out=run)
    with pytest.raises(DataError, match="without data"):
        edgett.compress(model, target="host", out=run)
    with pytest.raises(ProfileError, match="cortex-a53"):
        edgett.compress(model, tiny.arrays(), target="cortex-a54", out=run)
    with pytest.raises(UsageError, match="--epochs 0"):
        edgett.compress(model, tiny.arrays(), target="host", out=run, epochs=0)
    assert not run.exists()


def test_explore_layers_and_a_model(tiny: Tiny) -> None:
    import keras

    by_size = edgett.explore(["64x48", Layer("fc", 48, 36)], ranks="2:6", grid=4, empty_tiles=EmptyTiles.NEAREST)
    of_model = edgett.explore(keras.models.load_model(tiny.model), ranks="2:6", cost=CostModel.PAPER)

    assert [item.layer.name for item, _ in by_size.layers] == ["64x48", "fc"]
    assert by_size.joint.tiles == 16
    assert [item.excluded is None for item, _ in of_model.layers] == [True, True, False]
    with pytest.raises(UsageError, match="64y48"):
        edgett.explore(["64y48"])


def test_targets_are_loaded_by_name() -> None:
    assert edgett.load_target("cortex-m4").name == "cortex-m4"


def test_the_whole_space_of_a_model(tiny: Tiny) -> None:
    from edgett.nn.models import load_model

    found = edgett.explore_whole(load_model(tiny.model), edgett.Search(rank_multiple=2, max_rank=8), share=0.2)
    (front,) = [front for front in found.taken if front.layer.name == "wide"]
    assert len(front) == len(front.costs) == len(front.errors) > 10
    assert front.solutions > len(front)
    assert all(max(shape.ranks) <= 8 for shape in front.shapes)
