"""A device behind ssh that has no Python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgett.device import emulator, local
from edgett.device.bench import Subject, unpack
from edgett.device.debian import PACKAGES
from edgett.device.program import Program
from edgett.device.ssh import Ssh
from edgett.device.static import COMPILERS, Static, built
from edgett.errors import ModelError, ToolError, UsageError
from edgett.graph.wire import WirePort
from edgett.meter import Silent
from edgett.workflow import bench
from tests.conftest import Answer, Finished
from tests.device import sshd
from tests.device.disks import may_mount
from tests.device.measuring import LONG, QUICK, SERVER, TOOLS, at, link_cut, without_python
from tests.export import test_int8
from tests.firmware.tools import needs

Call = Callable[..., Answer]

LINUX = needs(*emulator.COMPILERS, *emulator.COMPILERS.values())


@SERVER
class TestStatic:
    @pytest.fixture
    def place(self, poor: sshd.Server) -> Static:
        return without_python(poor)

    @pytest.mark.slow
    def test_a_run_is_measured_by_its_onnx(
        self, edgett: Call, finished: Finished, poor: sshd.Server, tmp_path: Path
    ) -> None:
        run = shutil.copytree(finished.path, tmp_path / "run")
        words = ("--device", "ssh://device", "--ssh-config", poor.config, "--runs", "20", "--seconds", "0.1", "--json")
        told = edgett("bench", run, *words)
        assert told.code == 0, told.remarks
        assert {one["runtime"] for one in told.document["artifacts"]} == {"C by gcc -O3"}
        assert all(one["path"].endswith(".onnx") for one in told.document["artifacts"])
        assert all(one["agreement"]["max_abs"] < 1e-5 for one in told.document["artifacts"])
        assert told.document["artifacts"][1]["verdict"] in ("faster", "slower", "noise")

    @pytest.mark.slow
    def test_int8_takes_and_gives_real_numbers(self, place: Static) -> None:
        path = test_int8.exported("tensor trains", ".onnx").path
        given = {"my-input": np.random.default_rng(0).normal(size=(9, 24)).astype("f4")}
        (one,) = place.measure([Subject(path, given)], QUICK, Silent()).artefacts
        for name, expected in local.reference(path, given, 1).items():
            # A probability in steps of 1/256; sums are rounded half-way by either.
            np.testing.assert_allclose(one.outputs[name], expected, atol=2 / 256)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("machine", "emulator"),
        [("aarch64", "qemu-aarch64"), ("armv7l", "qemu-arm"), ("riscv64", "qemu-riscv64")],
    )
    @LINUX
    def test_other_processors(self, machine: str, emulator: str, subjects: list[Subject], tmp_path: Path) -> None:
        """The binary itself, as QEMU executes it."""
        programs = [bench.program(subjects[1].path, "artefact0")]
        (tmp_path / "build").mkdir()
        binary = built(COMPILERS[machine], programs, subjects[1:], QUICK, tmp_path / "build")
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "runner").write_bytes(binary)
        (tmp_path / "work" / "runner").chmod(0o700)

        def say(how: str) -> bytes:
            command = [emulator, tmp_path / "work" / "runner", tmp_path / "work", how]
            return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout

        say("--detach")
        for _ in range(300):
            if json.loads(say("--status"))["state"] == "done":
                break
            time.sleep(0.1)
        (one,) = unpack(
            tmp_path / "work", "QEMU", lambda _: programs[0].made(tmp_path / "work" / "outputs-0.bin", 5)
        ).artefacts
        assert sum(map(len, one.turns)) >= QUICK.runs
        for name, expected in local.run(subjects[1].path, subjects[1].inputs, 1).items():
            np.testing.assert_allclose(one.outputs[name], expected, atol=1e-5)
        say("--stop")
        assert not (tmp_path / "work").exists()

    @pytest.mark.slow
    def test_shells_may_greet_and_take_leave(
        self, fit_one: Subject, there: Path, poor: sshd.Server, tmp_path: Path
    ) -> None:
        tools = tmp_path / "tools"
        tools.mkdir()
        for name in TOOLS:
            (tools / name).symlink_to(shutil.which(name) or name)
        polite = tmp_path / "shell"
        polite.write_text(
            '#!/bin/sh\necho "Welcome to pi"\n/bin/sh -c "$SSH_ORIGINAL_COMMAND"\ncode=$?\necho Bye\nexit $code\n'
        )
        polite.chmod(0o755)
        settings = f"SetEnv TMPDIR={there} PATH={tools}\nForceCommand {polite}\n"
        with sshd.serving(tmp_path, settings) as server:
            (one,) = without_python(server).measure([fit_one], QUICK, Silent()).artefacts
        assert one.runtime == "C by gcc -O3"
        assert not list(there.glob("edgett-*/"))

    @pytest.mark.slow
    def test_memory_is_the_models_and_not_the_samples(self, place: Static, fit_one: Subject) -> None:
        many = {name: np.repeat(values, 20_000, axis=0) for name, values in fit_one.inputs.items()}
        few, lots = place.measure([fit_one, Subject(fit_one.path, many)], QUICK, Silent()).artefacts
        assert abs(few.peak_bytes - lots.peak_bytes) < 200_000 < sum(values.nbytes for values in many.values())

    def test_an_output_of_no_batch(self, tmp_path: Path) -> None:
        ports = (
            WirePort("x", "x", (2, 3), "float32"),
            WirePort("all", "all", (), "float32"),
            WirePort("y", "y", (1, 3), "float32"),
        )
        program = Program("x", "", "", ports[:1], ports[1:])
        np.arange(16, dtype="f4").tofile(tmp_path / "made")
        found = program.made(tmp_path / "made", 7)
        assert found["all"].tolist() == [0, 4, 8, 12] and found["y"].shape == (4, 3)
        with pytest.raises(ValueError, match="4 inferences for 9 samples"):
            program.made(tmp_path / "made", 9)

    def test_an_open_batch(self, tmp_path: Path) -> None:
        sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 6]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", sides[:1], sides[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "open.onnx")
        with pytest.raises(ModelError, match=r"is \(\?, 6\), and C takes fixed sizes") as raised:
            bench.program(tmp_path / "open.onnx", "x")
        assert "make_dynamic_shape_fixed" in raised.value.cure

    def test_too_many_at_once(self, place: Static, fit_one: Subject) -> None:
        with pytest.raises(UsageError, match="257 artefacts are more than 256"):
            place.measure([fit_one] * 257, QUICK, Silent())

    @pytest.mark.slow
    @pytest.mark.skipif(not may_mount(), reason="no file system can be mounted here")
    def test_a_full_disk_there(self, fit_one: Subject, tmp_path: Path) -> None:
        """The binary has room, and a report has not."""
        binary = built("gcc", [bench.program(fit_one.path, "artefact0")], [fit_one], QUICK, tmp_path)
        (tmp_path / "there").mkdir()
        size = len(binary) + 65_536
        runner = 'cp "$2" "$1" && chmod 700 "$1/runner" && "$1/runner" "$1" --detach'
        script = f'mount -t tmpfs -o size={size} t "$1" && {runner}'
        command = ["unshare", "-rm", "sh", "-c", script, "sh", tmp_path / "there", tmp_path / "runner"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "No space left on device" in done.stderr

    def test_a_python_that_was_named_has_to_be_there(self, poor: sshd.Server, subjects: list[Subject]) -> None:
        named = at("ssh://device", poor.config)
        assert bench.able(named) == named
        with pytest.raises(ToolError, match="has no python3"):
            Ssh(named.link).measure(subjects, QUICK, Silent())

    def test_other_files_than_onnx(self, place: Static, subjects: list[Subject]) -> None:
        with pytest.raises(UsageError, match=r"has no Python: it runs C, which is made of \.onnx") as raised:
            place.measure(subjects, QUICK, Silent())
        assert "install Python 3.9" in raised.value.cure

    def test_a_file_that_is_no_model(self, place: Static, subjects: list[Subject], tmp_path: Path) -> None:
        (tmp_path / "broken.onnx").write_bytes(b"\x1c\0\0\0" + bytes(200))
        with pytest.raises(ToolError, match=r"broken\.onnx"):
            place.measure([Subject(tmp_path / "broken.onnx", subjects[0].inputs)], QUICK, Silent())

    def test_a_processor_that_nobody_compiles_for(self, place: Static, subjects: list[Subject]) -> None:
        with pytest.raises(ToolError, match="edgett compiles for no sh4"):
            replace(place, machine="sh4").measure(subjects[1:], QUICK, Silent())

    @pytest.mark.slow
    def test_a_program_for_another_processor(self, place: Static, subjects: list[Subject], there: Path) -> None:
        """What sh says of it differs; that nothing stays does not."""
        with pytest.raises(ToolError, match=r"does not execute|failed with"):
            replace(place, machine="riscv64").measure(subjects[1:], QUICK, Silent())
        assert not list(there.glob("edgett-*/"))

    def test_no_compiler(self, place: Static, subjects: list[Subject], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(COMPILERS, "x86_64", "m68k-linux-gnu-gcc")
        monkeypatch.setitem(PACKAGES, "m68k-linux-gnu-gcc", "gcc-m68k-linux-gnu")
        with pytest.raises(ToolError, match="m68k-linux-gnu-gcc is not installed") as raised:
            replace(place, machine="x86_64").measure(subjects[1:], QUICK, Silent())
        assert raised.value.cure == "apt-get install gcc-m68k-linux-gnu"

    @pytest.mark.slow
    def test_a_process_that_is_killed_there(self, place: Static, fit_one: Subject, there: Path) -> None:
        def kill() -> None:
            while not list(there.glob("edgett-*/progress")):
                time.sleep(0.1)
            found = []
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    words = path.read_bytes().split(b"\0")
                    found += [path] if words[0].startswith(bytes(there)) and b"--detach" in words else []
            os.kill(max(int(path.parent.name) for path in found), signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(ToolError, match="was ended by signal 9 on ssh://device") as raised:
            place.measure([fit_one], replace(LONG, runs=10**7), Silent())
        thread.join()
        assert "free memory" in raised.value.cure
        assert not list(there.glob("edgett-*/"))

    @pytest.fixture
    def fit_one(self, subjects: list[Subject]) -> Subject:
        return subjects[1]

    @pytest.mark.slow
    def test_the_link_may_drop(self, place: Static, fit_one: Subject, poor: sshd.Server, there: Path) -> None:
        plan = replace(LONG, runs=6_000_000)
        with link_cut(poor, there):
            (one,) = place.measure([fit_one], plan, Silent()).artefacts
        assert sum(map(len, one.turns)) >= plan.runs
        assert not list(there.glob("edgett-*/"))
