"""A JSON document as tables for a person, drawn with rich."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from edgett.report.words import count, nearly
from edgett.targets import Format

_PICKS = (
    ("recommended", "recommended"),
    ("highest_accuracy", "highest accuracy"),
    ("lowest_memory", "lowest memory"),
    ("lowest_flops", "lowest FLOPs"),
)
_SPACE = {
    "grid": {"solutions": "solutions", "efficient": "efficient", "tiles": "occupied_tiles"},
    "pareto": {"solutions": "solutions", "undominated": "undominated"},
}
_REFUGES = {"float32": "float32", "dense_int8": "dense int8"}
_OBJECTIVES = {"accuracy": "accuracy", "memory": "memory", "flops": "FLOPs"}


def compressed(document: Mapping[str, Any]) -> RenderableType:
    """The summary of a run: funnel, layers, the picks beside the dense model, budgets, cross-check, files."""
    sections = (
        _layers(document),
        _funnel(document),
        _models(document),
        _budgets(document),
        _check(document["check"]),
        _npu(document["npu"]),
    )
    return Group(*(part for section in sections for part in (*section, Text())), *_files(document))


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
    return Group(*_layers(document), Text(), Text(words))


def check(document: Mapping[str, Any]) -> RenderableType:
    """The summary of a cross-check."""
    return Group(*_check(document))


def _layers(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield _title("Fully connected layers to factorise")
    table = _table()
    last = _SPACE[document["search"]]
    for name in ("layer", "size", "parameters", "FLOPs", "MACs", *last):
        left = name == "layer"
        table.add_column(
            name, justify="left" if left else "right", overflow="fold", no_wrap=not left, min_width=8 if left else None
        )
    for layer in document["layers"]:
        if layer["excluded"] is None:
            table.add_row(
                escape(layer["name"]),
                f"{layer['inputs']}x{layer['outputs']}",
                *(f"{number:,}" for number in (layer["params"], layer["flops"], layer["inputs"] * layer["outputs"])),
                *(count(layer[name]) for name in last.values()),
            )
    yield table if table.rows else Text("none")
    for layer in document["layers"]:
        if layer["excluded"] is not None:
            size = f"{layer['inputs']}x{layer['outputs']}"
            name = size if layer["name"] == size else f"{layer['name']} ({size})"
            yield Text(f"left alone: {name}: {layer['excluded']}")


def _funnel(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    funnel = document["funnel"]
    yield _title("How many each step left")
    table = _table()
    table.add_column("step")
    table.add_column("left", justify="right")
    for words, name in (
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
            table.add_row(words, count(funnel[name]))
    yield table
    if funnel["fine_tuned"] < funnel["within_budgets"]:
        yield Text(
            f"{funnel['fine_tuned']} of {funnel['within_budgets']} candidates were fine-tuned, spread out;"
            " --limit all takes every one."
        )
    if halfway := [trial["solution"] for trial in document["trials"] if not trial["complete"]]:
        yield Text(f"{len(halfway)} of them were put away before their last epoch.")
    for trial in document["trials"]:
        if trial["failure"]:
            yield Text(f"solution {trial['solution']} failed: {trial['failure']}")


def _models(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    dense = document["baseline"]
    yield _title("The dense model and the picks")
    table = _table()
    table.add_column("")
    table.add_column("dense", justify="right", no_wrap=True)
    picked = [(words, document["picks"][name]) for name, words in _PICKS if document["picks"][name] is not None]
    for words, _ in picked:
        table.add_column(words, justify="right")
    models = [dense, *(pick for _, pick in picked)]
    for words, cells in _rows(models, Format(document["target"]["format"]).suffix[1:]):
        table.add_row(words, *cells)
    yield table
    yield Text(f"Judged by {document['judged_by']}.")
    if document["target"]["dtype"] == "int8":
        yield Text("The dense model's accuracy is Keras's, in float32; the picks' is that of their int8 files.")
    yield from _reverted([(dict(_PICKS)[name], document["picks"][name]) for name, _ in _PICKS])


def _reverted(picks: list[tuple[str, Any]]) -> Iterator[RenderableType]:
    """Which layers went back for int8's sake, and why; a solution that is several picks is told once."""
    solutions = {pick["solution"]: pick["reverted"] for _, pick in picks if pick is not None}
    for number, steps in solutions.items():
        for step in steps:
            drops = f"{_figure(step['drop_before'], 2)} to {_figure(step['drop_after'], 2)}"
            yield Text(
                f"Solution {number}: {step['layer']} went back to {_REFUGES[step['to']]}, since it added the most noise"
                f" in int8 (its output {_decibels(step['snr_db'])}); drop {drops}."
            )


