"""A JSON document as tables for a person, drawn with rich."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.report import speed
from edgett.report.style import BAD, DOUBT, GOOD, Sheet, number, remark, title, verdict, words
from edgett.report.words import (
    PICKS,
    SAMPLES,
    called,
    came_to,
    count,
    in_part,
    judged,
    nearly,
    over_budget,
    partial,
    scores,
)
from edgett.space.filesize import Format

_SPACE = {
    "grid": {"solutions": "solutions", "efficient": "efficient", "tiles": "occupied_tiles"},
    "pareto": {"solutions": "solutions", "undominated": "undominated"},
}
_REFUGES = {"float32": "float32", "dense": "dense", "dense_int8": "dense int8"}
_OBJECTIVES = {"accuracy": "accuracy", "memory": "memory", "flops": "FLOPs", "latency": "latency"}


def compressed(document: Mapping[str, Any]) -> RenderableType:
    """The summary of a run: funnel, layers, the picks beside the dense model, budgets, cross-check, files."""
    sections = (
        *((_layers(document), _funnel(document)) if document["funnel"] else ()),
        _models(document),
        _budgets(document),
        _check(document["check"]),
        _npu(document["npu"]),
    )
    parts = [part for section in sections if (told := list(section)) for part in (*told, Text())]
    return Group(*_partial(document.get("partial", ())), *parts, *_files(document))


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
    return Group(*_layers(document), Text(), remark(words))


def check(document: Mapping[str, Any]) -> RenderableType:
    """The summary of a cross-check."""
    found = dict.fromkeys(name for item in document["artifacts"].values() for name in item["partial"])
    return Group(*_partial(found), *_check(document))


def _partial(operators: Iterable[str]) -> Iterator[RenderableType]:
    """The first line where totals are not those of the whole."""
    if told := partial(operators):
        yield Text(told, style=DOUBT)
        yield Text()


def _layers(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield title("Fully connected layers to factorise")
    last = _SPACE[document["search"]]
    table = Sheet(words("layer"), *map(number, ("size", "parameters", "FLOPs", "MACs", *last)))
    for layer in document["layers"]:
        if layer["excluded"] is None:
            table.add(
                layer["name"],
                f"{layer['inputs']}x{layer['outputs']}",
                *(f"{value:,}" for value in (layer["params"], layer["flops"], layer["inputs"] * layer["outputs"])),
                *(count(layer[name]) for name in last.values()),
            )
    yield table if table.rows else Text("none")
    for layer in document["layers"]:
        if layer["excluded"] is not None and "kind" not in layer:
            size = f"{layer['inputs']}x{layer['outputs']}"
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
        ("2  TT solutions of all layers, jointly", "solutions"),
        ("4  smaller and cheaper than dense in every layer", "efficient"),
        ("5  corner points on the joint grid", "points"),
        ("5  that no other one beats in memory, FLOPs and expected error", "undominated"),
        ("   distinct joint candidates", "joint_candidates"),
        ("   of those within the budgets known before training", "within_budgets"),
        ("6  fine-tuned", "fine_tuned"),
        ("7  within all constraints", "feasible"),
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
    yield from _reverted([(spelled, document["picks"][name]) for name, spelled in PICKS.items()])
    yield from _pace(document)


def _dense(document: Mapping[str, Any], roles: list[str]) -> str:
    """What stands above the dense model: that it is, and which picks it is."""
    return "\n".join(["dense", *roles]) if document["funnel"] else "dense"


def _pace(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Which layers stay dense for being slower otherwise, and how fast the recommended model is here."""
    for layer, candidates in document["slower_than_dense"].items():
        yield remark(
            f"{layer} stays dense in {candidates:,} candidates, as its TT form is predicted to be slower;"
            " --objective memory takes it all the same."
        )
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
                why = f"it added the most noise in int8 (its output {_decibels(step['snr_db'])}); drop {drops}"
            yield remark(f"Solution {solution}: {step['layer']} went back to {_REFUGES[step['to']]}, since {why}.")


def _rows(models: list[Any], file: str, shown: speed.Speed) -> Iterator[tuple[str, list[str]]]:
    dense = models[0]
    if models[1:]:
        yield "solution", ["", *(f"{model['solution']}" for model in models[1:])]
    sizes = [model["artifacts"].get(file, {}).get("bytes", model["bytes"]) for model in models]
    for name, values, limited in (
        ("parameters", [model["params"] for model in models], ""),
        ("FLOPs", [model["flops"] for model in models], "flops"),
        ("MACs", [model["macs"] for model in models], "flops"),
        (f"bytes, .{file}", sizes, ""),
        ("peak bytes", [model["peak_activation_bytes"] for model in models], "peak_activation_bytes"),
    ):
        yield name, list(_beside(values, [in_part(limited, model) for model in models]))
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
        yield remark(f"No solution holds. The nearest is {called(miss['solution'])}; {miss['constraint']} binds.")
    elif document["why_dense"]:
        yield remark(f"The dense model is recommended. {document['why_dense']}")
    else:
        yield remark(f"Values of the recommended solution, the best in {_OBJECTIVES[document['objective']]}.")
        yield from (remark(line, BAD) for line in over_budget(document))


