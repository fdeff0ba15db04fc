"""A device behind ssh: what can go wrong on the way, and what becomes of what is there."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgett.device import arrive, bench, runner
from edgett.device.bench import Subject
from edgett.device.errand import ABANDONED
from edgett.device.link import Link
from edgett.errors import ToolError, UsageError
from edgett.meter import Silent
from tests.device import sshd
from tests.device.disks import may_mount
from tests.device.measuring import LONG, PYTHON, QUICK, SERVER, at, link_cut, remote, without_python


@SERVER
class TestSsh:
    @pytest.mark.slow
    def test_the_link_may_drop(self, subjects: list[Subject], server: sshd.Server, there: Path) -> None:
        with link_cut(server, there):
            report = remote(server).measure(subjects, LONG, Silent())
        assert sum(map(len, report.artefacts[0].turns)) >= LONG.runs
        assert not list(there.glob("edgett-*/"))

    def test_a_host_that_does_not_answer(self, subjects: list[Subject]) -> None:
        with pytest.raises(ToolError, match=r"ssh://127\.0\.0\.1:1 cannot be reached: .*refused"):
            at("ssh://127.0.0.1:1").measure(subjects, QUICK, Silent())

    def test_a_name_that_nobody_has(self, subjects: list[Subject]) -> None:
        with pytest.raises(ToolError, match=r"cannot be reached: .*resolve") as raised:
            at("ssh://nobody.invalid").measure(subjects, QUICK, Silent())
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
            at("ssh://pi@127.0.0.1:1").measure(subjects, QUICK, Silent())
        assert raised.value.cure == "Try by hand: ssh -p 1 pi@127.0.0.1"

    def test_long_words_are_cut_between_them(self) -> None:
        told = Link.to("ssh://pi").failed("python3", 255, "exchange identification " * 40)
        assert "cannot be reached: ... " in told.message
        assert set(told.message.partition("... ")[2].rstrip(".").split()) == {"exchange", "identification"}

    @pytest.mark.slow
    @pytest.mark.parametrize("machine", ["server", "poor"])
    def test_what_was_left_there_goes_at_the_next_start(
        self, subjects: list[Subject], machine: str, request: pytest.FixtureRequest, there: Path
    ) -> None:
        """Of a client that was killed: but not what is still running, or may still be fetched."""
        reached = {"server": remote, "poor": without_python}[machine](request.getfixturevalue(machine))
        old = time.time() - ABANDONED - 60
        for name, pid in (("dead", 2**22 + 1), ("recent", 2**22 + 1), ("running", os.getpid()), ("early", None)):
            folder = there / f"{arrive.PREFIX}{name}"
            folder.mkdir()
            (folder / "0-x.onnx").touch()
            if pid:
                (folder / "process.json").write_text(json.dumps({"pid": pid}))
            for path in (*folder.iterdir(), folder):
                os.utime(path, (old, old))
        runner.status(there / f"{arrive.PREFIX}recent")  # somebody asked
        reached.measure(subjects[1:], QUICK, Silent())
        left = sorted(there.glob(f"{arrive.PREFIX}*"))
        assert [path.name.removeprefix(arrive.PREFIX) for path in left] == ["recent", "running"]
        for path in left:
            shutil.rmtree(path)

    @pytest.mark.slow
    def test_a_client_that_was_killed(self, server: sshd.Server, subjects: list[Subject], there: Path) -> None:
        """The benchmark there ends, and its folder goes with the next one that comes late enough."""
        script = (
            "import sys; from pathlib import Path; from edgett.device import bench, link, ssh\n"
            "from edgett.meter import Silent\n"
            "place = ssh.Ssh(link.Link.to('ssh://device', Path(sys.argv[2])), sys.argv[1])\n"
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

    @pytest.mark.slow
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

    @pytest.mark.slow
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
            at("ssh://device", tmp_path / "none").measure(subjects, QUICK, Silent())
        assert "--ssh-config" in raised.value.cure


@pytest.mark.parametrize(
    "address",
    ["ssh://", "ssh://-oProxyCommand=x", "ssh://-x@host", "ssh://u:secret@host", "ssh://host/path", "ssh://host:port",
     "ssh://host;x", "ssh://host:0", "ssh://host:70000", "ssh://::1", "http://host", "host", "ssh://host?x"],
)  # fmt: skip
def test_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a device"):
        Link.to(address)


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
    found = Link.to(address)
    assert (found.user, found.host, found.port) == (user, host, port)
    assert Link.to(found.name) == found
