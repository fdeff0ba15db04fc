"""The table of constraints: what is made of it, and that it is the one place where they are spelt."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgett
from edgett.cli import compress, deploy
from edgett.job.job import Command, Job, Project
from edgett.report import facts, page
from edgett.schema.models import ConstraintRow
from edgett.schema.report import Choice
from edgett.search.constraints import (
    CONSTRAINTS,
    DROP,
    FLOPS,
    LATENCY,
    MODEL_BYTES,
    NAMED,
    PEAK,
    Constraint,
    Constraints,
    Objective,
    in_words,
    worse,
)
from edgett.target.profile import Budget
from edgett.workflow import cures
from tests.report.pages import planted

ROOT = Path(edgett.__file__).parent
ROWS = pytest.mark.parametrize("row", CONSTRAINTS, ids=lambda row: row.name)
VALUES, LIMITS = st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False)


def lines() -> Iterator[tuple[str, str]]:
    """Every line of the package's own files, but for what a module's docstring shows: it is no code."""
    for path in sorted(ROOT.rglob("*")):
        if path.suffix in (".py", ".js", ".html", ".css"):
            text = path.read_text(encoding="utf-8")
            code = text.split('"""', 2)[2] if text.startswith('"""') else text
            yield from ((str(path.relative_to(ROOT)), line) for line in code.splitlines())


def test_a_constraint_is_spelt_once() -> None:
    home = "search/constraints.py"
    for row in CONSTRAINTS:
        spelt = [(path, line.strip()) for path, line in lines() if f'"{row.name}"' in line and "name=" in line]
        assert spelt == [(home, f'name="{row.name}",')]
    for row in (PEAK, DROP):  # the others' names are those of options as well, or of other figures
        assert {path for path, line in lines() if row.name in line} == {home}
    assert [line.strip() for _, line in lines() if DROP.name in line] == [f'name="{DROP.name}",']


@ROWS
def test_everything_has_a_row(row: Constraint) -> None:
    assert Budget.model_fields[row.name].description == row.meaning
    assert row.option in {field.name for field in fields(Job)} and row.option in Project.model_fields
    assert all(row.option in command.options for command in Command)
    for command in (compress.compress, deploy.deploy):
        assert row.option in get_type_hints(command)
    assert row.name in get_args(ConstraintRow.model_fields["name"].annotation)
    assert row.name in {field.alias for field in Choice.model_fields.values()}
    cure = cures.raised([row.judge(1, 2)], Job("host")) if row is not LATENCY else None  # which host does not know
    assert row is LATENCY or (cure is not None and cure.options.keys() == {row.option})


@ROWS
def test_a_report_and_its_page_have_every_row(row: Constraint) -> None:
    report = planted(8)
    text, content = page.document(report), facts.document(report)
    assert f'"{row.name}":{{"name":"{row.name}","title":"{row.title}"' in text
    assert f'<label for="limit-{row.name}">{row.heading}</label>' in text
    assert {"name": row.name, "title": row.heading, "limit": report.limits[row]} in content["limits"]
    assert all(one[row.name] == option[row] for one, option in zip(content["solutions"], report.options, strict=True))


def test_a_job_speaks_of_limits_by_their_names() -> None:
    job = Job("host", max_drop=1.5, peak="64 KiB")
    assert job.budget == {"objective": None, **dict.fromkeys(NAMED), DROP.name: 1.5, PEAK.name: "64 KiB"}


def test_names_are_told_apart() -> None:
    for key in ("name", "figure", "option", "heading"):
        assert len({getattr(row, key) for row in CONSTRAINTS}) == len(CONSTRAINTS)


def test_limits_go_to_other_processes() -> None:
    limits = Constraints(Objective.FLOPS, {DROP: 1.5, PEAK: 64}, frozenset({FLOPS}))
    again = pickle.loads(pickle.dumps(limits))
    assert again == limits
    assert (again[DROP], again[PEAK], again[MODEL_BYTES], FLOPS in again.untold) == (1.5, 64, None, True)


def test_a_limit_that_is_not_there_is_none() -> None:
    limits = Constraints(Objective.FLOPS, {DROP: 0.0})
    assert (limits[DROP], limits.most(DROP), limits[FLOPS], limits.most(FLOPS)) == (0.0, 0.0, None, math.inf)
    more = limits.with_limits({FLOPS: 3})
    assert (more[DROP], more[FLOPS], limits[FLOPS]) == (0.0, 3, None)
    assert more.with_limits({FLOPS: None})[FLOPS] is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.25, "0.25"), (1.625, "1.625"), (512, "512"), (65_536, "65,536"), (12_345.75, "12,345.8"),
        (99_999.96, "100,000"), (999_999.7, "1,000,000"), (1_234_567, "1,234,567"), (159_930_000.0, "159,930,000"),
        (-1_234_567, "-1,234,567"), (math.inf, "inf"), (None, "unknown"),
    ],
)  # fmt: skip
def test_large_numbers_are_no_powers_of_ten(value: float | None, words: str) -> None:
    assert in_words(value) == words


class TestDirection:
    ACCURACY = replace(DROP, name="accuracy", higher_is_better=True)

    @given(VALUES, LIMITS)
    def test_a_limit_holds_what_is_on_its_side(self, value: float, limit: float) -> None:
        assert FLOPS.judge(limit, value).holds is (value <= limit)
        assert self.ACCURACY.judge(limit, value).holds is (value >= limit)

    def test_more_may_break_a_most_and_hold_a_least(self) -> None:
        held = [row.judge(10, value, at_least=True).holds for row in (FLOPS, self.ACCURACY) for value in (9, 11)]
        assert held == [None, False, None, True]

    @pytest.mark.parametrize(("limit", "value"), [(None, 1), (1, None), (None, None)])
    def test_what_is_not_known_is_not_checked(self, limit: float | None, value: float | None) -> None:
        assert FLOPS.judge(limit, value).holds is None

    def test_by_how_much(self) -> None:
        assert worse(3, 2, higher_is_better=False) == 1 and worse(3, 2, higher_is_better=True) == -1
