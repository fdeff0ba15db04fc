"""Measuring on a device: one contract for all of them, and what each alone can get wrong."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device import arrive, bench, local, runner, ssh
from edgett.device.bench import Device, Plan, Subject
from edgett.errors import ToolError, UsageError
from edgett.values import Silent
from tests.device import sshd
from tests.device.disks import may_mount
from tests.export import exported as zoo
from tests.firmware.tools import needs

QUICK = Plan(runs=20, seconds=0.1, rounds=2, lives=2, limit=120)
LONG = Plan(runs=400_000, seconds=0.0, rounds=20, lives=2, limit=120)
"""About ten seconds of a small model."""
SERVER = needs("ssh", sshd.SSHD)


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    made = [zoo.exported("tensor trains", suffix, 1) for suffix in (".tflite", ".onnx")]
    inputs = made[0].samples(5)
    return [Subject(one.path, inputs) for one in made]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the runner makes its folders and its lock, here and behind ssh; other tests may measure meanwhile."""
    folder = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield folder
    tempfile.tempdir = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, there: Path) -> Iterator[sshd.Server]:
    with sshd.serving(tmp_path_factory.mktemp("sshd"), f"SetEnv TMPDIR={there}\n") as running:
        yield running


@pytest.fixture(params=["local", pytest.param("ssh", marks=SERVER)])
def device(request: pytest.FixtureRequest, there: Path) -> Device:
    if request.param == "local":
        return local.Local()
    return remote(request.getfixturevalue("server"))


def remote(server: sshd.Server) -> ssh.Ssh:
    return ssh.Ssh.at("ssh://device", PYTHON, server.config)


PYTHON = shutil.which("python3") or "python3"
"""That of the tests, where the runtimes are; a session of ssh's has another path."""


