"""A JSON document as tables for a person, drawn with rich."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.forms.catalogue import FORMS
from edgett.graph.filesize import Format
from edgett.report import speed
from edgett.report.checks import check_tables, decibels, partial_line
from edgett.report.style import BAD, DOUBT, Sheet, number, remark, title, verdict, words
from edgett.report.words import (
    PICKS,
    binding,
    called,
    channels,
    count,
    in_part,
    judged,
    learnt,
    nearly,
    over_budget,
    scores,
    sized,
    under_attack,
)
from edgett.search.choose import NEAR
from edgett.search.constraints import FLOPS, LATENCY, NAMED, PEAK, Objective

_SPACE = {
    "grid": {"solutions": "solutions", "efficient": "efficient", "tiles": "occupied_tiles"},
    "pareto": {"solutions": "solutions", "undominated": "undominated"},
}
_EFFICIENT = {"solutions": "solutions", "efficient": "efficient"}
_REFUGES = {"float32": "float32", "dense": "dense", "dense_int8": "dense int8"}
_OBJECTIVES = {"accuracy": "accuracy", "memory": "memory", "flops": "FLOPs", "latency": "latency"}


def compressed(document: Mapping[str, Any]) -> RenderableType:
    """The summary of a run: funnel, layers, the picks beside the dense model, budgets, cross-check, files."""
    sections = (
        *((_layers(document, _SPACE[document["search"]]), _funnel(document)) if document["funnel"] else ()),
        _models(document),
        _budgets(document),
        check_tables(document["check"]),
        _npu(document["npu"]),
    )
    parts = [part for section in sections if (told := list(section)) for part in (*told, Text())]
    return Group(*partial_line(document.get("partial", ())), *parts, *_files(document))


def explored(document: Mapping[str, Any]) -> RenderableType:
    """The summary of an exploration."""
    totals = document["totals"]
    if document["search"] == "pareto":
        words = (
            f"{count(totals['solutions'])} solutions, ranks in multiples of {document['rank_multiple']} up to"
            f" {document['max_rank']}; {totals['undominated']:,} undominated ones of all layers together, for which"
            f" {totals['joint_candidates']:,} candidates stand{_thinned(totals['epsilon'])}."
        )
    else:
        empty = {"skip": "empty ones skipped", "nearest": "empty ones filled by the nearest"}[document["empty_tiles"]]
        words = (
            f"{totals['solutions']:,} solutions, {totals['efficient']:,} efficient; {totals['shared_tiles']} tiles"
            f" ({empty}), {totals['points']:,} points, {totals['joint_candidates']:,} distinct joint candidates."
        )
    return Group(*_layers(document, _SPACE[document["search"]]), Text(), remark(words))


def spaces(document: Mapping[str, Any]) -> RenderableType:
    """The summary of the spaces of layers given by size: what each form can make of each layer."""
    totals = document["totals"]
    told = (
        f"{count(totals['solutions'])} solutions, ranks in multiples of {document['rank_multiple']};"
        f" {count(totals['efficient'])} smaller and cheaper than dense. How near they come to a layer its weights tell:"
        " explore the model."
    )
    forms = [part for layer in document["layers"] if layer["space"] for part in (Text(), *_forms(layer))]
    return Group(*_layers(document, _EFFICIENT), *forms, Text(), remark(told))


def _forms(layer: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The solutions of each form of a layer, from the least that they take to the most."""
    called = {form.spec.form: form.spec.title for form in FORMS}
    yield title(f"What forms can make of {layer['name']}")
    table = Sheet(words("form"), *map(number, ("efficient", "parameters", "FLOPs", "elements at once")))
    for form in dict.fromkeys(point["spec"]["form"] for point in layer["space"]):
        points = [point for point in layer["space"] if point["spec"]["form"] == form]
        spans = [[point[name] for point in points] for name in ("params", "flops", "peak_elements")]
        table.add(called[form], f"{len(points):,}", *map(_span, spans))
    yield table


