"""--prune channels: what is proposed, trained, written, exported again, and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgett
from edgett.errors import ModelError, UsageError
from edgett.graph.filesize import Format
from edgett.job.choices import Prune
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.run.directory import Run
from edgett.search.choices import Strategy
from edgett.search.constraints import Constraints, Objective
from edgett.train.data import data_from_arrays
from edgett.train.finetune import compressed
from edgett.workflow import document, inputs, pruning
from edgett.workflow.files import Style, read, write
from edgett.workflow.proposal import Proposal, proposed
from edgett.workflow.reexport import export
from edgett.workflow.survey import Room, graphs

L = keras.layers
JOB = Job("host", prune=Prune.CHANNELS, share=0.0, limit=3)
OPTIONS: dict[str, Any] = {
    "target": "cortex-m4", "prune": "channels", "limit": 6, "epochs": 1, "batch_size": 32, "max_drop": 100.0,
    "jobs": 0, "share": 0.0, "model_bytes": "100 %",
}  # fmt: skip


def arrays(count: int = 400) -> dict[str, Any]:
    x = np.random.default_rng(0).normal(size=(count, 24)).astype(np.float32)
    y = np.argmax(x[:, :3] + x[:, 3:6], axis=1)
    return {"x_train": x, "y_train": y, "x_test": x[:100], "y_test": y[:100]}


def network(*body: Any, shape: tuple[int, ...] = (24,)) -> keras.Model:
    keras.utils.set_random_seed(0)
    hidden = body or (L.Dense(40, "relu", name="one"), L.Dense(32, "relu", name="two"))
    model = keras.Sequential([keras.Input(shape, name="x"), *hidden, L.Dense(3, "softmax", name="end")])
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    made, data = network(), arrays()
    made.fit(data["x_train"], data["y_train"], epochs=3, verbose=0)
    return made


@pytest.fixture(scope="module")
def loaded(model: keras.Model) -> inputs.Inputs:
    given = inputs.inputs(model, data_from_arrays(arrays(), model, 0), Silent())
    return pruning.slimmer(given, JOB, Silent())


@pytest.fixture(scope="module")
def room(loaded: inputs.Inputs) -> Room:
    limits = Constraints(Objective.MEMORY, {})
    return Room(graphs(loaded.model), limits, x=loaded.data.train.stream)


@pytest.fixture(scope="module")
def found(loaded: inputs.Inputs, room: Room) -> Proposal:
    return pruning.joint(proposed(JOB, loaded.model, room, Silent()), JOB, loaded, room, Silent())


def test_one_pool_of_all_models_numbered_on(found: Proposal, loaded: inputs.Inputs, room: Room) -> None:
    alone = proposed(JOB, loaded.model, room, Silent())
    assert found.solutions[: len(alone.solutions)] == alone.solutions
    assert [item.number for item in found.solutions] == list(range(len(found.solutions)))
    assert {item.gone for item in found.solutions} == {0, *loaded.pruned}
    groups = pruning.of_each(found.solutions)
    for gone, pruned in loaded.pruned.items():
        assert all(item.removed == pruned.removed for item in groups[gone])
        (whole,) = (item for item in groups[gone] if not item.edits)
        assert whole.loss == pruned.lost == min(item.loss or 0.0 for item in groups[gone])
    losses = [pruned.lost for pruned in loaded.pruned.values()]
    assert losses == sorted(losses) and losses[0] > 0, "the fewer are left the more is lost"


def test_costs_are_those_of_the_file(found: Proposal, loaded: inputs.Inputs, tmp_path: Path) -> None:
    groups = pruning.of_each(found.solutions)
    for gone in loaded.pruned:
        for item in (groups[gone][0], groups[gone][len(groups[gone]) // 2], groups[gone][-1]):
            made = compressed(loaded.source_of(gone), item, loaded.judge)
            (path,) = write(made, Style(1), tmp_path / f"{item.number}", (Format.TFLITE.suffix,))
            graph = read(made, path, 1)
            assert (item.cost.params, item.cost.flops) == (graph.params(), graph.flops())
            assert item.cost.params == made.count_params()
            np.testing.assert_allclose(item.file_bytes, path.stat().st_size, rtol=0.03, atol=1024)


def test_a_frozen_model_trains_in_forms_alone(loaded: inputs.Inputs, room: Room) -> None:
    frozen = keras.models.clone_model(loaded.model)
    frozen.set_weights(loaded.model.get_weights())
    frozen.trainable = False
    given = pruning.slimmer(replace(loaded, model=frozen, pruned={}), JOB, Silent())
    every = pruning.joint(proposed(JOB, frozen, room, Silent()), JOB, given, room, Silent()).solutions
    assert {item.gone for item in every} == {0, *given.pruned} and all(item.edits for item in every)


def told(outcome: Any) -> list[dict[str, Any]]:
    """The trials, but for the times that they took."""
    return [trial | {"seconds": 0} for trial in document.compressed(outcome)["trials"]]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 1])
def test_the_whole_way_again_and_by_parts(model: keras.Model, tmp_path: Path, jobs: int) -> None:
    options = OPTIONS | {"jobs": jobs}
    outcome = edgett.compress(model, arrays(), out=tmp_path / "run", **options)
    written = document.compressed(outcome)
    assert written["check"]["ok"] is True
    funnel, slim = written["funnel"], sum(bool(sum(one.get("removed", {}).values())) for one in written["trials"])
    assert funnel["joint_candidates"] >= funnel["within_budgets"] >= funnel["fine_tuned"] >= slim > 0
    gone = {trial["solution"]: sum(trial.get("removed", {}).values()) for trial in written["trials"]}
    assert any(gone.values())
    again = edgett.compress(model, arrays(), out=tmp_path / "again", **options)
    assert told(again) == told(outcome)

    (tried,) = [number for number, count in gone.items() if count][:1]
    made = export(tmp_path / "run", tried, (".keras", ".tflite"), tmp_path / "files", 1)
    assert made["ok"] is True
    small = keras.models.load_model(tmp_path / "files" / f"solution-{tried}.keras")
    trial = next(item for item in outcome.trials if item.solution.number == tried)
    assert small.count_params() == trial.solution.cost.params
    data = data_from_arrays(arrays(), model, 0)
    (x,) = data.validation.x.values()
    (y,) = data.validation.y.values()
    np.testing.assert_allclose(np.mean(small.predict(x, verbose=0).argmax(-1) == y), trial.quality.scores[0].value)


@pytest.mark.slow
def test_a_run_goes_on_from_its_journal(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = edgett.compress(model, arrays(), out=tmp_path / "whole", **OPTIONS)
    record, left = Run.record, 2

    def broken(self: Run, *args: Any) -> None:
        nonlocal left
        left -= 1
        record(self, *args)
        if not left:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "record", broken)
        with pytest.raises(KeyboardInterrupt):
            edgett.compress(model, arrays(), out=tmp_path / "run", **OPTIONS)
    resumed = edgett.compress(model, arrays(), out=tmp_path / "run", resume=True, **OPTIONS)
    assert told(resumed) == told(whole)


def test_the_nearest_miss_may_be_without_channels(model: keras.Model, tmp_path: Path) -> None:
    """Nothing is trained where nothing can hold; the layer that sets the peak is one of the slimmer model."""
    outcome = edgett.compress(model, arrays(), out=tmp_path / "run", **OPTIONS | {"peak": "100 B"})
    assert outcome.picks is None and outcome.miss is not None and not outcome.trials
    assert outcome.miss[0].removed and outcome.advice.peak is not None
    written = document.compressed(outcome)
    assert written["nearest_miss"]["removed"] == outcome.miss[0].removed


def test_what_cannot_lose_a_channel_is_refused() -> None:
    x = keras.Input((8, 8, 3), name="x")
    made = L.Add()([L.Conv2D(3, 3, padding="same", name="tied")(x), x])
    flat = keras.Model(x, made)
    flat.compile("adam", "mse")
    data = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype(np.float32)
    every = {"x_train": data, "y_train": data, "x_test": data, "y_test": data}
    given = inputs.inputs(flat, data_from_arrays(every, flat, 0), Silent())
    with pytest.raises(ModelError, match="has no channels that may go: inputs and outputs stay") as refused:
        pruning.slimmer(given, JOB, Silent())
    assert refused.value.cure == "Leave --prune channels out."


def test_layers_that_are_left_alone_keep_their_channels(loaded: inputs.Inputs) -> None:
    given = replace(loaded, pruned={})
    some = pruning.slimmer(given, replace(JOB, skip_layer=("one",)), Silent())
    assert all(set(pruned.removed) == {"two"} for pruned in some.pruned.values())
    with pytest.raises(ModelError, match="has no channels that may go"):
        pruning.slimmer(given, replace(JOB, only_layer=("end",)), Silent())
    assert pruning.slimmer(given, replace(JOB, prune=Prune.NOTHING), Silent()) is given


def test_the_grid_of_the_paper_has_no_place_for_it() -> None:
    with pytest.raises(UsageError, match="--prune channels has no place in --search grid"):
        Job("host", prune=Prune.CHANNELS, search=Strategy.GRID)
