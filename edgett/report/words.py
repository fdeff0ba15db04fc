"""How every report words a number."""

from __future__ import annotations

from decimal import Decimal


def count(number: int) -> str:
    """Exact while a person can read it."""
    return f"{number:,}" if number < 10**12 else f"{Decimal(number):.2e}"


def nearly(epsilon: float) -> str:
    """How near those that stay are to those that were thinned out."""
    return f"none more than {epsilon:.1%} above the one it stands for"
