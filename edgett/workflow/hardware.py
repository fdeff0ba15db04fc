"""What rebuilds the weights of a finished run in hardware: a unit for each of its layers in forms."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgett.errors import UsageError
from edgett.workflow import reexport


@dataclass(frozen=True)
class UnitSources:
    """The texts of units by their paths, and what documents tell of each."""

    texts: dict[str, str]
    told: list[dict[str, Any]]


def hardware(path: Path, number: int | None) -> UnitSources:
    """The units for a solution of the run in `path`, the recommended one where `number` is None.

    Raises UsageError when no layer of it is in a form that a unit multiplies out; ModelError when its factors do not
    fit one.
    """
    from edgett.export.verilog.units import files, units
    from edgett.model.layers import factored_layers

    with reexport.opened(path, number) as found:
        made = units({name: (layer.spec, layer.held()) for name, layer in factored_layers(found.model).items()})
        name = found.name
    if not made:
        raise UsageError(
            f"{name} has no layer in a form that hardware rebuilds.", "Name another solution with --solution."
        )
    folder = f"{name}_verilog"
    texts = {
        f"{folder}/{file}": text for file, text in files(made, f"{found.title}, {name}", version("edgett")).items()
    }
    told = [
        {
            "name": unit.name, "layer": unit.layer, "form": unit.told, "weights": unit.count,
            "stored": unit.rebuilding.stored, "multipliers": unit.rebuilding.multipliers, "rom_bits": unit.bits,
            "latency": unit.latency, "cycles": unit.cycles, "error": unit.error,
        }
        for unit in made
    ]  # fmt: skip
    return UnitSources(texts, told)
