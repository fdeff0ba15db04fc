"""A Python for arm64 with the runtimes, unpacked into the user's cache: that takes no root."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

from edgett.device.emulated.programs import call
from edgett.errors import ToolError
from edgett.system.folders import cache, scratch

PYTHON = "3.11"
"""Debian 12's, the newest for which there is a LiteRT that QEMU 7.2 can run."""
DEBIAN = (
    f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libc6", "libexpat1",
    "zlib1g", "libffi8", "libstdc++6", "libgcc-s1", "libbz2-1.0", "liblzma5",
)  # fmt: skip
WHEELS = ("ai-edge-litert==1.4.0", "numpy==2.2.6", "onnxruntime==1.32.0")
"""LiteRT 2.3 needs QEMU 10."""
_PLATFORMS = ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
_LIMIT = 900.0


def folder() -> Path:
    """Where it lies in the cache; another one for other versions."""
    digest = hashlib.sha256(" ".join((*DEBIAN, *WHEELS)).encode()).hexdigest()[:12]
    return cache() / "emulated" / f"aarch64-{digest}"


def prepared() -> Path:
    """The folder, filled first where it is missing: 45 MB are fetched, 190 MB kept. Raises ToolError with the cure."""
    wanted = folder()
    if wanted.is_dir():
        return wanted
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with scratch(wanted.parent) as room:
            root = room / "root"
            _debian(room, root)
            _wheels(room, root / "site")
            _try(root, dressed(root, "cortex-a53", room / "dressed"))
            _put(root, wanted)
    except OSError as error:
        raise ToolError(
            f"no Python for arm64 can be unpacked to {wanted}: {error}.",
            "Free 300 MB there, or name another folder in EDGETT_CACHE_DIR.",
        ) from error
    return wanted


def _put(root: Path, wanted: Path) -> None:
    try:
        root.rename(wanted)
    except OSError:
        if not wanted.is_dir():  # another process was faster
            raise


def _debian(scratch: Path, root: Path) -> None:
    """Packages of this machine's Debian for arm64, by lists of their own, since the machine's need not hold arm64."""
    options = ["-q", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64", "-o", "APT::Sandbox::User=root"]
    options += ["-o", "Acquire::Languages=none", "-o", f"Dir::State={scratch}", "-o", f"Dir::Cache={scratch}"]
    options += ["-o", f"Dir::State::status={scratch / 'status'}"]
    for name in ("lists/partial", "archives/partial", "debs"):
        (scratch / name).mkdir(parents=True)
    (scratch / "status").touch()
    root.mkdir()
    cure = (
        f"It takes Debian 12 and its package mirror. Elsewhere unpack its arm64 packages {' '.join(DEBIAN)} to "
        f"{folder()}, and to its folder `site` the wheels {' '.join(WHEELS)}."
    )
    call(["apt-get", *options, "update"], scratch, _LIMIT, cure)
    call(["apt-get", *options, "download", *DEBIAN], scratch / "debs", _LIMIT, cure)
    for package in sorted((scratch / "debs").glob("*.deb")):
        call(["dpkg-deb", "-x", package, root], scratch, _LIMIT, cure)


def _wheels(scratch: Path, site: Path) -> None:
    """Wheels for arm64, unpacked. What they depend on beyond each other is not needed to run an artefact."""
    options = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    options += [part for platform in _PLATFORMS for part in ("--platform", platform)]
    wheels = scratch / "wheels"
    command: list[str | Path] = [sys.executable, "-m", "pip", "download", "-q", *options, "-d", wheels, *WHEELS]
    call(command, scratch, _LIMIT, f"Check that pip is installed (python -m ensurepip) and reaches {WHEELS[0]}.")
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)


def _try(root: Path, machine: Path) -> None:
    """Load the runtimes once: Python leaves beside them what it has compiled, which takes long when emulated."""
    modules = "import numpy.random, ai_edge_litert.interpreter, onnxruntime, subprocess, tempfile, platform"
    emulator: list[str | Path] = ["qemu-aarch64", "-cpu", "cortex-a53", "-L", machine]
    settings = ["-E", f"PYTHONPATH={root / 'site'}", "-E", "PYTHONDONTWRITEBYTECODE="]
    command = [*emulator, *settings, root / "usr" / "bin" / f"python{PYTHON}", "-S", "-c", modules]
    call(command, root, _LIMIT, "It takes the qemu-user of Debian 12, 7.2, or a newer one.")


PARTS = {
    "cortex-a35": 0xD04, "cortex-a53": 0xD03, "cortex-a55": 0xD05, "cortex-a57": 0xD07, "cortex-a72": 0xD08,
    "cortex-a76": 0xD0B, "neoverse-n1": 0xD0C,
}  # fmt: skip
"""Arm's numbers of the processors that QEMU emulates, as Linux tells them: runtimes choose their kernels by them."""


def dressed(root: Path, cpu: str, folder: Path) -> Path:
    """The files that a program on the device finds: the root's, and what Linux tells of a machine with one such CPU.

    Without them it would find this machine's, which changes what is executed; ONNX Runtime 1.32 even crashes over an
    x86 processor.
    """
    folder.mkdir()
    for part in sorted(root.iterdir()):
        (folder / part.name).symlink_to(part)
    lines = {"processor": "0", "BogoMIPS": "100.00", "Features": "fp asimd evtstrm crc32 cpuid",
             "CPU implementer": "0x41", "CPU architecture": "8", "CPU variant": "0x0",
             "CPU part": f"{PARTS.get(cpu, 0):#05x}", "CPU revision": "4"}  # fmt: skip
    system = "sys/devices/system/cpu"
    topology = f"{system}/cpu0/topology"
    told = {"proc/cpuinfo": "\n".join(f"{key}\t: {value}" for key, value in lines.items()) + "\n"}
    told |= {f"{system}/{name}": "0" for name in ("possible", "present", "online", "kernel_max")}
    told |= {f"{topology}/{name}": "0" for name in ("physical_package_id", "core_id", "core_siblings_list")}
    told |= {f"{topology}/{name}": "0" for name in ("cluster_cpus_list", "thread_siblings_list", "package_cpus_list")}
    for name, text in told.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder
