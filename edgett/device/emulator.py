"""Runs a model on an emulated device: its outputs, and the instructions that an inference executes there.

QEMU executes a device's instructions, not its clock: what is counted is exact and repeatable, and no time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from numpy.typing import NDArray

import edgett
from edgett.device.debian import PACKAGES
from edgett.device.emulated import MARK, WARMUP, load, save, sysroot
from edgett.device.emulated.programs import HERE, OLDEST, call, last_words, other_api, plugin, start
from edgett.device.program import Program, refuse_none
from edgett.errors import ToolError
from edgett.system.folders import scratch

Arrays = Mapping[str, NDArray[Any]]
T = TypeVar("T")
LIMIT = 600.0
"""Seconds after which an emulation is given up."""
FAULT = 70
"""What cortex-m.c ends with after a fault."""


@dataclass(frozen=True)
class Counted:
    """Instructions of one inference: the median over the samples, and how far they lie apart.

    `outputs` are (n, ...) real numbers by name. `emulator` and `runtime` say what executed them.
    """

    instructions: int
    spread: int
    outputs: Arrays
    emulator: str
    runtime: str


@dataclass(frozen=True)
class Board:
    """A board that QEMU emulates: options of the compiler, where its memory lies, instructions a tick of SysTick.

    It starts with the table at `vectors`. `flash` and `ram` are as large as a model may need, not as a chip's.
    """

    flags: tuple[str, ...]
    vectors: int
    flash: tuple[int, int]
    ram: tuple[int, int]
    tick: float


_MIB = 1 << 20
_TABLE = 1 << 10
_HARD = "-mfloat-abi=hard"
_FLASH, _RAM = (_TABLE, 4 * _MIB - _TABLE), (0x20000000, 4 * _MIB)
# With shift=0 an instruction takes a nanosecond of the emulated clock. Memory and clocks: QEMU's hw/arm/mps2*.c.
BOARDS = {
    "mps2-an385": Board(("-mcpu=cortex-m3",), 0, _FLASH, _RAM, 1e9 / 25e6),
    "mps2-an386": Board(("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", _HARD), 0, _FLASH, _RAM, 1e9 / 25e6),
    "mps2-an500": Board(("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", _HARD), 0, _FLASH, _RAM, 1e9 / 25e6),
    "mps2-an505": Board(
        ("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", _HARD), 0x10000000, (0x10000000 + _TABLE, 4 * _MIB - _TABLE),
        (0x38000000, 4 * _MIB), 1e9 / 20e6,
    ),
    "mps3-an547": Board(
        ("-mcpu=cortex-m55", _HARD), 0, (0x70000000, 64 * _MIB), (0x78000000, 64 * _MIB), 1e9 / 32e6
    ),
}  # fmt: skip
"""QEMU's names of boards."""
COMPILERS = {
    "qemu-aarch64": "aarch64-linux-gnu-gcc",
    "qemu-arm": "arm-linux-gnueabihf-gcc",
    "qemu-riscv64": "riscv64-linux-gnu-gcc",
}
"""Emulators of a processor with Linux."""
RUNTIMES = {".tflite": ("LiteRT", sysroot.WHEELS[0]), ".onnx": ("ONNX Runtime", sysroot.WHEELS[2])}


def count(artefact: Path, inputs: Arrays, cpu: str, limit: float = LIMIT) -> Counted:
    """An artefact, .tflite or .onnx, in LiteRT or ONNX Runtime on Linux on arm64, for (n, ...) real inputs by name.

    Counts the call from Python, on one thread, the same with every sample. Raises ToolError with what is missing, and
    with what the emulated program said at its end.
    """
    runtime, wheel = _known(artefact.suffix, RUNTIMES, "kind of file")
    refuse_none(inputs)
    emulator = version("qemu-aarch64")
    root = sysroot.prepared()
    with scratch() as folder:
        _copy(artefact, folder / f"model{artefact.suffix}")
        save(folder / "inputs.npz", inputs)
        (folder / "edgett").symlink_to(Path(edgett.__file__).parent)
        sysroot.dressed(root, cpu, folder / "root")
        python = folder / "root" / f"usr/bin/python{sysroot.PYTHON}"
        command: list[str | Path] = ["qemu-aarch64", "-cpu", cpu, "-L", folder / "root"]
        # -P, -S: this machine's modules are for another processor.
        _counting(command, [python, "-P", "-S", HERE / "guest.py", f"model{artefact.suffix}"], folder, limit)
        counts = _marked(folder)[WARMUP:]
        outputs = load(folder / "outputs.npz")
    return _counted(counts, outputs, f"{emulator}, -cpu {cpu}", f"{runtime} {wheel.partition('==')[2]}")


def count_c(program: Program, inputs: Arrays, emulator: str, cpu: str, limit: float = LIMIT) -> Counted:
    """A model in C as a program of Linux on a processor that QEMU emulates, compiled with -O2 for it."""
    compiler = _known(emulator, COMPILERS, "processor with Linux")
    flags = [] if "riscv" in emulator else [f"-mcpu={cpu}", *(["-mfpu=auto"] if emulator == "qemu-arm" else [])]
    with scratch() as folder:
        _write(program, inputs, folder)
        sources = [HERE / "main.c", HERE / "linux.c"]
        _compile([compiler, *flags, "-static", f"-DMARK={MARK}"], program, folder, sources)
        _counting([emulator, "-cpu", cpu], [folder / "model"], folder, limit)
        counts, outputs = _marked(folder), program.made(folder / "outputs.bin", len(next(iter(inputs.values()))))
    return _counted(counts, outputs, f"{version(emulator)}, -cpu {cpu}", f"C, {compiler} -O2")


