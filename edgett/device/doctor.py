"""What this machine has of what edgett needs or can use; nothing heavy is imported for it."""

from __future__ import annotations

import enum
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import edgett
from edgett.device.debian import PACKAGES

PATIENCE = 10.0
"""Seconds that a program may take to tell its version."""

_MODULES = {"pyelftools": "elftools", "ethos-u-vela": "ethosu", "pytest-xdist": "xdist"}
"""What libraries are imported as where it is not their name."""
_EXTRAS = {
    "ray": "compress --cluster: fine-tuning on a Ray cluster",
    "firmware": "export --format c and tflm, firmware pack and size, bench over ssh without Python",
    "vela": "Ethos-U targets: what of a model runs on the NPU",
    "test": "tools/check: the tests",
}
_EMULATED = "bench --device emulator"
_SENT = "bench --device ssh:// without Python on"
_TOOLS = {
    "qemu-aarch64": f"{_EMULATED}: 64-bit Arm Linux",
    "qemu-arm": f"{_EMULATED}: 32-bit Arm Linux",
    "qemu-riscv64": f"{_EMULATED}: RISC-V Linux",
    "qemu-system-arm": f"{_EMULATED}: Cortex-M boards",
    "gcc": f"{_EMULATED}: counting instructions; {_SENT} x86-64",
    "aarch64-linux-gnu-gcc": f"{_SENT} 64-bit Arm",
    "arm-linux-gnueabihf-gcc": f"{_EMULATED}: C on 32-bit Arm Linux; {_SENT} it",
    "riscv64-linux-gnu-gcc": f"{_EMULATED}: C on RISC-V Linux; {_SENT} it",
    "arm-none-eabi-gcc": "firmware for Cortex-M, and its emulation",
    "riscv64-unknown-elf-gcc": "firmware for RISC-V",
    "cmake": "firmware packages in CMake builds",
    "ninja": "firmware packages in CMake builds with Ninja",
    "make": "firmware packages in Make builds, units in Verilog",
    "iverilog": "export --format verilog: units against Python",
    "verilator": "export --format verilog: lint",
    "yosys": "export --format verilog: cells",
    "ssh": "bench and calibrate --device ssh://",
    "apt-get": f"{_EMULATED}: LiteRT and ONNX Runtime on arm64",
}
_OF_V = ("ssh", "iverilog", "yosys")
"""Programs that tell their version by another option than others."""
_SIMD = (
    *("avx2", "fma", "avx512f", "avx512_bf16", "avx_vnni", "avx512_vnni", "amx_int8"),
    *("neon", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""Of x86 and Arm, what the runtimes have kernels for."""


class Health(enum.Enum):
    """What was found."""

    OK = "ok"
    MISSING = "missing"
    OTHER = "other version"
    BROKEN = "broken"


@dataclass(frozen=True)
class Library:
    """A Python library: the versions that will do, and the one that is there."""

    name: str
    needed: str
    version: str | None
    state: Health


@dataclass(frozen=True)
class Extra:
    """Libraries that are installed together, for something that not everybody wants."""

    name: str
    enables: str
    libraries: tuple[Library, ...]


@dataclass(frozen=True)
class Tool:
    """A program, where it was found, and the packages of Debian that have it."""

    name: str
    enables: str
    debian: str
    path: str | None
    version: str | None
    state: Health


@dataclass(frozen=True)
class Machine:
    """What there is to work with; bytes, and free ones of folders, None where it cannot be told.

    `usable`: processors that this process may use.
    """

    processor: str
    architecture: str
    system: str
    processors: int
    usable: int
    memory: int
    available: int
    simd: tuple[str, ...]
    free: Mapping[str, int | None]


@dataclass(frozen=True)
class Wanted:
    """What edgett says that it needs: of Python, always, and by extra."""

    python: str
    core: tuple[Requirement, ...]
    extras: Mapping[str, tuple[Requirement, ...]]


def wanted() -> Wanted:
    """As pyproject.toml says in a checkout, else as the installed package does."""
    place = Path(edgett.__file__).parent.parent / "pyproject.toml"
    project = tomllib.loads(place.read_text()).get("project", {}) if place.is_file() else {}
    if project.get("name") == "edgett":
        extras = {name: _parsed(lines) for name, lines in project["optional-dependencies"].items()}
        return Wanted(project["requires-python"], _parsed(project["dependencies"]), extras)
    about = importlib.metadata.metadata("edgett")
    every = _parsed(importlib.metadata.requires("edgett") or ())
    names = about.get_all("Provides-Extra") or []
    extras = {name: tuple(one for one in every if _belongs(one, name)) for name in names}
    return Wanted(about["Requires-Python"], tuple(one for one in every if _belongs(one, "")), extras)


def libraries(needed: Sequence[Requirement]) -> tuple[Library, ...]:
    """What is installed of these."""
    return tuple(_library(one) for one in needed if one.name != "edgett")


def extras(needed: Wanted) -> tuple[Extra, ...]:
    """What is installed of the extras."""
    return tuple(Extra(name, _EXTRAS.get(name, ""), libraries(every)) for name, every in needed.extras.items())


def python_will_do(needed: Wanted) -> bool:
    """Whether this Python is one of those that edgett was tested with."""
    return SpecifierSet(needed.python).contains(platform.python_version(), prereleases=True)


def tools() -> tuple[Tool, ...]:
    """Programs, those that are there with their versions."""
    with ThreadPoolExecutor(len(_TOOLS)) as pool:
        return tuple(pool.map(_tool, _TOOLS))


def this_machine(folders: Mapping[str, Path]) -> Machine:
    """The machine, and how much is free in folders, or where they would be made."""
    memory = {name: 1024 * int(value.split()[0]) for name, value in _table(Path("/proc/meminfo")).items()}
    about = _table(Path("/proc/cpuinfo"))
    known = (about.get("flags") or about.get("Features") or "").split()
    names = (about[key] for key in ("model name", "Hardware", "Model", "cpu model", "uarch") if about.get(key))
    return Machine(
        next(names, platform.processor()) or "unknown",
        platform.machine(),
        f"{platform.system()} {platform.release()}",
        os.cpu_count() or 1,
        len(os.sched_getaffinity(0)),
        memory.get("MemTotal", 0),
        memory.get("MemAvailable", 0),
        tuple(name for name in _SIMD if name in known),
        {name: _free(folder) for name, folder in folders.items()},
    )


def _parsed(lines: Sequence[str]) -> tuple[Requirement, ...]:
    return tuple(map(Requirement, lines))


def _belongs(one: Requirement, extra: str) -> bool:
    """Whether it is asked for by an extra, or without one."""
    always = one.marker is None or one.marker.evaluate({"extra": ""})
    return always if not extra else not always and bool(one.marker and one.marker.evaluate({"extra": extra}))


def _library(one: Requirement) -> Library:
    try:
        version = importlib.metadata.version(one.name)
        fits = one.specifier.contains(Version(version), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return Library(one.name, str(one.specifier), None, Health.MISSING)
    except (TypeError, KeyError, ValueError):  # its description is empty, or no text, or of no version
        return Library(one.name, str(one.specifier), None, Health.BROKEN)
    state = Health.OK if fits else Health.OTHER
    module = _MODULES.get(one.name, one.name.replace("-", "_"))
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    return Library(one.name, str(one.specifier), version, state if found else Health.BROKEN)


def _tool(name: str) -> Tool:
    path, debian = shutil.which(name), PACKAGES.get(name, name)
    if path is None:
        return Tool(name, _TOOLS[name], debian, None, None, Health.MISSING)
    try:
        option = "-V" if name in _OF_V else "--version"
        told = subprocess.run(
            [path, option],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Tool(name, _TOOLS[name], debian, path, None, Health.BROKEN)
    version = re.search(r"\d+(?:\.\w+)+", re.sub(r"\([^)]*\)", "", told.stdout + told.stderr))
    state = Health.BROKEN if told.returncode else Health.OK
    return Tool(name, _TOOLS[name], debian, path, version[0] if version else None, state)


def _table(path: Path) -> dict[str, str]:
    """A file of the kernel's with a name and a value a line; of what comes repeatedly the last."""
    try:
        pairs = (line.partition(":") for line in path.read_text(errors="replace").splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}
    except OSError:
        return {}


def _free(folder: Path) -> int | None:
    """Bytes where a folder is or would be made, None where that cannot be reached."""
    try:
        return shutil.disk_usage(_existing(folder)).free
    except OSError:
        return None


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
