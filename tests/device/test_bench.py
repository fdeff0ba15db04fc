"""Measuring on a device: one contract for all of them, the lock of a machine, and what is read of a report."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device import arrive, bench, local, runner
from edgett.device.bench import Device, Subject
from edgett.device.static import Static
from edgett.errors import ToolError, UsageError
from edgett.meter import Silent
from tests.device.measuring import LONG, QUICK, SERVER, Impatient, remote, without_python
from tests.export import exported as zoo


@pytest.fixture(params=["local", *(pytest.param(name, marks=[SERVER, pytest.mark.slow]) for name in ("ssh", "static"))])
def device(request: pytest.FixtureRequest, there: Path) -> Device:
    if request.param == "local":
        return local.Local()
    if request.param == "static":
        return without_python(request.getfixturevalue("poor"))
    return remote(request.getfixturevalue("server"))


@pytest.fixture
def fit(device: Device, subjects: list[Subject]) -> list[Subject]:
    """What the device takes: without Python no .tflite, but two .onnx of other batches."""
    if not isinstance(device, Static):
        return subjects
    other = zoo.exported("tensor trains", ".onnx", 4)
    return [subjects[1], Subject(other.path, subjects[1].inputs)]


class TestContract:
    def test_measures_in_turns(self, device: Device, fit: list[Subject], there: Path) -> None:
        subjects = fit
        report = device.measure(subjects, QUICK, Silent())
        assert [one.file for one in report.artefacts] == [subject.path.name for subject in subjects]
        assert report.threads == 1
        assert len(report.pinned) == 1
        assert report.machine["processor"]
        for subject, one in zip(subjects, report.artefacts, strict=True):
            assert len(one.turns) == QUICK.turns
            assert sum(map(len, one.turns)) >= QUICK.runs
            assert all((turn > 0).all() for turn in one.turns)
            assert one.start_ns > max(turn.min() for turn in one.turns)
            assert one.peak_bytes > one.added_bytes > 0
            batch = local.input_ports(subject.path)[0].shape[0]
            for name, expected in local.run(subject.path, subject.inputs, batch).items():
                np.testing.assert_allclose(one.outputs[name], expected, atol=1e-5)
        ran = {".tflite": "ai-edge-litert ", ".onnx": "C by gcc" if isinstance(device, Static) else "onnxruntime "}
        assert all(one.runtime.startswith(ran[Path(one.file).suffix]) for one in report.artefacts)
        assert not list(there.glob("edgett-*/"))

    def test_one_benchmark_at_a_time(self, device: Device, fit: list[Subject], there: Path) -> None:
        with (there / runner.LOCK.name).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(ToolError, match="another benchmark is running on"):
                device.measure(fit, QUICK, Silent())

    def test_it_is_given_up_after_the_limit(self, device: Device, fit: list[Subject], there: Path) -> None:
        with pytest.raises(ToolError, match="took too long"):
            device.measure(fit, replace(LONG, runs=10**9, limit=2), Silent())
        assert not list(there.glob("edgett-*/"))

    @pytest.mark.slow
    def test_ctrl_c_ends_it_there_too(self, device: Device, fit: list[Subject], there: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            device.measure(fit, replace(LONG, runs=10**7), Impatient())
        assert not list(there.glob("edgett-*/"))
        with (there / runner.LOCK.name).open("a") as lock:
            for _ in range(50):  # a process that was killed takes a moment to go
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                raise AssertionError("the benchmark goes on")

    def test_more_threads_than_processors(self, device: Device, fit: list[Subject]) -> None:
        with pytest.raises(UsageError, match="--threads: 999 threads are more than its"):
            device.measure(fit, replace(QUICK, threads=999), Silent())

    @pytest.mark.parametrize("name", ["file", "args", "kwds"])
    def test_any_name_of_an_input(self, device: Device, name: str, tmp_path: Path) -> None:
        inputs = keras.Input((4,), name=name)
        made = zoo.export(
            keras.Model(inputs, keras.layers.Dense(2, name="y")(inputs)), zoo.ONNX, 1, tmp_path / "x.onnx"
        )
        (one,) = device.measure([Subject(made.path, made.samples(3))], QUICK, Silent()).artefacts
        assert one.outputs["y"].shape == (3, 2)

    def test_an_artefact_that_is_not_there(self, device: Device, fit: list[Subject], tmp_path: Path) -> None:
        gone = Subject(tmp_path / f"gone{fit[0].path.suffix}", fit[0].inputs)
        with pytest.raises(UsageError, match=r"gone\.\w+ (cannot be read|is no file)"):
            device.measure([gone], QUICK, Silent())


class TestRuntimes:
    @pytest.mark.parametrize("name", ["local", pytest.param("ssh", marks=[SERVER, pytest.mark.slow])])
    @pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
    def test_a_file_that_the_runtime_refuses(
        self, name: str, request: pytest.FixtureRequest, subjects: list[Subject], suffix: str, tmp_path: Path
    ) -> None:
        place = local.Local() if name == "local" else remote(request.getfixturevalue("server"))
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"\x1c\0\0\0TFL3" + bytes(200))
        with pytest.raises(ToolError, match="refuses an artefact: broken") as raised:
            place.measure([subjects[0], Subject(broken, subjects[0].inputs)], QUICK, Silent())
        assert "--upgrade" in raised.value.cure
        assert {".tflite": "ai-edge-litert", ".onnx": "onnxruntime"}[suffix] in raised.value.cure


class TestLock:
    """Two users of a machine have one lock."""

    @pytest.fixture
    def lock(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(runner, "LOCK", tmp_path / "edgett-bench.lock")
        return runner.LOCK

    def test_all_may_read_it(self, lock: Path) -> None:
        before = os.umask(0o077)
        try:
            runner.lock().close()
        finally:
            os.umask(before)
        assert lock.stat().st_mode & 0o777 == 0o644

    @pytest.mark.skipif(os.geteuid() != 0, reason="nobody else's file can be had")
    @pytest.mark.parametrize(("mode", "kind"), [(0o644, None), (0o600, "lock")])
    def test_somebody_elses(self, lock: Path, mode: int, kind: str | None) -> None:
        lock.touch()
        lock.chmod(mode)
        place = lock.parent / "work"
        place.mkdir()
        (place / "plan.json").write_text(json.dumps({"contract": runner.CONTRACT, "limit": 5, "threads": 10**6}))
        for path in (place, lock.parent):
            path.chmod(0o777)
        pid = os.fork()
        if pid == 0:  # by names from here, since the folders above are closed to others
            with suppress(BaseException):
                os.chdir(lock.parent)
                runner.LOCK = Path(lock.name)
                os.setuid(65534)
                runner.work(Path(place.name))
            os._exit(0)
        os.waitpid(pid, 0)
        error = json.loads((place / "report.json").read_text())["error"]
        assert error["kind"] == (kind or "threads")
        told = bench.trouble(error, "this machine")
        assert "Traceback" not in str(told)
        if kind:
            assert f"{lock.name} cannot be locked: Permission denied" in told.message
            assert "chmod a+r" in told.cure

    def test_held(self, lock: Path) -> None:
        with runner.lock(), pytest.raises(runner.Trouble, match="another benchmark is running"):
            runner.lock()


class TestReports:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("", "no report"),
            ("<html>", "no report"),
            ("[]", "no report"),
            ('{"contract": 1}', "no report"),
            ('{"error": {"kind": "disk", "message": "No space left on device"}}', "the disk of board is full"),
            ('{"error": {"kind": "memory", "message": "killed"}}', "the memory of board does not suffice"),
            ('{"error": {"kind": "killed", "message": "the process of x"}}', "by somebody, or by the system"),
            ('{"error": {"kind": "runtime", "message": "odd"}}', "has no runtime"),
            ('{"error": "x"}', "no report"),
            ('{"error": {"kind": "died", "message": "its process ended"}}', "failed: its process ended"),
            ('{"error": {"kind": "contract", "message": "the plan is of contract 1"}}', "failed: the plan"),
        ],
    )
    def test_what_cannot_be_read(self, content: str, words: str, tmp_path: Path) -> None:
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(ToolError, match=words):
            bench.unpack(tmp_path, "board")

    @pytest.mark.parametrize("left", [0, 3, 100])
    def test_outputs_of_which_only_a_part_came(self, left: int, tmp_path: Path) -> None:
        state = {"governor": None, "mhz": None, "celsius": None}
        one = {"file": "0-x.onnx", "runtime": "onnxruntime", "version": "1", "turns": [[1]], "start_ns": 1,
               "peak_bytes": 1, "added_bytes": 1}  # fmt: skip
        told = {"artefacts": [one], "before": state, "after": state, "threads": 1, "pinned": [],
                "machine": {"architecture": "riscv64", "processor": "", "system": "Linux"}}  # fmt: skip
        (tmp_path / "report.json").write_text(json.dumps(told))
        np.savez(tmp_path / "outputs-0.npz", **{"=y": np.zeros((4, 4))})
        (found,) = bench.unpack(tmp_path, "board").artefacts
        assert found.outputs.keys() == {"y"}
        (tmp_path / "outputs-0.npz").write_bytes((tmp_path / "outputs-0.npz").read_bytes()[:left])
        with pytest.raises(ToolError, match="no report of edgett"):
            bench.unpack(tmp_path, "board")

    def test_no_report_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="no report of edgett"):
            bench.unpack(tmp_path, "board")

    def test_the_runner_knows_a_full_disk_and_no_memory(self) -> None:
        assert runner.told(OSError(28, "No space left on device"))["kind"] == "disk"
        assert runner.told(MemoryError())["kind"] == "memory"
        assert runner.told(ValueError("odd"))["kind"] == "failed"

    def test_a_process_that_was_killed_there(self, tmp_path: Path) -> None:
        process = subprocess.Popen(["true"])
        process.wait()
        (tmp_path / "process.json").write_text(json.dumps({"pid": process.pid}))
        assert runner.status(tmp_path)["state"] == "gone"
        (tmp_path / "process.json").write_text(json.dumps({"pid": os.getpid()}))
        assert runner.status(tmp_path) == {"state": "running", "done": 0, "of": 0}

    @pytest.mark.parametrize("program", [bench.RUNNER, Path(arrive.__file__)], ids=lambda path: path.stem)
    def test_the_device_needs_no_more_than_python_3_9(self, program: Path) -> None:
        """Its grammar, and what it imports."""
        import ast
        import sys

        tree = ast.parse(program.read_text(), feature_version=(3, 9))
        names = {
            (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        assert names <= {*sys.stdlib_module_names, "numpy"}
