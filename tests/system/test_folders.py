"""Scratch folders: gone with their process, also a killed one's; a full disk is told with its place and the cure."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.device import runner
from edgett.errors import ToolError
from edgett.system import folders
from tests.device.disks import may_mount
from tests.device.test_odd_models import FLOATS, save

HOLD = """if True:
    import sys; from edgett.system.folders import scratch
    with scratch() as one: print(one, flush=True); sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holder(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process with a folder of its own there."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=os.environ | {"TMPDIR": str(place)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_gone_afterwards(place: Path) -> None:
    with folders.scratch() as folder:
        assert folder.parent == place
        (folder / "deep").mkdir()
        (folder / "deep" / "file").touch()
    with pytest.raises(ZeroDivisionError), folders.scratch():
        1 / 0  # noqa: B018
    assert list(place.iterdir()) == []


def test_those_of_killed_processes_go_at_the_next_start_and_no_others(place: Path) -> None:
    dead, left = holder(place)
    (left / "probe.tflite").touch()
    alive, held = holder(place)
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    assert left.is_dir()
    mine = place / "edgett-results"
    mine.mkdir()
    with folders.scratch() as own, folders.scratch() as second:
        assert own.is_dir() and second.is_dir()
        assert not left.exists()
        assert held.is_dir()
    alive.communicate("")
    assert alive.returncode == 0
    assert list(place.iterdir()) == [mine]


def test_links_are_not_followed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious").touch()
    (place / "edgett-scratch-12345678").symlink_to(elsewhere)
    with folders.scratch():
        pass
    assert (elsewhere / "precious").exists()


def test_a_place_of_ones_own(tmp_path: Path) -> None:
    with folders.scratch(tmp_path / ".") as folder:
        assert folder.parent == tmp_path


def test_no_place_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(ToolError, match="No usable temporary directory") as raised, folders.scratch():
        pass
    assert "TMPDIR" in raised.value.cure


def test_other_troubles_pass(place: Path) -> None:
    with pytest.raises(FileNotFoundError), folders.scratch() as folder:
        (folder / "none").read_text()
    with pytest.raises(OSError, match="No space left"), folders.scratch():
        raise OSError(errno.ENOSPC, "No space left on device")  # elsewhere: there is room here


def test_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGETT_CACHE_DIR", str(tmp_path))
    assert folders.cache() == tmp_path
    monkeypatch.delenv("EDGETT_CACHE_DIR")
    assert "edgett" in folders.cache().parts


TRACE = """if True:
    import os, signal, sys
    from edgett.model import ports
    import tensorflow as tf
    from tests.system.test_folders import twice
    tf.function(twice)(tf.ones(3))
    if sys.argv[1] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def twice(x: Any) -> Any:
    while x[0] > 0:
        x = x - 1
    return x


@pytest.mark.slow
def test_what_autograph_leaves_after_a_kill_goes_at_the_next_start(place: Path) -> None:
    others = place / "__autograph_generated_file_of_others.py"
    others.touch()

    def ended(how: str) -> list[str]:
        command, environment = [sys.executable, "-c", TRACE, how], os.environ | {"TMPDIR": str(place)}
        subprocess.run(command, env=environment, check=False, cwd=Path(__file__).parents[2])
        return [path.name for path in place.rglob("__autograph_generated_file*")]

    assert ended("well") == [others.name]
    assert len(ended("die")) > 1
    with folders.scratch():
        pass
    assert list(place.iterdir()) == [others]


@pytest.mark.skipif(not may_mount(), reason="no file system can be mounted here")
class TestFullDisk:
    """A disk of its own, mounted where only the command sees it."""

    def full(self, size: str, place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
        """What `edgett` says whose temporary folder is on a disk of so many bytes, and what it leaves there."""
        script = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && export TMPDIR="$2" && shift 2 && "$@"; code=$?'
        script += '; ls "$TMPDIR" >&2; exit $code'
        command = [sys.executable, "-m", "edgett", *map(str, arguments)]
        return subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, "sh", size, str(place), *command],
            capture_output=True, text=True, cwd=place.parent,
        )  # fmt: skip

    @pytest.mark.parametrize("size", ["16k", "64k", "256k"])
    def test_bench(self, tmp_path: Path, size: str) -> None:
        """No room for the samples, for the runner, for what comes of it."""
        artefact = save(tmp_path / "x.onnx", "Neg", {"a": FLOATS}, {"y": FLOATS})
        (tmp_path / "full").mkdir()
        ended = self.full(size, tmp_path / "full", "bench", artefact, "--runs", 5, "--seconds", 0)
        assert ended.returncode == 6, ended.stderr
        assert f"the disk of {tmp_path / 'full'} is full" in ended.stderr
        assert "Free some space there, or name another folder in TMPDIR." in ended.stderr
        assert "Traceback" not in ended.stderr and "edgett-scratch" not in ended.stderr

    @pytest.mark.slow
    def test_calibrate(self, tmp_path: Path) -> None:
        """TensorFlow meets the full disk, and says so in words of its own."""
        (tmp_path / "full").mkdir()
        ended = self.full("48k", tmp_path / "full", "calibrate", "--out", tmp_path / "x.toml")
        assert ended.returncode == 6
        assert f"the disk of {tmp_path / 'full'} is full" in ended.stderr
        assert "refuses" not in ended.stderr and "Traceback" not in ended.stderr
        assert not (tmp_path / "x.toml").exists()


def test_the_runner_makes_room_for_its_report(tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs-0.npz", x=np.zeros(1000))
    runner.work(tmp_path)  # there is no plan
    assert not (tmp_path / "inputs-0.npz").exists()
    assert (tmp_path / "report.json").exists()
