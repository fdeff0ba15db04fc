"""Instruction sets."""

from __future__ import annotations

import enum


class Isa(enum.Enum):
    """An instruction set, and with it the ELF files that a device runs."""

    ARM = "arm"
    AARCH64 = "aarch64"
    RISCV32 = "riscv32"
    RISCV64 = "riscv64"
    XTENSA = "xtensa"
    X86_64 = "x86_64"