def _rows(models: list[Any], file: str) -> Iterator[tuple[str, list[str]]]:
    dense = models[0]
    yield "solution", ["", *(f"{model['solution']}" for model in models[1:])]
    sizes = [model["artifacts"].get(file, {}).get("bytes", model["bytes"]) for model in models]
    for words, values in (
        ("parameters", [model["params"] for model in models]),
        ("FLOPs", [model["flops"] for model in models]),
        ("MACs", [model["macs"] for model in models]),
        (f"bytes, .{file}", sizes),
        ("peak bytes", [model["peak_activation_bytes"] for model in models]),
    ):
        yield words, [f"{value:,}" for value in values]
        if values[1:] and values[0]:
            yield "", ["", *(f"{100 * (value / values[0] - 1):+.1f} %" for value in values[1:])]
    tested = dense["test_accuracy"] is not None
    for index, score in enumerate(dense["accuracy"]):
        name = f"{score['output']}: {score['metric']}" if len(dense["accuracy"]) > 1 else score["metric"]
        yield f"{escape(name)}, val.", [_figure(model["accuracy"][index]["value"]) for model in models]
        if tested:
            yield f"{escape(name)}, test", [_figure(model["test_accuracy"][index]["value"]) for model in models]
    yield "drop, val.", ["", *(_figure(model["drop"], 2) for model in models[1:])]
    if tested:
        yield "drop, test", ["", *(_figure(model["test_drop"], 2) for model in models[1:])]


