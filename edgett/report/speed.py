"""How fast models are on a run's target: one figure each, its source, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgett.report.words import digits
from edgett.search.constraints import LATENCY

MEASURED, ESTIMATED = LATENCY.figure, "latency_estimate_ms"
"""The figures of a model in a document: predicted from what was measured there, or guessed by the profile's facts."""

MOST_A_CYCLE = 2.0
"""Instructions of a cycle and a thread: what cores of embedded devices retire at most, but for the widest."""
NOISE = 0.02
"""The share by which counts may differ without telling which is faster."""


@dataclass(frozen=True)
class Speed:
    """`figure` is the key of a model's latency, in milliseconds, that is to be shown; None: none of them is.

    `source` says where it comes from, or why there is none.
    """

    figure: str | None
    source: str

    @property
    def word(self) -> str:
        """What the figure is."""
        return "predicted" if self.figure == MEASURED else "estimated"


def told(outcome: Mapping[str, Any], benches: Iterable[Mapping[str, Any]] = ()) -> Speed:
    """The one figure of a run's target; an estimate that something speaks against is none."""
    dense, target = outcome["baseline"], outcome["target"]
    source = str(target.get("latency", ""))
    if dense.get(MEASURED) is not None:
        return Speed(MEASURED, source)
    if outcome.get("partial"):
        return Speed(None, "How long an inference takes is not known, as no rule counts every operator.")
    if dense.get(ESTIMATED) is None:
        return Speed(None, "")
    if outcome["npu"]:
        return Speed(None, "How long an inference takes on the accelerator is told by Vela's cycles.")
    against = [*_timed(outcome), *(said for one in benches for said in _counted(outcome, one))]
    return Speed(None, against[0]) if against else Speed(ESTIMATED, source)


def slower(outcome: Mapping[str, Any]) -> str:
    """What the matter is with a low-rank form in whose place a layer stays dense."""
    dense = outcome["baseline"]
    counted = dense.get("instructions") is not None and dense.get(MEASURED) is None
    return f"is predicted to {'take more instructions' if counted else 'be slower'}"


def more_instructions(outcome: Mapping[str, Any]) -> Iterator[str]:
    """That the recommended model is smaller at the cost of instructions, where it is."""
    pick, dense = outcome["picks"]["recommended"], outcome["baseline"].get("instructions")
    if pick and dense and pick["instructions"] > dense:
        yield (
            f"The recommended model is predicted to take {digits(pick['instructions'] / dense)} times the instructions"
            f" of the dense one on {outcome['target']['name']}; --objective latency leaves such layers dense."
        )


def _timed(outcome: Mapping[str, Any]) -> Iterator[str]:
    """What was timed on this machine, where that is the target."""
    timed, pick = outcome["timed_here"], outcome["picks"]["recommended"]
    if timed is None or pick is None or not outcome["target"].get("here"):
        return
    ratio = pick[ESTIMATED] / outcome["baseline"][ESTIMATED]
    if (timed["low"] > 1 and ratio < 1) or (timed["high"] < 1 and ratio > 1):
        yield f"{_opening(ratio)}: timed there it takes {digits(timed['value'])} times. Go by that."


def _counted(outcome: Mapping[str, Any], bench: Mapping[str, Any]) -> Iterator[str]:
    """What an emulator of the target counted: which model executes more, and how many a cycle the estimate takes."""
    if bench["device"].get("target") != outcome["target"]["name"]:
        return
    models = {"baseline": outcome["baseline"], **{name: pick for name, pick in outcome["picks"].items() if pick}}
    counted = {
        name: one["instructions"]
        for one in bench["artifacts"]
        for name in (one["name"], *one.get("also", ()))
        if name in models and "instructions" in one
    }
    if {"baseline", "recommended"} <= counted.keys():
        ratio = models["recommended"][ESTIMATED] / models["baseline"][ESTIMATED]
        found = counted["recommended"] / counted["baseline"]
        if (ratio < 1 and found > 1 + NOISE) or (ratio > 1 and found < 1 - NOISE):
            yield f"{_opening(ratio)}: the emulator counts {digits(found)} times the instructions."
    for name, instructions in counted.items():
        cycles = models[name][ESTIMATED] / 1000 * outcome["target"].get("cycles_per_second", 0)
        if cycles and instructions > MOST_A_CYCLE * cycles:
            yield (
                "No time is estimated: by the profile's facts alone an inference would take"
                f" {digits(cycles)} cycles, and the emulator counts {digits(instructions)} instructions."
            )


def _opening(ratio: float) -> str:
    return (
        "No time is estimated: by the profile's facts alone the recommended model would take"
        f" {digits(ratio)} times as long as the dense one"
    )
