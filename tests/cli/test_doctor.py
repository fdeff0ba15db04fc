"""`edgett doctor`: what is there, what is missing, what is wrong, without loading anything heavy."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from rich.console import Console

from edgett.device import doctor
from edgett.report import health
from tests.conftest import Answer

Call = Callable[..., Answer]


@pytest.fixture(scope="module")
def document() -> dict:
    done = subprocess.run([sys.executable, "-m", "edgett", "doctor", "--json"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict = json.loads(done.stdout)
    return found


def plant(folder: Path, name: str, version: str, more: bytes = b"") -> None:
    """A library of which only the description is there."""
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (place / "METADATA").write_bytes(text.encode() + more)


def test_a_sound_installation(document: dict) -> None:
    assert document["schema"] == 2 and document["ok"] is True
    assert document["edgett"] == importlib.metadata.version("edgett")
    assert document["python"]["ok"] and document["python"]["needed"].startswith(">=3.")
    found = {one["name"]: one for one in document["libraries"]}
    assert {"tensorflow", "keras", "typer", "packaging"} <= set(found)
    assert found["numpy"]["version"] == importlib.metadata.version("numpy")
    assert {one["state"] for one in document["libraries"]} == {"ok"}
    assert {"ray", "firmware", "vela"} <= {one["name"] for one in document["extras"]}
    for one in (*document["extras"], *document["tools"]):
        assert one["install"].startswith(("pip install 'edgett[", "apt-get install "))


def test_the_machine(document: dict) -> None:
    machine = document["machine"]

    assert 1 <= machine["usable"] <= machine["processors"] == os.cpu_count()
    assert machine["memory"] >= machine["available"] > 2**20
    assert len(machine["free"]) == 2 and min(machine["free"].values()) > 0
    assert machine["processor"] and machine["architecture"] in ("x86_64", "aarch64", "arm64", "riscv64")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_on_a_screen(document: dict, width: int) -> None:
    out = io.StringIO()
    Console(file=out, width=width).print(health.draw(document))

    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    for one in (*document["libraries"], *document["tools"]):
        assert (one["version"] or "") in text
    assert all(one["enables"].split()[-1] in text for one in document["tools"])


def test_missing_tools_are_told_with_what_they_enable(edgett: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    tools = edgett("doctor", "--json").document["tools"]
    answer = edgett("doctor")

    assert answer.code == 0  # none of them is needed
    assert {one["state"] for one in tools} == {"missing"}
    assert all(one["version"] is None and one["enables"] for one in tools)
    flat = " ".join(answer.out.split())
    assert "apt-get install qemu-user qemu-system-arm gcc libc6-dev" in flat and "ninja-build" in flat


def test_tools_that_do_not_start_are_broken(edgett: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name, text in (
        ("cmake", "#!/bin/sh\necho cmake version 3.99.1\n"),
        ("gcc", "#!/bin/sh\nexit 1\n"),
        ("make", ""),
    ):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    found = {one["name"]: one for one in edgett("doctor", "--json").document["tools"]}

    assert (found["cmake"]["state"], found["cmake"]["version"]) == ("ok", "3.99.1")
    assert found["cmake"]["path"] == str(tmp_path / "bin" / "cmake")
    assert found["gcc"]["state"] == found["make"]["state"] == "broken"


def test_another_version_of_a_needed_library(edgett: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plant(tmp_path, "keras", "3.12.0")
    monkeypatch.syspath_prepend(str(tmp_path))

    answer = edgett("doctor", "--json")

    assert answer.code == 6
    assert answer.document["ok"] is False and answer.document["error"]["kind"] == "ToolError"
    needed = next(one["needed"] for one in answer.document["libraries"] if one["name"] == "keras")
    assert f"keras is 3.12.0, not {needed}" in answer.err
    assert f"pip install --force-reinstall 'keras{needed}'" in answer.err
    assert "other version" in edgett("doctor").out


def test_libraries_that_are_missing_or_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plant(tmp_path, "halfhere", "1.0")
    monkeypatch.syspath_prepend(str(tmp_path))

    half, gone = doctor.libraries([Requirement("halfhere>=1"), Requirement("nowhere-at-all<2")])

    assert (half.state, half.version) == (doctor.Health.BROKEN, "1.0")
    assert (gone.state, gone.version, gone.needed) == (doctor.Health.MISSING, None, "<2")


def test_a_library_with_a_damaged_description(edgett: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plant(tmp_path, "keras", "3.15.0", b"Author: \xe9\xff\n")
    plant(tmp_path, "numpy", "foo")
    (tmp_path / "typer-9.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    answer = edgett("doctor", "--json")

    assert answer.code == 6
    states = {one["name"]: (one["state"], one["version"]) for one in answer.document["libraries"]}
    assert states["keras"] == states["numpy"] == states["typer"] == ("broken", None)
    assert "keras is damaged" in answer.err and "numpy is damaged" in answer.err


def test_a_working_directory_that_is_gone(edgett: Call, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    answer = edgett("doctor")

    assert (answer.code, answer.err) == (0, "")
    assert "unknown in this folder, which is gone: change to another" in " ".join(answer.out.split())


def test_names_do_not_steer_the_terminal(edgett: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("EDGETT_CACHE_DIR", f"{tmp_path}/\x1b[31mred")

    assert "?[31mred" in edgett("doctor").out


def test_tools_do_not_read_what_is_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cmake").write_text("#!/bin/sh\nread -r typed && exit 1\necho cmake version 3.99.1\n")
    (tmp_path / "cmake").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    read, write = os.pipe()
    os.write(write, b"typed\n")
    saved = os.dup(0)
    os.dup2(read, 0)
    try:
        found = {one.name: one for one in doctor.tools()}
    finally:
        os.dup2(saved, 0)
        for number in (read, write, saved):
            os.close(number)

    assert found["cmake"].version == "3.99.1"


def test_missing_extra_is_no_fault_but_told(edgett: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without_ray(name: str) -> str:
        if name == "ray":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_ray)
    answer = edgett("doctor")

    assert answer.code == 0
    assert "ray: pip install 'edgett[ray]'" in answer.out and "--cluster" in answer.out


def test_python_that_is_too_old(edgett: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.9.1")
    answer = edgett("doctor", "--json")

    assert answer.code == 6
    assert "Python is 3.9.1, not >=3." in answer.document["error"]["message"]


def test_an_installed_package_says_what_it_needs_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "edgett-9.dist-info"
    place.mkdir()
    lines = ("Metadata-Version: 2.1", "Name: edgett", "Version: 9", "Requires-Python: >=3.11", "Provides-Extra: ray",
             "Requires-Dist: numpy<3", "Requires-Dist: ray>=2; extra == 'ray'")  # fmt: skip
    (place / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("edgett.__file__", str(tmp_path / "site" / "edgett" / "__init__.py"))

    wanted = doctor.wanted()

    assert (wanted.python, list(map(str, wanted.core))) == (">=3.11", ["numpy<3"])
    assert [one.name for one in wanted.extras["ray"]] == ["ray"]


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys, edgett.cli; edgett.cli.run(['doctor', '--json'])\n"
        "print(*({'tensorflow', 'keras', 'numpy', 'onnx', 'matplotlib', 'ray'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == ""
