import math
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.errors import DataError, ModelError
from edgett.model.ports import by_output, feed, input_ports, output_ports, wanted
from edgett.search.quality import DECIMALS, Quality, Score
from edgett.train.metrics import Labels
from edgett.train.quality import Judge, judge


def drop(baseline: Quality, other: Quality) -> float:
    return other.drop_from(baseline)


RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 4)).astype("float32")
CLASSES = RANDOM.integers(0, 3, 40)
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]
BITS = RANDOM.integers(0, 2, (40, 1))
VALUES = RANDOM.normal(size=(40, 1)).astype("float32")


def single(units: int, activation: str | None = None, **compiled: object) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation, name="out")])
    if compiled:
        model.compile("sgd", **compiled)
    return model


def two_heads(**compiled: object) -> keras.Model:
    image = keras.Input((4,), name="image")
    hour = keras.layers.Dense(3, "softmax", name="hour")(image)
    size = keras.layers.Dense(1, name="size")(image)
    model = keras.Model(image, [hour, size])
    if compiled:
        model.compile("sgd", **compiled)
    return model


def judged(model: keras.Model, labels: np.ndarray) -> Score:
    """The score that decides alone."""
    (score,) = [score for score in _quality(model, {"out": labels}).scores if score.decides]
    return score


def _quality(model: keras.Model, labels: dict[str, np.ndarray]) -> Quality:
    return judge(model, labels).quality(by_output(model, model.predict(X, verbose=0)), labels)


def quality(value: float, higher: bool = True, relative: bool = False) -> Quality:
    return Quality((Score("out", "m", value, higher, relative),), None)


class TestDrop:
    def test_accuracy_drops_in_percentage_points(self) -> None:
        np.testing.assert_allclose(drop(quality(0.98), quality(0.965)), 1.5)

    def test_an_error_that_grows_drops_by_its_share(self) -> None:
        np.testing.assert_allclose(drop(quality(4.0, False, True), quality(5.0, False, True)), 25)

    def test_a_relative_figure_to_be_high_drops_by_its_share(self) -> None:
        np.testing.assert_allclose(drop(quality(0.8, True, True), quality(0.6, True, True)), 25)

    def test_a_negative_baseline_counts_by_its_size(self) -> None:
        np.testing.assert_allclose(drop(quality(-2.0, True, True), quality(-3.0, True, True)), 50)

    def test_the_worst_output_decides(self) -> None:
        base = Quality((Score("a", "accuracy", 0.9, True, False), Score("b", "mse", 2.0, False, True)), None)
        other = Quality((Score("a", "accuracy", 0.8, True, False), Score("b", "mse", 1.0, False, True)), None)
        np.testing.assert_allclose(drop(base, other), 10)

    def test_a_baseline_of_zero_is_safe(self) -> None:
        zero = quality(0.0, False, True)
        assert drop(zero, zero) == 0
        np.testing.assert_allclose(drop(zero, quality(0.25, False, True)), 25)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_diverged_model_drops_without_end(self, value: float) -> None:
        assert drop(quality(1.0, False, True), quality(value, False, True)) == math.inf

    def test_scores_of_another_output_are_refused(self) -> None:
        other = Quality((Score("else", "m", 1.0, True, False),), None)
        with pytest.raises(ValueError, match="different outputs"):
            drop(quality(1.0), other)

    @given(st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans())
    def test_worse_is_positive_and_better_negative(self, a: float, b: float, higher: bool, relative: bool) -> None:
        fall = drop(quality(a, higher, relative), quality(b, higher, relative))
        assert math.isfinite(fall) or abs(a) < 1e-300
        sign = np.sign(a - b) if higher else np.sign(b - a)
        least = 100 * abs(a - b) / ((a or 1.0) if relative else 1.0)
        assert np.sign(fall) == sign or (fall == 0 and least <= 10**-DECIMALS)

    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
    def test_never_less_than_any_outputs(self, pairs: list[tuple[float, float]]) -> None:
        base, other = (
            Quality(tuple(Score(str(i), "accuracy", p[side], True, False) for i, p in enumerate(pairs)), None)
            for side in (0, 1)
        )
        np.testing.assert_allclose(drop(base, other), max(100 * (a - b) for a, b in pairs), atol=1e-12)


