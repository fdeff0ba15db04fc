"""A benchmark as a table, with a bar for each artefact's time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.text import Text

from edgett.graph.c_work import THINGS
from edgett.report import style
from edgett.report.style import BAD, FAINT, GOOD, Sheet, number, remark, words
from edgett.report.words import digits, duration, size

BAR = 6
"""Characters of the longest bar."""
_AGAINST = "Top class and largest error: against the runtimes' reference kernels here."
_STYLES = {"faster": GOOD, "slower": BAD, "noise": FAINT, "baseline": ""}


def drawn(document: Mapping[str, Any]) -> RenderableType:
    """Each artefact beside the first, and what the device tells of itself."""
    return Group(_times(document), Text(), _sizes(document), Text(), *(remark(line) for line in _remarks(document)))


def counted(document: Mapping[str, Any]) -> RenderableType:
    """The instructions of each artefact beside the first's."""
    artefacts = document["artifacts"]
    most = max(one["instructions"] for one in artefacts)
    numbers = map(number, ("instructions", "x the first", "file", "top class", "error"))
    sheet = Sheet(words("artefact"), *numbers, style.bar(BAR))
    for one in artefacts:
        ratio = "1" if one["ratio"] is None else digits(one["ratio"])
        cells = f"{one['instructions']:,}", ratio, size(one["bytes"]), *_agreement(one)
        sheet.add(one["name"], *cells, Bar(most, 0, one["instructions"], width=BAR))
    device = document["device"]
    runtimes = ", ".join(dict.fromkeys(one["runtime"] for one in artefacts))
    told = remark(
        f"{device['target']} on {device['emulator']}; {runtimes}. Instructions of one inference, and no times."
    )
    return Group(sheet, Text(), told, Text(_AGAINST))


def _agreement(one: Mapping[str, Any]) -> tuple[str, str]:
    worst = one["agreement"]["max_abs"]
    top = one["agreement"]["top1"]
    return "" if top is None else f"{top:.1%}", "not finite" if worst is None else f"{worst:.1e}"


def _times(document: Mapping[str, Any]) -> Sheet:
    artefacts = document["artifacts"]
    longest = max(one["median_us"] for one in artefacts)
    sheet = Sheet(words("artefact"), *map(number, ("median", "p90", "p99", "x the first")), style.bar(BAR))
    for one in artefacts:
        times = (duration(one[key]) for key in ("median_us", "p90_us", "p99_us"))
        ratio = Text(_ratio(one), _STYLES[one["verdict"]])
        sheet.add(one["name"], *times, ratio, Bar(longest, 0, one["median_us"], width=BAR))
    return sheet


def _sizes(document: Mapping[str, Any]) -> Sheet:
    sheet = Sheet(words("artefact"), *map(number, ("file", "memory", "of it added", "top class", "error")))
    for one in document["artifacts"]:
        sheet.add(one["name"], *(size(one[key]) for key in ("bytes", "peak_bytes", "added_bytes")), *_agreement(one))
    return sheet


def _ratio(one: Mapping[str, Any]) -> str:
    ratio = one["ratio"]
    if ratio is None:
        return "1"
    words = "  noise" if one["verdict"] == "noise" else ""
    value, low, high = (digits(ratio[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]{words}"


def _remarks(document: Mapping[str, Any]) -> Iterator[str]:
    device = document["device"]
    runs = min(one["runs"] for one in document["artifacts"])
    runtimes = ", ".join(dict.fromkeys(one["runtime"] for one in document["artifacts"]))
    yield f"{device['name']}: {device['processor'] or device['architecture']}, {device['system']}; {runtimes}"
    pinned = ", ".join(map(str, device["pinned"]))
    where = f"kept on processor {pinned}" if pinned else "not kept on any processor"
    threads = "1 thread" if device["threads"] == 1 else f"{device['threads']} threads"
    yield f"{threads}, {where}; {runs:,} timed runs or more each, in turns"
    yield _AGAINST
    before, after = device["before"], device["after"]
    if before["governor"] not in (None, "performance"):
        yield f"The governor is {before['governor']!r}: clocks vary. Set it to performance for steadier times."
    told = [f"{after['mhz']:,.0f} MHz"] if after["mhz"] else []
    if before["celsius"] is not None and after["celsius"] is not None:
        told.append(f"{before['celsius']:.0f} to {after['celsius']:.0f} °C")
    if told:
        yield ", ".join(told)


def kernels(document: Mapping[str, Any]) -> RenderableType:
    """What kernels of C were found to take on an emulated device, and how well that predicts the probes."""
    found = document["instructions"]
    sheet = Sheet(words("kernel"), *map(number, THINGS))
    for name, rates in found["kernels"].items():
        sheet.add(name, *(f"{rates[thing]:.3g}" if rates[thing] else "" for thing in THINGS))
    off = f"{document['median_error']:.1%} in the middle, {document['largest_error']:.1%} at most"
    return Group(
        style.title(f"{document['measured']}: {document['probes']} probes"),
        sheet,
        Text(f"instructions for each; {found['start']:.3g} more an inference. Predicted with an error of {off}"),
    )


def calibrated(document: Mapping[str, Any]) -> RenderableType:
    """What a device was found to cost, and how well that predicts the probes."""
    speeds = document["speeds"]
    sheet = Sheet(words(), number())
    sheet.add("an inference as such", f"{speeds['start']:.3g} us")
    sheet.add("an operator; a transpose", f"{speeds['operator']:.3g} us; {speeds['transpose']:.3g} us")
    rate = f"{digits(1e-3 / speeds['mac'])} G/s" if speeds["mac"] else "as fast as they are fed"
    sheet.add("multiply-accumulates", f"{rate}, {speeds['columns']} columns at once")
    for held, cost in speeds["streams"]:
        rate = f"{digits(1e-3 / cost)} GB/s" if cost else "as fast as they are used"
        sheet.add(f"weights, of {size(held)} at most", rate)
    for taps, cost in speeds["windows"]:
        rate = f"{digits(1e-3 / cost)} G/s" if cost else "as fast as they are fed"
        sheet.add(f"multiply-accumulates of a depthwise window, of {taps} taps at most", rate)
    off = f"{document['median_error']:.1%} in the middle, {document['p90_error']:.1%} for nine in ten"
    return Group(
        style.title(f"{document['measured']}: {document['probes']} probes"),
        sheet,
        Text(f"predicted with an error of {off}"),
    )
