"""A model in C as a part of a program for a device: how it is called, and its numbers as they lie in memory there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.errors import DataError
from edgett.graph.wire import WirePort

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Program:
    """A model in C: the texts of NAME.h and NAME.c, and what NAME_run takes and gives."""

    name: str
    header: str
    code: str
    inputs: tuple[WirePort, ...]
    outputs: tuple[WirePort, ...]

    def write(self, folder: Path) -> None:
        """Write its sources."""
        (folder / f"{self.name}.h").write_text(self.header)
        (folder / f"{self.name}.c").write_text(self.code)

    def glue(self, suffix: str = "") -> str:
        """What a program includes: places for the numbers of an inference, `given` and `made`, and `model` for them."""
        parts = [f'#include "{self.name}.h"\n']
        for place, ports in (("given", self.inputs), ("made", self.outputs)):
            fields = "".join(f"    {port.c_type} p{index}[{port.size}];\n" for index, port in enumerate(ports))
            parts.append(f"static struct {{\n{fields}}} {place}{suffix};\n")
        names = [f"given{suffix}.p{index}" for index, _ in enumerate(self.inputs)]
        names += [f"made{suffix}.p{index}" for index, _ in enumerate(self.outputs)]
        parts.append(f"static void model{suffix}(void) {{\n    {self.name}_run({', '.join(names)});\n}}\n")
        return "\n".join(parts)

    def given(self, inputs: Arrays) -> NDArray[Any]:
        """(n, ...) real inputs by name in the numbers that it takes, a record an inference; the last repeats some.

        Raises DataError when they are not what it takes.
        """
        refuse_none(inputs)
        if missing := [port.name for port in self.inputs if port.name not in inputs]:
            raise DataError(f"the model takes {', '.join(missing)}.", f"There are {', '.join(inputs)}.")
        count, batch = len(next(iter(inputs.values()))), self.inputs[0].shape[0]
        rows = np.arange(-(-count // batch) * batch) % count
        records = np.zeros(len(rows) // batch, _record(self.inputs))
        for index, port in enumerate(self.inputs):
            if inputs[port.name].shape[1:] != port.shape[1:]:
                raise DataError(
                    f"samples of {port.name} are {inputs[port.name].shape[1:]}.", f"The model takes {port.shape[1:]}."
                )
            records[f"p{index}"] = port.stored(inputs[port.name][rows]).reshape(-1, port.size)
        return records

    def made(self, path: Path, count: int) -> dict[str, NDArray[Any]]:
        """The outputs of so many samples, real numbers by name, from the file of what it made.

        An output that is one for a batch has one a record. Raises ValueError when there are fewer records.
        """
        records = np.fromfile(path, _record(self.outputs))
        if len(records) * self.inputs[0].shape[0] < count:
            raise ValueError(f"{len(records)} inferences for {count} samples")
        return {
            port.name: port.real(records[f"p{index}"].reshape(-1, *port.shape[1:]))[:count]
            for index, port in enumerate(self.outputs)
        }


def refuse_none(inputs: Arrays) -> None:
    """Raise DataError when there is no sample, or not as many for each input."""
    if not inputs or len({len(array) for array in inputs.values()}) != 1 or not len(next(iter(inputs.values()))):
        raise DataError("a device needs samples, as many for each input.", "Give at least one.")


def _record(ports: Sequence[WirePort]) -> np.dtype[Any]:
    """The numbers of one inference as they lie in a struct of C."""
    return np.dtype([(f"p{index}", port.dtype, (port.size,)) for index, port in enumerate(ports)], align=True)
