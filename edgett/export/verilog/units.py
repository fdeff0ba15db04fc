"""A unit of hardware for each layer in a form: its factors in ROM, and multipliers that rebuild its weight from them.

Units are made of the same `PARTS`; `forms.integers` has their arithmetic, number by number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.escape import markdown
from edgett.forms.integers import Rebuilding, quantised
from edgett.forms.spec import Factors, Spec
from edgett.forms.stages import Stage, cycles, entries, strides
from edgett.graph.wire import identifiers

TEMPLATES = Path(__file__).parent / "templates"
PARTS = "edgett_rows.v", "edgett_stage.v"
"""What every unit is made of."""
BYTE, WORD = 8, 16
"""Bits of a factor and a weight, and of a vector between."""


@dataclass(frozen=True)
class RebuildUnit:
    """What rebuilds the weight of a layer.

    Attributes:
        name: of its module and its folder.
        layer: the layer's path.
        spec: the form of its weight.
        rebuilding: its factors, and how they are multiplied.
        error: how far its weight is from what the factors stood for before they were rounded, relative (L2).
    """

    name: str
    layer: str
    spec: Spec
    rebuilding: Rebuilding
    error: float

    @property
    def told(self) -> str:
        """What the layer is held as."""
        return f"{self.spec.title} {self.spec}".replace(f"{self.spec.title} {self.spec.title}", self.spec.title)

    @property
    def count(self) -> int:
        """Weights."""
        return entries(self.rebuilding.stages)

    @property
    def cycles(self) -> int:
        """Clock cycles from the first weight to the last."""
        return cycles(self.rebuilding.stages)

    @property
    def latency(self) -> int:
        """Clock cycles from `start` to the first weight: two for the first row, then those of each pipeline."""
        return 2 + sum(4 + _depth(stage) + stage.after for stage in self.rebuilding.stages[1:])

    @property
    def bits(self) -> int:
        """Bits of ROM."""
        return BYTE * self.rebuilding.stored


def units(layers: Mapping[str, tuple[Spec, Factors]]) -> tuple[RebuildUnit, ...]:
    """Make a unit for each layer whose form is a product of matrices.

    Args:
        layers: specs and factors, by path.

    Returns:
        The units, under names that Verilog takes.

    Raises:
        ModelError: for factors that no unit can hold; see `integers.quantised`.
    """
    able = [path for path, (spec, factors) in layers.items() if spec.stages(factors)]
    names = identifiers([f"rebuild_{path}" for path in able])
    return tuple(_unit(name, path, *layers[path]) for name, path in zip(names, able, strict=True))


def _unit(name: str, layer: str, spec: Spec, factors: Factors) -> RebuildUnit:
    made, dense = quantised(spec.stages(factors)), spec.dense(factors).ravel()
    off = float(np.linalg.norm(made.steps * made.codes() - dense))
    return RebuildUnit(name, layer, spec, made, off / (float(np.linalg.norm(dense)) or 1.0))


def files(made: Sequence[RebuildUnit], title: str, version: str) -> dict[str, str]:
    """Write units, their testbenches, what drives tools, and what people read.

    Args:
        made: the units.
        title: what the model is called.
        version: edgett's.

    Returns:
        Texts by path.
    """
    texts = {part: (TEMPLATES / part).read_text() for part in PARTS}
    for unit in made:
        values = _values(unit) | {"version": version}
        texts[f"{unit.name}/{unit.name}.v"] = _rendered("unit.v", values)
        texts[f"{unit.name}/{unit.name}_test.v"] = _rendered("test.v", values)
        for place, stage in enumerate(unit.rebuilding.stages):
            texts[f"{unit.name}/{_file(place)}"] = _hex(_words(stage, place))
        texts[f"{unit.name}/expected.hex"] = _hex(unit.rebuilding.codes()[:, np.newaxis])
    values = {"units": [_values(unit) for unit in made], "title": markdown(title), "version": version}
    return texts | {file: _rendered(file, values) for file in ("Makefile", "README.md")}


def _values(unit: RebuildUnit) -> dict[str, Any]:
    """What templates name."""
    (rows, columns), made = unit.spec.matrix, unit.rebuilding
    width = _bits(unit.count)
    pace = "cycle" if unit.cycles + 1 == unit.count else f"{(unit.cycles + 1) / unit.count:.2f} cycles"
    return {
        "name": unit.name, "layer": markdown(unit.layer), "told": unit.told, "rows": rows, "columns": columns,
        "count": unit.count, "cycles": unit.cycles, "latency": unit.latency, "pace": pace, "width": width,
        "stored": made.stored, "bits": unit.bits, "multipliers": made.multipliers, "step": f"{made.steps.item():.9g}",
        "stages": _stages(made), "axes": _axes(made.stages, width), "windowed": unit.spec.windowed,
        "error": unit.error,
    }  # fmt: skip


def _stages(made: Rebuilding) -> list[dict[str, Any]]:
    """The parameters of the parts."""
    found = []
    last = len(made.stages) - 1
    for place, stage in enumerate(made.stages):
        rounding = (*made.roundings, *made.columns)[place - 1] if place else None
        bits = BYTE if place in (0, last) else WORD
        found.append({
            "file": _file(place), "matrices": stage.values, "before": stage.before, "after": stage.after,
            "diagonal": int(stage.diagonal), "depth": _depth(stage), "vector": bits * stage.after,
            "bits_in": BYTE if place < 2 else WORD, "bits_out": bits, "count": _bits(stage.after),
            "place": _bits(len(_words(stage, place))),
            "multiplier": rounding.multiplier if rounding else 1, "shift": rounding.shift if rounding else 0,
        })  # fmt: skip
    return found


def _axes(stages: Sequence[Stage], width: int) -> list[dict[str, int]]:
    """An odometer's axes: by `step` it goes on along one of them where all behind it are at their ends and begin anew.

    Steps are in as many bits as addresses, and wrap around where the next entry lies further up.
    """
    apart = strides(stages)
    told = [axis for stage in stages for axis in stage.axes]
    kept = [axis for axis in told if axis[1] > 1] or told[:1]
    found, run = list[dict[str, int]](), 0
    for place, size in reversed(kept):
        found.insert(0, {"size": size, "bits": _bits(size), "step": (apart[place] - run) % 2**width})
        run += (size - 1) * apart[place]
    return found


def _words(stage: Stage, place: int) -> NDArray[np.int8]:
    """The words of a ROM, the numbers of one in a row: of the first factor a vector, of others what meets one."""
    if place == 0:
        return stage.matrices.reshape(stage.values, -1)
    return (
        stage.matrices.reshape(-1, 1) if stage.diagonal else stage.matrices.transpose(0, 2, 1).reshape(-1, stage.before)
    )


def _hex(words: NDArray[np.int8]) -> str:
    """As $readmemh takes them: the first number of a word in its lowest bits."""
    return "".join(f"{row.tobytes().hex()}\n" for row in np.ascontiguousarray(words[:, ::-1]))


def _file(place: int) -> str:
    return f"factor_{place}.hex"


def _bits(count: int) -> int:
    """Of a number below `count`."""
    return max((count - 1).bit_length(), 1)


def _depth(stage: Stage) -> int:
    """Floors of the tree that adds a stage's products."""
    return 0 if stage.diagonal else (stage.before - 1).bit_length()


def _rendered(file: str, values: Mapping[str, Any]) -> str:
    return str(_environment().get_template(f"{file}.j2").render(values))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(  # Verilog and Markdown, nothing that a browser shows
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
