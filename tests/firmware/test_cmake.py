"""`edgett_add_model`: edgett at build time, once, and again when something has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgett.firmware.package import CMAKE
from tests.conftest import Tiny
from tests.firmware import chips
from tests.firmware.tools import needs

LISTS = f"""
cmake_minimum_required(VERSION 3.16)
project(demo LANGUAGES C)
include("{CMAKE.as_posix()}")
add_executable(demo main.c)
edgett_add_model(TARGET demo MODEL tiny.keras DATA blobs.npz PROFILE board.toml
                 OPTIONS --ranks 2:6 --limit 1 --epochs 1 --jobs 0 --max-drop 100)
target_link_libraries(demo PRIVATE edgett::tiny_selftest)
"""
CROSS = """
target_sources(demo PRIVATE "${STARTUP}")
target_compile_definitions(demo PRIVATE FILL=32768)
target_link_options(demo PRIVATE -Wl,--defsym=FLASH_SIZE=512K,--defsym=RAM_SIZE=128K)
"""
MAIN = """
#include "tiny.h"
#include "tiny_selftest.h"
#ifndef FILL
#define FILL 1
#endif
static const volatile char fill[FILL] = {0};
int main(void) { return fill[0] + tiny_selftest(tiny_run); }
"""


def project(tiny: Tiny, folder: Path, lists: str, board: str) -> None:
    """Sources of a firmware with the tiny model, configured for this machine or, with a `toolchain`, for another."""
    (folder / "tiny.keras").write_bytes(tiny.model.read_bytes())
    (folder / "blobs.npz").write_bytes(tiny.data.read_bytes())
    (folder / "board.toml").write_text(board)
    (folder / "CMakeLists.txt").write_text(lists)
    (folder / "main.c").write_text(MAIN)


EDGETT = Path(sys.executable).parent / "edgett"


def configure(folder: Path, *settings: str) -> None:
    command = ["cmake", "-S", ".", "-B", "build", f"-DEDGETT_EXECUTABLE={EDGETT}", *settings]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def profile(name: str) -> str:
    """A profile that comes with edgett, called board, and of another machine: what is timed here decides nothing."""
    from edgett.target.places import shipped_folder

    text = (shipped_folder() / f"{name}.toml").read_text().replace("local = true", "local = false")
    return text.replace(f'name = "{name}"', 'name = "board"')


def make(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["cmake", "--build", "build"], cwd=folder, capture_output=True, text=True)


@needs("cmake", "gcc", "ninja")
@pytest.mark.slow
@pytest.mark.parametrize("generator", ["Unix Makefiles", "Ninja"])
def test_nothing_is_done_twice_and_what_changes_is_built_again(tiny: Tiny, tmp_path: Path, generator: str) -> None:
    project(tiny, tmp_path, LISTS, profile("host"))
    configure(tmp_path, "-G", generator)
    code = tmp_path / "build" / "edgett" / "tiny" / "package" / "src" / "tiny.c"

    def built() -> tuple[bool, bool]:
        """Whether edgett was at work, and whether the code was compiled again."""
        done = make(tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        subprocess.run([tmp_path / "build" / "demo"], check=True)
        return "edgett compresses" in done.stdout, "tiny.c" in done.stdout

    assert built() == (True, True)
    first = code.read_bytes()
    assert built() == (False, False)
    if generator != "Ninja":  # the rest is edgett's to decide
        return
    (tmp_path / "blobs.npz").touch()  # the same data again: looked at, but nothing is trained or compiled
    assert built() == (True, False)
    assert code.read_bytes() == first
    np.savez(tmp_path / "blobs.npz", **{**tiny.arrays(), "x_train": tiny.arrays()["x_train"] * np.float32(1.01)})
    assert built() == (True, True)
    assert code.read_bytes() != first
    (tmp_path / "board.toml").write_text(profile("host").replace('objective = "flops"', 'objective = "memory"'))
    assert built()[0]


FAULTY = f"""#!{sys.executable}
import sys
from edgett import cli; from edgett.workflow import files
from edgett.device import local

