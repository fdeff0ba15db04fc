"""The cross-check of a run's files as tables for a person."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.report.style import BAD, DOUBT, GOOD, Sheet, number, remark, title, verdict, words
from edgett.report.words import SAMPLES, came_to, partial


def check(document: Mapping[str, Any]) -> RenderableType:
    """The summary of a cross-check."""
    found = dict.fromkeys(name for item in document["artifacts"].values() for name in item["partial"])
    files = check_tables(document) if document["artifacts"] or "units" not in document else ()
    held = held_tables(document["held"]) if "held" in document else ()
    return Group(*partial_line(found), *files, *held, *_units(document.get("units", ())))


def held_tables(held: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What C takes that stores factors in place of weights."""
    yield title("Weights rebuilt from int8 factors, a layer at a time")
    names = ("weights", "stored", "bytes of flash", "bytes of RAM", "MACs to rebuild")
    table = Sheet(words("layer"), *map(number, names))
    for row in held["layers"]:
        numbers = ("weights", "stored", "flash_bytes", "ram_bytes", "macs")
        table.add(row["name"], *(f"{row[name]:,}" for name in numbers))
    yield table
    ram = held["ram_bytes"]
    yield remark(f"The whole takes {_equal(held['flash_bytes'])} bytes of flash, as predicted.")
    yield remark(
        f"It takes {ram['found']:,} bytes of RAM, inputs and outputs included; predicted: {ram['predicted']:,}."
    )


def _units(units: Iterable[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """What rebuilds weights in hardware."""
    if not units:
        return
    yield title("Units that rebuild weights from int8 factors")
    names = ("weights", "stored", "multipliers", "bits of ROM", "latency", "cycles a weight", "error")
    table = Sheet(words("unit"), *map(number, names))
    for unit in units:
        numbers = (f"{unit[name]:,}" for name in ("weights", "stored", "multipliers", "rom_bits", "latency"))
        table.add(unit["name"], *numbers, f"{(unit['cycles'] + 1) / unit['weights']:.3f}", f"{unit['error']:.2%}")
    yield table
    yield remark("README.md beside them tells how they are tested.")


def partial_line(operators: Iterable[str]) -> Iterator[RenderableType]:
    """The first line where totals are not those of the whole."""
    if told := partial(operators):
        yield Text(told, style=DOUBT)
        yield Text()


def check_tables(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What was predicted against what is found: files, layers, tensors in int8, outputs."""
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
            table.add(path, layer, place, decibels(worst["snr_db"]), _tiny(worst["max_abs"]))
    yield table
    yield Text()


def decibels(value: float | None) -> str:
    """A signal-to-noise ratio."""
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


def _equal(pair: Mapping[str, int]) -> str:
    sign = "=" if pair["predicted"] == pair["found"] else "!="
    return f"{pair['predicted']:,}" if sign == "=" else f"{pair['predicted']:,} {sign} {pair['found']:,}"
