"""A model that has learnt what it is judged on is seen, and one that has not is left alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgett.meter import Silent
from edgett.train.data import Data, data_from_arrays
from edgett.train.learnt import gap
from edgett.train.quality import judge
from edgett.workflow import inputs

Arrays = dict[str, np.ndarray]


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def noisy(test: int = 200) -> Arrays:
    """Labels that cannot be told: whoever knows those of the training data has learnt them by heart."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 200), ("test", test)):
        arrays[f"x_{part}"] = random.normal(size=(count, 24)).astype("float32")
        noise = random.normal(size=(count, 4))
        arrays[f"y_{part}"] = (2 * arrays[f"x_{part}"][:, :4] + noise).argmax(1)
    return arrays


def load(arrays: Arrays, model: keras.Model) -> Data:
    return data_from_arrays(arrays, model, 0)


@pytest.fixture(scope="module")
def learnt() -> keras.Model:
    keras.utils.set_random_seed(0)
    arrays = noisy()
    model = keras.Sequential([keras.Input((24,)), keras.layers.Dense(96, "relu"), keras.layers.Dense(4, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(arrays["x_train"], arrays["y_train"], epochs=60, batch_size=50, verbose=0)
    return model


def test_half_of_the_test_data_validate_and_it_is_said(learnt: keras.Model) -> None:
    arrays, meter = noisy(), Heard()
    known = learnt.evaluate(arrays["x_train"], arrays["y_train"], verbose=0)[1]
    unknown = learnt.evaluate(arrays["x_test"], arrays["y_test"], verbose=0)[1]
    assert known - unknown > 0.15
    data = load(arrays, learnt)
    assert (len(data.train), len(data.validation), len(data.test)) == (180, 20, 200)

    found = inputs.inputs(learnt, data, meter)

    (remark,) = found.remarks
    assert meter.said == [f"Note: {remark}"]
    assert f"{100 * (known - unknown):.3g} points worse on the test data" in remark
    assert "100 drawn with the seed, validate, and only the other 100 test. x_val" in remark
    assert (len(found.data.train), len(found.data.validation), len(found.data.test)) == (200, 100, 100)
    (name,) = data.test.x
    both = np.concatenate([found.data.validation.x[name], found.data.test.x[name]])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(arrays["x_test"], axis=0))
    (label,) = data.test.y
    classes, halved = (np.bincount(part.y[label]) for part in (data.test, found.data.validation))
    assert (np.abs(halved - classes / 2) <= 1).all()
    assert abs(found.quality.scores[0].value - unknown) < 0.12
    assert found.digests["data"] == data.digest

    again = inputs.inputs(learnt, load(arrays, learnt), Silent())
    np.testing.assert_array_equal(again.data.test.x[name], found.data.test.x[name])
    other = inputs.inputs(learnt, load(arrays, learnt), Silent(), inputs.Asked(seed=1))
    assert not np.array_equal(other.data.test.x[name], found.data.test.x[name])


def test_validation_data_of_ones_own_are_kept(learnt: keras.Model) -> None:
    arrays = noisy()
    own = {"x_val": arrays["x_test"][:50], "y_val": arrays["y_test"][:50]}
    found = inputs.inputs(learnt, load(arrays | own, learnt), Silent())
    assert found.remarks == ()
    assert (len(found.data.validation), len(found.data.test)) == (50, 200)


def test_a_model_that_is_as_good_on_both_is_left_alone(learnt: keras.Model) -> None:
    arrays = noisy()
    fresh = {"x_train": noisy(400)["x_test"][:200], "y_train": noisy(400)["y_test"][:200]}
    data = load(arrays | fresh, learnt)
    assert gap(learnt, data, judge(learnt, data.train.y)) is None


@pytest.mark.parametrize("count", [1, 3])
def test_a_handful_of_test_samples_prove_nothing(learnt: keras.Model, count: int) -> None:
    arrays = noisy()
    few = {"x_test": arrays["x_test"][:count], "y_test": arrays["y_test"][:count]}
    found = inputs.inputs(learnt, load(arrays | few, learnt), Silent())
    assert found.remarks == ()
