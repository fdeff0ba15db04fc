"""Puts the paper's tables beside what edgett computes: `python tools/reproduce.py table1`, or `table2`.

`smallest` makes the smallest int8 files of LeNet300 and LeNet5 that lose nothing.

Source: Kokhazadeh, Keramidas, Kelefouras, Stamoulis, SAMOS 2022, doi:10.1007/978-3-031-15074-6_11.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgett.forms.cost import dense
from edgett.forms.site import CostModel, Found, parse_layer
from edgett.forms.tt.shapes import count_solutions
from edgett.search.choices import EmptyTiles
from edgett.search.tiles import LayerSpace, joint, layer_space

sys.path.insert(0, str(Path(__file__).parent))

from smallest import smallest
from table2 import TABLE2, table2

RANKS = range(2, 13)
GRID = 8
UNITS = {"M": 10**6, "G": 10**9}

RULES = (
    "Totals are cut off, not rounded: LeNet5's 1,528,997,866 is printed as 1528 M.",
    "Solutions whose ranks coincide after clamping are counted once for each max rank.",
    "Equation 4 multiplies every core with the same rows, x_1 ... x_(L-1). A graph does not. What step 4 leaves by "
    "equation 4, and by the FLOPs that are executed:",
)


@dataclass(frozen=True)
class Row:
    """A line of Table 1 as printed, totals cut off. `also`: layers in the totals that step 1 leaves alone."""

    model: str
    example: str
    params: int | None  # of the whole model; the paper tells none for Clock
    layers: tuple[str, ...]
    solutions: str
    efficient: str
    points: int
    empty: EmptyTiles = EmptyTiles.SKIP
    also: tuple[str, ...] = ()


TABLE1 = (
    Row("LeNet5 (MNIST)", "lenet5", 61_706, ("400x120", "120x84"), "1528 M", "157 M", 156),
    Row("LeNet300 (MNIST)", "lenet300", 266_610, ("784x300", "300x100"), "1495 M", "239 M", 156),
    Row(
        "VGG16 (CIFAR10)",
        "vgg16",
        39_979_338,
        ("2048x4096", "4096x4096"),
        "7285832 G",
        "1012815 G",
        144,
        also=("4096x10",),
    ),
    Row("AlexNet (CIFAR10)", "alexnet", 25_730_466, ("4096x4096", "4096x1000"), "4327 G", "2454 G", 140),
    Row("Clock (self-made)", "clock", None, ("4536x100", "4536x100"), "16 G", "1708 M", 256, EmptyTiles.NEAREST),
)


@dataclass(frozen=True)
class Network:
    """A model as it is built here: all its parameters, and what step 1 says of each FC layer."""

    params: int
    found: tuple[Found, ...]

    def layers(self, *, taken: bool) -> tuple[str, ...]:
        """The sizes of the layers that step 1 takes, or of those that it leaves alone."""
        return tuple(size(item) for item in self.found if (item.excluded is None) is taken)


@dataclass(frozen=True)
class Line:
    """A number as the paper has it and as edgett has it, in the same form, and ours in full."""

    column: str
    printed: str
    ours: str
    full: str

    @property
    def agrees(self) -> bool:
        """Whether both are the same."""
        return self.printed == self.ours


def size(item: Found) -> str:
    """A layer's inputs x outputs."""
    return f"{item.layer.inputs}x{item.layer.outputs}"


@cache
def network(example: str) -> Network:
    """The example, built and counted."""
    from edgett.examples import zoo
    from edgett.model import worth  # here: TensorFlow takes seconds to load
    from edgett.model.kinds import FULLY_CONNECTED

    model = zoo.example(example).build()
    return Network(model.count_params(), worth.replaceable(model, of=FULLY_CONNECTED))


@cache
def space(name: str, model: CostModel = CostModel.PAPER) -> LayerSpace:
    """Steps 2 to 5 of a layer as the paper takes them."""
    return layer_space(parse_layer(name), RANKS, model, GRID)


def cut(value: int, printed: str) -> str:
    """A total cut off after the unit that the paper printed it in."""
    unit = printed.split()[1]
    return f"{value // UNITS[unit]} {unit}"