def _span(values: Sequence[int]) -> str:
    return f"{min(values):,} to {max(values):,}"


def _macs(layer: Mapping[str, Any]) -> int:
    return int(layer["inputs"] * layer["outputs"] * layer.get("positions", 1))


def _layers(document: Mapping[str, Any], last: Mapping[str, str]) -> Iterator[RenderableType]:
    """The layers that are factorised, the `last` columns being of the space; and the others."""
    yield title("Layers to factorise")
    table = Sheet(words("layer"), *map(number, ("size", "parameters", "FLOPs", "MACs", *last)))
    for layer in document["layers"]:
        if layer["excluded"] is None:
            table.add(
                layer["name"],
                sized(layer),
                *(f"{value:,}" for value in (layer["params"], layer["flops"], _macs(layer))),
                *(count(layer[name]) for name in last.values()),
            )
    yield table if table.rows else Text("none")
    for layer in document["layers"]:
        if layer["excluded"] is not None and "kind" not in layer:
            size = sized(layer)
            name = size if layer["name"] == size else f"{layer['name']} ({size})"
            yield remark(f"left alone: {name}: {layer['excluded']}")
    others: dict[str, list[str]] = {}
    for layer in document["layers"]:
        if "kind" in layer:
            others.setdefault(layer["excluded"], []).append(f"{layer['name']} ({layer['kind']}, {layer['params']:,})")
    for reason, layers in others.items():
        yield remark(f"left alone: {', '.join(layers)}: {reason}")


