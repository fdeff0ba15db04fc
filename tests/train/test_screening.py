"""Solutions measured before they are fine-tuned: as the models that they become would be."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.site import Cost
from edgett.forms.start import Start
from edgett.forms.svd import SVDShape
from edgett.forms.window import Window
from edgett.model.layers import kernels
from edgett.search.solution import Solution
from edgett.train.assess import assess
from edgett.train.data import Split
from edgett.train.finetune import compressed
from edgett.train.quality import Ask, judge
from edgett.train.screening import Tryout, screened

L = keras.layers
EDITS = {"c": Tucker2(Window((3, 3), (6, 6)), 4, 6, 2, 3), "fc": SVDShape(24, 5, 2)}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    body = [
        L.Conv2D(6, 3, padding="same", use_bias=False, name="c"), L.BatchNormalization(), L.ReLU(),
        L.AveragePooling2D(3), L.Flatten(), L.Dense(5, "softmax", name="fc"),
    ]  # fmt: skip
    made = keras.Sequential([keras.Input((6, 6, 4), name="x"), *body])
    random = np.random.default_rng(0)
    made.set_weights([np.abs(random.normal(size=weight.shape)) + 0.1 for weight in made.get_weights()])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


@pytest.fixture(scope="module")
def split(model: keras.Model) -> Split:
    random = np.random.default_rng(1)
    x = random.normal(size=(300, 6, 6, 4)).astype(np.float32)
    return Split({"x": x}, {"fc": np.argmax(model(x), -1)})


@pytest.fixture(scope="module")
def starts(model: keras.Model) -> Any:
    weights = kernels(model, EDITS)
    shifts = {"c": np.full(6, 0.3, np.float32), "fc": None}
    return {path: Start(spec.best(weights[path]), shifts[path]) for path, spec in EDITS.items()}


def solution(edits: Any) -> Solution:
    return Solution(0, edits, Cost(1, 1), 1)


def test_tells_what_the_model_would_do(model: keras.Model, split: Split, starts: Any) -> None:
    judged = judge(model, split.y, Ask())
    screen = Tryout(model, split, judged, EDITS)
    for edits in (EDITS, {"c": EDITS["c"]}, {"fc": EDITS["fc"]}, {}):
        begun = {path: starts[path] for path in edits}
        real = assess(compressed(model, solution(edits), judged, begun), split, judged)
        found = screen.quality(edits, begun)
        np.testing.assert_allclose(found.scores[0].value, real.scores[0].value, atol=0.005)
        np.testing.assert_allclose(found.loss, real.loss, rtol=1e-4)


def test_leaves_the_model_as_it_was(model: keras.Model, split: Split, starts: Any) -> None:
    before = model.get_weights()
    screen = Tryout(model, split, judge(model, split.y, Ask()), EDITS)
    dense = screen.quality({}, {})
    heard: list[int] = []
    some = [solution(EDITS), solution({"fc": EDITS["fc"]}), solution(EDITS)]
    losses = screened(screen, [(one, starts) for one in some], heard.append)
    assert losses[0] == losses[2] and losses[0].loss > losses[1].loss > 0 and heard == [1, 1, 1]
    assert screen.quality({}, {}) == dense
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
