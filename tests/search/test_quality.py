"""How much worse a model is than another, and what the picks are called."""

from __future__ import annotations

import math

import pytest

from edgett.forms.site import Cost
from edgett.search.quality import Quality, Score
from edgett.search.solution import Picks, Solution, Trial


def quality(*values: float, relative: bool = False, up: bool = True) -> Quality:
    return Quality(tuple(Score(f"out{i}", "metric", value, up, relative) for i, value in enumerate(values)))


@pytest.mark.parametrize(
    ("baseline", "other", "drop"),
    [
        (quality(0.9), quality(0.88), 2.0),
        (quality(0.9), quality(0.92), -2.0),
        (quality(0.9, 0.5), quality(0.9, 0.4), 10.0),  # the worst output decides
        (quality(0.9, 0.5), quality(0.1, 0.6), 80.0),
        (quality(4.0, relative=True, up=False), quality(5.0, relative=True, up=False), 25.0),
        (quality(-2.0, relative=True), quality(-3.0, relative=True), 50.0),
        (quality(0.0, relative=True, up=False), quality(0.5, relative=True, up=False), 50.0),
        (quality(0.9), quality(math.nan), math.inf),
        (quality(1.0, relative=True, up=False), quality(math.inf, relative=True, up=False), math.inf),
        (quality(0.9, 0.9), quality(math.nan, 0.9), math.inf),
        (quality(0.9, 0.9), quality(0.9, math.nan), math.inf),
    ],
)
def test_drop(baseline: Quality, other: Quality, drop: float) -> None:
    assert other.drop_from(baseline) == pytest.approx(drop)


def test_drop_refuses_scores_of_something_else() -> None:
    with pytest.raises(ValueError, match="different outputs"):
        quality(0.9).drop_from(Quality((Score("other", "metric", 0.9),)))
    with pytest.raises(ValueError, match="zip"):
        quality(0.9).drop_from(quality(0.9, 0.9))


def test_picks_are_named_with_the_recommended_first() -> None:
    trials = [Trial(Solution(n, {}, Cost(n, n), n), quality(0.5), 0.0, 1, 0, 0.1) for n in range(4)]

    named = Picks(*trials).named()

    assert list(named) == ["recommended", "highest_accuracy", "lowest_memory", "lowest_flops"]
    assert list(named.values()) == trials


def test_a_drop_is_as_exact_as_its_limit() -> None:
    """Of counts of samples, the difference of their shares in floats is often a little more."""
    drops = {quality((right - 75) / 5000).drop_from(quality(right / 5000)) for right in range(75, 5001)}
    assert drops == {1.5}
