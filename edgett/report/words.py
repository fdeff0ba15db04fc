"""How every report words a number, and what it calls a pick."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from edgett.search.constraints import DROP, ROBUST_DROP, Constraint

PICKS = {
    "recommended": "recommended",
    "highest_accuracy": "highest accuracy",
    "lowest_memory": "lowest memory",
    "lowest_flops": "lowest FLOPs",
}
"""The picks by their names in a document."""
SAMPLES = {"validation": "validation samples", "random": "random inputs, for want of data"}
"""On what the outputs of files are compared."""


def learnt(picks: Iterable[Mapping[str, Any] | None]) -> Iterator[str]:
    """Say which solutions have trained on with the numbers of int8, and what that gave back.

    Args:
        picks: those of an outcome; None where there is none.

    Yields:
        A sentence a solution, however many picks it is.
    """
    told = {pick["solution"]: pick.get("int8") for pick in picks if pick is not None}
    for solution, found in told.items():
        if found is not None:
            epochs = "an epoch" if found["epochs"] == 1 else f"{found['epochs']} epochs"
            before, after = (
                "-" if drop is None else f"{drop:.2f}" for drop in (found["drop_before"], found["drop_after"])
            )
            yield f"Solution {solution} trained on for {epochs} with the numbers of int8: drop {before} to {after}."


def called(solution: int) -> str:
    """A solution by its number."""
    return "the dense model" if solution < 0 else f"solution {solution}"


def judged(document: Mapping[str, Any]) -> Iterator[str]:
    """What a model is judged by, and of what that is told; a sentence each."""
    dense = document["baseline"]
    if document["judged_by"] is None:
        yield "Not judged: there are no data, and outputs are compared on random inputs."
        return
    yield f"Judged by {document['judged_by']}, on validation data."
    if (attack := document.get("attack")) is not None:
        made = ", made for the float32 models" if document["target"]["dtype"] == "int8" else ""
        yield f"Under attack: {attack['words']}{made}."
    if document["target"]["dtype"] == "int8":
        original = dense["original"]
        scores = [f"{one['metric']} of {one['output']} {_score(one)}" for one in original["accuracy"]]
        tested = [f" (test {_score(one)})" for one in original["test_accuracy"] or ()] or [""] * len(scores)
        told = ", ".join(f"{words}{test}" for words, test in zip(scores, tested, strict=True))
        yield f"Accuracies are those of the int8 files; drops are from the dense model in float32: {told}."


def _score(score: Mapping[str, Any]) -> str:
    return "not finite" if score["value"] is None else f"{score['value']:.4f}"


def scores(accuracy: Sequence[Mapping[str, Any]]) -> list[str]:
    """The titles of a model's scores: the metric, and the output where there are several."""
    several = len({score["output"] for score in accuracy}) > 1
    return [f"{score['output']}: {score['metric']}" if several else str(score["metric"]) for score in accuracy]


def under_attack(
    models: Sequence[Mapping[str, Any]], splits: tuple[str, str] = ("validation", "test")
) -> Iterator[tuple[str, list[float | None], int]]:
    """Rows of what models are under attack: a title, a value a model, and its decimals; none where nothing was."""
    for split, before in zip(splits, ("", "test_"), strict=True):
        dense = models[0].get(f"{before}robust_accuracy") or ()
        for index, name in enumerate(scores(dense)):
            found = [model[f"{before}robust_accuracy"][index]["value"] for model in models]
            yield f"{name} under attack, {split}", found, 4
        if dense:
            yield f"{ROBUST_DROP.title}, {split}", [model[f"{before}robust_drop"] for model in models], 2


def binding(outcome: Mapping[str, Any], names: Mapping[str, str] | None = None) -> str:
    """The constraints that the nearest miss breaks, by their names or by others, and a verb."""
    broken = [item["name"] for item in outcome["constraints"] if item["holds"] is False]
    broken = broken or [outcome["nearest_miss"]["constraint"]]
    told = [name if names is None else names[name] for name in broken]
    return f"{' and '.join(told)} {'binds' if len(told) == 1 else 'bind'}"


def over_budget(outcome: Mapping[str, Any]) -> Iterator[str]:
    """The picks that lose more on the test data than the budget allows, in words."""
    limits = {item["name"]: item["limit"] for item in outcome["constraints"]}
    limit = limits.get(DROP.name) or 0.0
    drops: dict[int, tuple[float | None, list[str]]] = {}
    for name, title in PICKS.items():
        if (pick := outcome["picks"][name]) is not None and pick.get("test_holds") is False:
            drops.setdefault(pick["solution"], (pick["test_drop"], []))[1].append(title)
    for number, (drop, titles) in drops.items():
        lost = "no finite accuracy" if drop is None else f"a drop of {digits(drop, apart(drop, limit))} points"
        yield (
            f"On the test data solution {number} ({', '.join(titles)}) has {lost}, over the budget of {limit:g}: the"
            " validation data, by which it was picked, let it pass."
        )


def partial(operators: Iterable[str]) -> str:
    """What the operators without a rule leave unknown; nothing where there are none."""
    names = ", ".join(operators)
    unknown = "FLOPs and MACs are those of all others, times are not known, and a budget of either is not checked"
    return f"Partial: no rule counts {names}. {unknown}; bytes and peaks are read back from files." if names else ""


def in_part(row: Constraint | None, *models: Mapping[str, Any]) -> bool:
    """Whether what a constraint limits is known of a part of some model only."""
    return row is not None and any(row.name in model.get("at_least", ()) for model in models)


def came_to(item: Mapping[str, Any]) -> str:
    """What the cross-check of a file came to."""
    return str(item.get("verdict") or ("ok" if item["ok"] else "differs"))


def channels(number: int) -> str:
    """So many channels."""
    return "a channel" if number == 1 else f"{number:,} channels"


def count(number: int) -> str:
    """Exact while a person can read it."""
    return f"{number:,}" if number < 10**12 else f"{Decimal(number):.2e}"


def nearly(epsilon: float) -> str:
    """How near those that stay are to those that were thinned out."""
    return f"none more than {epsilon:.1%} above the one it stands for"


def digits(number: float, many: int = 3) -> str:
    """To so many significant digits, and never as a power of ten for being large."""
    text = f"{number:.{many}g}"
    return f"{float(text):,.0f}" if "e+" in text else text


def apart(one: float, other: float) -> int:
    """How many significant digits tell two numbers apart that are not the same; three or more."""
    return next((many for many in range(3, 17) if digits(one, many) != digits(other, many)), 17)


def size(number: float) -> str:
    """Bytes, to three digits."""
    for name, worth in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if round(number / worth, 3) >= 1:
            return f"{digits(number / worth)} {name}"
    return f"{number:g} B"


def duration(microseconds: float) -> str:
    """A time, to three digits."""
    for unit, worth in (("s", 1e6), ("ms", 1e3)):
        if round(microseconds / worth, 3) >= 1:
            return f"{digits(microseconds / worth)} {unit}"
    return f"{digits(microseconds)} us"


def sized(layer: Mapping[str, Any]) -> str:
    """A layer's size; that of no convolution with how many positions of a sample meet it, where these are several."""
    if "window" in layer:
        return str(layer["window"])
    return f"{layer['inputs']}x{layer['outputs']}{at(layer.get('positions', 1))}"


def at(positions: int) -> str:
    """How many positions of a sample meet a layer, where these are several."""
    return f" at {positions:,} positions" if positions > 1 else ""


def place(path: str) -> str:
    """A path as a command takes it: none is an option."""
    return f"./{path}" if path.startswith("-") else path
