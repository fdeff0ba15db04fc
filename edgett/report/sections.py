"""The report of a run, made of its document: the verdict first, then how it came to that, then the evidence."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgett.forms import catalogue
from edgett.report import evidence, speed
from edgett.report.facts import Cell, Column, Mood, Option, Report, Section, Table
from edgett.report.figures import figure, figures, points, suffix_of
from edgett.report.picture import Picture
from edgett.report.words import (
    PICKS,
    apart,
    binding,
    called,
    channels,
    count,
    digits,
    in_part,
    judged,
    learnt,
    over_budget,
    partial,
    place,
    scores,
    sized,
    under_attack,
)
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
    Objective,
)

DENSE: Mapping[str, Any] = {"feasible": False, "complete": True}
"""What the dense model is as an option, beside what its document says."""
STEPS = (
    ("layers", "layers that could be replaced", 1),
    ("layers_taken", "of them worth factorising", 1),
    ("solutions", "solutions of all layers, jointly", 2),
    ("efficient", "smaller and cheaper than dense in every layer", 4),
    ("points", "corner points on the joint grid", 5),
    ("undominated", "that no other one beats in memory, FLOPs and expected error", 5),
    ("joint_candidates", "distinct joint candidates", 5),
    ("within_budgets", "smaller than the dense file and within the budgets known before training", 5),
    ("fine_tuned", "fine-tuned", 6),
    ("feasible", "of the fine-tuned, within all constraints", 7),
)
VERDICTS = {True: ("holds", Mood.GOOD), False: ("broken", Mood.BAD), None: ("not checked", Mood.OPEN)}


def report(run: str, asked: Mapping[str, Any], space: Picture | None, benches: Sequence[Mapping[str, Any]]) -> Report:
    """The report of a finished run: its directory, the content of run.json, its design spaces and its benchmarks."""
    outcome = asked["outcome"]
    options = tuple(sorted((_option(run, trial, outcome) for trial in outcome["trials"]), key=_rank))
    sections = (
        verdict(outcome, benches),
        *([funnel(outcome), design_space(outcome, space)] if outcome["funnel"] else []),
        *([tradeoff(options, outcome)] if options else []),
        *([layers(outcome)] if any(pick and pick["layers"] for pick in outcome["picks"].values()) else []),
        *evidence.check(outcome),
        *evidence.curves(outcome),
        *evidence.benchmarks(benches),
        evidence.reproduction(asked),
    )
    limits = {item["name"]: item["limit"] for item in outcome["constraints"]}
    return Report(
        f"{outcome['model']} on {outcome['target']['name']}",
        sections,
        _option(run, {**DENSE, **outcome["baseline"]}, outcome),
        options,
        {row: limits.get(row.name) for row in CONSTRAINTS},
        Objective(outcome["objective"]),
        tuple(figures(outcome)),
    )


def verdict(outcome: Mapping[str, Any], benches: Sequence[Mapping[str, Any]] = ()) -> Section:
    """What is not known, then the recommended model against the dense one in five figures, and the budgets."""
    shown, unknown = speed.told(outcome, benches), partial(outcome.get("partial", ()))
    section = _verdict(outcome, shown)
    return replace(section, words=tuple(filter(None, (unknown, *section.words, shown.source))))


def _verdict(outcome: Mapping[str, Any], shown: speed.Speed) -> Section:
    dense, pick, target = outcome["baseline"], outcome["picks"]["recommended"], outcome["target"]
    tables = _figures(outcome, shown), _budgets(outcome)
    if outcome["funnel"] is None:
        asis = f"The model as it is, for {target['name']} ({target['title']}): nothing was trained or replaced."
        return Section("verdict", "Verdict", (asis, *judged(outcome)), tables)
    if pick is None:
        if (miss := outcome["nearest_miss"]) is None:
            slower = "Every solution that holds is slower on this machine, which is the target, than the dense model."
            return Section("verdict", "Verdict", (slower,), tables)
        limit, value = _beside(NAMED[miss["constraint"]], miss["limit"], miss["value"])
        told = f"The nearest, {called(miss['solution'])}, has {value} where the limit is {limit}."
        headings = {row.name: row.heading for row in CONSTRAINTS}
        missed = f"No solution meets the constraints of {target['name']}: {binding(outcome, headings)}."
        cure = outcome.get("error", {}).get("cure")
        return Section("verdict", "Verdict", (missed, told, *filter(None, (cure,))), tables)
    if outcome["why_dense"]:
        dense_is = f"The dense model is recommended for {target['name']} ({target['title']})."
        words = dense_is, outcome["why_dense"], *_said(outcome)
        return Section("verdict", "Verdict", words, tables)
    words = (
        f"Solution {pick['solution']} is recommended for {target['name']} ({target['title']}):"
        f" {_times(dense['params'], pick['params'])} the parameters, {_flops(dense, pick)},"
        f" {points(pick['drop'])}.",
        *over_budget(outcome),
        *outcome.get("remarks", ()),
        *_said(outcome),
    )
    return Section("verdict", "Verdict", words, tables)


def _said(outcome: Mapping[str, Any]) -> Iterator[str]:
    """What goes without a table: who judges, layers left dense, the time here."""
    yield " ".join((*judged(outcome), f"The objective is {outcome['objective']}."))
    for name, times in outcome["slower_than_dense"].items():
        yield f"{name} stays dense in {times} candidates, where its low-rank form {speed.slower(outcome)}."
    yield from speed.more_instructions(outcome)
    for step in (outcome["picks"]["recommended"] or outcome["baseline"])["reverted"]:
        if (times := step.get("slowdown")) is not None:
            long = f"{digits(times)} times as long here"
            yield f"{step['layer']} is dense again: with its low-rank form an inference took {long}."
    yield from learnt([outcome["picks"]["recommended"]])
    if (timed := outcome["timed_here"]) is not None:
        value, low, high = (digits(timed[key]) for key in ("value", "low", "high"))
        yield f"On the machine of the run an inference took {value} times the dense model's ({low} to {high})."


def _figures(outcome: Mapping[str, Any], shown: speed.Speed) -> Table:
    dense, picks = outcome["baseline"], {name: pick for name, pick in outcome["picks"].items() if pick}
    named: dict[int, list[str]] = {dense["solution"]: []}
    for role in PICKS:
        if role in picks and outcome["funnel"]:
            named.setdefault(picks[role]["solution"], []).append(role)
    own, *others = named.values()
    models = [dense, *(picks[roles[0]] for roles in others)]
    titles = [", ".join(PICKS[role] for role in roles) for roles in others]
    rows = [(Cell(name, name), *cells) for name, cells in _figure_rows(models, suffix_of(outcome), shown)]
    first = ", ".join(("dense", *(PICKS[role] for role in own)))
    columns = (Column("", False), Column(first), *map(Column, titles))
    title = "The dense model and the picks; memory is the bytes of the file" if others else "The dense model"
    return Table(title, columns, tuple(rows))


def _figure_rows(
    models: Sequence[Mapping[str, Any]], suffix: str, shown: speed.Speed
) -> Iterator[tuple[str, list[Cell]]]:
    for name, key, limited in (
        ("parameters", "params", None),
        (FLOPS.heading, FLOPS.figure, FLOPS),
        ("MACs", "macs", FLOPS),
        (PEAK.heading, PEAK.figure, PEAK),
    ):
        values = [model[key] for model in models]
        if in_part(limited, *models):
            yield name, [Cell(value, f"at least {value:,}", Mood.OPEN) for value in values]
        else:
            yield name, _against(values)
    files = [model["artifacts"].get(suffix, {}).get("bytes") for model in models]
    if None not in files:
        yield f".{suffix} {MODEL_BYTES.heading}", _against(files)
    executed = [number for model in models if (number := model.get("instructions")) is not None]
    if executed:
        yield "instructions, predicted", _against(executed)
    if shown.figure is not None:
        yield f"{shown.word} {LATENCY.heading}", [figure(model[shown.figure], 3) for model in models]
    for index, name in enumerate(scores(models[0]["accuracy"])):
        yield f"{name}, validation", [figure(model["accuracy"][index]["value"]) for model in models]
        if models[0]["test_accuracy"]:
            yield f"{name}, test", [figure(model["test_accuracy"][index]["value"]) for model in models]
    if models[0]["accuracy"]:
        yield f"{DROP.title}, validation", [figure(model["drop"], 2) for model in models]
    if models[0]["test_accuracy"]:
        yield f"{DROP.title}, test", [figure(model["test_drop"], 2) for model in models]
    for name, values, decimals in under_attack(models):
        yield name, [figure(value, decimals) for value in values]


def _against(values: Sequence[int]) -> list[Cell]:
    """Numbers, all but the first with the share of it that they are."""
    first, *others = values
    shares = (f"{value:,} ({value / first:.1%})" if first else f"{value:,}" for value in others)
    return [Cell(first, f"{first:,}"), *(Cell(value, text) for value, text in zip(others, shares, strict=True))]


def _budgets(outcome: Mapping[str, Any]) -> Table:
    columns = Column("constraint", False), Column("limit"), Column("value"), Column("verdict", False)
    rows = []
    for item in outcome["constraints"]:
        words, mood = VERDICTS[item["holds"]]
        row, value = NAMED[item["name"]], item["value"]
        limit, found = _beside(row, item["limit"], value)
        found = f"at least {found}" if item.get("at_least") else found
        cells = Cell(item["limit"], limit or "unknown"), Cell(value, found), Cell(item["holds"], words, mood)
        rows.append((Cell(row.name, row.heading), *cells))
    return Table(f"Budgets of {outcome['target']['name']}", columns, tuple(rows))


def funnel(outcome: Mapping[str, Any]) -> Section:
    """How many each step left."""
    left = outcome["funnel"]
    most, rows = math.log(1 + max(1, *left.values())), []
    for name, title, step in STEPS:
        if name in left:
            many = Cell(left[name], count(left[name]), share=math.log(1 + left[name]) / most)
            rows.append((Cell(name, title), Cell(step, str(step)), many))
    words = ["How many each step of the method left; bars are logarithmic."]
    if left["fine_tuned"] < left["within_budgets"]:
        words.append(
            f"{left['fine_tuned']} of {left['within_budgets']} candidates were fine-tuned, spread out;"
            " --limit all takes every one."
        )
    failed = [trial for trial in outcome["trials"] if trial["failure"]]
    words += [f"Solution {trial['solution']} failed: {trial['failure']}" for trial in failed]
    columns = Column("what is left", False), Column("step"), Column("how many")
    return Section("funnel", "Funnel", tuple(words), (Table("How many each step left", columns, tuple(rows)),))


def design_space(outcome: Mapping[str, Any], space: Picture | None) -> Section:
    """The space of each layer, in words and numbers; drawn where the run kept its picture."""
    grid = outcome["search"] == "grid"
    last = ("solutions", "efficient", "occupied_tiles") if grid else ("solutions", "undominated")
    columns = [Column("layer", False), Column("size", False), Column("parameters"), Column("FLOPs")]
    columns += [Column(name.replace("_", " ")) for name in last] + [Column("left alone because", False)]
    rows = []
    for layer in outcome["layers"]:
        numbers = [Cell(layer[name], count(layer[name])) for name in ("params", "flops", *last)]
        shape = sized(layer)
        why = Cell(layer["excluded"], layer["excluded"] or "")
        rows.append((Cell(layer["name"], layer["name"]), Cell(shape, shape), *numbers, why))
    if grid:
        words = [
            "Every TT solution of each layer by parameters and FLOPs, around the dense layer: only those that are"
            " smaller and cheaper stay. On the grid over these the corner points of each tile are what goes on."
        ]
    else:
        words = ["The solutions of each layer that no other one beats in parameters, FLOPs and expected error."]
    if space is not None:
        words += [f"Picture: {panel.title}." for panel in space.panels] + list(space.remarks)
    return Section("space", "Design space", tuple(words), (Table("Layers", tuple(columns), tuple(rows)),), space)


def tradeoff(options: Sequence[Option], outcome: Mapping[str, Any]) -> Section:
    """Every fine-tuned solution, by memory, FLOPs and accuracy."""
    timed = any(option[LATENCY] is not None for option in options)
    executed = options and all(option.instructions is not None for option in options)
    attacked = any(option[ROBUST_DROP] is not None for option in options)
    counted = FLOPS, PEAK, MODEL_BYTES
    measured = (*([LATENCY] if timed else []), DROP, *([ROBUST_DROP] if attacked else []))
    numeric = ["solution", "parameters", *(row.heading for row in counted), *(["instructions"] if executed else [])]
    numeric += [row.heading for row in measured]
    columns = *map(Column, numeric), *(Column(title, False) for title in ("feasible", "picked as", "shapes"))
    rows = []
    for option in options:
        numbers = [option.params, *(option[row] for row in counted)]
        numbers += [option.instructions] if executed else []
        cells = [Cell(number, f"{number:,}") for number in (option.solution, *numbers)]
        cells += [figure(option[row], 3 if row is LATENCY else 2) for row in measured]
        cells.append(Cell(option.feasible, *(("yes", Mood.GOOD) if option.feasible else ("no", Mood.BAD))))
        roles, shapes = ", ".join(option.roles), "; ".join(f"{name}: {shape}" for name, shape in option.shapes)
        rows.append((*cells, Cell(roles, roles), Cell(shapes, shapes)))
    feasible = sum(option.feasible for option in options)
    words = (
        f"{len(options)} solutions were fine-tuned; {feasible} hold under all constraints of"
        f" {outcome['target']['name']}.",
    )
    return Section("solutions", "Solutions", words, (Table("Fine-tuned solutions", columns, tuple(rows)),))


def layers(outcome: Mapping[str, Any]) -> Section:
    """Each replaced layer of each pick, dense and in its form."""
    titles = [
        "layer",
        "form",
        "parameters",
        "FLOPs",
        "MACs",
        "peak elements",
        "moved elements",
        "error before training",
    ]
    columns = tuple(Column(title, title not in ("layer", "form")) for title in titles)
    tables, seen = [], set()
    for role in PICKS:
        pick = outcome["picks"][role]
        if pick is None or pick["solution"] in seen or not pick["layers"]:
            continue
        seen.add(pick["solution"])
        rows = [cells for layer in pick.get("layers", ()) for cells in _layer_rows(layer)]
        same = [PICKS[name] for name in PICKS if (outcome["picks"][name] or {}).get("solution") == pick["solution"]]
        tables.append(Table(f"Solution {pick['solution']}: {', '.join(same)}", columns, tuple(rows)))
    words = (
        "Costs of one sample; peak elements are the most that an operator of the layer reads and writes, moved elements"
        " those that transposes copy.",
        "The error is that of the form against the trained weight before fine-tuning, relative, in the Frobenius norm:"
        " no numbers in it come below the first figure, its decomposition not above the last (Oseledets 2011).",
    )
    return Section("layers", "Layers", words, tuple(tables))


def _layer_rows(layer: Mapping[str, Any]) -> Iterator[tuple[Cell, ...]]:
    fields = ("params", "flops", "macs", "peak_elements", "moved_elements")
    dense, tt, error = layer["dense"], layer["held"], layer["error"]
    name, form = Cell(layer["name"], layer["name"]), str(catalogue.read(layer["spec"]))
    between = f"{error['low']:.3f} to {error['high']:.3f}"
    yield name, Cell("dense", "dense"), *(Cell(dense[key], f"{dense[key]:,}") for key in fields), Cell(None, "")
    yield name, Cell(form, form), *(Cell(tt[key], f"{tt[key]:,}") for key in fields), Cell(error["estimate"], between)


def _option(run: str, trial: Mapping[str, Any], outcome: Mapping[str, Any]) -> Option:
    number = trial["solution"]
    roles = [title for name, title in PICKS.items() if (outcome["picks"][name] or {}).get("solution") == number]
    return Option(
        number,
        trial["params"],
        trial["macs"],
        {row: trial.get(row.figure) for row in CONSTRAINTS} | {MODEL_BYTES: _file_bytes(trial, outcome)},
        trial["feasible"],
        trial["complete"] and not _too_slow(trial),
        tuple(roles),
        (
            *((name, f"without {channels(count)}") for name, count in trial.get("removed", {}).items()),
            *((name, str(catalogue.read(spec))) for name, spec in trial["edits"].items()),
        ),
        f"edgett export {shlex.quote(place(run))} --solution {number}" if number >= 0 else "",
        trial.get("instructions"),
    )


def _rank(option: Option) -> tuple[bool, bool, bool, int]:
    """The recommended one first, then other picks, what holds, and the rest."""
    return PICKS["recommended"] not in option.roles, not option.roles, not option.feasible, option.solution


def _file_bytes(model: Mapping[str, Any], outcome: Mapping[str, Any]) -> int:
    """What the file for the target takes; of a solution that has none, what it is predicted to."""
    picks = {pick["solution"]: pick for pick in outcome["picks"].values() if pick}
    written = picks.get(model["solution"], model).get("artifacts", {})
    found: int = written.get(suffix_of(outcome), model)["bytes"]
    return found


def _too_slow(trial: Mapping[str, Any]) -> bool:
    """As `Trial.too_slow`."""
    return (
        not trial["edits"]
        and not trial.get("removed")
        and any(step["slowdown"] is not None for step in trial["reverted"])
    )


def _beside(row: Constraint, limit: float | None, value: float | None) -> tuple[str, str]:
    """A limit and what is held against it, in as many digits as tell them apart."""
    if row.whole:
        return "" if limit is None else f"{limit:,.0f}", "" if value is None else f"{value:,.0f}"
    many = 3 if limit is None or value is None else apart(limit, value) if limit != value else 3
    return "" if limit is None else digits(limit, many), "" if value is None else digits(value, many)


def _times(dense: float, small: float) -> str:
    if small and dense >= small:
        return f"1/{digits(dense / small)} of"
    return f"{digits(small / max(dense, 1))} times"


def _flops(dense: Mapping[str, Any], pick: Mapping[str, Any]) -> str:
    if in_part(FLOPS, dense, pick):
        return "FLOPs not known"
    return f"{_times(dense['flops'], pick['flops'])} the FLOPs"