class TestContract:
    def test_measures_in_turns(self, device: Device, subjects: list[Subject], there: Path) -> None:
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
            for name, expected in local.run(subject.path, subject.inputs, 1).items():
                np.testing.assert_allclose(one.outputs[name], expected, atol=1e-5)
        assert [one.runtime.split()[0] for one in report.artefacts] == ["ai-edge-litert", "onnxruntime"]
        assert not list(there.glob("edgett-*/"))

    def test_one_benchmark_at_a_time(self, device: Device, subjects: list[Subject], there: Path) -> None:
        with (there / runner.LOCK.name).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(ToolError, match="another benchmark is running on"):
                device.measure(subjects, QUICK, Silent())

    @pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
    def test_a_file_that_the_runtime_refuses(
        self, device: Device, subjects: list[Subject], suffix: str, tmp_path: Path
    ) -> None:
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"\x1c\0\0\0TFL3" + bytes(200))
        with pytest.raises(ToolError, match="refuses an artefact: broken") as raised:
            device.measure([subjects[0], Subject(broken, subjects[0].inputs)], QUICK, Silent())
        assert "--upgrade" in raised.value.cure
        assert {".tflite": "ai-edge-litert", ".onnx": "onnxruntime"}[suffix] in raised.value.cure

    def test_it_is_given_up_after_the_limit(self, device: Device, subjects: list[Subject], there: Path) -> None:
        with pytest.raises(ToolError, match="took too long"):
            device.measure(subjects, replace(LONG, runs=10**9, limit=2), Silent())
        assert not list(there.glob("edgett-*/"))

    def test_ctrl_c_ends_it_there_too(self, device: Device, subjects: list[Subject], there: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            device.measure(subjects, LONG, Impatient())
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

    def test_more_threads_than_processors(self, device: Device, subjects: list[Subject]) -> None:
        with pytest.raises(UsageError, match="--threads: 999 threads are more than its"):
            device.measure(subjects, replace(QUICK, threads=999), Silent())

    @pytest.mark.parametrize("name", ["file", "args", "kwds"])
    def test_any_name_of_an_input(self, device: Device, name: str, tmp_path: Path) -> None:
        inputs = keras.Input((4,), name=name)
        made = zoo.export(
            keras.Model(inputs, keras.layers.Dense(2, name="y")(inputs)), zoo.ONNX, 1, tmp_path / "x.onnx"
        )
        (one,) = device.measure([Subject(made.path, made.samples(3))], QUICK, Silent()).artefacts
        assert one.outputs["y"].shape == (3, 2)

    def test_an_artefact_that_is_not_there(self, device: Device, subjects: list[Subject], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"gone\.tflite cannot be read"):
            device.measure([Subject(tmp_path / "gone.tflite", subjects[0].inputs)], QUICK, Silent())


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


class Impatient(Silent):
    """Somebody who presses Ctrl-C after the first turn."""

    def stage(self, text: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        @contextmanager
        def watched() -> Iterator[Callable[[int], None]]:
            def advance(units: int) -> None:
                if units:
                    raise KeyboardInterrupt

            yield advance

        return watched()


@SERVER
class TestSsh:
    @pytest.mark.slow
    def test_the_link_may_drop(self, subjects: list[Subject], server: sshd.Server, there: Path) -> None:

        def cut() -> None:
            while not list(there.glob("edgett-*/progress.json")):
                time.sleep(0.1)
            server.stop()
            time.sleep(4)
            server.start()

        thread = threading.Thread(target=cut)
        thread.start()
        report = remote(server).measure(subjects, LONG, Silent())
        thread.join()
        assert sum(map(len, report.artefacts[0].turns)) >= LONG.runs
        assert not list(there.glob("edgett-*/"))

    def test_a_host_that_does_not_answer(self, subjects: list[Subject]) -> None:
        with pytest.raises(ToolError, match=r"ssh://127\.0\.0\.1:1 cannot be reached: .*refused"):
            ssh.Ssh.at("ssh://127.0.0.1:1").measure(subjects, QUICK, Silent())

    def test_a_name_that_nobody_has(self, subjects: list[Subject]) -> None:
        with pytest.raises(ToolError, match=r"cannot be reached: .*resolve") as raised:
            ssh.Ssh.at("ssh://nobody.invalid").measure(subjects, QUICK, Silent())
        assert "name" in raised.value.cure

    def test_a_key_that_is_not_known_is_refused(self, subjects: list[Subject], tmp_path: Path) -> None:
        with sshd.serving(tmp_path) as server:
            (tmp_path / "known").write_text("")
            with pytest.raises(ToolError, match="cannot be reached") as raised:
                remote(server).measure(subjects, QUICK, Silent())
            assert "not known" in raised.value.cure
            assert raised.value.cure.endswith(f"say yes: ssh -F {server.config} device")
            assert (tmp_path / "known").read_text() == ""

    def test_a_key_that_has_changed_is_refused(self, subjects: list[Subject], tmp_path: Path) -> None:
        with sshd.serving(tmp_path) as server:
            sshd.key(tmp_path / "other")
            sshd.trust(tmp_path, server.port, "other")
            with pytest.raises(ToolError, match="key of ssh://device has changed: it is SHA256:") as raised:
                remote(server).measure(subjects, QUICK, Silent())
            assert f"not the one in {tmp_path / 'known'}." in raised.value.message
            assert "listen in" in raised.value.cure
            assert f"say yes: ssh -F {server.config} device" in raised.value.cure
            forget = raised.value.cure.partition("anew: ")[2].partition(";")[0]
            subprocess.run(shlex.split(forget), check=True, capture_output=True)
            assert (tmp_path / "known").read_text() == ""

    def test_a_key_that_the_device_does_not_take(self, subjects: list[Subject], tmp_path: Path) -> None:
        with sshd.serving(tmp_path) as server:
            (tmp_path / "authorized").write_text("")
            with pytest.raises(ToolError, match="Permission denied") as raised:
                remote(server).measure(subjects, QUICK, Silent())
            assert f"ssh-copy-id -F {server.config} device, or" in raised.value.cure

    def test_cures_are_complete_with_user_and_port(self, subjects: list[Subject]) -> None:
        with pytest.raises(ToolError) as raised:
            ssh.Ssh.at("ssh://pi@127.0.0.1:1").measure(subjects, QUICK, Silent())
        assert raised.value.cure == "Try by hand: ssh -p 1 pi@127.0.0.1"

    def test_long_words_are_cut_between_them(self) -> None:
        told = ssh.Ssh.at("ssh://pi")._failed(255, "exchange identification " * 40)
        assert "cannot be reached: ... " in told.message
        assert set(told.message.partition("... ")[2].rstrip(".").split()) == {"exchange", "identification"}

    def test_what_was_left_there_goes_at_the_next_start(
        self, subjects: list[Subject], server: sshd.Server, there: Path
    ) -> None:
        """Of a client that was killed: but not what is still running, or may still be fetched."""
        old = time.time() - ssh.ABANDONED - 60
        for name, pid in (("dead", 2**22 + 1), ("recent", 2**22 + 1), ("running", os.getpid()), ("early", None)):
            folder = there / f"{arrive.PREFIX}{name}"
            folder.mkdir()
            (folder / "0-x.onnx").touch()
            if pid:
                (folder / "process.json").write_text(json.dumps({"pid": pid}))
            for path in (*folder.iterdir(), folder):
                os.utime(path, (old, old))
        runner.status(there / f"{arrive.PREFIX}recent")  # somebody asked
        remote(server).measure(subjects, QUICK, Silent())
        left = sorted(there.glob(f"{arrive.PREFIX}*"))
        assert [path.name.removeprefix(arrive.PREFIX) for path in left] == ["recent", "running"]
        for path in left:
            shutil.rmtree(path)

    def test_a_client_that_was_killed(self, server: sshd.Server, subjects: list[Subject], there: Path) -> None:
        """The benchmark there ends, and its folder goes with the next one that comes late enough."""
        script = (
            "import sys; from pathlib import Path; from edgett.device import bench, ssh\n"
            "from edgett.values import Silent\n"
            "place = ssh.Ssh.at('ssh://device', sys.argv[1], Path(sys.argv[2]))\n"
            "import numpy; plan = bench.Plan(runs=10**9, seconds=0.0, rounds=20, lives=1, limit=2)\n"
            "subject = bench.Subject(Path(sys.argv[3]), dict(numpy.load(sys.argv[4])))\n"
            "place.measure([subject], plan, Silent())"
        )
        np.savez(there / "inputs.npz", **{name: np.asarray(values) for name, values in subjects[0].inputs.items()})
        command = [PYTHON, "-c", script, PYTHON, server.config, subjects[0].path, there / "inputs.npz"]
        client = subprocess.Popen([str(word) for word in command])
        while not (found := list(there.glob(f"{arrive.PREFIX}*/process.json"))):
            assert client.poll() is None
            time.sleep(0.1)
        client.kill()
        client.wait()
        for _ in range(300):
            if (found[0].parent / "report.json").exists():
                break
            time.sleep(0.1)
        left = found[0].parent
        assert "it took longer than allowed" in (left / "report.json").read_text()
        assert not arrive.abandoned(left, 60)
        for _ in range(100):  # its process takes a moment to go
            arrive.sweep(there, 0.1)
            if not left.exists():
                break
            time.sleep(0.1)
        else:
            raise AssertionError("its folder stays")

    @pytest.mark.skipif(not may_mount(), reason="no file system can be mounted here")
    def test_a_full_disk_there(self, tmp_path: Path) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as file:
            file.addfile(tarfile.TarInfo("x"), None)
        script = 'mount -t tmpfs -o size=64k tmpfs "$1" && TMPDIR="$1" "$2" -c "$3" 60 "$4"; ls "$1"'
        words = [str(tmp_path), PYTHON, Path(arrive.__file__).read_text(), str(bench.ROOM)]
        command = ["unshare", "-rm", "sh", "-c", script, "sh", *words]
        said = subprocess.run(command, input=archive.getvalue(), capture_output=True, check=True).stdout
        told = bench.trouble(json.loads(said)["error"], "board")  # and nothing is left that ls would tell
        assert told.message == f"the disk of board is full: {tmp_path}."

    def test_no_python(self, subjects: list[Subject], server: sshd.Server) -> None:
        with pytest.raises(ToolError, match="has no /no/where") as raised:
            replace(remote(server), python="/no/where").measure(subjects, QUICK, Silent())
        assert "--python" in raised.value.cure

    def test_no_runtime(self, subjects: list[Subject], server: sshd.Server, tmp_path: Path) -> None:
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
        bare = replace(remote(server), python=str(tmp_path / "bare" / "bin" / "python3"))
        for subject, package in zip(subjects, ("ai-edge-litert", "onnxruntime"), strict=True):
            with pytest.raises(ToolError, match="has no runtime for") as raised:
                bare.measure([subject], QUICK, Silent())
            assert raised.value.cure == f"There: python3 -m pip install {package}"

    def test_an_answer_that_is_no_json(self, subjects: list[Subject], server: sshd.Server) -> None:
        with pytest.raises(ToolError, match=r"is not what edgett's runner says: .*json.dumps"):
            replace(remote(server), python="/bin/echo").measure(subjects, QUICK, Silent())

    @pytest.mark.parametrize(
        "said",
        ["{}", "[]", '{"folder": 3}', '{"error": "x"}', "nothing", '{"error": {"kind": "runtime", "message": "y"}}'],
    )
    def test_whatever_else_it_says(
        self, subjects: list[Subject], server: sshd.Server, tmp_path: Path, said: str
    ) -> None:
        fake = tmp_path / "python"
        fake.write_text(f"#!/bin/sh\necho '{said}'\n")
        fake.chmod(0o755)
        with pytest.raises(ToolError):
            replace(remote(server), python=str(fake)).measure(subjects, QUICK, Silent())

    def test_shells_may_greet_and_take_leave(
        self, subjects: list[Subject], server: sshd.Server, there: Path, tmp_path: Path
    ) -> None:
        polite = tmp_path / "python"
        polite.write_text(f'#!/bin/sh\necho "Welcome to pi"\n{PYTHON} "$@"\necho Bye\n')
        polite.chmod(0o755)
        report = replace(remote(server), python=str(polite)).measure(subjects, QUICK, Silent())
        assert len(report.artefacts) == 2
        assert not list(there.glob("edgett-*/"))

    def test_nothing_of_ours_is_for_the_shell(
        self, subjects: list[Subject], server: sshd.Server, tmp_path: Path
    ) -> None:
        with pytest.raises(ToolError, match="has no "):
            replace(remote(server), python=f"touch {tmp_path}/made; python3").measure(subjects, QUICK, Silent())
        assert list(tmp_path.iterdir()) == []

    def test_a_configuration_that_is_not_there(self, subjects: list[Subject], tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="cannot be reached") as raised:
            ssh.Ssh.at("ssh://device", PYTHON, tmp_path / "none").measure(subjects, QUICK, Silent())
        assert "--ssh-config" in raised.value.cure


@pytest.mark.parametrize(
    "address",
    ["ssh://", "ssh://-oProxyCommand=x", "ssh://-x@host", "ssh://u:secret@host", "ssh://host/path", "ssh://host:port",
     "ssh://host;x", "ssh://host:0", "ssh://host:70000", "ssh://::1", "http://host", "host", "ssh://host?x"],
)  # fmt: skip
def test_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a device"):
        ssh.Ssh.at(address)


@pytest.mark.parametrize(
    ("address", "user", "host", "port"),
    [
        ("ssh://pi@raspberrypi.local:2222", "pi", "raspberrypi.local", 2222),
        ("ssh://Board_2/", None, "Board_2", None),
        ("ssh://board", None, "board", None),
        ("ssh://root@[::1]:22", "root", "::1", 22),
    ],
)
def test_an_address(address: str, user: str | None, host: str, port: int | None) -> None:
    found = ssh.Ssh.at(address)
    assert (found.user, found.host, found.port) == (user, host, port)
    assert ssh.Ssh.at(found.name) == found


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
