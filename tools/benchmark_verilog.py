"""What units that rebuild weights come to in hardware; see `benchmark.py`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from edgett.export.verilog.units import RebuildUnit, files, units
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.spec import Spec
from edgett.forms.svd import SVDShape
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window

_SPECS: tuple[Spec, ...] = (
    SVDShape(784, 300, 8),
    TTShape((28, 28), (15, 20), (1, 8, 1)),
    TTShape((7, 16, 7), (5, 12, 5), (1, 8, 8, 1)),
    TTShape((4, 7, 4, 7), (5, 5, 4, 3), (1, 8, 8, 8, 1)),
    SpatialSVD(Window((3, 3), (8, 8)), 64, 64, 16),
    Tucker2(Window((3, 3), (8, 8)), 64, 64, 16, 16),
    TTConv(Window((3, 3), (8, 8)), 64, 64, 16, 16, 16),
    CP(Window((3, 3), (8, 8)), 64, 64, 32),
)
"""Layers of LeNet300 and of ResNet-8."""
_FLIPS = re.compile(r"\$_S?DFF\w*_ +(\d+)")


def verilog(
    device: Annotated[bool, typer.Option("--device", help="Also in the blocks of a Lattice ECP5.")] = False,
) -> None:
    """Units for layers of Gaussian weights: Icarus Verilog against Python, cells by Yosys, cycles, bits of ROM."""
    made = units({f"layer {place}": (spec, _factors(spec)) for place, spec in enumerate(_SPECS)})
    blocks = "".join(f"{name:>7}" for name in ("LUT4", "flips", "DSP", "RAM")) if device else ""
    print(
        f"{'form':44}{'weights':>9}{'stored':>8}{'fewer':>7}{'ROM bits':>10}{'MACs':>6}{'cycles':>8}{'latency':>8}"
        f"{'gates':>8}{'flips':>7}{blocks}  test"
    )
    with TemporaryDirectory() as folder:
        _write(Path(folder), files(made, "Gaussian weights", "a benchmark"))
        for unit in made:
            print(_line(Path(folder), unit, device), flush=True)
    print("cycles: a weight; MACs: without the multiplier of the rounding; gates, flips: Yosys's own cells, ROM apart")


def _factors(spec: Spec) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(0)
    return tuple(random.normal(size=shape).astype(np.float32) for shape in spec.factors)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def _line(folder: Path, unit: RebuildUnit, device: bool) -> str:
    tested = _made(folder, f"{unit.name}/test.log")
    cells = _made(folder, f"{unit.name}/cells.log")
    whole = re.search(r"Number of cells: +(\d+)", cells)
    roms = re.search(r"\$mem_v2 +(\d+)", cells)
    assert whole and roms, cells
    flips = sum(map(int, _FLIPS.findall(cells)))
    made, gates = unit.rebuilding, int(whole[1]) - int(roms[1]) - flips
    blocks = "".join(f"{count:7,}" for count in _ecp5(folder, unit)) if device else ""
    told = f"{unit.told:44}{unit.count:9,}{made.stored:8,}{unit.count / made.stored:6.1f}x{unit.bits:10,}"
    told += f"{made.multipliers:6}{(unit.cycles + 1) / unit.count:8.3f}{unit.latency:8}{gates:8,}{flips:7,}{blocks}"
    return f"{told}  {'PASS' if 'PASS' in tested.splitlines() else 'FAIL'}"


def _made(folder: Path, goal: str) -> str:
    """A log that the Makefile makes."""
    subprocess.run(["make", "-s", goal], cwd=folder, check=False, capture_output=True)
    path = folder / goal
    return path.read_text() if path.exists() else ""


def _ecp5(folder: Path, unit: RebuildUnit) -> tuple[int, ...]:
    """Look-up tables of four inputs, flip-flops, multipliers of 18 bits, and blocks of RAM."""
    sources = f"{unit.name}.v ../edgett_rows.v ../edgett_stage.v"
    script = f"read_verilog -defer {sources}; synth_ecp5 -top {unit.name}; tee -o ecp5.log stat"
    subprocess.run(["yosys", "-q", "-p", script], cwd=folder / unit.name, check=True, capture_output=True)
    log = (folder / unit.name / "ecp5.log").read_text()
    names = ("LUT4", "TRELLIS_FF", "MULT18X18D", "DP16KD")
    return tuple(sum(map(int, re.findall(rf"\b{name} +(\d+)", log))) for name in names)
