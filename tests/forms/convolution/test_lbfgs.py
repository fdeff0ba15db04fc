"""L-BFGS against SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize

from edgett.forms.convolution.lbfgs import minimised


@pytest.mark.parametrize("seed", range(3))
def test_lbfgs_goes_where_scipy_goes(seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(20, 12)) * np.geomspace(0.05, 1, 12)
    goal = random.normal(size=20)

    def smooth(point: Any) -> tuple[float, Any]:
        rest = np.tanh(matrix @ point) - goal
        return float(rest @ rest), 2 * matrix.T @ (rest * (1 - np.square(np.tanh(matrix @ point))))

    found = minimised(smooth, np.zeros(12), 2000, 1e-12)
    other = optimize.minimize(smooth, np.zeros(12), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    assert smooth(found)[0] <= 1.01 * other.fun


def test_lbfgs_ends_at_a_flat_place_and_after_its_looks() -> None:
    looks: list[Any] = []

    def flat(point: Any) -> tuple[float, Any]:
        looks.append(point)
        return 1.0, np.zeros_like(point)

    np.testing.assert_array_equal(minimised(flat, np.ones(3), 50, 1e-3), np.ones(3))
    assert len(looks) == 1
    steep: list[Any] = []

    def bowl(point: Any) -> tuple[float, Any]:
        steep.append(point)
        return float(point @ (point * np.array([1, 1e4]))), 2 * point * np.array([1, 1e4])

    minimised(bowl, np.ones(2), 7, 0.0)
    assert len(steep) <= 7
