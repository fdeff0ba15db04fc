"""How every report words a number, and what it calls a pick."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

PICKS = {
    "recommended": "recommended",
    "highest_accuracy": "highest accuracy",
    "lowest_memory": "lowest memory",
    "lowest_flops": "lowest FLOPs",
}
"""The picks by their names in a document."""


def partial(operators: Iterable[str]) -> str:
    """What the operators without a rule leave unknown; nothing where there are none."""
    names = ", ".join(operators)
    unknown = "FLOPs and MACs are those of all others, times are not known, and a budget of either is not checked"
    return f"Partial: no rule counts {names}. {unknown}; bytes and peaks are read back from files." if names else ""


def in_part(figure: str, *models: Mapping[str, Any]) -> bool:
    """Whether a figure, by the name of its constraint, is known of a part of some model only."""
    return any(figure in model.get("at_least", ()) for model in models)


def came_to(item: Mapping[str, Any]) -> str:
    """What the cross-check of a file came to."""
    return str(item.get("verdict", "ok" if item["ok"] else "differs"))


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


def place(path: str) -> str:
    """A path as a command takes it: none is an option."""
    return f"./{path}" if path.startswith("-") else path
