"""Quantisation-aware training: what is learnt is what the file stores."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from edgett.model.layers import substituted
from edgett.train import aware
from edgett.train.aware import School
from edgett.train.data import Split
from edgett.train.finetune import Recipe, compressed
from edgett.train.storage import ONNX, TFLITE, Scheme
from tests.train.test_finetune import ignore, solution, split, tuner

COARSE = replace(ONNX, bits=2)
"""Of which learning has to do with: it takes several points of any model."""


def school(scheme: Scheme = COARSE, epochs: int = 4, train: Split | None = None) -> School:
    asked = tuner(train or split(400), Recipe(epochs, 32, learning_rate=0.05))
    asked = replace(asked, validation=asked.train)
    calibration = [{"x": asked.train.x["x"][begin : begin + 1]} for begin in range(64)]
    return School(asked, calibration, scheme)


def fine_tuned(one: School) -> keras.Model:
    """What is to learn: trained with the numbers of float32."""
    keras.utils.set_random_seed(3)
    model = compressed(one.tuner.model, solution(), one.tuner.judge)
    model.optimizer.learning_rate = 0.01
    model.fit(one.tuner.train.x["x"], one.tuner.train.y["y"], epochs=20, verbose=0)
    return model


def test_the_numbers_of_int8_are_learnt() -> None:
    one = school()
    model = fine_tuned(one)
    before = [weight.copy() for weight in model.get_weights()]
    heard: list[int] = []
    learnt = one.learnt(model, heard.append)
    assert isinstance(learnt, keras.Model)
    assert sum(heard) == one.batches == 4 * 13
    assert one.quality(learnt).loss < 0.9 * one.quality(model).loss
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_is_learnt_is_stored_already() -> None:
    """Rounding it once more changes nothing: so a file has the very weights."""
    one = school(TFLITE, epochs=1)
    learnt = one.learnt(fine_tuned(one), ignore)
    assert isinstance(learnt, keras.Model)
    emulation = one.emulated(learnt)
    for layer, stored in zip(emulation.layers, emulation.stored(), strict=True):
        for mine, theirs in zip(layer.get_weights(), stored, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5 * max(np.abs(theirs).max(), 0.1))


def test_the_same_seed_learns_the_same() -> None:
    one = school(epochs=1)
    model = fine_tuned(one)
    first, second = (one.learnt(model, ignore) for _ in range(2))
    assert isinstance(first, keras.Model) and isinstance(second, keras.Model)
    for mine, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_training_that_diverges_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aware, "GENTLE", 1e30)
    one = school(epochs=2)
    told = one.learnt(substituted(one.tuner.model, {}), ignore)
    assert isinstance(told, str) and ("loss became" in told or "weights became" in told)
