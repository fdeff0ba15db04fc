"""Arm's Vela: what of an int8 .tflite an Ethos-U runs, and what that takes there."""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgett.errors import ToolError
from edgett.system.folders import scratch

PACKAGE = "ethosu"
ACCELERATORS = {"cortex-m55": "ethos-u55-128", "ethos-u55": "ethos-u55-128"}
"""By a target's name: the NPU beside its processor, with its multiply-accumulates a cycle."""
LIMIT = 600.0
"""Seconds after which a compilation is given up."""
_COUNT = re.compile(r"^(CPU|NPU) operators = (\d+)", re.MULTILINE)
_LEFT = re.compile(r"^ +CPU: \S+ = (.+) \(outputs ", re.MULTILINE)
_MODULE = "ethosu.vela"


@dataclass(frozen=True)
class VelaSummary:
    """What Vela says of a file for an accelerator: its own estimates, of its own default system and memory mode.

    Vela rewrites a graph before it counts its operators; `left` names the results of those that stay on the processor.
    Memory in bytes: SRAM for tensors, flash for weights and commands. `cycles` are the NPU's, memory included.
    """

    accelerator: str
    system: str
    memory_mode: str
    npu_operators: int
    cpu_operators: int
    left: tuple[str, ...]
    sram_bytes: int
    flash_bytes: int
    cycles: int
    macs: int


def run(path: Path, accelerator: str, limit: float = LIMIT) -> VelaSummary | None:
    """Vela's summary of an int8 .tflite, or None where Vela is not installed (pip install 'edgett[vela]').

    Raises ToolError when it refuses the file or takes more than `limit` seconds.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    with scratch() as folder:
        options = ["--accelerator-config", accelerator, "--output-dir", str(folder), "--show-cpu-operations"]
        command = [sys.executable, "-m", _MODULE, *options, str(path.resolve())]
        try:
            # The configuration that it falls back to is looked for in the working directory first.
            ended = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit, cwd=folder)
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"Vela took more than {limit:g} s for {path.name}.", "Leave it out.") from error
        tables = list(folder.glob("*_summary_*.csv"))
        if ended.returncode or not tables:
            said = " ".join((ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:])[:300]
            raise ToolError(
                f"Vela does not compile {path.name} for {accelerator}: {said}.", "Export it again, in int8."
            )
        return _summary(accelerator, ended.stdout, tables[0])


def _summary(accelerator: str, said: str, table: Path) -> VelaSummary:
    """From the table, and from the text where the table has no such column."""
    with table.open(newline="") as file:
        row = next(csv.DictReader(file))
    counted = {kind: int(number) for kind, number in _COUNT.findall(said)}
    kibibytes = {name: float(row[f"{name}_memory_used"]) for name in ("sram", "on_chip_flash", "off_chip_flash")}
    return VelaSummary(
        accelerator=accelerator,
        system=row["system_config"],
        memory_mode=row["memory_mode"],
        npu_operators=counted["NPU"],
        cpu_operators=counted["CPU"],
        left=tuple(_LEFT.findall(said)),
        sram_bytes=round(1024 * kibibytes["sram"]),
        flash_bytes=round(1024 * (kibibytes["on_chip_flash"] + kibibytes["off_chip_flash"])),
        cycles=int(float(row["cycles_total"])),
        macs=int(float(row["nn_macs"])),
    )
