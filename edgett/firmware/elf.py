"""A linked firmware: what its ELF file takes of flash and RAM, by section and by symbol, held against the budgets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgett.errors import InputError, ToolError
from edgett.search.constraints import MODEL_BYTES, PEAK, Holding, judged
from edgett.target.isa import Isa
from edgett.target.profile import Target

MACHINES = {
    Isa.ARM: ("EM_ARM", 32),
    Isa.AARCH64: ("EM_AARCH64", 64),
    Isa.RISCV32: ("EM_RISCV", 32),
    Isa.RISCV64: ("EM_RISCV", 64),
    Isa.XTENSA: ("EM_XTENSA", 32),
    Isa.X86_64: ("EM_X86_64", 64),
}
"""The machine in an instruction set's ELF files, and its bits."""
SHF_WRITE, SHF_ALLOC = 0x1, 0x2
"""Flags of a section: the program writes to it; it takes memory."""
_CURE = "Give the file that the linker wrote, before objcopy."
_RESERVED = re.compile(r"\.?(heap|stack)")
_TABLES = ("SHT_INIT_ARRAY", "SHT_FINI_ARRAY", "SHT_PREINIT_ARRAY")


@dataclass(frozen=True)
class LinkedSection:
    """A part of the firmware, in bytes; data that are copied at the start are in `flash` and in `ram`."""

    name: str
    bytes: int
    flash: bool
    ram: bool


@dataclass(frozen=True)
class Symbol:
    """A function or variable, in bytes; `ours` where it belongs to the model that was asked for."""

    name: str
    bytes: int
    section: LinkedSection
    ours: bool


@dataclass(frozen=True)
class ElfFacts:
    """What an ELF file holds. `symbols`, largest first, are None in a stripped file, which has none."""

    path: Path
    machine: str
    bits: int
    sections: tuple[LinkedSection, ...]
    symbols: tuple[Symbol, ...] | None
    model: str | None

    @property
    def flash(self) -> int:
        """Bytes of the whole firmware in flash."""
        return sum(section.bytes for section in self.sections if section.flash)

    @property
    def ram(self) -> int:
        """Bytes of RAM that are taken before anything runs; a stack counts where the linker script reserves it."""
        return sum(section.bytes for section in self.sections if section.ram)

    @property
    def ours(self) -> tuple[Symbol, ...] | None:
        """The model's symbols; None where no model was asked for, or the file is stripped."""
        if self.symbols is None or self.model is None:
            return None
        return tuple(symbol for symbol in self.symbols if symbol.ours)


def read_elf(path: Path, model: str | None = None) -> ElfFacts:
    """The sections of a linked firmware and its symbols; those of `model` begin with its name.

    Raises InputError for what is no linked ELF file, is cut off, or has no symbol of the model; ToolError without
    pyelftools. Code that runs from RAM counts there too if it is loaded at another address.
    """
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise ToolError("pyelftools is not installed: it reads ELF files.", "pip install 'edgett[firmware]'") from error
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file.", _CURE)
    try:
        with path.open("rb") as file:
            facts = _facts(ELFFile(file), path, model)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", _CURE) from error
    except Exception as error:  # pyelftools lets everything through that a broken file leads to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} is no ELF file that can be read: {reason}.", _CURE) from error
    if facts.ours == ():
        raise InputError(
            f"{path} has no symbol of {model}: none begins with {model}_.",
            "Give the name of the package, and check that the firmware calls it: the linker drops what is not called.",
        )
    return facts


def gate(facts: ElfFacts, target: Target) -> tuple[Holding, ...]:
    """Each budget of the target and what the firmware makes of it; not checked where there are no symbols to tell by.

    `flash` and `ram` are of the whole firmware, `model_flash` and `model_ram` of the model's symbols. A limit that is a
    percentage of the original model is not known from here: the model's share of the memory stands for it. Raises
    InputError for an ELF of another machine than the target's.
    """
    _same_machine(facts, target)
    memory, budget = target.memory, target.budget
    flash_share, ram_share = memory.flash_share.of(memory.flash.value), memory.ram_share.of(memory.ram.value)
    flash = budget[MODEL_BYTES] if isinstance(budget[MODEL_BYTES], int) else flash_share
    ram = budget[PEAK] if isinstance(budget[PEAK], int) else ram_share
    ours = facts.ours
    model_flash = None if ours is None else sum(symbol.bytes for symbol in ours if symbol.section.flash)
    model_ram = None if ours is None else sum(symbol.bytes for symbol in ours if symbol.section.ram)
    return (
        judged("flash", memory.flash.value, facts.flash),
        judged("ram", memory.ram.value, facts.ram),
        judged("model_flash", flash, model_flash),
        judged("model_ram", ram, model_ram),
    )


