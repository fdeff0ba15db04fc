"""edgett slim: what it writes, prints and refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from tests import schemas
from tests.conftest import Answer

Call = Callable[..., Answer]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """One of six hidden units is read by nothing."""
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, "relu", name="fc"), keras.layers.Dense(3)])
    weight, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([np.where(np.arange(6)[:, None] == 2, 0, weight), bias])
    network.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_a_smaller_model_of_the_same_outputs(edgett: Call, model: Path, tmp_path: Path) -> None:
    answer = edgett("slim", model, "--out", tmp_path / "small.keras", "--json")
    assert answer.code == 0
    schemas.hold("slim", answer.document)
    assert answer.document["params"] == {"before": 75, "after": 63}
    assert answer.document["layers"] == [{"name": "fc", "removed": 1}] and answer.document["folded"] == 0
    before, after = (keras.models.load_model(path) for path in (model, tmp_path / "small.keras"))
    x = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    np.testing.assert_allclose(after.predict(x, verbose=0), before.predict(x, verbose=0), atol=1e-6)


def test_in_words(edgett: Call, model: Path, tmp_path: Path) -> None:
    answer = edgett("slim", model, "--out", tmp_path / "small.keras")
    told = " ".join(answer.out.split())
    assert "75 parameters, 63 of them left" in told and "all of them were zero, or read by nothing" in told
    assert answer.err.splitlines()[-1] == f"written: {tmp_path / 'small.keras'}"
    again = edgett("slim", tmp_path / "small.keras", "--out", tmp_path / "again.keras")
    assert again.code == 0 and "every channel contributes" in again.out


def test_a_file_that_keras_would_not_know_is_refused(edgett: Call, model: Path) -> None:
    answer = edgett("slim", model, "--out", "small.h5")
    assert answer.code == 2
    assert answer.err.splitlines()[-2:] == [
        "error: small.h5 does not end in .keras, by which Keras knows its files.", "--out small.h5.keras",
    ]  # fmt: skip


def test_other_outputs_are_exit_5_and_nothing_is_written(
    edgett: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgett.model.slim import slimmed

    def wrong(given: keras.Model) -> slimmed.Slimmed:
        twin = keras.models.clone_model(given)
        return slimmed.Slimmed(twin, {"fc": 1}, 0)

    monkeypatch.setattr(slimmed, "slimmed", wrong)
    answer = edgett("slim", model, "--out", tmp_path / "small.keras")
    assert answer.code == 5 and "without a channel the outputs" in answer.err
    assert not (tmp_path / "small.keras").exists()


def test_a_place_that_cannot_be_written_is_told(edgett: Call, model: Path, tmp_path: Path) -> None:
    answer = edgett("slim", model, "--out", tmp_path / "none" / "small.keras")
    assert answer.code == 6 and "cannot be written" in answer.err
