"""`compress` rids a model of channels that contribute nothing before anything else, and says so."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import edgett
from edgett.search.constraints import MODEL_BYTES
from tests.conftest import Tiny
from tests.workflow.test_compress import OPTIONS, checked


@pytest.mark.slow
def test_dead_units_go_before_step_1_and_budgets_stay(tiny: Tiny, tmp_path: Path) -> None:
    model = keras.models.load_model(tiny.model)
    layer = next(layer for layer in model.layers if getattr(layer, "units", 0) == 36)
    weight, bias = layer.get_weights()
    layer.set_weights([np.where(np.arange(48)[:, None] < 16, 0, weight), bias])  # a third of the first layer is read
    data = dict(np.load(tiny.data))

    outcome = edgett.compress(model, data, out=tmp_path / "run", **OPTIONS)

    assert outcome.remarks[-1].startswith("16 channels that contribute nothing went before anything else: ")
    gone = 16 * (64 + 1 + 36)
    assert model.count_params() - outcome.dense.solution.cost.params == gone
    # "100 %" is of the model as it was given.
    assert outcome.limits[MODEL_BYTES] - outcome.dense.solution.file_bytes == 4 * gone
    written = keras.models.load_model(tmp_path / "run" / "artifacts" / "baseline.keras")
    x = data["x_test"][:20]
    np.testing.assert_allclose(written.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    assert checked(outcome)["remarks"] == list(outcome.remarks)
