"""What limits leave for fine-tuning in float32 where the files are in int8."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgett.forms.site import Cost
from edgett.graph.dtype import DType
from edgett.job.job import Job
from edgett.search.constraints import DROP, FLOPS, ROBUST_DROP, Constraints, Objective
from edgett.search.explore import Costing
from edgett.search.quality import Quality, Score
from edgett.search.solution import Solution
from edgett.target.profile import load_target, with_dtype
from edgett.workflow.terms import Terms, in_float

LIMITS = {DROP: 1.5, ROBUST_DROP: 3.0, FLOPS: 1000.0}


def quality(plain: float, robust: float | None) -> Quality:
    under = () if robust is None else (Score("y", "accuracy", robust),)
    return Quality((Score("y", "accuracy", plain),), None, under)


def left(dtype: DType, file: Quality, keras: Quality) -> dict[Any, float | None]:
    target = with_dtype(load_target("cortex-a53"), dtype)
    dense, original = Solution(-1, {}, Cost(1, 1), 4), SimpleNamespace()
    terms = Terms(Job("cortex-a53"), target, Constraints(Objective.MEMORY, LIMITS), Costing(1), dense, original, file)  # type: ignore[arg-type]
    limits = in_float(terms, SimpleNamespace(quality=keras))  # type: ignore[arg-type]
    return {row: limits[row] for row in LIMITS}


@pytest.mark.parametrize(
    ("file", "drop", "robust"),
    [
        (quality(0.895, 0.40), 1.0, 0.0),
        (quality(0.895, 0.48), 1.0, 1.0),
        (quality(0.91, 0.55), 1.5, 3.0),
        (quality(0.85, None), 0.0, 3.0),
    ],
)
def test_what_int8_takes_of_the_dense_model_is_kept_free(file: Quality, drop: float, robust: float) -> None:
    found = left(DType.INT8, file, quality(0.9, 0.5))
    assert found == {DROP: pytest.approx(drop), ROBUST_DROP: pytest.approx(robust), FLOPS: 1000.0}


def test_of_files_in_float32_nothing_is_taken() -> None:
    assert left(DType.FLOAT32, quality(0.5, 0.1), quality(0.9, 0.5)) == LIMITS
