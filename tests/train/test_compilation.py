"""How a model was compiled, which its twin with TT layers keeps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgett.model.layers import replace
from edgett.model.worth import replaceable
from tests.model.test_layers import FULL, SMALL, dicts, inputs_of, nested, sequential


def loss_of_mine(wanted: Any, found: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(wanted - found) ** 1.5)


class TestCompiled:
    def compiled(self, **keywords: Any) -> keras.Model:
        model = dicts()
        model.compile(
            keras.optimizers.Adam(0.0123, beta_1=0.7),
            loss={"size": keras.losses.Huber(0.3), "kind": "sparse_categorical_crossentropy"},
            loss_weights={"size": 3.0, "kind": 0.5},
            metrics={"size": [keras.metrics.MeanAbsoluteError(name="far")], "kind": ["accuracy"]},
            **keywords,
        )
        return model

    LABELS = {"size": np.ones((5, 1), np.float32), "kind": np.array([0, 1, 2, 0, 1])}  # noqa: RUF012

    def test_losses_metrics_weights_and_optimiser_are_kept(self) -> None:
        model = self.compiled(run_eagerly=True)
        x = inputs_of(model)
        wanted = model.evaluate(x, self.LABELS, verbose=0, return_dict=True)
        twin = replace(model, {"fc": FULL})
        found = twin.evaluate(x, self.LABELS, verbose=0, return_dict=True)
        assert found.keys() == wanted.keys() and "size_far" in found and "kind_accuracy" in found
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4)
        assert twin.optimizer.get_config() == model.optimizer.get_config()
        np.testing.assert_allclose(twin.optimizer.learning_rate, 0.0123)
        assert twin.optimizer is not model.optimizer

    def test_a_learning_rate_that_was_changed_later(self) -> None:
        model = self.compiled()
        model.optimizer.learning_rate = 0.5
        np.testing.assert_allclose(replace(model, {"fc": SMALL}).optimizer.learning_rate, 0.5)

    def test_a_schedule_of_the_learning_rate(self) -> None:
        model = sequential()
        model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 50)), "mse")
        rate = replace(model, {"fc": SMALL}).optimizer.get_config()["learning_rate"]
        assert rate["class_name"] == "CosineDecay"

    @pytest.mark.parametrize("build", [sequential, nested])
    def test_a_loss_of_the_users_own(self, build: Any) -> None:
        model = build()
        model.compile("sgd", loss_of_mine, metrics=[loss_of_mine], run_eagerly=True)
        x, y = inputs_of(model), np.ones((5, 3), np.float32)
        path = next(item.layer.name for item in replaceable(model) if item.layer.outputs == 8)
        twin = replace(model, {path: FULL})
        np.testing.assert_allclose(twin.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-4)

    def test_a_loss_that_only_this_process_has(self) -> None:
        model = sequential()
        model.compile("sgd", lambda wanted, found: keras.ops.mean(keras.ops.abs(wanted - found)), run_eagerly=True)
        x, y = inputs_of(model), np.ones((5, 3), np.float32)
        twin = replace(model, {"fc": FULL})
        np.testing.assert_allclose(twin.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-4)

    def test_a_model_that_is_not_compiled_stays_so(self) -> None:
        assert not replace(sequential(), {"fc": SMALL}).compiled
