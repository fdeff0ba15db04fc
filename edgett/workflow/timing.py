"""Compressed models beside the dense one, on this machine: what fewer FLOPs come to, and where they do not pay."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from edgett.device.bench import Plan, Subject
from edgett.device.local import Local
from edgett.device.statistics import Ratio, ratio
from edgett.errors import ToolError, UsageError
from edgett.forms.catalogue import Held
from edgett.meter import Meter, Silent
from edgett.run import record
from edgett.run.directory import TIMES, Run
from edgett.schema import SCHEMA
from edgett.workflow.inputs import Inputs

BRIEF = Plan(runs=40, seconds=0.4, lives=3, limit=60)
"""Enough to tell a difference of a few per cent."""
DECISIVE = Plan(runs=40, seconds=0.5, lives=5, limit=600)
"""Enough to go by it."""
SAMPLES = 4
MARGIN = 1.03
"""A model is clearly slower when not even the low end of its ratio's confidence interval is below this."""


@dataclass(frozen=True)
class Lineup:
    """What is timed: the file of a solution, some of whose layers are left replaced, and that of the dense model."""

    solution: int
    edits: Mapping[str, Held]
    dense: Path
    file: Path


@dataclass(frozen=True)
class Pace:
    """How many times as long as the dense model a solution takes with the layers that are left in their forms.

    `layers`, where it was asked for: and as the same with a dense layer in place of that one.
    """

    solution: int
    edits: Mapping[str, Held]
    whole: Ratio
    layers: Mapping[str, Ratio]

    @property
    def slow(self) -> Mapping[str, float]:
        """The layers that clearly cost time, and how many times as long the model takes with each.

        The worst one where the whole is clearly slower and none of them is.
        """
        clear = {name: found.value for name, found in self.layers.items() if found.low > MARGIN}
        if clear or not self.layers or self.whole.low <= MARGIN:
            return clear
        worst = max(self.layers, key=lambda name: self.layers[name].value)
        return {worst: self.layers[worst].value}


class Clock:
    """Times solutions for a run, each once: what the run has written down stands, so that a resumed one decides alike.

    Where this machine cannot be measured just now it says so once, and nothing is timed any more.
    """

    def __init__(self, run: Run, inputs: Inputs, plan: Plan, meter: Meter) -> None:
        """Raises UsageError when what the run has written down is damaged."""
        self._run, self._plan, self._meter = run, plan, meter
        self._samples = inputs.data.validation.take(slice(SAMPLES)).x
        self._paces = _read(run.path)
        self._able = True

    def pace(self, lineup: Lineup, variants: Callable[[], Mapping[str, Path]] = dict) -> Pace | None:
        """The pace of a solution; of its layers too where `variants` has a file of each, without it."""
        known = (pace for pace in self._paces if (pace.solution, pace.edits) == (lineup.solution, lineup.edits))
        if (found := next(known, None)) is not None or not self._able:
            return found
        others = variants()
        paths = list(dict.fromkeys([lineup.dense, lineup.file, *others.values()]))
        subjects = [Subject(path, self._samples) for path in paths]
        try:
            report = Local().measure(subjects, self._plan, Silent())
        except (ToolError, UsageError) as error:
            self._able = False
            self._meter.say(f"not timed: {error.message}")
            return None
        turns = {path: one.turns for path, one in zip(paths, report.artefacts, strict=True)}
        own = turns[lineup.file]
        layers = {name: ratio(own, turns[path], self._plan.lives) for name, path in others.items()}
        whole = ratio(own, turns[lineup.dense], self._plan.lives)
        self._paces.append(Pace(lineup.solution, lineup.edits, whole, layers))
        self._run.write_json(TIMES, {"schema": SCHEMA, "times": _codec().dump_python(self._paces, mode="json")})
        return self._paces[-1]


def _read(run: Path) -> list[Pace]:
    if not (run / TIMES).exists():
        return []
    found: list[Pace] = record.value(run, TIMES, "times", _codec(), record.anew({}))
    return found


@functools.cache
def _codec() -> TypeAdapter[list[Pace]]:
    return TypeAdapter(list[Pace])
