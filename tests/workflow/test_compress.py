"""The whole way for models of other kinds: regression, several outputs, nested, without bias, normalised after."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgett
from edgett.errors import CheckFailed, Infeasible
from edgett.graph.dtype import DType
from edgett.job.job import Job, Project, from_python, resolve
from edgett.meter import Silent
from edgett.report import sections
from edgett.run.directory import Run
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.constraints import DROP, MODEL_BYTES, Constraints, Objective
from edgett.search.solution import Solution
from edgett.train.data import data_from_arrays
from edgett.workflow import compress, document, inputs
from edgett.workflow.outcome import Outcome, problem, remarked
from edgett.workflow.promising import promising
from edgett.workflow.proposal import Proposal
from edgett.workflow.survey import Room, graphs, survey
from tests.conftest import Tiny

OPTIONS: dict[str, Any] = {
    "target": "cortex-a53", "ranks": "2,8", "limit": 1, "epochs": 1, "batch_size": 64, "max_drop": 100.0, "jobs": 0,
    "model_bytes": "100 %", "flops": "200 %", "share": 0.05,
}  # fmt: skip


def signals(count: int = 320) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, 48)).astype(np.float32)


def checked(outcome: Outcome) -> dict[str, Any]:
    """The document of an outcome whose files are what was predicted."""
    written = document.compressed(outcome)
    assert written["check"]["ok"] is True
    for item in written["check"]["artifacts"].values():
        assert item["partial"] == []
    return written


@pytest.mark.slow
def test_regression_is_judged_by_its_own_metric_and_the_drop_is_relative(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    body = [keras.Input((48,)), keras.layers.Dense(32, activation="tanh"), keras.layers.Dense(1)]
    model = keras.Sequential(body)
    model.compile("adam", "mse", metrics=["mae"])
    x = signals()
    y = x[:, :4].sum(axis=1)
    model.fit(x, y, epochs=3, verbose=0)
    data = {"x_train": x, "y_train": y, "x_test": x[:64], "y_test": y[:64]}

    outcome = edgett.compress(model, data, out=tmp_path / "run", **OPTIONS)

    written = checked(outcome)
    assert "in % of the baseline" in written["judged_by"]
    dense, trial = outcome.baseline.scores[0], outcome.trials[0]
    assert dense.relative and not dense.higher_is_better
    expected = 100 * (trial.quality.scores[0].value - dense.value) / dense.value
    np.testing.assert_allclose(trial.drop, expected, rtol=1e-12, atol=1e-10)


@pytest.mark.slow
def test_two_outputs_nested_without_bias_and_normalised_after(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    inside = keras.Sequential(
        [
            keras.Input((48,)),
            keras.layers.Dense(40, use_bias=False, name="fc"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ],
        name="inside",
    )
    signal = keras.Input((48,), name="signal")
    shared = inside(signal)
    side = keras.layers.Dense(3, activation="softmax", name="side")(shared)
    height = keras.layers.Dense(1, name="height")(shared)
    model = keras.Model(signal, {"side": side, "height": height})
    losses = {"side": "sparse_categorical_crossentropy", "height": "mse"}
    model.compile("adam", losses, metrics={"side": ["accuracy"], "height": ["mae"]})
    x = signals()
    y = {"side": np.digitize(x[:, 0], (-0.5, 0.5)), "height": x[:, 1]}
    model.fit(x, y, epochs=2, verbose=0)
    data = {f"{name}_{part}": x for name in ("x",) for part in ("train", "test")}
    data |= {f"y_{part}.{name}": labels for name, labels in y.items() for part in ("train", "test")}

    outcome = edgett.compress(model, data, out=tmp_path / "run", **OPTIONS)

    written = checked(outcome)
    assert [layer["name"] for layer in written["layers"] if layer["excluded"] is None] == ["inside/fc"]
    outputs = {score.output: score for score in outcome.baseline.scores}
    assert set(outputs) == {"side", "height"}
    trial = outcome.trials[0]
    alone = []
    for score in trial.quality.scores:
        dense = outputs[score.output]
        worse = dense.value - score.value if score.higher_is_better else score.value - dense.value
        alone.append(100 * worse / (dense.value if score.relative else 1))
    np.testing.assert_allclose(trial.drop, max(alone), rtol=1e-12, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("search", list(Strategy))
def test_model_without_dense_layers_is_recommended_as_it_is(tmp_path: Path, search: Strategy) -> None:
    import keras

    model = keras.Sequential([keras.Input((48,)), keras.layers.ReLU(), keras.layers.Softmax()])
    x = signals(64)
    data = {"x_train": x, "y_train": np.arange(64) % 48, "x_test": x, "y_test": np.arange(64) % 48}
    options = OPTIONS | {"search": search}
    if search is not Strategy.GRID:
        del options["ranks"]

    outcome = edgett.compress(model, data, out=tmp_path / "run", **options)
    written = checked(outcome)
    assert {pick["solution"] for pick in written["picks"].values()} == {-1}
    why = "The dense model holds every budget that can be checked, and no layer is worth factorising"
    assert written["why_dense"] == f"{why} (the model has none)."
    assert sections.verdict(written).words[1] == written["why_dense"]
    assert {paths[0] for paths in written["artifacts"].values()} == {"artifacts/baseline.keras"}

    # What breaks a budget is recommended by nobody.
    outcome = edgett.compress(model, data, out=tmp_path / "small", **options | {"model_bytes": "0.5 KiB"})
    wrong = problem(outcome)
    assert isinstance(wrong, Infeasible) and "worth factorising (the model has none)" in wrong.message
    assert "model_bytes is" in wrong.message and "the limit 512" in wrong.message


@pytest.mark.slow
def test_a_model_that_fits_already_is_recommended_where_nothing_beats_it(tmp_path: Path) -> None:
    """By the objective; the best of the others are told all the same."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((48,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(4, "softmax")])
    x = signals(128)
    y = model.predict(x, verbose=0).argmax(axis=1)  # none is more accurate
    data = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}

    outcome = edgett.compress(model, data, out=tmp_path / "run", **OPTIONS | {"objective": Objective.ACCURACY})

    written = checked(outcome)
    assert written["picks"]["recommended"]["solution"] == -1 and written["picks"]["recommended"]["drop"] == 0
    (trial,) = outcome.trials
    others = {written["picks"][name]["solution"] for name in ("highest_accuracy", "lowest_memory")}
    assert others == {trial.solution.number} != {-1}
    assert written["why_dense"] == (
        "The dense model holds every budget that can be checked, and none of the other solutions that do (1) is"
        " more accurate."
    )
    assert "recommended" in sections.verdict(written).tables[0].columns[1].title


