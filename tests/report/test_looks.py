"""How forms are told apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from edgett.forms import catalogue
from edgett.report.looks import HUES, LARGE, MANY, MARKS, SMALL, by_form
from edgett.report.picture import Hue, Mark, Points


def specs(*titles: str) -> list[Any]:
    return [SimpleNamespace(title=title) for title in titles]


def split(chosen: Sequence[Any], labels: tuple[str, ...] = ()) -> list[Points]:
    count = tuple(float(place) for place in range(len(chosen)))
    return by_form(Points("", count, tuple(10 * each for each in count), Mark.DOT, Hue.GREY, labels), chosen)


def test_each_point_is_in_the_series_of_its_form_and_the_rarer_ones_on_top() -> None:
    rare, often = split(specs("CP", "TT", "TT", "CP", "TT"), ("a", "b", "c", "d", "e"))[::-1]

    assert (rare.name, rare.x, rare.y, rare.labels) == ("CP", (0, 3), (0, 30), ("a", "d"))
    assert (often.name, often.x, often.y, often.labels) == ("TT", (1, 2, 4), (10, 20, 40), ("b", "c", "e"))
    assert all(series.labels == () for series in split(specs("CP", "TT")))


def test_every_form_has_a_look_of_its_own_wherever_it_is_drawn() -> None:
    titles = sorted({form.spec.title for form in catalogue.FORMS})
    looks = {series.name: (series.hue, series.mark) for series in split(specs(*titles))}

    assert sorted(looks) == titles
    # Neither a hue nor a mark alone has to tell two of edgett's own forms apart.
    assert len({hue for hue, _ in looks.values()}) == len({mark for _, mark in looks.values()}) == len(titles)
    for series in split(specs("Tucker-2", "CP")):
        assert (series.hue, series.mark) == looks[series.name]
    assert not {Hue.BLUE, Hue.GREY, Hue.PALE} & set(HUES)


@pytest.mark.parametrize("count", [9, 42, 100])
def test_any_number_of_forms(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    titles = [f"form {number}" for number in range(count)]
    monkeypatch.setattr(catalogue, "FORMS", tuple(SimpleNamespace(spec=each) for each in specs(*titles)))
    series = split(specs(*titles))

    assert sorted(each.name for each in series) == sorted(titles)
    looks = [(each.hue, each.mark) for each in series]
    assert len({*looks}) == min(count, len(HUES) * len(MARKS))
    assert {*itertools.product(HUES, MARKS)} >= {*looks}


def test_many_points_are_smaller() -> None:
    assert {series.size for series in split(specs(*["CP"] * MANY))} == {LARGE}
    assert {series.size for series in split(specs(*["CP"] * MANY, "TT"))} == {SMALL}
