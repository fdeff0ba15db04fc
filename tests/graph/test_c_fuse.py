"""Blocks of two products that are computed together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.graph.c_fuse import Blocks

SOME = st.integers(1, 60)


@given(SOME, SOME, SOME, SOME, st.booleans())
def test_blocks_are_whole(across: int, along: int, rows: int, columns: int, pairs: bool) -> None:
    blocks = Blocks.of(across, along, rows, columns, pairs)

    assert blocks.count * blocks.at_once == across * along
    assert across % blocks.wide == 0 and along % blocks.high == 0
    assert blocks.wide == 1 or blocks.high == along, "rows of the second are neighbours"
    assert blocks.wide * columns % 4 == 0 or blocks.wide == across, "a block begins with a four"
    assert blocks.held == blocks.at_once * rows * columns


@pytest.mark.parametrize(
    ("given", "wide", "high"),
    [
        ((5, 2, 28, 12, False), 1, 1),  # of the last two cores of 2x28x14 -> 20x3x5, rank 12
        ((5, 2, 28, 12, True), 1, 2),
        ((50, 2, 7, 8, True), 2, 2),  # 8 columns are few
        ((5, 3, 7, 16, True), 1, 3 // 3),
        ((15, 1, 2, 7, True), 15, 1),  # no part of 15 times 7 is a multiple of 4
        ((12, 1, 2, 12, True), 2, 1),
        ((12, 1, 2, 12, False), 2, 1),
        ((9, 1, 2, 16, True), 1, 1),
        ((1, 6, 4, 5, True), 1, 2),
        ((1, 5, 4, 5, True), 1, 1),
    ],
)
def test_by_hand(given: tuple[int, int, int, int, bool], wide: int, high: int) -> None:
    found = Blocks.of(*given)
    assert (found.wide, found.high) == (wide, high)