def _same_machine(facts: ElfFacts, target: Target) -> None:
    isa = target.device.isa
    if isa is not None and MACHINES[isa] != (facts.machine, facts.bits):
        machine, bits = MACHINES[isa]
        raise InputError(
            f"{facts.path} is for {_words(facts.machine, facts.bits)}, but {target.name} is {_words(machine, bits)}.",
            "Give the firmware of that target, or the target of that firmware.",
        )


def _words(machine: str, bits: int) -> str:
    return f"{machine.removeprefix('EM_')} of {bits} bits"


def _facts(elf: Any, path: Path, model: str | None) -> ElfFacts:
    _refuse_unlinked(elf, path)
    moved = [part for part in elf.iter_segments("PT_LOAD") if part["p_paddr"] != part["p_vaddr"]]
    sections = [_section(section, moved) for section in elf.iter_sections()]
    table = elf.get_section_by_name(".symtab")
    symbols = None if table is None else _symbols(table, sections, model)
    kept = tuple(section for section in sections if section is not None)
    return ElfFacts(path, str(elf["e_machine"]), elf.elfclass, kept, symbols, model)


def _refuse_unlinked(elf: Any, path: Path) -> None:
    if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
        kind = {"ET_REL": "an object file, not linked yet", "ET_CORE": "a core dump"}.get(elf["e_type"], elf["e_type"])
        raise InputError(f"{path} is {kind}.", _CURE)
    if elf.num_sections() == 0:
        raise InputError(
            f"{path} has no table of sections.", "Strip less of it, or give the file before it is stripped."
        )
    size = path.stat().st_size
    ends = [part["sh_offset"] + part["sh_size"] for part in elf.iter_sections() if part["sh_type"] != "SHT_NOBITS"]
    if max(ends) > size:
        raise InputError(f"{path} is cut off: it has {size} of at least {max(ends)} bytes.", "Copy or link it again.")


def _section(section: Any, moved: Iterable[Any]) -> LinkedSection | None:
    """A section that takes memory on the chip; the others, such as debugging information, take none."""
    flags, name = section["sh_flags"], section.name
    if section["sh_size"] == 0:
        return None
    if not flags & SHF_ALLOC:
        # Linker scripts reserve them without loading anything: .heap (COPY).
        return LinkedSection(name, section["sh_size"], flash=False, ram=True) if _RESERVED.match(name) else None
    empty = section["sh_type"] == "SHT_NOBITS"
    copied = any(part.section_in_segment(section) for part in moved)
    # Tables of constructors are called writable, and stay in flash all the same.
    written = bool(flags & SHF_WRITE) and section["sh_type"] not in _TABLES
    return LinkedSection(name, section["sh_size"], flash=not empty, ram=empty or copied or written)


def _symbols(table: Any, sections: list[LinkedSection | None], model: str | None) -> tuple[Symbol, ...]:
    """Functions and variables, largest first; of several names for the same bytes, the model's or the first."""
    # C++ puts _Z, L for static, and the length before a name.
    ours = re.compile(rf"(_ZL?\d+)?{re.escape(model)}_\w+([.$].*)?") if model else None
    found: dict[tuple[int, int], Symbol] = {}
    for entry in table.iter_symbols():
        index, kind = entry["st_shndx"], entry["st_info"]["type"]
        if not isinstance(index, int) or not entry["st_size"] or kind in ("STT_SECTION", "STT_FILE"):
            continue
        section = sections[index]
        if section is not None:
            mine = ours is not None and ours.fullmatch(entry.name) is not None
            symbol = Symbol(entry.name, entry["st_size"], section, mine)
            place = (index, entry["st_value"])
            found[place] = max(found.get(place, symbol), symbol, key=lambda one: (one.ours, one.bytes))
    return tuple(sorted(found.values(), key=lambda one: (-one.bytes, one.name)))
