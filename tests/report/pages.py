"""Reports to draw as pages: one of planted solutions, with ties and with failures, and a hostile one."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

from edgett.escape import one_line
from edgett.forms.site import Cost
from edgett.report.facts import Cell, Column, Mood, Option, Report, Section, Table
from edgett.report.picture import Axis, Hue, Mark, Note, Panel, Picture, Points
from edgett.search.constraints import (
    CONSTRAINTS,
    DROP,
    FLOPS,
    LATENCY,
    MODEL_BYTES,
    NAMED,
    PEAK,
    ROBUST_DROP,
    Constraint,
    Constraints,
    Objective,
)
from edgett.search.quality import Quality
from edgett.search.solution import InferenceCost, Refuge, Reverted, Solution, Trial

HOSTILE = "</script><img src=x onerror=alert(1)>\"'`{{ 7 * 7 }}&lt;\u202egnp.exe\u2028<b>" + "long" * 2500
"""A layer's name as nobody should give it, 10,000 characters long."""


def planted(count: int = 24, seed: int = 0, timed: bool = True, counted: bool = False) -> Report:
    """So many solutions with equal costs and drops among them, failed ones, such that were put away, and slow ones."""
    options = tuple(_option(number, random.Random(seed * 1000 + number), timed, counted) for number in range(count))
    figures = limited(40_000, 4096, 18_000, 0.05 if timed else None, 0.0, 0.0)
    dense = Option(-1, 9000, 9000, figures, False, True, (), (), "", 21_000 if counted else None)
    columns = (Column("solution"), *map(Column, ("parameters", "FLOPs", "drop")), Column("feasible", False))
    columns += Column("picked as", False), Column("shapes", False)
    rows = tuple(_row(option) for option in options)
    budgets = Table("Budgets", (Column("constraint", False), Column("verdict", False)), (_budget("FLOPs"),))
    sections = (
        Section("verdict", "Verdict", ("Words.",), (budgets,)),
        Section("solutions", "Solutions", (f"{count} solutions.",), (Table("Solutions", columns, rows),)),
        Section("reproduction", "Reproduction", code=("edgett compress 'a model'",)),
    )
    limits = limited(30_000, None, 12_000, None, 1.5, None)
    return Report("planted on it", sections, dense, options, limits, Objective.MEMORY)


def limited(*figures: float | None) -> dict[Constraint, float | None]:
    """A figure a row of the table."""
    return dict(zip(CONSTRAINTS, figures, strict=True))


def _option(number: int, rng: random.Random, timed: bool, counted: bool) -> Option:
    params, flops = 100 * rng.randint(2, 80), 1000 * rng.randint(2, 18)
    drop = None if rng.random() < 0.1 else round(rng.uniform(-0.5, 20) ** 2 / 40, 1)
    robust = None if drop is None else round(rng.uniform(-5, 2 * drop + 5), 1)
    latency = flops / 4e5 + rng.randint(0, 2) / 100 if timed else None
    slow, put_away = rng.random() < 0.15, rng.random() < 0.1
    shapes = () if slow else (("dense", f"2x{number} -> 3x4, rank 5"),)
    return Option(
        number, params, flops // 2, limited(params * 4 + 2048, 64 * rng.randint(1, 64), flops, latency, drop, robust),
        False,
        not (slow or put_away), (), shapes, f"edgett export 'a run' --solution {number}",
        max(2 * flops - rng.randint(0, 9000), 500) if counted else None,
    )  # fmt: skip


def _row(option: Option) -> tuple[Cell, ...]:
    drop = Cell(option[DROP], "not finite" if option[DROP] is None else "known")
    numbers = [Cell(value, f"{value:,}") for value in (option.solution, option.params, option[FLOPS])]
    return *numbers, drop, Cell(option.feasible, "no", Mood.BAD), Cell("", ""), Cell("", "")


def _budget(name: str) -> tuple[Cell, ...]:
    return Cell(name, name), Cell(True, "holds", Mood.GOOD)


def trials(options: tuple[Option, ...]) -> list[Trial]:
    """The same solutions as step 7 knows them."""
    return [
        Trial(
            Solution(
                option.solution,
                {},
                Cost(option.params, option[FLOPS], option[PEAK] // 4),
                option[MODEL_BYTES],
                inference=InferenceCost(
                    None if option[LATENCY] is None else option[LATENCY] * 1000, option.instructions
                ),
            ),
            Quality(()),
            math.inf if option[DROP] is None else option[DROP],
            *(1, 0, 0.0),
            complete=option.eligible or not option.shapes,
            reverted=() if option.shapes else (Reverted("dense", Refuge.DENSE, 0.0, 0.0, slowdown=2.0),),
            robust_drop=option[ROBUST_DROP],
        )
        for option in options
    ]


def constraints(limits: dict[str, Any], objective: str) -> Constraints:
    return Constraints(Objective(objective), {NAMED[name]: limit for name, limit in limits.items()})


def hostile() -> Report:
    """Every text that may come from outside is hostile."""
    report, name = planted(8), HOSTILE
    table = Table(name, (Column(name, False), Column(name)), ((Cell(name, name), Cell(1, name)),) * 4)
    points = Points(one_line(name), (1.0,), (2.0,), Mark.DOT, Hue.BLUE, (one_line(name),))
    panel = Panel(one_line(name), Axis(one_line(name), 0, 3), Axis("y", 0, 3), (points, Note(one_line(name), 0, 0)))
    section = Section("space", name, (name,), (table,), Picture("space", (panel,), remarks=(name,)), (name,))
    options = tuple(replace(option, shapes=((name, name),), command=name) for option in report.options)
    first, *rest = report.sections
    verdict = replace(first, words=(name,), tables=(table, *first.tables))
    return replace(report, title=name, sections=(verdict, section, *rest), options=options)
