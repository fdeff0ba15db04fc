"""A solution whose weights are rebuilt on the device: dense layers, int8 factors in flash, weights in RAM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgett.errors import CheckFailed, UsageError
from edgett.forms.integers import Rebuilding
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.rebuilt import RebuildRoom
from edgett.search.explore import Costing
from edgett.workflow import reexport
from edgett.workflow.files import predicted


@dataclass(frozen=True)
class HeldFile:
    """The .onnx of a solution with dense layers, and what its C takes when factors are stored in place of weights.

    Attributes:
        document: its cross-check.
        file: its name.
        rebuilt: by layer how its weight is rebuilt.
        flash: bytes of constants, foretold.
        ram: bytes that tensors and the weight of a layer take at once, inputs and outputs included, foretold.
        flops: of an inference, rebuilding included.
    """

    document: dict[str, Any]
    file: str
    rebuilt: Mapping[str, Rebuilding]
    flash: int
    ram: int
    flops: int

    def checked(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """What the C takes beside what was foretold, and each layer; `sizes`: those of `pack.sources_of`.

        Raises CheckFailed where flash is other than foretold, or RAM more.
        """
        flash, ram = sizes["weight_bytes"], sizes["ram_bytes"]
        if flash != self.flash or ram > self.ram:
            raise CheckFailed(
                f"C with factors takes {flash:,} bytes of flash and {ram:,} of RAM, predicted were {self.flash:,} and"
                f" {self.ram:,}.",
                "Do not deploy it.",
            )
        rooms = {layer: RebuildRoom.of(made) for layer, made in self.rebuilt.items()}
        return {
            "flash_bytes": {"predicted": self.flash, "found": flash},
            "ram_bytes": {"predicted": self.ram, "found": ram},
            "layers": [
                {"name": layer, "weights": room.weight, "stored": self.rebuilt[layer].stored,
                 "flash_bytes": room.stored, "ram_bytes": room.ram, "macs": room.macs}
                for layer, room in rooms.items()
            ],
        }  # fmt: skip


def export(path: Path, number: int | None, folder: Path, batch: int) -> HeldFile:
    """Write a solution of the run in `path` as an .onnx of dense layers into `folder`, checked.

    The recommended solution where `number` is None. Raises UsageError for a run that is not in int8, for a solution
    without layers in forms, and for one that there is not; ModelError for a form that cannot be rebuilt.
    """
    from edgett.model.held import rebuilt_from_factors

    with reexport.opened(path, number, batch) as solution:
        if solution.style.calibration is None:
            raise UsageError(
                f"--hold factors holds int8 weights, and the run in {path} is in {DType.FLOAT32.value}.",
                "Make a run with --dtype int8, or leave it out.",
            )
        held = rebuilt_from_factors(solution.model, solution.original)
        if not held.rebuilt:
            raise UsageError(f"{solution.name} has no layer in a form.", "Name another one with --solution.")
        solution = replace(solution, style=replace(solution.style, floats=frozenset()))
        document = reexport.put(held.model, solution, f"{solution.name}_factors", (Format.C.suffix,), folder)
        rooms = {layer: RebuildRoom.of(made) for layer, made in held.rebuilt.items()}
        graph = predicted(held.model, Format.C.suffix, solution.style).holding(rooms)
    (file,) = document["written"]
    costing = Costing(batch, DType.INT8.size, Format.C)
    flops = graph.flops() + 2 * sum(room.macs for room in rooms.values())
    return HeldFile(document, file, held.rebuilt, costing.file_bytes(graph), costing.peak_bytes(graph), flops)
