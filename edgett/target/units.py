"""Amounts as people write them: "512 KiB", "180 MHz", "3.2 GB/s", "50 %". All exact; nothing is rounded when read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Percentage:
    """A part of something, written as a percentage."""

    part: Fraction

    def of(self, whole: float) -> int:
        """That part of `whole`, rounded down."""
        return math.floor(whole * self.part)

    def __str__(self) -> str:
        return f"{float(self.part * 100):g} %"


@dataclass(frozen=True, eq=False)
class Unit:
    """How an amount is written: a number and one of the names of `worth`, or a plain integer of the smallest unit."""

    worth: Mapping[str, int]
    example: str

    def parse(self, given: object) -> int:
        """The amount in the smallest unit; ValueError says what can be written."""
        if isinstance(given, int) and not isinstance(given, bool) and given > 0:
            return given
        number, name = _split(given)
        amount = number * self.worth.get(name, 0)
        if amount <= 0 or amount.denominator != 1:
            first, *rest = self.worth
            raise ValueError(
                f"a positive number of {', '.join(rest)} or {first} that comes to whole {first}, as in {self.example!r}"
            )
        return int(amount)

    def parse_limit(self, given: object) -> int | Percentage:
        """An amount, or a percentage of the original's."""
        if _split(given)[1] == "%":
            return parse_share(given, limit=None)
        try:
            return self.parse(given)
        except ValueError as problem:
            raise ValueError(f"{problem}, or a percentage of the original, as in '50 %'") from None

    def plain(self, amount: int) -> str:
        """The amount in the smallest unit."""
        return f"{amount} {next(iter(self.worth))}"

    def text(self, amount: int) -> str:
        """The amount in the largest unit that divides it, so that `parse` gives it back."""
        name = max((n for n, worth in self.worth.items() if amount % worth == 0), key=self.worth.__getitem__)
        return f"{amount // self.worth[name]} {name}"


def parse_share(given: object, limit: int | None = 100) -> Percentage:
    """A percentage above 0, at most `limit`; ValueError says what can be written."""
    number, name = _split(given)
    if name != "%" or number <= 0 or (limit is not None and number > limit):
        raise ValueError("a percentage above 0" + (f" and up to {limit}" if limit else "") + ", as in '50 %'")
    return Percentage(number / 100)


def _split(given: object) -> tuple[Fraction, str]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([A-Za-z/%]+)", given) if isinstance(given, str) else None
    return (Fraction(found[1]), found[2]) if found else (Fraction(0), "")


SIZE = Unit({"B": 1, "KB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}, "512 KiB")
FREQUENCY = Unit({"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}, "180 MHz")
BANDWIDTH = Unit({"B/s": 1, "KB/s": 10**3, "MB/s": 10**6, "GB/s": 10**9}, "3.2 GB/s")
WORK = Unit({"FLOP": 1, "kFLOP": 10**3, "MFLOP": 10**6, "GFLOP": 10**9}, "20 MFLOP")