class Off:
    @staticmethod
    def run(*given):
        return {{name: array + 0.01 for name, array in local.run(*given).items()}}

files.local = Off
sys.exit(cli.run(sys.argv[1:]))
"""


@needs("cmake", "gcc")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "more", "told"),
    [(True, "", "the cross-check failed"), (False, " --model-bytes 2KiB", "no solution meets the constraints")],
)
def test_what_failed_once_fails_twice(tiny: Tiny, tmp_path: Path, planted: bool, more: str, told: str) -> None:
    """Whether the files are not what was predicted, or no model holds: neither is linked the second time."""
    project(tiny, tmp_path, LISTS.replace("--max-drop 100", f"--max-drop 100{more}"), profile("host"))
    program = tmp_path / "edgett"
    program.write_text(FAULTY)
    program.chmod(0o755)
    configure(tmp_path, *([f"-DEDGETT_EXECUTABLE={program}"] if planted else []))
    messages = []
    for _ in range(2):
        done = make(tmp_path)
        assert done.returncode != 0, done.stdout + done.stderr
        messages += [line for line in done.stderr.splitlines() if told in line]
        assert not (tmp_path / "build" / "demo").exists()
    assert len(messages) == 2 and messages[0] == messages[1]


@needs(*chips.M4.programs)
@pytest.mark.slow
def test_a_firmware_that_does_not_fit_is_not_built(tiny: Tiny, tmp_path: Path) -> None:
    small = profile("cortex-m4").replace('value = "512 KiB"', 'value = "32 KiB"').replace('"256 KiB"', '"16 KiB"')
    project(tiny, tmp_path, LISTS + CROSS, small)
    configure(tmp_path, f"-DCMAKE_TOOLCHAIN_FILE={chips.APP / chips.M4.toolchain}", *chips.M4.settings)
    done = make(tmp_path)
    assert done.returncode != 0 and "over the budgets of board: flash is" in done.stderr, done.stdout + done.stderr
    assert not (tmp_path / "build" / "demo").exists()


CALL, C = "TARGET t MODEL m.keras PROFILE host ", "-DLANGUAGES=C"


@needs("cmake", "gcc")
@pytest.mark.parametrize(
    ("call", "told", "settings"),
    [
        ("MODEL m.keras PROFILE host", "TARGET is missing", []),
        ("TARGET t PROFILE host", "MODEL is missing", []),
        ("TARGET t MODEL m.keras", "PROFILE is missing", []),
        (CALL + "WHAT", "WHAT: not known", []),
        (CALL + "NAME", "NAME: its value is missing", []),
        (CALL + "FORMAT C99", "FORMAT is C99: it must be c or tflm", []),
        (CALL + "DTYPE int7", "DTYPE is int7: it must be float32 or int8", []),
        (CALL, "there is no edgett here: pip install 'edgett[firmware]'", []),
        (CALL, "the model is C: add C to the LANGUAGES", ["-DEDGETT_EXECUTABLE=edgett"]),
        (
            "TARGET t MODEL 3d.keras PROFILE host",
            "'3d' is no name in C",
            [f"-DEDGETT_EXECUTABLE={EDGETT}", "-DLANGUAGES=C"],
        ),
    ],
)
def test_a_wrong_call_is_told_when_it_is_configured(tmp_path: Path, call: str, told: str, settings: list[str]) -> None:
    text = "cmake_minimum_required(VERSION 3.16)\nproject(p LANGUAGES ${LANGUAGES})\n"
    text += f'include("{CMAKE.as_posix()}")\n'
    text += "set(CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH OFF)\nset(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)\n"
    (tmp_path / "CMakeLists.txt").write_text(f"{text}edgett_add_model({call})\n")
    settings = settings if any("LANGUAGES" in item for item in settings) else [*settings, "-DLANGUAGES=NONE"]
    command = ["cmake", "-S", tmp_path, "-B", tmp_path / "build", *settings]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and told in " ".join(done.stderr.split())