def _budgets(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield _title(f"Budgets of {document['target']['name']}: {document['target']['title']}")
    table = _table()
    for name in ("constraint", "limit", "value", ""):
        table.add_column(name, justify="left" if name in ("constraint", "") else "right")
    for item in document["constraints"]:
        verdict = {True: "[green]holds[/]", False: "[red]broken[/]", None: "[yellow]not checked[/]"}[item["holds"]]
        table.add_row(item["name"], _limit(item["name"], item["limit"]), _limit(item["name"], item["value"]), verdict)
    yield table
    if document["nearest_miss"]:
        miss = document["nearest_miss"]
        yield Text(f"No solution holds. The nearest is solution {miss['solution']}; {miss['constraint']} binds.")
    else:
        yield Text(f"Values of the recommended solution, the best in {_OBJECTIVES[document['objective']]}.")


def _check(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    artifacts = {path.removeprefix("artifacts/"): item for path, item in document["artifacts"].items()}
    yield _title("Cross-check: predicted against what the files hold")
    files = _numbers("artefact", "parameters", "their bytes", "FLOPs", "peak bytes", "")
    for path, item in artifacts.items():
        peak = f"{item['peak_bytes']['found']:,} <= {item['peak_bytes']['predicted']:,}"
        equal = (_equal(item[name]) for name in ("params", "weight_bytes", "flops"))
        files.add_row(escape(path), *equal, peak, _verdict(item["ok"]))
    yield files
    for item in artifacts.values():
        yield from (Text(line, style="red") for line in item["mismatches"])
    partial = dict.fromkeys(name for item in artifacts.values() for name in item["partial"])
    if partial:
        yield Text(f"Partial: no rule counts {', '.join(partial)}.", style="yellow")
    yield Text()
    yield from _check_layers(artifacts)
    yield from _check_tensors(artifacts)
    yield from _check_outputs(artifacts)


def _check_layers(artifacts: Mapping[str, Any]) -> Iterator[RenderableType]:
    """One artefact layer by layer: the first with a TT layer, beside it what equation 4 makes of those."""
    named = next((path for path, item in artifacts.items() if _paper_rows(item)), None)
    if named is None:
        return
    yield _title(f"{named}, layer by layer (the others in check.json)")
    table = _numbers("layer", "parameters", "FLOPs", "equation 4", "of the real", "")
    for row in artifacts[named]["layers"]:
        pairs = (row[name] for name in ("params", "weight_bytes", "flops", "macs"))
        same = all(pair["predicted"] == pair["found"] for pair in pairs)
        paper = (f"{row['paper_flops']:,}", f"{row['paper_ratio']:.2f}") if "paper_flops" in row else ("", "")
        table.add_row(escape(row["name"]), _equal(row["params"]), _equal(row["flops"]), *paper, _verdict(same))
    yield table
    yield Text()


def _check_tensors(artifacts: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Of each replaced layer in int8 the tensor with the least signal to noise: errors of quantised cores compound."""
    inside = {
        path: {row["layer"] for row in item["tensors"] if row["role"] == "output"} for path, item in artifacts.items()
    }
    if not any(inside.values()):
        return
    yield _title("int8 against float32: the worst tensor of each replaced layer (all in check.json)")
    table = _numbers("artefact", "layer", "tensor", "signal to noise", "largest error", "")
    for path, item in artifacts.items():
        rows = [row for row in item["tensors"] if row["layer"] in inside[path] and row["role"] != "input"]
        for layer in dict.fromkeys(row["layer"] for row in rows):
            mine = [row for row in rows if row["layer"] == layer]
            worst = min(mine, key=lambda row: math.inf if row["snr_db"] is None else row["snr_db"])
            place = f"{worst['role']} {1 + mine.index(worst)} of {len(mine)}"
            table.add_row(escape(path), escape(layer), place, _decibels(worst["snr_db"]), _tiny(worst["max_abs"]), "")
    yield table
    yield Text()


def _decibels(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f} dB"


def _check_outputs(artifacts: Mapping[str, Any]) -> Iterator[RenderableType]:
    samples = next((item["numerics"]["samples"] for item in artifacts.values()), 0)
    yield _title(f"Outputs against Keras's on {samples} validation samples")
    table = _numbers("artefact", "largest error", "L2 error, relative", "same top class", "")
    for path, item in artifacts.items():
        numerics = item["numerics"]
        errors = (_tiny(numerics[name]) for name in ("max_abs", "l2_relative"))
        table.add_row(escape(path), *errors, f"{numerics['top1_agreement']:.1%}", _verdict(numerics["ok"]))
    yield table


def _numbers(*names: str) -> Table:
    """A table whose first and last columns are words, the others numbers."""
    table = _table()
    for index, name in enumerate(names):
        words = index in (0, len(names) - 1)
        table.add_column(name, justify="left" if words else "right", no_wrap=name != "peak bytes", overflow="fold")
    return table


def _verdict(good: bool) -> str:
    return "[green]ok[/]" if good else "[red]differs[/]"


def _tiny(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"


def _paper_rows(item: Mapping[str, Any]) -> list[Any]:
    return [row for row in item["layers"] if row.get("paper_ratio") is not None]


def _npu(summaries: Mapping[str, Any]) -> Iterator[RenderableType]:
    if not summaries:
        return
    first = next(iter(summaries.values()))
    yield _title(f"On an {first['accelerator']}, by Arm's Vela ({first['system']}, {first['memory_mode']})")
    table = _numbers("artefact", "operators on it", "off it", "SRAM", "cycles", "")
    for path, item in summaries.items():
        counts = (item[name] for name in ("npu_operators", "cpu_operators", "sram_bytes", "cycles"))
        table.add_row(escape(path.removeprefix("artifacts/")), *(f"{count:,}" for count in counts), "")
    yield table
    left = dict.fromkeys(name for item in summaries.values() for name in item["left"])
    if left:
        yield Text(f"Off it: {', '.join(left)}")


def _files(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, paths in document["artifacts"].items():
        groups.setdefault(tuple(paths), []).append(dict(_PICKS).get(name, name))
    for paths, names in groups.items():
        yield Text(f"{', '.join(names)}:", style="bold")
        yield from (Text(f"  {document['run']}/{path}", overflow="fold") for path in paths)


def _thinned(epsilon: float) -> str:
    return f" ({nearly(epsilon)})" if epsilon else ""


def _title(text: str) -> Text:
    return Text(text, style="bold")


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _figure(value: float | None, digits: int = 4) -> str:
    return "not finite" if value is None else f"{value:.{digits}f}"


def _limit(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if name in ("accuracy_drop_pp", "latency_ms") else f"{value:,.0f}"


def _equal(pair: Mapping[str, int]) -> str:
    sign = "=" if pair["predicted"] == pair["found"] else "!="
    return f"{pair['predicted']:,}" if sign == "=" else f"{pair['predicted']:,} {sign} {pair['found']:,}"