@pytest.mark.slow
def test_artefact_that_is_not_what_was_predicted_fails_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    from edgett.device import local
    from edgett.workflow import files

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((48,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(4, "softmax")])
    x = signals(128)
    data = {"x_train": x, "y_train": np.arange(128) % 4, "x_test": x, "y_test": np.arange(128) % 4}

    class Off:
        @staticmethod
        def run(path: Path, inputs: Any, batch: int) -> Any:
            return {name: array + 0.01 for name, array in local.run(path, inputs, batch).items()}

    monkeypatch.setattr(files, "local", Off)
    with pytest.raises(CheckFailed, match=r"baseline\.tflite: outputs differ from Keras's by \d\.\de-0\d"):
        edgett.compress(model, data, out=tmp_path / "run", **OPTIONS)
    assert '"ok": false' in (tmp_path / "run" / "check.json").read_text()


@pytest.mark.slow
def test_linear_layer_before_another(tmp_path: Path) -> None:
    """TFLite's converter would fold the bias of the first into the second."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((48,)), keras.layers.Dense(32), keras.layers.Dense(4, "softmax")])
    x = signals(128)
    data = {"x_train": x, "y_train": np.arange(128) % 4, "x_test": x, "y_test": np.arange(128) % 4}

    checked(edgett.compress(model, data, out=tmp_path / "run", **OPTIONS))


@pytest.mark.slow
def test_a_model_too_small_to_become_smaller_is_recommended_as_it_is(tmp_path: Path) -> None:
    """42-20-10-9 in int8, of which TT layers have fewer parameters, and took more than twice the bytes."""
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(units, "relu") for units in (20, 10)]
    model = keras.Sequential([keras.Input((42,)), *layers, keras.layers.Dense(9, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = np.random.default_rng(3).normal(size=(200, 42)).astype(np.float32)
    data = {"x_train": x, "y_train": np.arange(200) % 9, "x_test": x, "y_test": np.arange(200) % 9}
    options = OPTIONS | {"target": "cortex-m4", "dtype": DType.INT8, "objective": Objective.MEMORY}

    outcome = edgett.compress(model, data, out=tmp_path / "run", **options)

    assert outcome.picks is not None and outcome.exploration is not None and outcome.exploration.taken
    assert outcome.picks.recommended.solution.number == -1 and outcome.trials == ()
    assert "no low-rank form of any layer takes fewer bytes of a .tflite in int8" in str(outcome.why)
    file = tmp_path / "run" / "artifacts" / "baseline.tflite"
    # "100 %" is of the file itself.
    assert outcome.limits[MODEL_BYTES] == outcome.dense.solution.file_bytes == file.stat().st_size
    checked(outcome)


@pytest.mark.slow
def test_file_over_the_budget_gives_way_and_is_told_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prediction is made far too small: only the files themselves tell."""
    import keras

    from edgett.search.explore import Costing

    monkeypatch.setattr(Costing, "file_bytes", lambda self, graph: graph.params() // 100)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((48,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(4, "softmax")])
    x = signals(128)
    data = {"x_train": x, "y_train": np.arange(128) % 4, "x_test": x, "y_test": np.arange(128) % 4}

    outcome = edgett.compress(model, data, out=tmp_path / "run", **OPTIONS | {"limit": 2, "model_bytes": "1 KiB"})

    assert outcome.picks is None and outcome.feasible == 0
    assert outcome.miss is not None
    _, _, holding = outcome.miss
    assert holding.name == "model_bytes" and holding.limit == 1024
    assert holding.value is not None and holding.value > 1024
    assert [path.name for path in sorted((tmp_path / "run" / "artifacts").glob("*.tflite"))] == ["baseline.tflite"]


def test_candidates_of_the_whole_space_are_weighed_before_any_is_fine_tuned(tiny: Tiny) -> None:
    from edgett.model.weigh import output_losses
    from edgett.model.worth import replaceable

    job = Job("host", str(tiny.model), str(tiny.data), search=Strategy.PARETO, limit=3)
    loaded = inputs.load(job, Silent())
    graph = graphs(loaded.model)
    limits = Constraints(Objective.FLOPS)
    explored = survey(loaded.model, replaceable(loaded.model), job, Room(graph, limits), Silent())
    able = space.solutions(explored.candidates, graph)

    def chosen(able: tuple[Solution, ...], job: Job) -> tuple[Solution, ...]:
        return promising(Proposal(explored, able, able, {}, larger=False), job, loaded, limits, Silent()).solutions

    few = chosen(able, job)
    assert len(few) == 3 < len(able)
    weighed = output_losses(loaded.model, loaded.data.train.x, few, lambda units: None)
    np.testing.assert_allclose([item.loss for item in few], weighed)
    assert [item.loss for item in few] != [able[item.number].loss for item in few]
    assert {item.number for item in few} <= {item.number for item in able}
    # With no limit, or a grid's candidates, there is nothing to choose by.
    assert len(chosen(able, replace(job, limit=None))) == len(able)
    blind = tuple(replace(item, loss=None) for item in able)
    assert [item.loss for item in chosen(blind, job)] == [None] * 3


@pytest.fixture(scope="module")
def unlabelled(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What comes of a model and its inputs alone."""
    data = {"x_train": tiny.arrays()["x_train"]}
    return edgett.compress(tiny.model, data, out=tmp_path_factory.mktemp("bare") / "run", **OPTIONS | {"limit": 2})


@pytest.mark.slow
def test_inputs_alone_are_enough(unlabelled: Outcome) -> None:
    """Models learn from the dense one's outputs and are judged by how far they agree with it."""
    written = checked(unlabelled)
    assert written["judged_by"] == "digit: agreement, drop in percentage points"
    assert [score["value"] for score in written["baseline"]["accuracy"]] == [1.0]
    assert [score["value"] for score in written["baseline"]["test_accuracy"]] == [1.0]
    (remark,) = written["remarks"]
    assert "the data have no labels" in remark and "agreement, the share of the same decisions" in remark
    for trial in unlabelled.trials:
        (score,) = trial.quality.scores
        assert trial.drop == pytest.approx(100 * (1 - score.value))
    assert max(trial.quality.scores[0].value for trial in unlabelled.trials) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("recover", ["plain", "distill"])
def test_training_without_labels_brings_models_nearer_to_the_dense_one(
    tiny: Tiny, tmp_path: Path, recover: str
) -> None:
    data = {"x_train": tiny.arrays()["x_train"]}

    def best(epochs: int) -> float:
        options = OPTIONS | {"epochs": epochs, "recover": recover, "jobs": 1}
        outcome = edgett.compress(tiny.model, data, out=tmp_path / f"{recover}-{epochs}", **options)
        return min(trial.drop for trial in outcome.trials)

    assert best(8) < best(1)


@pytest.mark.slow
def test_values_without_labels_are_judged_by_their_error(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((48,)), keras.layers.Dense(32, "tanh"), keras.layers.Dense(3, name="out")])
    outcome = edgett.compress(model, {"x_train": signals()}, out=tmp_path / "run", **OPTIONS | {"epochs": 4})
    written = checked(outcome)
    assert written["judged_by"] == "out: relative_error, drop in % of the baseline"
    assert written["baseline"]["accuracy"][0]["value"] == 0
    assert outcome.trials[0].drop == pytest.approx(100 * outcome.trials[0].quality.scores[0].value)


def test_validation_data_too_small_for_the_budget_draw_a_warning(tiny: Tiny) -> None:
    arrays = tiny.arrays()
    own = {"x_val": arrays["x_test"][:38], "y_val": arrays["y_test"][:38]}
    job = Job(target="cortex-a53", model=str(tiny.model))
    model = inputs.model_only(job, Silent())
    loaded = inputs.inputs(model, data_from_arrays(arrays | own, model, 0), Silent())
    none = Constraints(Objective.FLOPS)

    (remark,) = remarked(loaded, none.with_limits({DROP: 1.5}), Silent())
    assert "the validation data are 38 samples, one of which is 2.6 points" in remark and "Give 67 or more" in remark
    for limit in (None, 0.0, 2.7):
        assert remarked(loaded, none.with_limits({DROP: limit}), Silent()) == ()


@pytest.mark.slow
def test_drops_are_measured_from_the_baseline_whatever_is_decomposed(tiny: Tiny, tmp_path: Path) -> None:
    """A training method may come between: here one that has forgotten everything."""
    import keras

    given = {"model": str(tiny.model), "data": str(tiny.data), "learning_rate": 1e-6, **OPTIONS}
    job, _ = resolve(from_python(given), Project())
    loaded = inputs.load(job, Silent())
    forgetful = keras.models.clone_model(loaded.model)
    random = np.random.default_rng(0)
    forgetful.set_weights([random.normal(size=weight.shape) for weight in loaded.model.get_weights()])
    with closing(Run.start(tmp_path / "run", {})) as run:
        outcome = compress.compress(job, replace(loaded, retrained=forgetful), run, Silent())

    (trial,) = outcome.trials
    assert outcome.baseline == loaded.quality and outcome.dense.drop == 0
    assert trial.drop > 50
    brackets = [bracket for some in outcome.errors.values() for bracket in some.values()]
    assert brackets and all(bracket.estimate > 0.5 for bracket in brackets)  # random weights have no low rank
