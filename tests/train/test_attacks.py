"""Attacks against closed forms and their own limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.errors import DataError, ModelError
from edgett.job.attack import JUDGED, Attack, Attacker
from edgett.meter import Silent
from edgett.model.ports import by_input, feed
from edgett.search.quality import Quality
from edgett.train.assess import assess, outputs
from edgett.train.attacks import Adversary, judged_of, refuse_unattackable, under_attack
from edgett.train.data import Split, data_from_arrays
from edgett.train.quality import Ask, judge
from edgett.workflow import inputs
from tests.conftest import Tiny
from tests.train.conftest import model_of

RANDOM = np.random.default_rng(3)
ROUNDING = 1e-5
"""Of sums in float32 of numbers up to 8."""


def linear(activation: str | None = "softmax", classes: int = 3, **compiled: object) -> keras.Model:
    model = model_of((4,), classes, activation, **compiled)
    model.set_weights([RANDOM.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def split_of(x: NDArray[Any], y: NDArray[Any]) -> Split:
    return Split({"image": x.astype(np.float32)}, {"class": y})


def samples(count: int = 40, classes: int = 3) -> Split:
    return split_of(RANDOM.normal(size=(count, 4)), RANDOM.integers(0, classes, count))


def of(model: keras.Model, attack: Attack, split: Split, range_of: Split | None = None) -> Adversary:
    found = Adversary.of(judge(model, split.y, Ask(attack=attack)), (range_of or split).x)
    assert found is not None
    return found


class TestFgsm:
    @pytest.mark.parametrize("logits", [False, True])
    def test_of_a_softmax_of_a_linear_model_it_is_the_closed_form(self, logits: bool) -> None:
        """dL/dx = W (p - y) (Goodfellow et al. 2015, section 4, for several classes)."""
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        model = linear(None if logits else "softmax", loss=loss)
        weight, bias = model.get_weights()
        split, wide = samples(), split_of(np.array([[-9.0] * 4, [9.0] * 4]), np.zeros(2))
        raised = np.exp(split.x["image"] @ weight + bias)
        slope = (raised / raised.sum(-1, keepdims=True) - np.eye(3)[split.y["class"]]) @ weight.T
        found = of(model, Attack(Attacker.FGSM, 0.02), split, wide).examples(model, split).x["image"]
        np.testing.assert_allclose(found, split.x["image"] + 0.02 * 18 * np.sign(slope), rtol=0, atol=ROUNDING)

    def test_of_a_linear_regression_too(self) -> None:
        model = linear(None, 1, loss="mse")
        weight, bias = model.get_weights()
        split = split_of(RANDOM.normal(size=(40, 4)), RANDOM.normal(size=(40, 1)))
        wide = split_of(np.array([[-9.0] * 4, [9.0] * 4]), np.zeros((2, 1)))
        slope = (split.x["image"] @ weight + bias - split.y["class"]) @ weight.T
        found = of(model, Attack(Attacker.FGSM, 0.02), split, wide).examples(model, split).x["image"]
        np.testing.assert_allclose(found, split.x["image"] + 0.02 * 18 * np.sign(slope), rtol=0, atol=ROUNDING)

    def test_a_sample_that_the_model_is_sure_of_is_moved_all_the_same(self) -> None:
        """The loss is that of logits: of probabilities, 1 and 0 in float32, it would have no slope."""
        model = linear(loss="sparse_categorical_crossentropy")
        model.set_weights([weight * 30 for weight in model.get_weights()])
        x = samples().x["image"]
        split = split_of(x, outputs(model, {"image": x})["class"].argmax(-1))
        found = of(model, Attack(Attacker.FGSM, 0.1), split).examples(model, split).x["image"]
        sure = outputs(model, split.x)["class"].max(-1) > 1 - 1e-7
        assert sure.sum() > 10
        assert (np.abs(found - x)[sure].max(-1) > 0).mean() > 0.8


@given(st.integers(0, 2**31), st.floats(1e-3, 1.0), st.integers(1, 12), st.sampled_from(Attacker), st.booleans())
@settings(max_examples=25)
def test_no_number_leaves_the_ball_nor_the_range(
    seed: int, epsilon: float, steps: int, by: Attacker, outside: bool
) -> None:
    """One that is outside of the training data's range already goes no farther out."""
    random = np.random.default_rng(seed)
    model = linear()
    x = random.normal(size=(16, 4)).astype(np.float32)
    train = split_of(x / 2 if outside else x, np.zeros(16, int))
    split = split_of(x, random.integers(0, 3, 16))
    low, high = train.x["image"].min(), train.x["image"].max()
    found = of(model, Attack(by, epsilon, steps), split, train).examples(model, split).x["image"]
    assert np.abs(found - x).max() <= epsilon * (high - low) * (1 + 1e-6) + ROUNDING
    assert (found >= np.minimum(x, low)).all() and (found <= np.maximum(x, high)).all()
    assert (found != x).any()