SPARSE = "sparse_categorical_crossentropy"
AGREES = [
    (3, "softmax", {"loss": SPARSE, "metrics": ["accuracy"]}, CLASSES, "accuracy"),
    (3, "softmax", {"loss": "crossentropy", "metrics": ["acc"]}, CLASSES, "accuracy"),
    (3, "softmax", {"loss": "categorical_crossentropy", "metrics": ["accuracy"]}, ONE_HOT, "accuracy"),
    (1, "sigmoid", {"loss": "binary_crossentropy", "metrics": ["accuracy"]}, BITS, "accuracy"),
    (3, "sigmoid", {"loss": "binary_crossentropy", "metrics": [keras.metrics.BinaryAccuracy("bits", threshold=0.3)]},
     ONE_HOT, "bits"),
    (3, "softmax", {"loss": SPARSE, "metrics": [SPARSE, keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")]},
     CLASSES, "top2"),
    (3, "softmax", {"loss": SPARSE, "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy()]}, CLASSES,
     "sparse_categorical_accuracy"),
    (1, None, {"loss": "mse", "metrics": ["mae"]}, VALUES, "mean_absolute_error"),
    (1, None, {"loss": keras.losses.Huber(), "metrics": {"out": [keras.metrics.R2Score()]}}, VALUES, "r2_score"),
    (1, None, {"loss": "mean_absolute_error"}, VALUES, "mean_absolute_error"),
]  # fmt: skip


class TestCompiled:
    @pytest.mark.parametrize(("units", "activation", "compiled", "labels", "metric"), AGREES)
    def test_gives_the_numbers_of_evaluate(
        self, units: int, activation: str | None, compiled: dict[str, object], labels: np.ndarray, metric: str
    ) -> None:
        model = single(units, activation, **compiled)
        found = _quality(model, {"out": labels})
        loss, *others = np.atleast_1d(model.evaluate(X, labels, verbose=0, batch_size=40))
        assert found.scores[0].metric == metric
        assert found.loss == pytest.approx(loss, rel=1e-5)
        assert min(abs(found.scores[0].value - value) for value in others or [loss]) < 1e-6

    @pytest.mark.parametrize(
        ("loss", "activation", "labels"),
        [
            (SPARSE, "softmax", CLASSES),
            (keras.losses.SparseCategoricalCrossentropy(from_logits=True), None, CLASSES),
            ("categorical_hinge", None, ONE_HOT),
        ],
    )
    def test_a_classification_loss_brings_its_accuracy(
        self, loss: object, activation: str | None, labels: np.ndarray
    ) -> None:
        model = single(3, activation, loss=loss, metrics=["mae"] if labels is ONE_HOT else None)
        score = judged(model, labels)
        assert (score.metric, score.relative, score.higher_is_better) == ("accuracy", False, True)
        np.testing.assert_allclose(score.value, np.mean(model.predict(X, verbose=0).argmax(1) == CLASSES))

    @pytest.mark.parametrize(
        ("loss", "threshold"),
        [
            (keras.losses.BinaryCrossentropy(from_logits=True), 0),
            ("hinge", 0),
            ("binary_crossentropy", 0.5),
        ],
    )
    def test_yes_and_no_part_where_the_loss_parts_them(self, loss: object, threshold: float) -> None:
        model = single(1, None, loss=loss)
        expected = np.mean((model.predict(X, verbose=0) > threshold) == BITS)
        np.testing.assert_allclose(judged(model, BITS).value, expected)

    def test_labels_of_one_axis_less_do_not_broadcast(self) -> None:
        model = single(1, None, loss="mse")
        np.testing.assert_allclose(judged(model, VALUES[:, 0]).value, judged(model, VALUES).value)

    def test_functions_of_the_users_own(self) -> None:
        def distance(y: object, p: object) -> object:
            return keras.ops.mean(keras.ops.absolute(keras.ops.subtract(y, p)), -1)

        def near_accuracy(y: object, p: object) -> object:
            return keras.ops.cast(keras.ops.absolute(keras.ops.subtract(y, p)) < 1, "float32")

        error = np.abs(VALUES - (model := single(1, None, loss=distance)).predict(X, verbose=0))
        score = judged(model, VALUES)
        assert (score.metric, score.relative, score.higher_is_better) == ("distance", True, False)
        np.testing.assert_allclose(score.value, error.mean(), rtol=1e-6)
        model.compile("sgd", loss=distance, metrics=[near_accuracy])
        score = judged(model, VALUES)
        assert (score.metric, score.relative, score.higher_is_better) == ("near_accuracy", False, True)
        np.testing.assert_allclose(score.value, (error < 1).mean(), rtol=1e-6)

    @pytest.mark.parametrize(
        ("loss", "metrics"),
        [
            ({"hour": SPARSE, "size": "mse"}, {"hour": ["accuracy"], "size": [keras.metrics.MeanAbsoluteError()]}),
            ([SPARSE, keras.losses.MeanSquaredError()], [["accuracy"], "mae"]),
            ([SPARSE, "mse"], [["accuracy"], ["mae"]]),
        ],
    )
    def test_several_outputs(self, loss: object, metrics: object) -> None:
        model = two_heads(loss=loss, metrics=metrics, loss_weights=[0.5, 2.0])
        labels = {"hour": CLASSES, "size": VALUES}
        found = _quality(model, labels)
        reference = model.evaluate(X, labels, verbose=0, return_dict=True, batch_size=40)
        assert [(s.output, s.metric) for s in found.scores] == [("hour", "accuracy"), ("size", "mean_absolute_error")]
        assert found.loss == pytest.approx(reference["loss"], rel=1e-5)
        assert found.scores[0].value == pytest.approx(reference["hour_accuracy"])
        assert "hour: accuracy, drop in percentage points" in str(judge(model, labels))
        assert "size: mean_absolute_error, drop in % of the baseline" in str(judge(model, labels))

    def test_an_output_without_a_loss_is_judged_but_not_in_the_loss(self) -> None:
        model = two_heads(loss=[SPARSE, None])
        labels = {"hour": CLASSES, "size": VALUES}
        found = _quality(model, labels)
        assert [s.metric for s in found.scores] == ["accuracy", "mean_squared_error"]
        assert found.loss == pytest.approx(model.evaluate(X, labels, verbose=0, batch_size=40), rel=1e-5)

    @pytest.mark.parametrize(
        "compiled",
        [
            {"loss": [SPARSE, "mse"], "metrics": ["accuracy"]},
            {"loss": {"hour": SPARSE, "sise": "mse"}},
        ],
    )
    def test_a_configuration_that_does_not_fit_the_outputs(self, compiled: dict[str, object]) -> None:
        with pytest.raises(ModelError, match=r"its outputs are \['hour', 'size'\]"):
            judge(two_heads(**compiled), {"hour": CLASSES, "size": VALUES})

    def test_survives_saving(self, tmp_path: Path) -> None:
        model = two_heads(loss=[SPARSE, "mse"], metrics=[["accuracy"], [keras.metrics.R2Score()]])
        model.save(tmp_path / "m.keras")
        labels = {"hour": CLASSES, "size": VALUES}
        assert _quality(keras.models.load_model(tmp_path / "m.keras"), labels) == _quality(model, labels)


class TestNotCompiled:
    @pytest.mark.parametrize(
        ("units", "activation", "labels", "loss", "metric", "logits"),
        [
            (3, "softmax", CLASSES, SPARSE, "accuracy", False),
            (3, None, CLASSES, SPARSE, "accuracy", True),
            (3, "softmax", ONE_HOT, "categorical_crossentropy", "accuracy", False),
            (1, "sigmoid", BITS, "binary_crossentropy", "accuracy", False),
            (1, None, VALUES, "mean_squared_error", "mean_squared_error", False),
            (3, None, ONE_HOT, "mean_squared_error", "mean_squared_error", False),
            (1, "sigmoid", VALUES * 9, "mean_squared_error", "mean_squared_error", False),
        ],
    )
    def test_activation_and_labels_tell(
        self, units: int, activation: str | None, labels: np.ndarray, loss: str, metric: str, logits: bool
    ) -> None:
        found = judge(single(units, activation), {"out": labels})
        (gauge,) = found.gauges
        assert found.inferred
        assert gauge.loss is not None
        assert (gauge.loss.name, gauge.deciding[0].name, gauge.loss.from_logits) == (loss, metric, logits)

    def test_a_softmax_layer_in_a_nested_model_counts(self) -> None:
        inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Softmax()])
        image = keras.Input((4,))
        model = keras.Model(image, inner(image))
        (port,) = output_ports(model)
        (gauge,) = judge(model, {port.name: CLASSES}).gauges
        assert gauge.loss is not None
        assert gauge.loss.labels is Labels.CLASSES
        assert not gauge.loss.from_logits

    def test_compile_makes_it_trainable_with_the_same_judgement(self) -> None:
        model = two_heads()
        labels = {"hour": CLASSES, "size": VALUES}
        judged: Judge = judge(model, labels)
        judged.compile(model)
        assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
        history = model.fit(feed(model, {"image": X}), wanted(model, labels), epochs=2, verbose=0).history
        assert "hour_accuracy" in history
        assert history["loss"][1] < history["loss"][0]
        assert [(g.output.name, g.deciding[0].name) for g in judge(model, labels).gauges] == [
            (g.output.name, g.deciding[0].name) for g in judged.gauges
        ]


class TestPorts:
    def test_a_sequential_model(self) -> None:
        model = single(3, "softmax")
        (entry,), (end,) = input_ports(model), output_ports(model)
        assert (entry.shape, end.name, end.shape, end.activation, str(end)) == ((4,), "out", (3,), "softmax", "(n, 3)")
        assert model.predict(feed(model, {entry.name: X}), verbose=0).shape == (40, 3)

    @pytest.mark.slow
    def test_models_of_dictionaries_go_by_their_keys(self) -> None:
        a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
        joined = keras.layers.Concatenate()([a, b])
        ends = {"second": keras.layers.Dense(2, name="d2")(joined), "first": keras.layers.Dense(1, name="d1")(joined)}
        model = keras.Model({"b": b, "a": a}, ends)
        assert [port.name for port in input_ports(model)] == ["b", "a"]
        assert [port.name for port in output_ports(model)] == ["second", "first"]
        inputs = {"a": X, "b": X[:, :2]}
        predicted = model.predict(feed(model, inputs), verbose=0)
        assert {name: array.shape for name, array in by_output(model, predicted).items()} == {
            "first": (40, 1),
            "second": (40, 2),
        }
        labels = {"first": VALUES, "second": BITS[:, 0]}
        judge(model, labels).compile(model)
        model.fit(feed(model, inputs), wanted(model, labels), verbose=0)
        found = judge(model, labels).quality(by_output(model, model.predict(feed(model, inputs), verbose=0)), labels)
        reference = model.evaluate(feed(model, inputs), wanted(model, labels), verbose=0, batch_size=40)
        assert found.loss == pytest.approx(reference[0], rel=1e-5)

    def test_a_layer_that_ends_two_outputs_names_them_apart(self) -> None:
        a, b, shared = keras.Input((4,), name="a"), keras.Input((4,), name="b"), keras.layers.Dense(1, name="out")
        model = keras.Model([a, b], [shared(a), shared(b)])
        assert [port.name for port in output_ports(model)] == ["out", "out_1"]

    def test_names_survive_a_copy_and_a_file(self, tmp_path: Path) -> None:
        model = single(3)
        model.save(tmp_path / "m.keras")
        copies = keras.models.clone_model(model), keras.models.load_model(tmp_path / "m.keras")
        for copy in copies:
            assert input_ports(copy) == input_ports(model)
            assert output_ports(copy) == output_ports(model)

    def test_a_model_without_a_shape(self) -> None:
        with pytest.raises(ModelError, match="no input of known shape"):
            input_ports(keras.Sequential([keras.layers.Dense(2)]))


def far(wanted: keras.KerasTensor, found: keras.KerasTensor) -> keras.KerasTensor:
    """A loss that takes what Keras gives it: floats, both."""
    return keras.ops.mean(keras.ops.square(wanted - found), axis=-1)


class TestLossesOfTheUser:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8"])
    def test_are_given_what_keras_gives_them(self, dtype: str) -> None:
        model, labels = single(1, loss=far), BITS.astype(dtype)
        (found,) = _quality(model, {"out": labels}).scores
        np.testing.assert_allclose(found.value, model.evaluate(X, labels, verbose=0), rtol=1e-6)

    def test_that_fail_say_so(self) -> None:
        def bad(wanted: keras.KerasTensor, found: keras.KerasTensor) -> keras.KerasTensor:
            return keras.ops.reshape(wanted, (-1, 7)) - found

        with pytest.raises(DataError, match=r"loss bad cannot be computed of labels \(40, 1\)"):
            _quality(single(1, loss=bad), {"out": VALUES})
