"""Which way an input meets the cores."""

from __future__ import annotations

import enum


class Order(enum.Enum):
    """Which core of a TT layer the input meets first: from it on they are contracted one after the other."""

    LAST_FIRST = "last_first"
    FIRST_LAST = "first_last"
