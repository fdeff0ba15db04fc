"""The report of a run, made of its document: the verdict first, then how it came to that, then the evidence."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgett.report import evidence, speed
from edgett.report.facts import Cell, Column, Figure, Limit, Mood, Option, Report, Section, Table
from edgett.report.picture import Picture
from edgett.report.words import PICKS, apart, count, digits, duration, in_part, partial, place, size
from edgett.values import Objective, Order, TTShape

LIMITS = {
    "model_bytes": "file, bytes",
    "peak_activation_bytes": "peak memory, bytes",
    "flops": "FLOPs",
    "latency_ms": "latency, ms",
    "accuracy_drop_pp": "drop, points",
}
DENSE: Mapping[str, Any] = {"solution": -1, "shapes": {}, "feasible": False, "complete": True, "reverted": []}
"""What the dense model is as an option."""
STEPS = (
    ("layers", "fully connected layers", 1),
    ("layers_taken", "of them worth factorising", 1),
    ("solutions", "TT solutions of all layers, jointly", 2),
    ("efficient", "smaller and cheaper than dense in every layer", 4),
    ("points", "corner points on the joint grid", 5),
    ("undominated", "that no other one beats in memory, FLOPs and expected error", 5),
    ("joint_candidates", "distinct joint candidates", 5),
    ("within_budgets", "within the budgets known before training", 5),
    ("fine_tuned", "fine-tuned", 6),
    ("feasible", "within all constraints", 7),
)
TIMES = "\N{MULTIPLICATION SIGN}"
VERDICTS = {True: ("holds", Mood.GOOD), False: ("broken", Mood.BAD), None: ("not checked", Mood.OPEN)}


def report(run: str, asked: Mapping[str, Any], space: Picture | None, benches: Sequence[Mapping[str, Any]]) -> Report:
    """The report of a finished run: its directory, the content of run.json, its design spaces and its benchmarks."""
    outcome = asked["outcome"]
    options = tuple(sorted((_option(run, trial, outcome) for trial in outcome["trials"]), key=_rank))
    sections = (
        verdict(outcome, benches),
        funnel(outcome),
        design_space(outcome, space),
        *([tradeoff(options, outcome)] if options else []),
        *([layers(outcome)] if outcome["picks"]["recommended"] else []),
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
        tuple(Limit(name, title, limits.get(name)) for name, title in LIMITS.items()),
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
    if pick is None:
        if (miss := outcome["nearest_miss"]) is None:
            slower = "Every solution that holds is slower on this machine, which is the target, than the dense model."
            return Section("verdict", "Verdict", (slower,), (_figures(outcome, shown), _budgets(outcome)))
        limit, value = _beside(miss["constraint"], miss["limit"], miss["value"])
        told = f"The nearest, solution {miss['solution']}, has {value} where the limit is {limit}."
        missed = f"No solution meets the constraints of {target['name']}: {LIMITS[miss['constraint']]} binds."
        return Section("verdict", "Verdict", (missed, told), (_figures(outcome, shown), _budgets(outcome)))
    judged = f"Judged by {outcome['judged_by']}, on validation data"
    words = (
        f"Solution {pick['solution']} is recommended for {target['name']} ({target['title']}):"
        f" {_times(dense['params'], pick['params'])} the parameters, {_flops(dense, pick)},"
        f" {_points(pick['drop'])}.",
        f"{judged}; the objective is {outcome['objective']}.",
        *_said(outcome),
    )
    return Section("verdict", "Verdict", words, (_figures(outcome, shown), _budgets(outcome)))


def figures(outcome: Mapping[str, Any]) -> Iterator[Figure]:
    """The recommended model against the dense one in a handful of numbers."""
    dense, pick = outcome["baseline"], outcome["picks"]["recommended"]
    if pick is None:
        return
    yield _changed("Parameters", dense["params"], pick["params"], count)
    suffix = _suffix(outcome)
    if suffix in dense["artifacts"] and suffix in pick["artifacts"]:
        before, after = (model["artifacts"][suffix]["bytes"] for model in (dense, pick))
        yield _changed(f".{suffix} file", before, after, size)
    yield _limited("FLOPs", "flops", dense, pick, count)
    yield _limited("Peak memory", "peak_activation_bytes", dense, pick, size)
    if None not in (dense["latency_ms"], pick["latency_ms"]):
        yield _changed("Predicted latency", dense["latency_ms"], pick["latency_ms"], lambda time: duration(1000 * time))
    words, mood = _points(pick["drop"]).removeprefix("a "), Mood.PLAIN if pick["drop"] > 0 else Mood.GOOD
    if len(dense["accuracy"]) > 1:
        yield Figure("Drop, points", "0.00", f"{pick['drop']:.2f}", words, mood)
    else:
        score, found = dense["accuracy"][0], pick["accuracy"][0]
        title = score["metric"].replace("_", " ").capitalize()
        yield Figure(title, f"{score['value']:.4f}", f"{found['value']:.4f}", words, mood)


def _limited(
    title: str, key: str, dense: Mapping[str, Any], pick: Mapping[str, Any], words: Callable[[Any], str]
) -> Figure:
    """As `_changed`, where all is known of the figure."""
    if not in_part(key, dense, pick):
        return _changed(title, dense[key], pick[key], words)
    before, after = (f"at least {words(model[key])}" for model in (dense, pick))
    return Figure(title, before, after, "not known", Mood.OPEN)


def _changed(title: str, dense: float, picked: float, words: Callable[[Any], str]) -> Figure:
    share = picked / dense if dense else None
    if share is None or round(share, 3) == 1:
        return Figure(title, words(dense), words(picked), "the same", Mood.PLAIN, share)
    if share > 1:
        return Figure(title, words(dense), words(picked), f"{digits(share)}{TIMES} as much", Mood.BAD, share)
    change = f"{digits(1 / share)}{TIMES} less" if share else "none"
    return Figure(title, words(dense), words(picked), change, Mood.GOOD, share)


def _said(outcome: Mapping[str, Any]) -> Iterator[str]:
    """What goes without a table: layers left dense, the time here."""
    for name, times in outcome["slower_than_dense"].items():
        yield f"{name} stays dense in {times} candidates, where its TT form is predicted to be slower."
    for step in outcome["picks"]["recommended"]["reverted"]:
        if (times := step.get("slowdown")) is not None:
            long = f"{digits(times)} times as long here"
            yield f"{step['layer']} is dense again: with its TT form an inference took {long}."
    if (timed := outcome["timed_here"]) is not None:
        value, low, high = (digits(timed[key]) for key in ("value", "low", "high"))
        yield f"On the machine of the run an inference took {value} times the dense model's ({low} to {high})."


def _figures(outcome: Mapping[str, Any], shown: speed.Speed) -> Table:
    dense, picks = outcome["baseline"], {name: pick for name, pick in outcome["picks"].items() if pick}
    named: dict[int, list[str]] = {}
    for role in PICKS:
        if role in picks:
            named.setdefault(picks[role]["solution"], []).append(role)
    models = [dense, *(picks[roles[0]] for roles in named.values())]
    titles = [", ".join(PICKS[role] for role in roles) for roles in named.values()]
    rows = [(Cell(name, name), *cells) for name, cells in _figure_rows(models, _suffix(outcome), shown)]
    columns = (Column("", False), Column("dense"), *map(Column, titles))
    title = "The dense model and the picks; memory is that of the parameters" if picks else "The dense model"
    return Table(title, columns, tuple(rows))


def _suffix(outcome: Mapping[str, Any]) -> str:
    """Of the file that the target takes; C is written from ONNX."""
    format: str = outcome["target"]["format"]
    return {"c": "onnx"}.get(format, format)


def _figure_rows(
    models: Sequence[Mapping[str, Any]], suffix: str, shown: speed.Speed
) -> Iterator[tuple[str, list[Cell]]]:
    for name, key, limited in (
        ("parameters", "params", ""),
        ("FLOPs", "flops", "flops"),
        ("MACs", "macs", "flops"),
        ("peak memory, bytes", "peak_activation_bytes", "peak_activation_bytes"),
    ):
        values = [model[key] for model in models]
        if in_part(limited, *models):
            yield name, [Cell(value, f"at least {value:,}", Mood.OPEN) for value in values]
        else:
            yield name, _against(values)
    files = [model["artifacts"].get(suffix, {}).get("bytes") for model in models]
    if None not in files:
        yield f".{suffix} file, bytes", _against(files)
    if shown.figure is not None:
        yield f"{shown.word} latency, ms", [figure(model[shown.figure], 3) for model in models]
    for index, score in enumerate(models[0]["accuracy"]):
        name = f"{score['output']}: {score['metric']}" if len(models[0]["accuracy"]) > 1 else score["metric"]
        yield f"{name}, validation", [figure(model["accuracy"][index]["value"]) for model in models]
        if models[0]["test_accuracy"]:
            yield f"{name}, test", [figure(model["test_accuracy"][index]["value"]) for model in models]
    yield "drop, points, validation", [figure(model["drop"], 2) for model in models]
    if models[0]["test_accuracy"]:
        yield "drop, points, test", [figure(model["test_drop"], 2) for model in models]


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
        name, value = item["name"], item["value"]
        limit, found = _beside(name, item["limit"], value)
        found = f"at least {found}" if item.get("at_least") else found
        cells = Cell(item["limit"], limit or "unknown"), Cell(value, found), Cell(item["holds"], words, mood)
        rows.append((Cell(name, LIMITS[name]), *cells))
    return Table(f"Budgets of {outcome['target']['name']}", columns, tuple(rows))


def funnel(outcome: Mapping[str, Any]) -> Section:
    """How many each step left."""
    left = outcome["funnel"]
    most, rows = math.log1p(max(1, *left.values())), []
    for name, title, step in STEPS:
        if name in left:
            many = Cell(left[name], count(left[name]), share=math.log1p(left[name]) / most)
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
        shape = f"{layer['inputs']}x{layer['outputs']}"
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
    timed = any(option.latency_ms is not None for option in options)
    numeric = ["solution", "parameters", "FLOPs", "peak memory, bytes", "file, bytes"]
    numeric += ["latency, ms", "drop, points"] if timed else ["drop, points"]
    columns = *map(Column, numeric), *(Column(title, False) for title in ("feasible", "picked as", "shapes"))
    rows = []
    for option in options:
        numbers = [option.params, option.flops, option.peak_activation_bytes, option.model_bytes]
        cells = [Cell(number, f"{number:,}") for number in (option.solution, *numbers)]
        cells += [figure(option.latency_ms, 3)] if timed else []
        cells.append(figure(option.accuracy_drop_pp, 2))
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
    """Each replaced layer of each pick, dense against TT."""
    titles = ["layer", "form", "parameters", "FLOPs", "MACs", "peak elements", "moved elements", "error of TT-SVD"]
    columns = tuple(Column(title, title not in ("layer", "form")) for title in titles)
    tables, seen = [], set()
    for role in PICKS:
        pick = outcome["picks"][role]
        if pick is None or pick["solution"] in seen:
            continue
        seen.add(pick["solution"])
        rows = [cells for layer in pick.get("layers", ()) for cells in _layer_rows(layer)]
        same = [PICKS[name] for name in PICKS if (outcome["picks"][name] or {}).get("solution") == pick["solution"]]
        tables.append(Table(f"Solution {pick['solution']}: {', '.join(same)}", columns, tuple(rows)))
    words = (
        "Costs of one sample; peak elements are the most that an operator of the layer reads and writes, moved elements"
        " those that transposes copy.",
        "The error is that of the TT form against the trained weight before fine-tuning, relative, in the Frobenius"
        " norm: no TT of the shape is below the first figure, TT-SVD not above the last (Oseledets 2011).",
    )
    return Section("layers", "Layers", words, tuple(tables))


def _layer_rows(layer: Mapping[str, Any]) -> Iterator[tuple[Cell, ...]]:
    fields = ("params", "flops", "macs", "peak_elements", "moved_elements")
    dense, tt, error = layer["dense"], layer["tt"], layer["error"]
    name, form = Cell(layer["name"], layer["name"]), shape_of(layer["shape"])
    between = f"{error['low']:.3f} to {error['high']:.3f}"
    yield name, Cell("dense", "dense"), *(Cell(dense[key], f"{dense[key]:,}") for key in fields), Cell(None, "")
    yield name, Cell(form, form), *(Cell(tt[key], f"{tt[key]:,}") for key in fields), Cell(error["estimate"], between)


def _option(run: str, trial: Mapping[str, Any], outcome: Mapping[str, Any]) -> Option:
    number = trial["solution"]
    roles = [title for name, title in PICKS.items() if (outcome["picks"][name] or {}).get("solution") == number]
    return Option(
        number,
        trial["params"],
        _file_bytes(trial, outcome),
        trial["flops"],
        trial["macs"],
        trial["peak_activation_bytes"],
        trial["latency_ms"],
        trial["drop"],
        trial["feasible"],
        trial["complete"] and not _too_slow(trial),
        tuple(roles),
        tuple((name, shape_of(shape)) for name, shape in trial["shapes"].items()),
        f"edgett export {shlex.quote(place(run))} --solution {number}" if number >= 0 else "",
    )


def _rank(option: Option) -> tuple[bool, bool, bool, int]:
    """The recommended one first, then other picks, what holds, and the rest."""
    return PICKS["recommended"] not in option.roles, not option.roles, not option.feasible, option.solution


def _file_bytes(model: Mapping[str, Any], outcome: Mapping[str, Any]) -> int:
    """What the file for the target takes; of a solution that has none, what it is predicted to."""
    picks = {pick["solution"]: pick for pick in outcome["picks"].values() if pick}
    written = picks.get(model["solution"], model).get("artifacts", {})
    found: int = written.get(_suffix(outcome), model)["bytes"]
    return found


def _too_slow(trial: Mapping[str, Any]) -> bool:
    """As `Trial.too_slow`."""
    return not trial["shapes"] and any(step["slowdown"] is not None for step in trial["reverted"])


def shape_of(shape: Mapping[str, Any]) -> str:
    """A TT shape in words."""
    order = Order(shape["order"])
    text = str(TTShape(tuple(shape["inputs"]), tuple(shape["outputs"]), tuple(shape["ranks"]), order))
    return text if order is Order.LAST_FIRST else f"{text}, first core first"


def figure(value: float | None, digits: int = 4) -> Cell:
    """A number with so many decimals."""
    return Cell(value, "not finite" if value is None else f"{value:.{digits}f}")


def _beside(name: str, limit: float | None, value: float | None) -> tuple[str, str]:
    """A limit and what is held against it, in as many digits as tell them apart."""
    if name not in ("accuracy_drop_pp", "latency_ms"):
        return "" if limit is None else f"{limit:,.0f}", "" if value is None else f"{value:,.0f}"
    many = 3 if limit is None or value is None else apart(limit, value) if limit != value else 3
    return "" if limit is None else digits(limit, many), "" if value is None else digits(value, many)


def _times(dense: float, small: float) -> str:
    if small and dense >= small:
        return f"1/{digits(dense / small)} of"
    return f"{digits(small / max(dense, 1))} times"


def _flops(dense: Mapping[str, Any], pick: Mapping[str, Any]) -> str:
    if in_part("flops", dense, pick):
        return "FLOPs not known"
    return f"{_times(dense['flops'], pick['flops'])} the FLOPs"


def _points(drop: float) -> str:
    if round(drop, 2) == 0:
        return "no drop"
    return f"a drop of {drop:.2f} points" if drop > 0 else f"a gain of {-drop:.2f} points"
