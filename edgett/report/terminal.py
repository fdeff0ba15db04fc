"""A JSON document as tables for a person, drawn with rich."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_PICKS = (
    ("recommended", "recommended"),
    ("highest_accuracy", "highest accuracy"),
    ("lowest_memory", "lowest memory"),
    ("lowest_flops", "lowest FLOPs"),
)
_BYTES = ("model_bytes", "peak_activation_bytes")


def compressed(document: Mapping[str, Any]) -> RenderableType:
    """The summary of a run: funnel, layers, the picks beside the dense model, budgets, cross-check, files."""
    parts: list[RenderableType] = [*_layers(document), Text(), _funnel(document), Text(), _models(document), Text()]
    return Group(*parts, _budgets(document), Text(), *_check(document["check"]), *_files(document))


def explored(document: Mapping[str, Any]) -> RenderableType:
    """The summary of an exploration."""
    totals = document["totals"]
    words = (
        f"{totals['solutions']:,} solutions, {totals['efficient']:,} efficient; {totals['shared_tiles']} tiles"
        f" ({document['empty_tiles']} empty ones), {totals['points']:,} points,"
        f" {totals['joint_candidates']:,} distinct joint candidates."
    )
    return Group(*_layers(document), Text(), Text(words))


def check(document: Mapping[str, Any]) -> RenderableType:
    """The summary of a cross-check."""
    return Group(*_check(document))


def _layers(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    table = _table("Fully connected layers to factorise")
    for name in ("layer", "size", "parameters", "FLOPs", "MACs", "solutions", "efficient", "tiles"):
        table.add_column(name, justify="left" if name == "layer" else "right", overflow="fold")
    for layer in document["layers"]:
        if layer["excluded"] is None:
            table.add_row(
                escape(layer["name"]),
                f"{layer['inputs']}x{layer['outputs']}",
                *(f"{number:,}" for number in (layer["params"], layer["flops"], layer["inputs"] * layer["outputs"])),
                *(f"{layer[name]:,}" for name in ("solutions", "efficient", "occupied_tiles")),
            )
    yield table
    for layer in document["layers"]:
        if layer["excluded"] is not None:
            yield Text(f"  left alone: {layer['name']} ({layer['inputs']}x{layer['outputs']}): {layer['excluded']}")


def _funnel(document: Mapping[str, Any]) -> Table:
    funnel = document["funnel"]
    table = _table("How many each step left")
    table.add_column("step")
    table.add_column("left", justify="right")
    for words, name in (
        ("1  layers worth factorising", "layers_taken"),
        ("2  TT solutions of all layers, jointly", "solutions"),
        ("4  smaller and cheaper than dense in every layer", "efficient"),
        ("5  corner points on the joint grid", "points"),
        ("   distinct joint candidates", "joint_candidates"),
        ("   of those within the budgets known before training", "within_budgets"),
        ("6  fine-tuned", "fine_tuned"),
        ("7  within all constraints", "feasible"),
    ):
        table.add_row(words, f"{funnel[name]:,}")
    if funnel["fine_tuned"] < funnel["within_budgets"]:
        table.caption = (
            f"{funnel['fine_tuned']} of {funnel['within_budgets']} candidates were fine-tuned, spread over the grid;"
            " --limit all takes every one."
        )
    return table


def _models(document: Mapping[str, Any]) -> Table:
    dense = document["baseline"]
    table = _table("The dense model and the picks")
    table.add_column("")
    table.add_column("dense", justify="right")
    picked = [(words, document["picks"][name]) for name, words in _PICKS if document["picks"][name] is not None]
    for words, _ in picked:
        table.add_column(words, justify="right")
    models = [dense, *(pick for _, pick in picked)]
    for words, cells in _rows(models, dense, document["target"]["format"]):
        table.add_row(words, *cells)
    return table


def _rows(models: list[Any], dense: Any, file: str) -> Iterator[tuple[str, list[str]]]:
    numbers = ["", *(f"solution {model['solution']}" for model in models[1:])]
    yield "", numbers
    for words, name in (("parameters", "params"), ("FLOPs", "flops"), ("MACs", "macs")):
        yield words, [f"{model[name]:,}{_saved(model[name], dense[name])}" for model in models]
    sizes = [model["artifacts"].get(file, {}).get("bytes", model["bytes"]) for model in models]
    yield f"bytes (.{file})", [f"{size:,}{_saved(size, sizes[0])}" for size in sizes]
    yield "peak activation bytes", [f"{model['peak_activation_bytes']:,}" for model in models]
    for index, score in enumerate(dense["accuracy"]):
        name = f"{score['metric']}, {score['output']}" if len(dense["accuracy"]) > 1 else score["metric"]
        yield f"{escape(name)}, validation", [_figure(model["accuracy"][index]["value"]) for model in models]
        if dense["test_accuracy"]:
            yield f"{escape(name)}, test", [_figure(model["test_accuracy"][index]["value"]) for model in models]
    yield "drop, validation", ["", *(_figure(model["drop"], 2) for model in models[1:])]
    if dense["test_accuracy"]:
        yield "drop, test", ["", *(_figure(model["test_drop"], 2) for model in models[1:])]


def _budgets(document: Mapping[str, Any]) -> Table:
    table = _table(f"Budgets of {document['target']['name']} ({document['target']['title']})")
    for name in ("constraint", "limit", "value", ""):
        table.add_column(name, justify="left" if name in ("constraint", "") else "right")
    for item in document["constraints"]:
        verdict = {True: "[green]holds[/]", False: "[red]broken[/]", None: "[yellow]not checked[/]"}[item["holds"]]
        table.add_row(item["name"], _limit(item["name"], item["limit"]), _limit(item["name"], item["value"]), verdict)
    if document["nearest_miss"]:
        miss = document["nearest_miss"]
        table.caption = f"No solution holds. The nearest is solution {miss['solution']}; {miss['constraint']} binds."
    else:
        table.caption = f"Values of the recommended solution, the best in {document['objective']}."
    return table


def _check(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    table = _table("Cross-check: predicted against what the files hold and give")
    for name in ("artefact", "parameters", "FLOPs", "peak bytes", "L2 error", "top-1", ""):
        table.add_column(name, justify="left" if name in ("artefact", "") else "right", overflow="fold")
    for path, item in document["artifacts"].items():
        numerics = item["numerics"]
        table.add_row(
            escape(path.removeprefix("artifacts/")),
            _equal(item["params"]),
            _equal(item["flops"]),
            f"{item['peak_bytes']['found']:,} <= {item['peak_bytes']['predicted']:,}",
            f"{numerics['l2_relative']:.1e}" if numerics["l2_relative"] is not None else "not finite",
            f"{numerics['top1_agreement']:.1%}",
            "[green]ok[/]" if item["ok"] else "[red]differs[/]",
        )
    yield table
    for item in document["artifacts"].values():
        yield from (Text(f"  {line}", style="red") for line in item["mismatches"])
    partial = dict.fromkeys(name for item in document["artifacts"].values() for name in item["partial"])
    if partial:
        yield Text(f"Partial: no rule counts {', '.join(partial)}.", style="yellow")
    ratios = _paper_ratios(document)
    if ratios:
        yield Text(f"Equation 4 of the paper would give, for the TT layers of what is exported: {ratios}.")


def _paper_ratios(document: Mapping[str, Any]) -> str:
    texts = []
    for path, item in document["artifacts"].items():
        rows = [row for row in item["layers"] if "paper_flops" in row]
        if rows and path.endswith(".tflite"):
            paper, found = sum(row["paper_flops"] for row in rows), sum(row["flops"]["found"] for row in rows)
            name = path.removeprefix("artifacts/").removesuffix(".tflite")
            texts.append(f"{name} {paper:,} FLOPs, {paper / found:.2f} x the real count")
    return "; ".join(texts)


def _files(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield Text()
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, paths in document["artifacts"].items():
        groups.setdefault(tuple(paths), []).append(name.replace("_", " "))
    for paths, names in groups.items():
        yield Text(f"{', '.join(names)}:", style="bold")
        yield from (Text(f"  {document['run']}/{path}", overflow="fold", no_wrap=True) for path in paths)


def _table(title: str) -> Table:
    return Table(
        title=escape(title), title_justify="left", caption_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )


def _saved(value: float, dense: float) -> str:
    return "" if value == dense or not dense else f" ({100 * (value / dense - 1):+.1f} %)"


def _figure(value: float | None, digits: int = 4) -> str:
    return "not finite" if value is None else f"{value:.{digits}f}"


def _limit(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if name in ("accuracy_drop_pp", "latency_ms") else f"{value:,.0f}"


def _equal(pair: Mapping[str, int]) -> str:
    sign = "=" if pair["predicted"] == pair["found"] else "!="
    return f"{pair['predicted']:,}" if sign == "=" else f"{pair['predicted']:,} {sign} {pair['found']:,}"
