"""Puts the paper's tables beside what edgett computes: `python tools/reproduce.py table1`.

Source: Kokhazadeh, Keramidas, Kelefouras, Stamoulis, SAMOS 2022, doi:10.1007/978-3-031-15074-6_11.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgett.space.shapes import parse_layer
from edgett.space.tiles import LayerSpace, joint, layer_space
from edgett.values import CostModel, EmptyTiles

RANKS = range(2, 13)
GRID = 8
UNITS = {"M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Row:
    """A line of Table 1 as printed, totals cut off. `excluded` layers enter the totals but not the tiles."""

    model: str
    layers: tuple[str, ...]
    solutions: str
    efficient: str
    points: int
    empty: EmptyTiles = EmptyTiles.SKIP
    excluded: tuple[str, ...] = ()


TABLE1 = (
    Row("LeNet5 (MNIST)", ("400x120", "120x84"), "1528 M", "157 M", 156),
    Row("LeNet300 (MNIST)", ("784x300", "300x100"), "1495 M", "239 M", 156),
    Row("VGG16 (CIFAR10)", ("2048x4096", "4096x4096"), "7285832 G", "1012815 G", 144, excluded=("4096x10",)),
    Row("AlexNet (CIFAR10)", ("4096x4096", "4096x1000"), "4327 G", "2454 G", 140),
    Row("Clock (self-made)", ("4536x100", "4536x100"), "16 G", "1708 M", 256, EmptyTiles.NEAREST),
)

CONTRADICTIONS = (
    "Totals are cut off, not rounded: LeNet5's 1,528,997,866 solutions are printed as 1528 M; Clock's in two units.",
    "Solutions whose ranks coincide after clamping are counted once for each max rank.",
    "Equation 4 multiplies every core with the same rows, x_1 ... x_(L-1). A graph does not: by exact FLOPs step 4 "
    "keeps 6,649,297 shapes of 4096x4096, not 7,176,470.",
    "VGG16's totals include 4096x10 (242 solutions, 39 after step 4), which step 1 excludes; its tiles do not.",
    "The text's 252 million solutions of LeNet5 at one rank include 84x10, which the table leaves out.",
    "Clock replaces empty tiles by the nearest occupied one (64 tiles, where skipping leaves 39); the others skip.",
    "Table 2 prints 33,562,624 as VGG16's dense memory, which is two 4096x4096. Its layers hold 25,174,016, and that "
    "fits the printed FLOPs.",
    "Clock's printed 0.912 M for its FC layers implies 42 to 50 outputs over both heads; 12 hours and 60 minutes give "
    "0.915 M.",
)


def cut(value: int, printed: str) -> str:
    """A total cut off after the unit that the paper printed it in."""
    unit = printed.split()[1]
    return f"{value // UNITS[unit]} {unit}"


def compare(row: Row, spaces: Mapping[str, LayerSpace]) -> list[tuple[str, str, str, int]]:
    """(column, printed, ours in that form, ours in full) for each analytic number of a line."""
    counted = [spaces[name] for name in row.layers + row.excluded]
    solutions, efficient = math.prod(s.solutions for s in counted), math.prod(s.efficient for s in counted)
    joined = joint([spaces[name] for name in row.layers], GRID, row.empty)
    return [
        ("solutions", row.solutions, cut(solutions, row.solutions), solutions),
        ("after step 4", row.efficient, cut(efficient, row.efficient), efficient),
        (f"after step 5, {row.empty.value}", str(row.points), str(joined.points), joined.points),
        ("tiles, a quarter", str(row.points // 4), str(joined.tiles), joined.tiles),
    ]


def table1() -> int:
    """Prints Table 1 beside ours. Returns how many numbers differ."""
    names = dict.fromkeys(name for row in TABLE1 for name in row.layers + row.excluded)
    spaces = {name: layer_space(parse_layer(name), RANKS, CostModel.PAPER, GRID) for name in names}
    print(f"Table 1, analytic columns: max ranks {RANKS[0]} to {RANKS[-1]}, {GRID} x {GRID} tiles, equation 4")
    differ = 0
    for row in TABLE1:
        print(
            f"\n{row.model}: {', '.join(row.layers)}" + "".join(f" (and {name} in the totals)" for name in row.excluded)
        )
        for column, printed, ours, full in compare(row, spaces):
            differ += printed != ours
            print(f"  {column:<24}{printed:>12}{ours:>12}  {'ok' if printed == ours else 'differs':<8}{full:>28,}")
    print("\nWhere the paper is at odds with itself, or with what a graph executes:")
    for line in CONTRADICTIONS:
        print(f"- {line}")
    print(f"\n{differ} numbers differ" if differ else "\nEvery number agrees")
    return differ


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 1 when a number differs."""
    parser = argparse.ArgumentParser(description="Put the paper's tables beside what edgett computes.")
    parser.add_argument("table", choices=["table1"])
    parser.parse_args(arguments)
    return 1 if table1() else 0


if __name__ == "__main__":
    sys.exit(main())