def count_on_board(
    program: Program, inputs: Arrays, machine: str, limit: float = LIMIT, cpu: str | None = None
) -> Counted:
    """A model in C without an operating system on a Cortex-M board that QEMU emulates, compiled with -O2 for it.

    `cpu`: a lesser processor whose instructions the board's own executes too, as a Cortex-M3 does all of a Cortex-M0+.
    A sample is repeated until its instructions are known to a ten-thousandth.
    """
    board = _known(machine, BOARDS, "Cortex-M board")
    flags = board.flags if cpu is None else (f"-mcpu={cpu}",)
    compiler = "arm-none-eabi-gcc"
    places = {"VECTORS": board.vectors, "FLASH": board.flash[0], "FLASH_SIZE": board.flash[1], "RAM": board.ram[0],
              "RAM_SIZE": board.ram[1]}  # fmt: skip
    link = ["--gc-sections", "--no-warn-rwx-segments", *(f"--defsym={key}={value}" for key, value in places.items())]
    options = ["-mthumb", *flags, "-ffunction-sections", "-fdata-sections"]
    options += ["--specs=rdimon.specs", "-nostartfiles", "-T", str(HERE / "cortex-m.ld"), f"-Wl,{','.join(link)}"]
    with scratch() as folder:
        _write(program, inputs, folder)
        _compile([compiler, *options], program, folder, [HERE / "main.c", HERE / "cortex-m.c"])
        command = ["qemu-system-arm", "-M", machine, "-icount", "shift=0", "-nographic", "-monitor", "none"]
        command += ["-semihosting-config", "enable=on,target=native", "-kernel", "model"]
        ended = start(command, folder, limit)
        if ended.returncode:
            ends = {FAULT: "it ended in a fault of the processor."}
            said = ends.get(ended.returncode) or last_words(ended)
            raise ToolError(f"the program failed on {machine}: {said}", "Export the model again.")
        lines = [line.split() for line in (folder / "counts.txt").read_text().splitlines()]
        counts = [round(int(ticks) * board.tick / int(repeats)) for ticks, repeats in lines]
        outputs = program.made(folder / "outputs.bin", len(next(iter(inputs.values()))))
    flag = "".join(f" {flag}" for flag in flags if cpu)
    return _counted(counts, outputs, f"{version('qemu-system-arm')}, -M {machine}", f"C, {compiler}{flag} -O2")


def version(emulator: str) -> str:
    """QEMU's version, in its own words."""
    found = re.search(r"version (\S+)", call([emulator, "--version"], Path(), 60, "Install QEMU again."))
    return f"QEMU {found[1]}" if found else "QEMU"


def _known(name: str, known: Mapping[str, T], what: str) -> T:
    try:
        return known[name]
    except KeyError:
        raise ToolError(f"{name} is no {what} that edgett can emulate.", f"There are {', '.join(known)}.") from None


def _copy(artefact: Path, to: Path) -> None:
    try:
        shutil.copyfile(artefact, to)
    except OSError as error:
        raise ToolError(f"{artefact} cannot be read: {error.strerror}.", "Export it again.") from error


def _counting(emulator: Sequence[str | Path], program: Sequence[str | Path], folder: Path, limit: float) -> None:
    """Run a program of Linux under the plugin that counts, in an environment that is the same everywhere."""
    environment = {
        "PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "PYTHONPATH": f"{folder / 'root' / 'site'}:{folder}",
        "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def counted(api: int) -> subprocess.CompletedProcess[str]:
        return start([*emulator, "-plugin", f"./{plugin(folder, api).name}", *program], folder, limit, environment)

    ended = counted(OLDEST)
    if ended.returncode and (api := other_api(ended.stdout)):
        ended = counted(api)
    if ended.returncode:
        raise ToolError(
            f"the emulated program failed on {' '.join(map(str, emulator[:3]))}: {last_words(ended)}",
            f"Check the names of the inputs, and the processor: `{emulator[0]} -cpu help` lists them.",
        )


def _marked(folder: Path) -> list[int]:
    """Instructions of each inference: counts come in pairs, the first of nothing."""
    numbers = [int(line) for line in (folder / "counts.txt").read_text().split()]
    return [full - empty for empty, full in zip(numbers[::2], numbers[1::2], strict=True)]


def _counted(counts: list[int], outputs: Arrays, emulator: str, runtime: str) -> Counted:
    return Counted(round(median(counts)), max(counts) - min(counts), outputs, emulator, runtime)


def _compile(compiler: Sequence[str], program: Program, folder: Path, sources: Sequence[Path]) -> None:
    options = ["-std=gnu99", "-O2", "-I", str(folder), "-o", "model"]
    command: list[str | Path] = [*compiler, *options, f"{program.name}.c", *sources, "-lm"]
    cure = f"Check the processor, that the model fits into the memory, and: apt-get install {PACKAGES[compiler[0]]}"
    call(command, folder, LIMIT, cure)


def _write(program: Program, inputs: Arrays, folder: Path) -> None:
    """The sources of a model, and its inputs."""
    program.given(inputs).tofile(folder / "inputs.bin")
    program.write(folder)
    (folder / "the-model.h").write_text(program.glue())
