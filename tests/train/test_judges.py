"""Which figures decide: several metrics, one that is asked for, and agreement where there are no labels."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.errors import DataError, UsageError
from edgett.export.decisions import Decision
from edgett.job.yardstick import parse_metric
from edgett.model.ports import by_output, wanted
from edgett.search.quality import Quality, Score
from edgett.train.agreement import decisions
from edgett.train.quality import Ask, Judge, judge
from tests.train.test_quality import BITS, CLASSES, ONE_HOT, SPARSE, VALUES, X, drop, judged, single, two_heads


def _quality(model: keras.Model, labels: dict[str, np.ndarray]) -> Quality:
    return judge(model, labels).quality(by_output(model, model.predict(X, verbose=0)), labels)


def r_squared(y: object, p: object) -> object:
    total = keras.ops.sum(keras.ops.square(y - keras.ops.mean(y)))
    return 1 - keras.ops.sum(keras.ops.square(y - p)) / total


def named(found: Quality, decides: bool = True) -> list[str]:
    return [score.metric for score in found.scores if score.decides is decides]


class TestSeveralMetrics:
    def test_the_worst_drop_of_all_that_are_to_be_high_decides(self) -> None:
        """1.5 % positives: who never says yes has the accuracy of the dense model, and no recall."""
        yes = (np.arange(400) % 66 == 0).astype("float32")[:, None]
        metrics = [keras.metrics.AUC(name="auc"), keras.metrics.Recall(name="recall"), "accuracy"]
        model = single(1, "sigmoid", loss="binary_crossentropy", metrics=metrics)
        judged = judge(model, {"out": yes})
        good, never = (judged.quality({"out": array}, {"out": yes}) for array in (0.9 * yes, 0.4 * yes))
        assert named(good) == ["auc", "recall", "accuracy"] and named(good, decides=False) == []
        assert [score.value for score in never.scores] == pytest.approx([1, 0, 1 - yes.mean()], abs=1e-3)
        assert 100 * (good.scores[2].value - never.scores[2].value) < 2
        assert drop(good, never) == pytest.approx(100)
        assert str(judged) == (
            "out: auc, drop in % of the baseline; out: recall, drop in % of the baseline;"
            " out: accuracy, drop in percentage points"
        )

    def test_accuracy_alone_is_what_it_was(self) -> None:
        model = single(3, "softmax", loss=SPARSE, metrics=["accuracy"])
        found = _quality(model, {"out": CLASSES})
        assert [(s.metric, s.relative, s.decides) for s in found.scores] == [("accuracy", False, True)]

    def test_an_error_beside_a_score_is_shown(self) -> None:
        """It may be next to nothing, of which any growth is a large share."""
        found = _quality(single(1, None, loss="mse", metrics=["mae", keras.metrics.R2Score()]), {"out": VALUES})
        assert (named(found), named(found, decides=False)) == (["r2_score"], ["mean_absolute_error"])
        found = _quality(single(3, "softmax", loss=SPARSE, metrics=[SPARSE]), {"out": CLASSES})
        assert (named(found), named(found, decides=False)) == (["accuracy"], [SPARSE])

    def test_errors_decide_where_there_is_nothing_else(self) -> None:
        found = _quality(single(1, None, loss="mse", metrics=["mae", "mse"]), {"out": VALUES})
        assert named(found) == ["mean_absolute_error", "mean_squared_error"]

    @pytest.mark.parametrize("metric", [r_squared, keras.metrics.MeanMetricWrapper(r_squared, name="r_squared")])
    def test_where_nobody_knows_the_direction_the_loss_decides(self, metric: object) -> None:
        judged = judge(single(1, None, loss="mse", metrics=[metric]), {"out": VALUES})
        found = judged.quality({"out": VALUES}, {"out": VALUES})
        assert (named(found), named(found, decides=False)) == (["mean_squared_error"], ["r_squared"])
        (remark,) = judged.remarks
        assert "r_squared of out is shown and decides nothing" in remark and "--metric r_squared:max" in remark

    def test_counts_know_their_direction(self) -> None:
        counts = [keras.metrics.FalseNegatives(name="missed"), keras.metrics.TruePositives(name="hits")]
        model = single(1, "sigmoid", loss="binary_crossentropy", metrics=counts)
        (gauge,) = judge(model, {"out": BITS}).gauges
        assert [(m.name, m.higher_is_better) for m in gauge.metrics] == [("hits", True), ("missed", False)]

    def test_keras_counts_the_metrics_that_it_names_and_we_do_not(self) -> None:
        model = single(1, "sigmoid", loss="binary_crossentropy", metrics=["AUC", "recall"])
        first, again = (judge(model, {"out": BITS}) for _ in range(2))
        assert [metric.name for metric in again.gauges[0].metrics] == ["auc", "recall"]
        assert str(first) == str(again)

    def test_one_figure_of_a_metric_that_has_one_a_class(self) -> None:
        model = single(3, "softmax", loss="categorical_crossentropy", metrics=[keras.metrics.F1Score(name="f1")])
        each = model.evaluate(X, ONE_HOT, verbose=0, batch_size=40)[1]
        assert judged(model, ONE_HOT).value == pytest.approx(np.mean(each), abs=1e-6)

    def test_a_metric_that_cannot_be_computed_is_named(self) -> None:
        model = single(3, "softmax", loss=SPARSE, metrics=[keras.metrics.F1Score(name="f1")])
        with pytest.raises(DataError, match="metric f1 cannot be computed"):
            _quality(model, {"out": CLASSES})


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user's in the working directory, with another that it needs when it is called."""
    (tmp_path / "their_helper.py").write_text("def worth(y, p): return float((y.argmax(-1) == p.argmax(-1)).mean())\n")
    (tmp_path / "their_metric.py").write_text(
        "import numpy as np\n"
        "def figure(y, p):\n    import their_helper\n    return their_helper.worth(y, p)\n"
        "def size_error(y, p):\n    return np.abs(y['size'] - p['size']).mean() + (y['hour'] != 3).mean()\n"
        "def broken(y, p):\n    raise KeyError('no such class')\n"
        "def words(y, p):\n    return 'good'\n"
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("their_metric", "their_helper"):
        sys.modules.pop(name, None)


class TestAsked:
    def asked(self, text: str, model: keras.Model, labels: dict[str, np.ndarray]) -> Judge:
        return judge(model, labels, Ask(parse_metric(text)))

    @pytest.mark.parametrize(("text", "up"), [("r_squared:max", True), ("r_squared:min", False)])
    def test_a_compiled_metric_by_its_name(self, text: str, up: bool) -> None:
        judged = self.asked(text, single(1, None, loss="mse", metrics=["mae", r_squared]), {"out": VALUES})
        found = judged.quality({"out": 0.5 * VALUES}, {"out": VALUES})
        assert (named(found), named(found, decides=False)) == (["r_squared"], ["mean_absolute_error"])
        assert found.scores[0].higher_is_better is up
        assert found.scores[0].value == pytest.approx(float(r_squared(VALUES, 0.5 * VALUES)), rel=1e-5)
        assert list(judged.remarks) == []

    def test_a_metric_of_keras_and_the_loss(self) -> None:
        model = single(3, "softmax", loss=SPARSE, metrics=["accuracy"])
        (gauge,) = self.asked("sparse_categorical_crossentropy", model, {"out": CLASSES}).gauges
        assert [(m.name, m.higher_is_better) for m in gauge.deciding] == [(SPARSE, False)]
        assert [metric.name for metric in gauge.shown] == ["accuracy"]
        (gauge,) = self.asked("loss", model, {"out": CLASSES}).gauges
        assert gauge.deciding[0].measure(CLASSES, np.full((40, 3), 1 / 3)) == pytest.approx(math.log(3), rel=1e-5)

    def test_a_registered_function(self) -> None:
        @keras.saving.register_keras_serializable(package="Custom")
        def registered_figure(y: object, p: object) -> object:
            return keras.ops.mean(keras.ops.absolute(y - p), -1)

        (gauge,) = self.asked("registered_figure:min", single(1), {"out": VALUES}).gauges
        assert gauge.deciding[0].measure(VALUES, VALUES + 2) == pytest.approx(2)

    @pytest.mark.parametrize(
        ("text", "message", "cure"),
        [
            ("acuracy", "--metric acuracy: the model was not compiled with it", "The model has accuracy, loss"),
            ("iou", "needs nothing else", "package.module:function"),
            ("r_squared", "whether it is to be high or low is not known", "r_squared:max or r_squared:min"),
            ("no_such_module:f", "--metric no_such_module:f cannot be imported: ModuleNotFoundError", "from here"),
            ("math:no_such", "AttributeError", "package.module:function"),
        ],
    )
    def test_what_is_not_there(self, text: str, message: str, cure: str) -> None:
        metrics = ["accuracy", r_squared] if text == "r_squared" else ["accuracy"]
        with pytest.raises(UsageError, match=message) as caught:
            self.asked(text, single(3, "softmax", loss=SPARSE, metrics=metrics), {"out": CLASSES})
        assert cure in caught.value.cure

    def test_the_users_own_function(self, mine: Path) -> None:
        model = single(3, "softmax", loss="categorical_crossentropy", metrics=["accuracy", "mae"])
        judged = self.asked("their_metric:figure", model, {"out": ONE_HOT})
        found = judged.quality({"out": ONE_HOT[::-1]}, {"out": ONE_HOT})
        assert found.scores[0] == Score("out", "figure", found.scores[1].value, True, relative=True)
        assert (named(found), named(found, decides=False)) == (["figure"], ["accuracy", "mean_absolute_error"])
        assert str(judged) == "figure, drop in % of the baseline"

    def test_the_users_own_function_of_several_outputs(self, mine: Path) -> None:
        labels = {"hour": CLASSES, "size": VALUES}
        judged = self.asked("their_metric:size_error", two_heads(loss=[SPARSE, "mse"]), labels)
        found = judged.quality({"hour": np.eye(3)[CLASSES], "size": VALUES + 1}, labels)
        assert found.scores[0].output == "all outputs" and not found.scores[0].higher_is_better
        assert found.scores[0].value == pytest.approx(2)

    @pytest.mark.parametrize(("name", "why"), [("broken", "KeyError: 'no such class'"), ("words", "ValueError")])
    def test_a_function_that_fails(self, mine: Path, name: str, why: str) -> None:
        judged = self.asked(f"their_metric:{name}", single(3, "softmax"), {"out": CLASSES})
        with pytest.raises(DataError, match=f"--metric their_metric:{name} failed: {why}"):
            judged.quality({"out": ONE_HOT}, {"out": CLASSES})


class TestWithoutLabels:
    @pytest.mark.parametrize(
        ("units", "activation", "compiled", "decision"),
        [
            (3, "softmax", {}, Decision.TOP),
            (3, "softmax", {"loss": "mse"}, Decision.TOP),
            (3, None, {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}, Decision.TOP),
            (3, None, {"loss": "crossentropy"}, Decision.TOP),
            (1, "sigmoid", {"loss": "binary_crossentropy"}, Decision.HALF),
            (3, "sigmoid", {}, Decision.HALF),
            (1, None, {"loss": keras.losses.BinaryCrossentropy(from_logits=True)}, Decision.SIGN),
            (1, None, {"loss": "hinge"}, Decision.SIGN),
            (1, None, {"loss": "mse"}, None),
            (3, None, {}, None),
            (1, "sigmoid", {"loss": "mse"}, None),
            (4, "sigmoid", {"loss": "binary_crossentropy"}, None),  # its input again: an autoencoder
        ],
    )
    def test_the_same_outputs_agree_and_cost_nothing(
        self, units: int, activation: str | None, compiled: dict[str, object], decision: Decision | None
    ) -> None:
        model = single(units, activation, **compiled)
        assert decisions(model) == ({} if decision is None else {"out": decision})
        dense = {"out": model.predict(X, verbose=0)}
        judged = judge(model, dense, Ask(labelled=False))
        same, other = (judged.quality({"out": array}, dense) for array in (dense["out"], dense["out"][::-1]))
        assert same.drop_from(same) == 0
        assert same.loss == pytest.approx(0, abs=1e-5)
        assert other.loss is not None and other.loss > 1e-3
        (score,) = same.scores
        if decision is None:
            assert (score.metric, score.value, score.higher_is_better) == ("relative_error", 0, False)
            constant = np.repeat(dense["out"].mean(axis=0, keepdims=True), len(X), axis=0)
            assert judged.quality({"out": constant}, dense).drop_from(same) == pytest.approx(100)
        else:
            assert (score.metric, score.value, score.relative) == ("agreement", 1, False)
            agree = (decision.of(dense["out"]) == decision.of(dense["out"][::-1])).mean()
            assert other.drop_from(same) == pytest.approx(100 * (1 - agree))
        (remark,) = judged.remarks
        assert "have no labels" in remark and score.metric in remark

    def test_a_model_trains_towards_the_dense_one(self) -> None:
        dense = {"hour": ONE_HOT * 0.8 + 0.1 / 3, "size": VALUES}
        model = two_heads()
        judged = judge(model, dense, Ask(labelled=False))
        before = judged.quality(by_output(model, model.predict(X, verbose=0)), dense)
        judged.compile(model)
        model.fit(X, wanted(model, dense), epochs=3, verbose=0)
        after = judged.quality(by_output(model, model.predict(X, verbose=0)), dense)
        assert after.loss is not None and before.loss is not None and after.loss < before.loss

    def test_ones_own_metric_judges_against_the_dense_outputs(self, mine: Path) -> None:
        model = single(3, "softmax")
        dense = {"out": model.predict(X, verbose=0)}
        judged = judge(model, dense, Ask(parse_metric("their_metric:figure"), labelled=False))
        found = judged.quality(dense, dense)
        assert (named(found), named(found, decides=False)) == (["figure"], ["agreement"])
        assert found.scores[0].value == 1