def test_pgd_of_one_step_is_fgsm() -> None:
    model, split = linear(), samples()
    one, other = (of(model, a, split).examples(model, split) for a in (Attack(steps=1), Attack(Attacker.FGSM)))
    np.testing.assert_array_equal(one.x["image"], other.x["image"])


def test_more_steps_make_the_loss_larger_where_the_model_is_not_linear(tiny: Tiny) -> None:
    loaded, attack = attacked_tiny(tiny), Attack(epsilon=0.1, steps=10)
    losses = {
        by: loaded.judge.quality(outputs(loaded.model, moved.x), moved.y).loss
        for by in Attacker
        for moved in [of_loaded(loaded, Attack(by, 0.1, 10)).examples(loaded.model, loaded.data.validation)]
    }
    assert loaded.quality.loss is not None
    assert loaded.quality.loss < losses[Attacker.FGSM] < losses[Attacker.PGD], attack


def attacked_tiny(tiny: Tiny, attack: Attack | None = None) -> inputs.Inputs:
    model = keras.saving.load_model(tiny.model)
    return inputs.inputs(model, data_from_arrays(tiny.arrays(), model, 0), Silent(), inputs.Asked(attack=attack))


def of_loaded(loaded: inputs.Inputs, attack: Attack) -> Adversary:
    found = Adversary.of(judge(loaded.model, loaded.data.train.y, Ask(attack=attack)), loaded.data.train.x)
    assert found is not None
    return found


@pytest.mark.parametrize("attack", [Attack(), Attack(Attacker.FGSM), Attack(epsilon=0.2, steps=2)])
def test_a_trained_model_is_right_less_often_under_attack(tiny: Tiny, attack: Attack) -> None:
    loaded = attacked_tiny(tiny, attack)
    (robust,) = loaded.quality.robust
    assert robust.metric == "accuracy"
    assert robust.value < loaded.quality.scores[0].value
    assert loaded.quality.robust_drop_from(loaded.quality) == 0


def test_without_an_attack_nothing_is_said_of_it(tiny: Tiny) -> None:
    loaded = attacked_tiny(tiny)
    assert loaded.adversary is None and loaded.quality.robust == ()
    assert under_attack(loaded.quality, None, loaded.model, loaded.data.validation) is loaded.quality


def test_integers_of_pixels_are_attacked_as_fractions() -> None:
    """Epsilon is a share of the range of what goes in, before any scaling inside of the model."""
    entry = keras.Input((4,), name="image")
    model = keras.Model(entry, keras.layers.Dense(3, "softmax", name="class")(keras.layers.Rescaling(1 / 255)(entry)))
    x = RANDOM.integers(0, 256, (50, 4)).astype(np.uint8)
    x[:2] = [[0] * 4, [255] * 4]
    split = Split({"image": x}, {"class": RANDOM.integers(0, 3, 50)})
    found = of(model, Attack(Attacker.FGSM, 0.1), split).examples(model, split).x["image"]
    assert found.dtype == np.float32
    moved = np.abs(found - x.astype(np.float32))
    inside = (x >= 26) & (x <= 229)
    np.testing.assert_allclose(moved[inside], 25.5, atol=1e-4)
    assert found.min() >= 0 and found.max() <= 255


def test_every_input_of_several_is_moved_within_its_own_range(two_by_two: keras.Model) -> None:
    x = {"a": RANDOM.normal(size=(30, 4)).astype(np.float32), "b": 100 * RANDOM.random((30, 2)).astype(np.float32)}
    split = Split(x, {"hour": RANDOM.integers(0, 3, 30), "size": RANDOM.normal(size=(30, 1))})
    found = of(two_by_two, Attack(Attacker.FGSM, 0.05), split).examples(two_by_two, split)
    for name, array in x.items():
        assert np.abs(found.x[name] - array).max() == pytest.approx(0.05 * np.ptp(array), rel=1e-4)


