"""The proof: packages are built with CMake, linked into a firmware, and run their self-tests on emulated chips."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgett.firmware.elf import gate, read_elf
from edgett.workflow import pack
from tests.conftest import Finished
from tests.firmware import chips
from tests.firmware.chips import Chip
from tests.firmware.tools import needs

STACK = 512
"""Bytes of stack that a model may take: its tensors are in its workspace."""


def packed(run: Path, folder: Path, name: str) -> Path:
    pack.pack(run, folder / name, pack.PackRequest(name=name))
    return folder / name


def chip(value: Chip) -> object:
    return pytest.param(value, marks=needs(*value.programs), id=value.name)


@pytest.mark.slow
@pytest.mark.parametrize("on", [chip(chips.M4), chip(chips.RISCV)])
def test_self_test_passes_on_the_chip(finished: Finished, tmp_path: Path, on: Chip) -> None:
    said = chips.run(chips.build([packed(finished.path, tmp_path, "tiny")], on, tmp_path / "build"), on)
    assert said.passed and said.stack["tiny"] <= STACK


@pytest.mark.slow
@needs(*chips.M4.programs)
@pytest.mark.parametrize("text", ["expected_0[", "static const float tiny_weight"])
def test_a_number_that_is_off_fails(finished: Finished, tmp_path: Path, text: str) -> None:
    """The planted fault: one number of what is expected, or of a weight."""
    package = packed(finished.path, tmp_path, "tiny")
    place = package / ("test/tiny_selftest.c" if "expected" in text else "src/tiny.c")
    before, after = place.read_text().split(text, 1)
    place.write_text(before + text + re.sub(r"-?(0x[\d.a-f]+p[+-]?\d+|[\d.]+(e-\d+)?)f", "7.0f", after, count=1))
    said = chips.run(chips.build([package], chips.M4, tmp_path / "build"), chips.M4)
    assert not said.passed


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of `example:clock` by the target that it was compressed for."""
    folder = tmp_path_factory.mktemp("clocks")
    asked = {
        "cortex-m4": ("--dtype", "int8", "--limit", "2", "--epochs", "1"),
        "cortex-m7": ("--limit", "2", "--epochs", "1"),
    }
    for target, options in asked.items():
        command = [sys.executable, "-m", "edgett", "compress", "example:clock", "--target", target, *options]
        done = subprocess.run([*command, "--out", folder / target], capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    return {target: folder / target for target in asked}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "on"),
    [
        pytest.param("cortex-m4", chips.M4, marks=needs(*chips.M4.programs)),
        pytest.param("cortex-m7", chips.M7, marks=needs(*chips.M7.programs)),
    ],
)
def test_a_clock_fits_and_says_what_it_should(clocks: dict[str, Path], tmp_path: Path, target: str, on: Chip) -> None:
    from edgett.target.profile import load_target

    package = packed(clocks[target], tmp_path, "clock")
    memory = load_target(target).memory
    # The linker has no more than the chip.
    elf = chips.build([package], on, tmp_path / "build", memory.flash.value, memory.ram.value)
    said = chips.run(elf, on)
    assert said.passed and said.stack["clock"] <= STACK
    manifest = json.loads((package / "manifest.json").read_text())
    for item in manifest["run"]["budgets"]:
        assert item["value"] is not None and item["value"] <= item["limit"], item
    facts = read_elf(elf, "clock")
    assert all(item.holds for item in gate(facts, load_target(target)))
    sizes, ours = manifest["sizes"], facts.ours or ()
    static = sum(one.bytes for one in ours if one.section.ram)
    ends = sizes["ram_bytes"] - sizes["workspace_bytes"]
    predicted = sizes["predicted_peak_bytes"]
    assert static == sizes["workspace_bytes"]
    assert static + ends <= predicted <= 1.2 * (static + ends + said.stack["clock"])


@pytest.mark.slow
@pytest.mark.parametrize("on", [chip(chips.M0), chip(chips.M3), chip(chips.M55), chip(chips.RISCV)])
def test_int8_gives_its_codes_on_other_chips(clocks: dict[str, Path], tmp_path: Path, on: Chip) -> None:
    """Without an FPU, and without DSP instructions, too."""
    said = chips.run(chips.build([packed(clocks["cortex-m4"], tmp_path, "clock")], on, tmp_path / "build"), on)
    assert said.passed and said.stack["clock"] <= STACK


@needs(*chips.M7.programs)
@pytest.mark.slow
def test_two_models_live_in_one_firmware(clocks: dict[str, Path], tmp_path: Path) -> None:
    packages = [packed(clocks["cortex-m4"], tmp_path, "narrow"), packed(clocks["cortex-m7"], tmp_path, "wide")]
    said = chips.run(chips.build(packages, chips.M7, tmp_path / "build", 4 * 1024 * 1024, 1024 * 1024), chips.M7)
    assert said.passed and said.stack.keys() == {"narrow", "wide"}


def test_what_is_not_installed_is_skipped_but_not_on_a_build_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, skipped in (("true", False), ("", True)):
        monkeypatch.setenv("CI", value)
        mark: Any = needs("no-such-program")
        assert mark.mark.args == (skipped,)
        assert needs("python3").mark.args == (False,)  # type: ignore[attr-defined]