def _check(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    artifacts = {path.removeprefix("artifacts/"): item for path, item in document["artifacts"].items()}
    yield title("Cross-check: predicted against what the files hold")
    files = _numbers("artefact", "parameters", "their bytes", "FLOPs", "peak bytes")
    for path, item in artifacts.items():
        equal = (_equal(item[name]) for name in ("params", "weight_bytes", "flops"))
        files.add(path, *equal, _peak(item), told(item))
    yield files
    for item in artifacts.values():
        yield from (remark(line, BAD) for line in item["mismatches"])
    if any(item["partial"] for item in artifacts.values()):
        yield remark("Of a partial file all other layers are as predicted; its peak is what a plan of it takes.")
    yield Text()
    yield from _check_layers(artifacts)
    yield from _check_tensors(artifacts)
    yield from _check_outputs(artifacts, document["samples"])


def _check_layers(artifacts: Mapping[str, Any]) -> Iterator[RenderableType]:
    """One artefact layer by layer: the first with a TT layer, beside it what equation 4 makes of those."""
    named = next((path for path, item in artifacts.items() if _paper_rows(item)), None)
    if named is None:
        return
    yield title(f"{named}, layer by layer; --json has the others")
    table = _numbers("layer", "parameters", "FLOPs", "equation 4", "of the real")
    for row in artifacts[named]["layers"]:
        ratio = row.get("paper_ratio")
        paper = (f"{row['paper_flops']:,}" if "paper_flops" in row else "", "" if ratio is None else f"{ratio:.2f}")
        good = _verdict(row.get("ok", artifacts[named]["ok"]))
        table.add(row["name"], _equal(row["params"]), _equal(row["flops"]), *paper, good)
    yield table
    yield Text()


def _check_tensors(artifacts: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Of each replaced layer in int8 the tensor with the least signal to noise: errors of quantised cores compound."""
    inside = {
        path: {row["layer"] for row in item["tensors"] if row["role"] == "output"} for path, item in artifacts.items()
    }
    if not any(inside.values()):
        return
    yield title("int8 against float32: the worst tensor of each replaced layer (all in check.json)")
    columns = (words(name) for name in ("artefact", "layer", "tensor"))
    table = Sheet(*columns, number("signal to noise"), number("largest error"))
    for path, item in artifacts.items():
        rows = [row for row in item["tensors"] if row["layer"] in inside[path] and row["role"] != "input"]
        for layer in dict.fromkeys(row["layer"] for row in rows):
            mine = [row for row in rows if row["layer"] == layer]
            worst = min(mine, key=lambda row: math.inf if row["snr_db"] is None else row["snr_db"])
            place = f"{worst['role']} {1 + mine.index(worst)} of {len(mine)}"
            table.add(path, layer, place, _decibels(worst["snr_db"]), _tiny(worst["max_abs"]))
    yield table
    yield Text()


def _decibels(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f} dB"


def _check_outputs(artifacts: Mapping[str, Any], kind: str) -> Iterator[RenderableType]:
    samples = next((item["numerics"]["samples"] for item in artifacts.values()), 0)
    yield title(f"Outputs against Keras's on {samples} {SAMPLES[kind]}")
    table = _numbers("artefact", "largest error", "L2 error, relative", "same top class")
    for path, item in artifacts.items():
        numerics = item["numerics"]
        errors = (_tiny(numerics[name]) for name in ("max_abs", "l2_relative"))
        top = numerics["top1_agreement"]
        table.add(path, *errors, "" if top is None else f"{top:.1%}", _verdict(numerics["ok"]))
    yield table
    yield from (remark(f"{path}: {why}", BAD) for path, item in artifacts.items() if (why := _blind(item)))


def _blind(item: Mapping[str, Any]) -> str | None:
    why: str | None = item["numerics"].get("blind")
    return why


def _numbers(first: str, *names: str) -> Sheet:
    """Words, numbers, and a verdict."""
    return Sheet(words(first), *map(number, names), words())


def _verdict(good: bool) -> Text:
    return verdict(good, good="ok", bad="differs")


def told(item: Mapping[str, Any]) -> Text:
    """What the cross-check of a file came to."""
    colours = {"ok": GOOD, "partial": DOUBT, "differs": BAD}
    return Text(came_to(item), colours[came_to(item)])


def _peak(item: Mapping[str, Any]) -> str:
    """What must be alive at once and what a plan takes; of a file that no rule counts whole, as the file says."""
    found, predicted = item["peak_bytes"]["found"], item["peak_bytes"]["predicted"]
    if found is None:
        return "unknown"
    if predicted is None:
        return f"{item['plan_bytes']:,} read back"
    return f"{found:,} {'<=' if found <= predicted else '>'} {predicted:,}"


def _tiny(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"


def _paper_rows(item: Mapping[str, Any]) -> list[Any]:
    return [row for row in item["layers"] if row.get("paper_ratio") is not None]


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
    if name == "latency_ms" and 0 < value < 0.1:
        return f"{value:.2g}"
    return f"{value:,.2f}" if name in ("accuracy_drop_pp", "latency_ms") else f"{value:,.0f}"


def _equal(pair: Mapping[str, int]) -> str:
    sign = "=" if pair["predicted"] == pair["found"] else "!="
    return f"{pair['predicted']:,}" if sign == "=" else f"{pair['predicted']:,} {sign} {pair['found']:,}"
