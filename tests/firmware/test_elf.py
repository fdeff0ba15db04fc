"""Linked firmware: its sections and symbols as binutils see them, the budgets, and files that are something else."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edgett.errors import InputError, ToolError
from edgett.firmware.elf import ElfFacts, LinkedSection, gate, read_elf
from edgett.report.firmware import LARGEST, draw_size, size_document
from edgett.target.profile import Target, load_target
from tests.firmware.tools import needs

GCC = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-O1", "-ffreestanding", "-std=c99", "-Wall", "-Werror")
CODE = """
static const int lenet_weights[1000] = {1};
static int lenet_workspace[300];
static int lenet_calls = 7;
static const char dial_table[4096] = {2};
static char buffer[2222];
int lenetic[5] = {1, 2, 3, 4, 5};
__attribute__((section(".fast"), noinline)) int fast(int x) { return x * 3 + lenetic[x]; }
__attribute__((constructor)) static void early(void) { buffer[1] = 1; }
__attribute__((noinline)) int lenet_run(int x) {
    lenet_workspace[x] += lenet_weights[x];
    return ++lenet_calls + lenet_workspace[x + 1];
}
__attribute__((noinline)) int dial_run(int x) { return dial_table[x] + buffer[x]; }
void reset(void) { for (volatile int x = 0;; ++x) buffer[x] = (char)(lenet_run(x) + dial_run(x) + fast(x)); }
"""
SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 1M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 1M }
ENTRY(reset)
SECTIONS {
  .text : { *(.text*) *(.rodata*) } > FLASH
  .init_array : { KEEP(*(.init_array*)) } > FLASH
  .fast : { *(.fast*) } > RAM AT > FLASH
  .data : { *(.data*) } > RAM AT > FLASH
  .bss (NOLOAD) : { *(.bss*) } > RAM
  RESERVED
}
"""
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Compile the code with options of the compiler, and link it with or without a reserved heap."""

    def made(*options: str, reserved: str = "") -> Path:
        folder = tmp_path_factory.mktemp("elf")
        (folder / "main.c").write_text(CODE)
        (folder / "chip.ld").write_text(SCRIPT.replace("RESERVED", reserved))
        link = [] if "-c" in options else ["-nostdlib", "-Wl,--gc-sections", "-T", "chip.ld"]
        subprocess.run([*GCC, *options, *link, "-o", "app.elf", "main.c"], cwd=folder, check=True)
        return folder / "app.elf"

    return made


@pytest.fixture(scope="module")
def elf(make: Make) -> Path:
    return make("-g")


@pytest.fixture
def target() -> Target:
    return load_target("cortex-m4")


def _told(*command: str | Path) -> list[list[str]]:
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split() for line in text.splitlines() if line.strip()]


def _smaller(target: Target, **memory: int) -> Target:
    """The target with other flash or RAM."""
    facts = {name: getattr(target.memory, name).model_copy(update={"value": size}) for name, size in memory.items()}
    return target.model_copy(update={"memory": target.memory.model_copy(update=facts)})


@needs("arm-none-eabi-gcc", "arm-none-eabi-size")
def test_sections_are_those_of_size(elf: Path) -> None:
    facts = read_elf(elf)
    listed = {row[0]: int(row[1]) for row in _told("arm-none-eabi-size", "-A", elf) if row[0].startswith(".")}
    ours = {section.name: section for section in facts.sections}

    assert {name: section.bytes for name, section in ours.items()} == {name: listed[name] for name in ours}
    assert not any(name.startswith((".debug", ".comment", ".ARM.attributes")) for name in ours)
    assert {name: (section.flash, section.ram) for name, section in ours.items()} == {
        ".text": (True, False),
        ".init_array": (True, False),
        ".fast": (True, True),
        ".data": (True, True),
        ".bss": (False, True),
    }
    text, data, bss = map(int, _told("arm-none-eabi-size", elf)[1][:3])
    assert facts.flash == text + data
    # To size, code that is copied to RAM is text, and the table of constructors, which stays in flash, is data.
    assert facts.ram == data + bss + listed[".fast"] - listed[".init_array"]
    assert (facts.machine, facts.bits) == ("EM_ARM", 32)


@needs("arm-none-eabi-gcc", "arm-none-eabi-nm")
def test_symbols_are_those_of_nm(elf: Path) -> None:
    facts = read_elf(elf, "lenet")
    listed = {row[3]: int(row[1], 16) for row in _told("arm-none-eabi-nm", "-S", elf) if len(row) == 4}

    assert facts.symbols is not None and facts.ours is not None
    assert {symbol.name: symbol.bytes for symbol in facts.symbols} == listed
    sizes = [symbol.bytes for symbol in facts.symbols]
    assert sizes == sorted(sizes, reverse=True)
    expected = {"lenet_weights": "flash", "lenet_workspace": "ram", "lenet_calls": "both", "lenet_run": "flash"}
    kinds = {(True, False): "flash", (False, True): "ram", (True, True): "both"}
    assert {one.name: kinds[one.section.flash, one.section.ram] for one in facts.ours} == expected
    assert facts.ours[0].name == "lenet_weights" and facts.ours[0].bytes == 4000


@needs("arm-none-eabi-gcc")
def test_a_reserved_heap_and_stack_are_ram(make: Make) -> None:
    plain = read_elf(make())
    reserved = ".heap (COPY) : { . = . + 4096; } > RAM .stack (NOLOAD) : { . = . + 1024; } > RAM"
    facts = read_elf(make(reserved=reserved))
    assert facts.ram - plain.ram == 5120
    assert facts.flash == plain.flash


@needs("arm-none-eabi-gcc")
def test_symbols_of_cpp(make: Make, tmp_path: Path) -> None:
    (tmp_path / "main.cc").write_text(
        "static unsigned char lenet_arena[640];\n"
        "template <typename T> __attribute__((noinline)) int lenet_register(T x) { return lenet_arena[x]; }\n"
        'extern "C" void reset() { for (;;) lenet_arena[3] += lenet_register(5); }\n'
    )
    (tmp_path / "chip.ld").write_text(SCRIPT.replace("RESERVED", ""))
    options = [option for option in GCC if option != "-std=c99"]
    subprocess.run([*options, "-nostdlib", "-T", "chip.ld", "-o", "app.elf", "main.cc"], cwd=tmp_path, check=True)
    ours = read_elf(tmp_path / "app.elf", "lenet").ours
    assert ours is not None
    assert [symbol.name for symbol in ours] == ["_ZL11lenet_arena", "_Z14lenet_registerIiEiT_"]


@needs("arm-none-eabi-gcc")
def test_the_budgets(elf: Path, target: Target) -> None:
    facts = read_elf(elf, "lenet")
    assert facts.ours is not None
    mine = {one.name: one.bytes for one in facts.ours}
    values = {
        "flash": facts.flash,
        "ram": facts.ram,
        "model_flash": mine["lenet_weights"] + mine["lenet_run"] + mine["lenet_calls"],
        "model_ram": mine["lenet_workspace"] + mine["lenet_calls"],
    }
    limits = {"flash": 512 << 10, "ram": 128 << 10, "model_flash": 256 << 10, "model_ram": 64 << 10}
    rows = gate(facts, target)
    assert [(row.name, row.limit, row.value, row.holds) for row in rows] == [
        (name, limits[name], value, True) for name, value in values.items()
    ]
    # Exactly full holds; a byte less does not.
    for name in ("flash", "ram"):
        assert _held(facts, _smaller(target, **{name: values[name]}))[name] is True
        assert _held(facts, _smaller(target, **{name: values[name] - 1}))[name] is False


def _held(facts: ElfFacts, target: Target) -> dict[str, bool | None]:
    return {row.name: row.holds for row in gate(facts, target)}


@needs("arm-none-eabi-gcc")
def test_the_models_limits_are_the_budgets_or_else_its_share(elf: Path, target: Target) -> None:
    facts = read_elf(elf, "lenet")
    budget = target.budget.model_copy(update={"model_bytes": 4000, "peak_activation_bytes": None})
    rows = {row.name: row for row in gate(facts, target.model_copy(update={"budget": budget}))}
    assert rows["model_flash"].limit == 4000 and rows["model_flash"].holds is False
    assert rows["model_ram"].limit == target.memory.ram_share.of(target.memory.ram.value)


@needs("arm-none-eabi-gcc", "arm-none-eabi-strip")
def test_without_symbols_the_model_is_not_checked(elf: Path, target: Target, tmp_path: Path) -> None:
    stripped = shutil.copy(elf, tmp_path / "stripped.elf")
    subprocess.run(["arm-none-eabi-strip", stripped], check=True)
    facts = read_elf(stripped, "lenet")
    assert facts.symbols is None
    assert facts.sections == read_elf(elf).sections
    for known in (facts, read_elf(elf)):
        assert _held(known, target) == {"flash": True, "ram": True, "model_flash": None, "model_ram": None}
    assert "stripped" in _drawn(size_document(facts, gate(facts, target), target))


def _patched(elf: Path, path: Path, offset: int, number: int) -> Path:
    """The ELF with another 16-bit number in its header."""
    content = bytearray(elf.read_bytes())
    struct.pack_into("<H", content, offset, number)
    path.write_bytes(content)
    return path


@needs("arm-none-eabi-gcc")
@pytest.mark.parametrize(("machine", "words"), [(243, "RISCV of 32 bits"), (94, "XTENSA of 32 bits"), (62, "X86_64")])
def test_an_elf_of_another_machine(elf: Path, target: Target, tmp_path: Path, machine: int, words: str) -> None:
    other = _patched(elf, tmp_path / "other.elf", 18, machine)
    with pytest.raises(InputError, match=f"is for {words}.*, but cortex-m4 is ARM of 32 bits"):
        gate(read_elf(other), target)


@needs("arm-none-eabi-gcc")
def test_a_target_that_does_not_say_its_machine_takes_any(elf: Path) -> None:
    assert _held(read_elf(elf), load_target("rp2040"))["flash"] is True


@needs("arm-none-eabi-gcc")
def test_a_file_that_is_cut_off(elf: Path, tmp_path: Path) -> None:
    content = elf.read_bytes()
    path = tmp_path / "cut.elf"
    for cut in (3, 16, 40, 52, len(content) // 4, len(content) // 2, len(content) - 400, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"cut\.elf (is no ELF file|is cut off|has no table)"):
            read_elf(path)


@needs("arm-none-eabi-gcc")
def test_files_that_are_something_else(make: Make, elf: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an object file, not linked yet"):
        read_elf(make("-c"))
    with pytest.raises(InputError, match="is a core dump"):
        read_elf(_patched(elf, tmp_path / "core.elf", 16, 4))
    with pytest.raises(InputError, match="has no table of sections"):
        read_elf(_patched(elf, tmp_path / "bare.elf", 48, 0))


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b":10010000214601360121470136007EFE09D2190140\n"])
def test_files_that_are_no_elf(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "app.hex"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"app\.hex is no ELF file that can be read") as caught:
        read_elf(path)
    assert "before objcopy" in caught.value.cure


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.elf cannot be read: No such file"):
        read_elf(tmp_path / "none.elf")
    with pytest.raises(InputError, match="is no file"):
        read_elf(tmp_path)


@needs("arm-none-eabi-gcc")
def test_a_model_that_is_not_in_it(elf: Path) -> None:
    with pytest.raises(InputError, match="has no symbol of resnet: none begins with resnet_") as caught:
        read_elf(elf, "resnet")
    assert "the linker drops" in caught.value.cure


def test_pyelftools_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    with pytest.raises(ToolError, match="pyelftools is not installed") as caught:
        read_elf(tmp_path / "app.elf")
    assert caught.value.cure == "pip install 'edgett[firmware]'"


def _drawn(document: dict[str, object]) -> str:
    screen = Console(file=StringIO(), width=160)
    screen.print(draw_size(json.loads(json.dumps(document))))
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


@needs("arm-none-eabi-gcc")
def test_the_document(elf: Path, target: Target) -> None:
    facts = read_elf(elf, "lenet")
    target = _smaller(target, flash=4096)
    document = size_document(facts, gate(facts, target), target)

    assert document["schema"] == 2 and document["ok"] is False and document["stripped"] is False
    assert document["sections"][0] == {"name": ".text", "bytes": facts.sections[0].bytes, "memory": ["flash"]}
    assert [row["name"] for row in document["symbols"]][:2] == ["lenet_weights", "lenet_workspace"]
    assert document["symbols"][1] == {
        "name": "lenet_workspace", "bytes": 1200, "section": ".bss", "memory": ["ram"],
    }  # fmt: skip
    assert [row["name"] for row in document["constraints"] if row["holds"] is False] == ["flash"]
    drawn = _drawn(document)
    for text in (".fast", "flash + RAM", "lenet_workspace", "1,200", "broken", "holds", "largest symbols of lenet"):
        assert text in drawn


def test_only_the_largest_are_told(target: Target) -> None:
    from edgett.firmware.elf import Symbol

    text = LinkedSection(".text", 10_000, flash=True, ram=False)
    symbols = tuple(Symbol(f"f[{size}]", size, text, False) for size in range(50, 0, -1))
    facts = ElfFacts(Path("app.elf"), "EM_ARM", 32, (text,), symbols, None)
    document = size_document(facts, gate(facts, target), target)
    assert len(document["symbols"]) == LARGEST
    drawn = _drawn(document)
    assert "f[50]" in drawn and "not checked" in drawn and "--name NAME" in drawn