def _funnel(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    funnel = document["funnel"]
    yield title("How many each step left")
    table = Sheet(words("step"), number("left"))
    for step, name in (
        ("1  layers worth factorising", "layers_taken"),
        ("2  solutions of all layers, jointly", "solutions"),
        ("4  smaller and cheaper than dense in every layer", "efficient"),
        ("5  corner points on the joint grid", "points"),
        ("5  that no other one beats in memory, FLOPs and expected error", "undominated"),
        ("   distinct joint candidates", "joint_candidates"),
        ("   of those, smaller than the dense file and within the budgets known before training", "within_budgets"),
        ("6  fine-tuned", "fine_tuned"),
        ("7  of the fine-tuned, within all constraints", "feasible"),
    ):
        if name in funnel:
            table.add(step, count(funnel[name]))
    yield table
    if funnel["fine_tuned"] < funnel["within_budgets"]:
        yield remark(
            f"{funnel['fine_tuned']} of {funnel['within_budgets']} candidates were fine-tuned, spread out;"
            " --limit all takes every one."
        )
    if halfway := [trial["solution"] for trial in document["trials"] if not trial["complete"]]:
        yield remark(f"{len(halfway)} of them were put away before their last epoch.")
    for trial in document["trials"]:
        if trial["failure"]:
            yield remark(f"solution {trial['solution']} failed: {trial['failure']}")


def _models(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    dense = document["baseline"]
    yield title("The dense model and the picks" if document["funnel"] else "The model as it is")
    found = [(spelled, document["picks"][name]) for name, spelled in PICKS.items() if document["picks"][name]]
    picked = [(spelled, pick) for spelled, pick in found if pick["solution"] != dense["solution"]]
    same = [spelled for spelled, pick in found if pick["solution"] == dense["solution"]]
    table = Sheet(words(), number(_dense(document, same)), *(number(spelled) for spelled, _ in picked))
    models = [dense, *(pick for _, pick in picked)]
    shown = speed.told(document)
    for name, cells in _rows(models, Format(document["target"]["format"]).suffix[1:], shown):
        table.add(name, *cells)
    yield table
    yield remark(" ".join(judged(document)))
    if shown.source:
        yield remark(shown.source)
    yield from (remark(f"Note: {told}") for told in document.get("remarks", ()))
    yield from _removed(picked)
    yield from _reverted([(spelled, document["picks"][name]) for name, spelled in PICKS.items()])
    yield from (remark(line) for line in learnt([document["picks"][name] for name in PICKS]))
    yield from _pace(document)


def _removed(picks: list[tuple[str, Any]]) -> Iterator[RenderableType]:
    """Which channels are gone; a solution that is several picks is told once."""
    solutions = {pick["solution"]: pick.get("removed") for _, pick in picks}
    for solution, removed in solutions.items():
        if removed:
            each = ", ".join(f"{layer} {count:,}" for layer, count in removed.items())
            yield remark(f"Solution {solution} is without {channels(sum(removed.values()))}: {each}.")


def _dense(document: Mapping[str, Any], roles: list[str]) -> str:
    """What stands above the dense model: that it is, and which picks it is."""
    return "\n".join(["dense", *roles]) if document["funnel"] else "dense"


def _pace(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Which layers stay dense for being slower otherwise, and how fast the recommended model is here."""
    for layer, candidates in document["slower_than_dense"].items():
        yield remark(
            f"{layer} stays dense in {candidates:,} candidates, as its low-rank form {speed.slower(document)};"
            " --objective memory takes it all the same."
        )
    yield from (remark(line, DOUBT) for line in speed.more_instructions(document))
    if found := document["timed_here"]:
        times = f"{found['value']:.2f} times as long as the dense one [{found['low']:.2f}, {found['high']:.2f}]"
        where = "On this machine" if document["target"].get("here") else "On this machine, which is not the target,"
        yield remark(f"{where} the recommended model takes {times}.")
        if found["low"] > 1 and document["objective"] != "memory":
            cure = "layers stay dense where that is faster on a profile of 'edgett calibrate', or on the target host"
            yield remark(f"It is slower here: {cure}.", DOUBT)


def _reverted(picks: list[tuple[str, Any]]) -> Iterator[RenderableType]:
    """Which layers went back, and why; a solution that is several picks is told once."""
    solutions = {pick["solution"]: pick["reverted"] for _, pick in picks if pick is not None}
    for solution, steps in solutions.items():
        for step in steps:
            if step.get("slowdown") is not None:
                why = f"with it the model took {step['slowdown']:.2f} times as long here; --objective memory keeps it"
            else:
                drops = f"{_figure(step['drop_before'], 2)} to {_figure(step['drop_after'], 2)}"
                why = f"it added the most noise in int8 (its output {decibels(step['snr_db'])}); drop {drops}"
            yield remark(f"Solution {solution}: {step['layer']} went back to {_REFUGES[step['to']]}, since {why}.")


def _rows(models: list[Any], file: str, shown: speed.Speed) -> Iterator[tuple[str, list[str]]]:
    dense = models[0]
    if models[1:]:
        yield "solution", ["", *(f"{model['solution']}" for model in models[1:])]
    sizes = [model["artifacts"].get(file, {}).get("bytes", model["bytes"]) for model in models]
    for name, values, limited in (
        ("parameters", [model["params"] for model in models], None),
        ("FLOPs", [model[FLOPS.figure] for model in models], FLOPS),
        ("MACs", [model["macs"] for model in models], FLOPS),
        (f"bytes, .{file}", sizes, None),
        ("peak bytes", [model[PEAK.figure] for model in models], PEAK),
    ):
        yield name, list(_beside(values, [in_part(limited, model) for model in models]))
    executed = [model.get("instructions") for model in models]
    if None not in executed:
        yield "instructions, predicted", list(_beside(executed, [False] * len(models)))
    if shown.figure is not None:
        times, about = [model[shown.figure] for model in models], "" if shown.figure == speed.MEASURED else "~"
        told = (f"{about}{value:,.3g} ms\n{about}{value / times[0]:.2f} x" for value in times[1:])
        yield f"time, {shown.word}", [f"{about}{times[0]:,.3g} ms", *told]
    tested = dense["test_accuracy"] is not None
    for index, name in enumerate(scores(dense["accuracy"])):
        yield f"{name}, val.", [_figure(model["accuracy"][index]["value"]) for model in models]
        if tested:
            yield f"{name}, test", [_figure(model["test_accuracy"][index]["value"]) for model in models]
    if dense["accuracy"]:
        yield "drop, val.", [_figure(model["drop"], 2) for model in models]
    if tested:
        yield "drop, test", [_figure(model["test_drop"], 2) for model in models]
    for name, values, digits in under_attack(models, ("val.", "test")):
        yield name, [_figure(value, digits) for value in values]


def _beside(values: list[int], at_least: list[bool]) -> Iterator[str]:
    """Numbers, all but the first with how much more it is; of what is not known a share is not known either."""
    first = values[0]
    for index, value in enumerate(values):
        known = first and index and not (at_least[0] or at_least[index])
        share = f"\n{100 * (value / first - 1):+.1f} %" if known else ""
        yield f"{'>= ' if at_least[index] else ''}{value:,}{share}"


def _budgets(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield title(f"Budgets of {document['target']['name']}: {document['target']['title']}")
    table = Sheet(words("constraint"), number("limit"), number("value"), words())
    for item in document["constraints"]:
        limit, value = (_limit(item["name"], item[key]) for key in ("limit", "value"))
        more = ">= " if item.get("at_least") else ""
        table.add(item["name"], limit or "unknown", more + value, verdict(item["holds"]))
    yield table
    if document["funnel"] is None:
        yield Text("Values of the model as it is.")
    elif document["picks"]["recommended"] is None and document["nearest_miss"] is None:
        yield Text("Every solution that holds is slower here than the dense model; --objective memory takes it.")
    elif document["nearest_miss"]:
        miss = document["nearest_miss"]
        yield remark(f"No solution holds. The nearest is {called(miss['solution'])}; {binding(document)}.")
    elif document["why_dense"]:
        yield remark(f"The dense model is recommended. {document['why_dense']}")
    else:
        balanced = (
            "" if document["objective"] == Objective.ACCURACY.value else f", or in bytes and work within {NEAR:.0%}"
        )
        counted = document["objective"] == Objective.LATENCY.value and document["baseline"].get("instructions")
        name = "instructions" if counted else _OBJECTIVES[document["objective"]]
        yield remark(f"Values of the recommended solution, the best in {name}{balanced}.")
        yield from (remark(line, BAD) for line in over_budget(document))


def _npu(summaries: Mapping[str, Any]) -> Iterator[RenderableType]:
    if not summaries:
        return
    first = next(iter(summaries.values()))
    yield title(f"On an {first['accelerator']}, by Arm's Vela ({first['system']}, {first['memory_mode']})")
    table = Sheet(words("artefact"), *map(number, ("operators on it", "off it", "SRAM", "cycles")))
    for path, item in summaries.items():
        counts = (item[name] for name in ("npu_operators", "cpu_operators", "sram_bytes", "cycles"))
        table.add(path.removeprefix("artifacts/"), *(f"{count:,}" for count in counts))
    yield table
    left = dict.fromkeys(name for item in summaries.values() for name in item["left"])
    if left:
        yield remark(f"Off it: {', '.join(left)}")


def _files(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, paths in document["artifacts"].items():
        groups.setdefault(tuple(paths), []).append(
            PICKS.get(name, name) if document["funnel"] else "the model as it is"
        )
    for paths, names in groups.items():
        yield remark(f"{', '.join(dict.fromkeys(names))}:", "bold")
        yield from (remark(f"  {document['run']}/{path}") for path in paths)


def _thinned(epsilon: float) -> str:
    return f" ({nearly(epsilon)})" if epsilon else ""


def _figure(value: float | None, digits: int = 4) -> str:
    return "not finite" if value is None else f"{value:.{digits}f}"


def _limit(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == LATENCY.name and 0 < value < 0.1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if NAMED[name].whole else f"{value:,.2f}"
