"""Where solutions start from: whichever way measures better."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.convolution.channel_svd import ChannelSVD, Side
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.site import Cost
from edgett.forms.start import Start, fitted
from edgett.forms.svd import SVDShape
from edgett.forms.window import Window
from edgett.model.layers import kernels
from edgett.model.weigh import moments
from edgett.search.solution import Solution
from edgett.train import beginnings
from edgett.train.beginnings import Beginnings
from edgett.train.data import Split
from edgett.train.methods.method import Method
from edgett.train.quality import Ask, judge
from edgett.train.screening import Tryout, screened

L = keras.layers
EDITS: dict[str, Any] = {
    "a": ChannelSVD(Window((3, 3), (8, 8)), 4, 8, 2, Side.OUTPUTS),
    "b": SpatialSVD(Window((3, 3), (8, 8)), 8, 8, 4),
    "end": SVDShape(8, 5, 2),
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    body = [
        L.Conv2D(8, 3, padding="same", name="a"), L.ReLU(), L.Conv2D(8, 3, padding="same", name="b"), L.ReLU(),
        L.GlobalAveragePooling2D(), L.Dense(5, "softmax", name="end"),
    ]  # fmt: skip
    made = keras.Sequential([keras.Input((8, 8, 4), name="x"), *body])
    random = np.random.default_rng(0)
    made.set_weights([0.4 * random.normal(size=weight.shape) for weight in made.get_weights()])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def split(model: keras.Model, count: int, seed: int) -> Split:
    x = np.random.default_rng(seed).normal(size=(count, 8, 8, 4)).astype(np.float32)
    return Split({"x": x}, {"end": np.argmax(model(x), -1)})


@pytest.fixture(scope="module")
def known(model: keras.Model) -> dict[tuple[str, Any], Start]:
    paths = [path for path, spec in EDITS.items() if spec.windowed]
    seen = moments(model, split(model, 256, 0).x, paths, lambda samples: None)
    return {(path, EDITS[path]): fitted(EDITS[path], seen[path]) for path in paths}


def lost(model: keras.Model, validation: Split, ways: list[Any]) -> list[float]:
    tryout = Tryout(model, validation, judge(model, validation.y, Ask()), EDITS)
    solution = Solution(0, EDITS, Cost(1, 1), 1)
    return [one.loss for one in screened(tryout, [(solution, way) for way in ways])]


def begun(model: keras.Model, validation: Split, known: Any, edits: Any) -> Any:
    judged = judge(model, validation.y, Ask())
    method = Method(model, judged, split(model, 256, 0))
    return Beginnings(method, validation, judged, known).of(Solution(0, edits, Cost(1, 1), 1))


def test_one_after_the_other_where_that_measures_better(model: keras.Model, known: Any) -> None:
    validation = split(model, 200, 1)
    found = begun(model, validation, known, EDITS)
    assert found.keys() == EDITS.keys()
    end = Start(EDITS["end"].best(kernels(model, ["end"])["end"]))
    alone = {path: start for (path, _), start in known.items()} | {"end": end}
    ours, plain = lost(model, validation, [found, alone])
    assert ours < plain and found["b"] is not alone["b"]
    np.testing.assert_allclose(found["end"].factors[0], end.factors[0])


def test_each_for_itself_where_that_measures_better(model: keras.Model, known: Any) -> None:
    """Started from the dense weights themselves, nothing can be better."""
    whole = {"a": SpatialSVD(Window((3, 3), (8, 8)), 4, 8, 12), "b": SpatialSVD(Window((3, 3), (8, 8)), 8, 8, 24)}
    perfect = {(path, spec): Start(spec.best(kernels(model, [path])[path])) for path, spec in whole.items()}
    found = begun(model, split(model, 200, 1), perfect, whole)
    assert all(found[path] is perfect[path, spec] for path, spec in whole.items())


def test_a_lone_convolution_has_nobody_to_follow(model: keras.Model, known: Any) -> None:
    found = begun(model, split(model, 50, 1), known, {"b": EDITS["b"], "end": EDITS["end"]})
    assert found == {"b": known["b", EDITS["b"]]}


def test_starts_are_kept_as_far_as_there_is_room(
    model: keras.Model, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = split(model, 50, 1)
    judged = judge(model, validation.y, Ask())
    kept = Beginnings(Method(model, judged, split(model, 64, 0)), validation, judged, known)
    one, other = (Solution(number, {"b": EDITS["b"]}, Cost(1, 1), 1) for number in (0, 1))
    first = kept.of(one)
    assert kept.of(other) is not first and kept.of(one) is first
    monkeypatch.setattr(beginnings, "MOST", 1)
    kept.of(other)
    assert kept.of(one) is not first and kept.of(one) == first
