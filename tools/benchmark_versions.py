"""The benchmark of one version against another: `python tools/benchmark.py versions BEFORE AFTER`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from equal import Version, found, tell_apart

FEW = ("--limit", "6", "--epochs", "2", "--jobs", "0", "--max-drop", "100", "--schedule", "full")
LAYERS = ("25088x4096", "9216x4096", "4096x4096")


@dataclass(frozen=True)
class Work:
    """A command that both versions carry out; it is timed whole, or by the seconds that its trials say they took."""

    name: str
    arguments: tuple[str, ...]

    def seconds(self, by: Version, turn: int) -> float:
        """How long a version takes."""
        fresh = ("--out", str(by.folder / f"run-{turn}")) if self.arguments[0] == "compress" else ()
        began = time.perf_counter()
        _, told = by.edgett(*self.arguments, *fresh)
        wall = time.perf_counter() - began
        return sum(trial["seconds"] for trial in told["trials"]) if fresh else wall


WORKS = (
    Work("nothing (start and model)", ("explore", "example:clock")),
    Work("steps 2 to 5 of 3 large layers", ("explore", *(word for size in LAYERS for word in ("--layer", size)))),
    Work("whole space of the clock", ("explore", "example:clock", "--search", "pareto", "--rank-multiple", "1")),
    Work("whole space, multiples of 4", ("explore", "example:clock", "--search", "pareto")),
    Work("fine-tuning of 6 solutions", ("compress", "example:clock", "--target", "cortex-a53", *FEW)),
)


def versions(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A Python interpreter that has an edgett.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="One that has another.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often each is timed, in turns.")] = 3,
    only: Annotated[str, typer.Option(help="What is timed: that whose name has this in it.")] = "",
) -> None:
    """Steps 2 to 5, the whole space and fine-tuning in two versions of edgett, in turns: medians and their ratios."""
    with tempfile.TemporaryDirectory() as scratch:
        both = [found(name, path, Path(scratch) / name) for name, path in (("before", before), ("after", after))]
        tell_apart(*both)
        print(f"{'':32}{'before':>9}{'after':>9}{'ratio':>7}  ratios of the rounds")
        for work in (one for one in WORKS if only in one.name):
            for version in both:
                work.seconds(version, -1)  # trains the example, warms the disk's cache
            print(_row(work, both, rounds), flush=True)


def _row(work: Work, both: list[Version], rounds: int) -> str:
    taken: Mapping[str, list[float]] = {version.name: [] for version in both}
    for turn in range(rounds):
        for version in both if turn % 2 else reversed(both):
            taken[version.name].append(work.seconds(version, turn))
    old, new = (statistics.median(taken[version.name]) for version in both)
    pairs: Any = zip(*(taken[version.name] for version in both), strict=True)
    ratios = " ".join(f"{later / earlier:.2f}" for earlier, later in pairs)
    return f"{work.name:32}{old:8.2f}s{new:8.2f}s{new / old:7.2f}  {ratios}"
