"""The [instructions] table of a profile: what 'edgett calibrate --device emulator' counted, in TOML and for C."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, ClassVar

from pydantic import Field

from edgett.graph.c_work import THINGS
from edgett.graph.dtype import DType
from edgett.graph.instructions import Instructions, Rates
from edgett.target.tables import TomlTable

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class KernelTable(TomlTable):
    """Instructions of a kernel for each thing that it does; what is left out is 0."""

    macs: Rate = Field(default=0.0, description="a multiply-accumulate")
    tails: Rate = Field(default=0.0, description="a multiply-accumulate that comes alone")
    outputs: Rate = Field(default=0.0, description="a number that it makes")
    reads: Rate = Field(default=0.0, description="a number that it reads")
    rows: Rate = Field(default=0.0, description="a row")
    calls: Rate = Field(default=0.0, description="a beginning")


class InstructionTable(TomlTable):
    """All in instructions of one inference in C, in float32 or int8 as the kernels' names say."""

    CURE: ClassVar[str] = "Count again, into the same file: edgett calibrate --device emulator --target FILE --out FILE"
    counted: Annotated[str, Field(min_length=1)] = Field(description="where, when and with what it was counted")
    start: Rate = Field(description="instructions of an inference as such")
    kernels: Annotated[dict[str, KernelTable], Field(min_length=1)] = Field(
        description="instructions of each kernel for a multiply-accumulate, an output, and what else it does"
    )

    def of(self, dtype: DType) -> Instructions | None:
        """As the prediction takes them; None where nothing was counted of models of that type."""
        if f"row_{'int8' if dtype is DType.INT8 else 'float'}" not in self.kernels:
            return None
        return Instructions(self.start, {name: Rates(**row.model_dump()) for name, row in self.kernels.items()})


def toml(found: Instructions, counted: str) -> str:
    """The table as text; four digits, which is more than the prediction is exact to."""
    return "\n".join(_lines(found, counted)) + "\n"


def _lines(found: Instructions, counted: str) -> Iterator[str]:
    yield from ("[instructions]", f'counted = "{counted}"', f"start = {found.start:.4g}", "", "[instructions.kernels]")
    for name in sorted(found.kernels):
        rates = asdict(found.kernels[name])
        parts = [f"{thing} = {rates[thing]:.4g}" for thing in THINGS if rates[thing]]
        yield f"{name} = {{{', '.join(parts)}}}"