def compare(row: Row, built: Network) -> list[Line]:
    """Every analytic number of a line of Table 1."""
    counted = [space(name) for name in row.layers + row.also]
    solutions, efficient = math.prod(s.solutions for s in counted), math.prod(s.efficient for s in counted)
    joined = joint([space(name) for name in row.layers], GRID, row.empty)
    taken = built.layers(taken=True)
    lines = [
        Line("FC layers taken", " ".join(row.layers), " ".join(taken), ""),
        Line("solutions", row.solutions, cut(solutions, row.solutions), f"{solutions:,}"),
        Line("after step 4", row.efficient, cut(efficient, row.efficient), f"{efficient:,}"),
        Line(f"after step 5, {row.empty.value}", str(row.points), str(joined.points), ""),
        Line("tiles, a quarter of it", str(row.points // 4), str(joined.tiles), ""),
    ]
    if row.params is not None:
        lines.insert(0, Line("parameters", f"{row.params:,}", f"{built.params:,}", ""))
    return lines


def contradictions() -> list[tuple[str, bool]]:
    """Where the paper is at odds with itself or with what a graph executes, and whether our numbers say so too."""
    lenet, vgg, clock = network("lenet5"), network("vgg16"), network("clock")
    share = dense(parse_layer("4096x10")).params / vgg.params
    heads = sum(dense(item.layer).params for item in clock.found)
    outputs = [(printed - 2 * dense(parse_layer("4536x100")).params) / 101 for printed in (911_500, 912_499)]
    one_rank = [count_solutions(parse_layer(name), [2]) for name in ("400x120", "120x84", "84x10")]
    vgg_dense = dense(parse_layer("2048x4096")) + dense(parse_layer("4096x4096"))
    skipped = joint([space("4536x100")] * 2, GRID, EmptyTiles.SKIP).tiles
    tiny = space("4096x10")
    return [
        (
            f"VGG16's totals include 4096x10 ({tiny.solutions} solutions, {tiny.efficient} after step 4); its tiles do"
            f" not. Step 1 excludes it: it holds {share:.1%} of the parameters, and 10% is the least.",
            (tiny.solutions, tiny.efficient) == (242, 39) and share < 0.1 and "4096x10" in vgg.layers(taken=False),
        ),
        (
            f"Clock's FC layers are printed as 0.912 M; 4536 to 100 twice and heads of 12 and 60 are {heads:,}"
            f" (0.915 M). 0.912 M leaves {math.ceil(outputs[0])} to {math.floor(outputs[1])} outputs over both heads,"
            f" not 72. The paper tells no total; with the convolutions here it is {clock.params:,}.",
            round(heads / 1e6, 3) == 0.915 and outputs[1] < 72,
        ),
        (
            f'"252 million" solutions of LeNet5 at one rank are {" x ".join(f"{count:,}" for count in one_rank)} ='
            f" {math.prod(one_rank):,}: 84x10 is in them, and not in the table.",
            math.prod(one_rank) // UNITS["M"] == 252 and "84x10" in lenet.layers(taken=False),
        ),
        (
            "Table 2 prints 33,562,624 as the dense memory of VGG16's two layers, which is 4096x4096 twice. They hold"
            f" {vgg_dense.params:,}, and that fits the FLOPs printed beside it, {vgg_dense.flops:,}.",
            2 * dense(parse_layer("4096x4096")).params == 33_562_624 and vgg_dense.flops == 50_339_840,
        ),
        (
            f"Clock replaces an empty tile by the nearest occupied one; the others skip it, which leaves {skipped}.",
            skipped == 39,
        ),
    ]


def bullet(text: str) -> None:
    """Prints an item of a list, wrapped."""
    print(textwrap.fill(text, 110, initial_indent="- ", subsequent_indent="  "))


def executed(names: Sequence[str]) -> None:
    """Prints how many solutions step 4 leaves of each layer under either cost model."""
    print(f"    {'':<12}{'solutions':>12}{'equation 4':>12}{'executed':>12}")
    for name in names:
        paper, exact = space(name), space(name, CostModel.EXACT)
        print(f"    {name:<12}{paper.solutions:>12,}{paper.efficient:>12,}{exact.efficient:>12,}")


def table1() -> int:
    """Prints Table 1 beside ours. Returns how many numbers differ."""
    print(f"Table 1, analytic columns: max ranks {RANKS[0]} to {RANKS[-1]}, {GRID} x {GRID} tiles, equation 4")
    differ = 0
    for row in TABLE1:
        print(f"\n{row.model}" + "".join(f", {name} in the totals" for name in row.also))
        print(f"  {'':<24}{'paper':>20}{'edgett':>20}  {'':<8}{'edgett in full':>28}")
        for line in compare(row, network(row.example)):
            differ += not line.agrees
            verdict = "ok" if line.agrees else "differs"
            print(f"  {line.column:<24}{line.printed:>20}{line.ours:>20}  {verdict:<8}{line.full:>28}".rstrip())
    print("\nWhere the paper is at odds with itself, or with what a graph executes:")
    for text, holds in contradictions():
        differ += not holds
        bullet(text if holds else f"DIFFERS: {text}")
    for text in RULES:
        bullet(text)
    executed(list(dict.fromkeys(name for row in TABLE1 for name in row.layers + row.also)))
    print(f"\n{differ} numbers differ" if differ else "\nEvery number agrees")
    return differ


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 1 when a number differs."""
    parser = argparse.ArgumentParser(description="Put the paper's tables beside what edgett computes.")
    parser.add_argument("table", choices=["table1", "table2", "smallest"])
    known = [row.example for row in TABLE2]
    parser.add_argument("--model", nargs="+", choices=known, default=known, help="table2: the networks")
    parser.add_argument("--mnist", help="table2, smallest: an .npz of MNIST")
    parser.add_argument("--cifar10", help="table2: an .npz of CIFAR-10")
    parser.add_argument("--work", type=Path, help="table2, smallest: the folder it goes on from")
    parser.add_argument("--seeds", type=int, default=3, help="smallest: runs of each network")
    asked = parser.parse_args(arguments)
    if asked.table == "table1":
        return 1 if table1() else 0
    work = asked.work or Path(asked.table)
    if asked.table == "smallest":
        if asked.mnist is None:
            parser.error("smallest needs --mnist")
        return 1 if smallest(Path(asked.mnist), asked.seeds, work) else 0
    files = {name: getattr(asked, name) for name in ("mnist", "cifar10") if getattr(asked, name)}
    return 1 if table2(asked.model, files, work, functools.partial(print, flush=True)) else 0


if __name__ == "__main__":
    sys.exit(main())
