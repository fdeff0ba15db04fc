"""`edgett_add_model`: edgett at build time, once, and again when something has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgett.firmware.package import CMAKE
from tests.conftest import Tiny
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
MAIN = """
#include "tiny.h"
#include "tiny_selftest.h"
int main(void) { return tiny_selftest(tiny_run); }
"""


def make(folder: Path) -> str:
    done = subprocess.run(["cmake", "--build", "build"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs("cmake", "gcc")
@pytest.mark.slow
def test_nothing_is_done_twice_and_what_changes_is_built_again(tiny: Tiny, tmp_path: Path) -> None:
    from edgett.targets import shipped_folder

    (tmp_path / "tiny.keras").write_bytes(tiny.model.read_bytes())
    (tmp_path / "blobs.npz").write_bytes(tiny.data.read_bytes())
    profile = (shipped_folder() / "host.toml").read_text().replace('name = "host"', 'name = "board"')
    (tmp_path / "board.toml").write_text(profile)
    (tmp_path / "CMakeLists.txt").write_text(LISTS)
    (tmp_path / "main.c").write_text(MAIN)
    executable = Path(sys.executable).parent / "edgett"
    configure = ["cmake", "-S", ".", "-B", "build", f"-DEDGETT_EXECUTABLE={executable}"]
    subprocess.run(configure, cwd=tmp_path, check=True, capture_output=True)
    code = tmp_path / "build" / "edgett" / "tiny" / "package" / "src" / "tiny.c"

    def built() -> tuple[bool, bool]:
        """Whether edgett was at work, and whether the code was compiled again."""
        said = make(tmp_path)
        subprocess.run([tmp_path / "build" / "demo"], check=True)
        return "edgett compresses" in said, "tiny.c" in said

    assert built() == (True, True)
    first = code.read_bytes()
    assert built() == (False, False)
    (tmp_path / "blobs.npz").touch()  # the same data again: looked at, but nothing is trained or compiled
    assert built() == (True, False)
    assert code.read_bytes() == first
    np.savez(tmp_path / "blobs.npz", **{**tiny.arrays(), "x_train": tiny.arrays()["x_train"] * np.float32(1.01)})
    assert built() == (True, True)
    assert code.read_bytes() != first
    (tmp_path / "board.toml").write_text(profile.replace('objective = "flops"', 'objective = "memory"'))
    assert built()[0]


@needs("cmake")
@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("MODEL m.keras PROFILE host", "TARGET is missing"),
        ("TARGET t PROFILE host", "MODEL is missing"),
        ("TARGET t MODEL m.keras", "PROFILE is missing"),
        ("TARGET t MODEL m.keras PROFILE host WHAT", "WHAT: not known"),
        ("TARGET t MODEL m.keras PROFILE host", "there is no edgett here: pip install 'edgett[firmware]'"),
    ],
)
def test_a_wrong_call_is_told_when_it_is_configured(tmp_path: Path, call: str, told: str) -> None:
    text = f'cmake_minimum_required(VERSION 3.16)\nproject(p LANGUAGES NONE)\ninclude("{CMAKE.as_posix()}")\n'
    text += "set(CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH OFF)\nset(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)\n"
    (tmp_path / "CMakeLists.txt").write_text(f"{text}edgett_add_model({call})\n")
    done = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "build"], capture_output=True, text=True)
    assert done.returncode != 0 and told in " ".join(done.stderr.split())
