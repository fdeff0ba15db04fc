"""How every report words a number, and what it calls a pick."""

from __future__ import annotations

from decimal import Decimal

PICKS = {
    "recommended": "recommended",
    "highest_accuracy": "highest accuracy",
    "lowest_memory": "lowest memory",
    "lowest_flops": "lowest FLOPs",
}
"""The picks by their names in a document."""


def count(number: int) -> str:
    """Exact while a person can read it."""
    return f"{number:,}" if number < 10**12 else f"{Decimal(number):.2e}"


def nearly(epsilon: float) -> str:
    """How near those that stay are to those that were thinned out."""
    return f"none more than {epsilon:.1%} above the one it stands for"


def size(number: float) -> str:
    """Bytes, to three digits."""
    for name, worth in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if number >= worth:
            return f"{number / worth:.3g} {name}"
    return f"{number:g} B"
