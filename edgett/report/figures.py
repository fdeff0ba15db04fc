"""The gist of a verdict: the recommended model against the dense one in a handful of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgett.report.facts import Cell, Figure, Mood
from edgett.report.words import count, digits, duration, in_part, size
from edgett.search.constraints import FLOPS, LATENCY, PEAK, Constraint

TIMES = "\N{MULTIPLICATION SIGN}"


def figures(outcome: Mapping[str, Any]) -> Iterator[Figure]:
    """The recommended model against the dense one in a handful of numbers; that one alone where it is."""
    dense, pick = outcome["baseline"], outcome["picks"]["recommended"]
    if outcome["funnel"] is None or (pick and pick["solution"] == dense["solution"]):
        yield from _alone(outcome)
        return
    if pick is None:
        return
    yield _changed("Parameters", dense["params"], pick["params"], count)
    suffix = suffix_of(outcome)
    if suffix in dense["artifacts"] and suffix in pick["artifacts"]:
        before, after = (model["artifacts"][suffix]["bytes"] for model in (dense, pick))
        yield _changed(f".{suffix} file", before, after, size)
    yield _limited("FLOPs", FLOPS, dense, pick, count)
    yield _limited("Peak memory", PEAK, dense, pick, size)
    for key, title, spelled in (
        (LATENCY.figure, "Predicted latency", lambda time: duration(1000 * time)),
        ("instructions", "Predicted instructions", count),
    ):
        if None not in (before := dense.get(key), after := pick.get(key)):
            yield _changed(title, before, after, spelled)
    words, mood = points(pick["drop"]).removeprefix("a "), Mood.PLAIN if pick["drop"] > 0 else Mood.GOOD
    deciding = [index for index, score in enumerate(dense["accuracy"]) if score.get("decides", True)]
    if len(deciding) > 1:
        yield Figure("Drop, points", "0.00", f"{pick['drop']:.2f}", words, mood)
    else:
        score = dense["original"]["accuracy"][deciding[0]]
        found = pick["accuracy"][deciding[0]]
        title = score["metric"].replace("_", " ").capitalize()
        yield Figure(title, f"{score['value']:.4f}", f"{found['value']:.4f}", words, mood)


def _limited(
    title: str, row: Constraint, dense: Mapping[str, Any], pick: Mapping[str, Any], words: Callable[[Any], str]
) -> Figure:
    """As `_changed`, where all is known of the figure."""
    if not in_part(row, dense, pick):
        return _changed(title, dense[row.figure], pick[row.figure], words)
    before, after = (_least(row, model, words) for model in (dense, pick))
    return Figure(title, before, after, "not known", Mood.OPEN)


def _alone(outcome: Mapping[str, Any]) -> Iterator[Figure]:
    """The dense model in a handful of numbers."""
    dense, suffix = outcome["baseline"], suffix_of(outcome)
    told = [("Parameters", count(dense["params"])), ("FLOPs", _least(FLOPS, dense, count))]
    told += [(f".{suffix} file", size(dense["artifacts"][suffix]["bytes"]))] if suffix in dense["artifacts"] else []
    told.append(("Peak memory", _least(PEAK, dense, size)))
    time = dense[LATENCY.figure]
    told += [] if time is None else [("Predicted latency", duration(1000 * time))]
    executed = dense.get("instructions")
    told += [] if executed is None else [("Predicted instructions", count(executed))]
    told += [(one["metric"].replace("_", " ").capitalize(), figure(one["value"]).text) for one in dense["accuracy"]]
    return (Figure(title, "", words, words, Mood.PLAIN) for title, words in told)


def _changed(title: str, dense: float, picked: float, words: Callable[[Any], str]) -> Figure:
    share = picked / dense if dense else None
    if share is None or round(share, 3) == 1:
        return Figure(title, words(dense), words(picked), "the same", Mood.PLAIN, share)
    if share > 1:
        return Figure(title, words(dense), words(picked), f"{digits(share)}{TIMES} as much", Mood.BAD, share)
    change = f"{digits(1 / share)}{TIMES} less" if share else "none"
    return Figure(title, words(dense), words(picked), change, Mood.GOOD, share)


def suffix_of(outcome: Mapping[str, Any]) -> str:
    """Of the file that the target takes; C is written from ONNX."""
    format: str = outcome["target"]["format"]
    return {"c": "onnx"}.get(format, format)


def figure(value: float | None, digits: int = 4) -> Cell:
    """A number with so many decimals."""
    return Cell(value, "not finite" if value is None else f"{value:.{digits}f}")


def points(drop: float) -> str:
    """A drop in words."""
    if round(drop, 2) == 0:
        return "no drop"
    return f"a drop of {drop:.2f} points" if drop > 0 else f"a gain of {-drop:.2f} points"


def _least(row: Constraint, model: Mapping[str, Any], words: Callable[[Any], str]) -> str:
    """A figure in words, of which only a part may be known."""
    told = words(model[row.figure])
    return f"at least {told}" if in_part(row, model) else told
