"""Emulated chips: a package is built for one with CMake, linked into the application beside this file, and run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

APP = Path(__file__).parent / "app"


@dataclass(frozen=True)
class Chip:
    """What CMake and the emulator are told. `link` sets the sizes of flash and RAM in bytes."""

    name: str
    toolchain: str
    settings: tuple[str, ...]
    link: str
    emulator: tuple[str, ...]

    @property
    def programs(self) -> tuple[str, ...]:
        """What has to be installed."""
        compiler = "riscv64-unknown-elf-gcc" if "riscv" in self.toolchain else "arm-none-eabi-gcc"
        return "cmake", compiler, self.emulator[0]


def _cortex(cpu: str, fpu: str, machine: str) -> Chip:
    floats = f"-mfpu={fpu} -mfloat-abi=hard" if fpu else "-mfloat-abi=soft"
    settings = (f"-DCPU={cpu}", f"-DFLOAT={floats}", f"-DSTARTUP={APP / 'cortex-m.c'}")
    link = "-Wl,--defsym=FLASH_SIZE={flash},--defsym=RAM_SIZE={ram}"
    return Chip(cpu, "cortex-m.cmake", settings, link, ("qemu-system-arm", "-M", machine))


M0 = _cortex("cortex-m0plus", "", "mps2-an385")
"""On a board whose Cortex-M3 executes all that it does."""
M3 = _cortex("cortex-m3", "", "mps2-an385")
M4 = _cortex("cortex-m4", "fpv4-sp-d16", "mps2-an386")
M7 = _cortex("cortex-m7", "fpv5-sp-d16", "mps2-an500")
M55 = _cortex("cortex-m55", "auto", "mps3-an547")
RISCV = Chip(
    "rv32imc",
    "riscv32.cmake",
    (),
    "-Wl,--defsym=__flash=0x80000000,--defsym=__flash_size={flash},--defsym=__ram=0x81000000,--defsym=__ram_size={ram},"
    "--defsym=__stack_size=16K",
    ("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
)


@dataclass(frozen=True)
class Said:
    """What the application printed: whether every vector held, and the bytes of stack that each model took."""

    passed: bool
    stack: dict[str, int]


def build(packages: Sequence[Path], chip: Chip, folder: Path, flash: int = 512 * 1024, ram: int = 128 * 1024) -> Path:
    """The linked firmware of the packages."""
    settings = [f"-DCMAKE_TOOLCHAIN_FILE={APP / chip.toolchain}", *chip.settings]
    settings += [f"-DPACKAGES={';'.join(map(str, packages))}", f"-DLINK={chip.link.format(flash=flash, ram=ram)}"]
    for command in (["cmake", "-S", APP, "-B", folder, *settings], ["cmake", "--build", folder]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "app.elf"


def run(elf: Path, chip: Chip) -> Said:
    """Emulate it until it says that it is done."""
    options = ["-nographic", "-monitor", "none", "-semihosting-config", "enable=on,target=native"]
    command = [*chip.emulator, *options, "-kernel", str(elf)]
    # Some C libraries write to the debugger's console, which is QEMU's standard error.
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    stack = re.findall(r"^(\w+): \d+ vectors failed, stack (\d+)$", done.stdout, re.MULTILINE)
    assert stack, done.stdout
    return Said("PASSED" in done.stdout and done.returncode == 0, {name: int(text) for name, text in stack})