def test_dropout_and_normalisation_are_as_in_inference() -> None:
    """The same attack twice moves alike, and statistics stay as they were."""
    entry = keras.Input((4,), name="image")
    middle = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(keras.layers.Dense(8, "relu")(entry)))
    model = keras.Model(entry, keras.layers.Dense(3, "softmax", name="class")(middle))
    before, split = model.get_weights(), samples()
    one, other = (of(model, Attack(), split).examples(model, split).x["image"] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    for mine, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_samples_are_spread_over_the_split() -> None:
    count = 3 * JUDGED + 7
    split = split_of(np.zeros((count, 4)), np.arange(count))
    rows = judged_of(split).y["class"]
    assert len(rows) == JUDGED and rows[0] == 0 and rows[-1] == count - 1
    assert set(np.diff(rows)) <= {3, 4}
    assert judged_of(few := split.take(slice(JUDGED))) is few


def test_what_answers_may_be_another_than_what_was_attacked() -> None:
    """As a file that was written from the model: it has no gradient."""
    model, split = linear(), samples()
    found = of(model, Attack(Attacker.FGSM, 0.5), split)
    right = np.eye(3)[split.y["class"]]
    (score,) = found.scores(model, split, lambda x: {"class": right})
    assert score.value == 1.0
    assert found.scores(model, split)[0].value < 1.0


@pytest.mark.parametrize("pack", [lambda a, b: [a, b], lambda a, b: {"a": a, "b": b}])
def test_inputs_are_found_again_by_their_names(pack: Callable[[Any, Any], Any]) -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    model = keras.Model(pack(a, b), keras.layers.Dense(3)(keras.layers.Concatenate()([a, b])))
    x = {"a": np.zeros((1, 4)), "b": np.ones((1, 2))}
    assert all(by_input(model, feed(model, x))[name] is array for name, array in x.items())


class TestRefusals:
    def test_data_without_labels(self) -> None:
        model = model_of()
        with pytest.raises(DataError, match="no labels") as told:
            inputs.inputs(model, data_from_arrays({"x_train": np.ones((30, 4))}, model, 0), Silent(), ATTACKED)
        assert "y_train" in told.value.cure and "--attack" in told.value.cure

    def test_an_input_of_indices(self) -> None:
        words = keras.Input((5,), dtype="int32", name="words")
        flat = keras.layers.Flatten()(keras.layers.Embedding(9, 4)(words))
        model = keras.Model(words, keras.layers.Dense(3, "softmax", name="class")(flat))
        with pytest.raises(ModelError, match="input 'words' takes int32") as told:
            inputs.inputs(model, some_data(model, RANDOM.integers(0, 9, (40, 5))), Silent(), ATTACKED)
        assert "--recover adversarial" in told.value.cure

    def test_an_input_of_fractions_that_is_looked_up(self) -> None:
        words = keras.Input((5,), name="words")
        flat = keras.layers.Flatten()(keras.layers.Embedding(9, 4)(words))
        model = keras.Model(words, keras.layers.Dense(3, "softmax", name="class")(flat))
        with pytest.raises(ModelError, match="input 'words' cannot be attacked: it is rounded or looked up"):
            inputs.inputs(model, some_data(model, RANDOM.integers(0, 9, (40, 5))), Silent(), ATTACKED)

    def test_a_model_without_a_loss(self) -> None:
        model = model_of()
        data = some_data(model, RANDOM.normal(size=(40, 4)))
        judged = judge(model, data.train.y)
        bare = type(judged)(tuple(type(g)(g.output, g.deciding, g.shown, None, g.weight) for g in judged.gauges), False)
        with pytest.raises(ModelError, match="no output of the model has a loss"):
            refuse_unattackable(model, data, bare)


ATTACKED = inputs.Asked(attack=Attack())


def some_data(model: keras.Model, x: NDArray[Any]) -> Any:
    y = np.arange(len(x)) % 3
    return data_from_arrays({"x_train": x, "y_train": y, "x_test": x, "y_test": y}, model, 0)


def test_a_quality_has_both_drops() -> None:
    model, split = linear(), samples()
    quality = under_attack(assess(model, split, judge(model, split.y)), of(model, Attack(), split), model, split)
    lost = Quality(quality.scores, quality.loss).lost_from(quality)
    assert (lost.plain, lost.robust) == (0.0, None)
    assert quality.lost_from(quality).robust == 0.0
