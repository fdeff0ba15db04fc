"""A real OpenSSH server on this machine's loopback, with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass
class Server:
    """It can be stopped with all its connections, and started again. `config` is for `ssh -F`, and calls it device."""

    folder: Path
    port: int
    process: Any = field(default=None)

    @property
    def config(self) -> Path:
        return self.folder / "config"

    def start(self) -> None:
        command = [SSHD, "-D", "-f", str(self.folder / "sshd_config")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("sshd does not listen")

    def stop(self) -> None:
        """The link is down: whoever is connected is cut off."""
        listed = subprocess.run(["ps", "-eo", "pid,ppid"], check=True, capture_output=True, text=True).stdout
        pairs = [tuple(map(int, line.split())) for line in listed.splitlines()[1:]]
        for pid in (self.process.pid, *(pid for pid, parent in pairs if parent == self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(folder: Path, settings: str = "") -> Iterator[Server]:
    """A server that knows one key, and a configuration that knows the server's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("host", "own"):
        key(folder / name)
    Path("/run/sshd").mkdir(exist_ok=True)
    shutil.copyfile(folder / "own.pub", folder / "authorized")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n"
        + settings
    )
    trust(folder, port, "host")
    (folder / "config").write_text(
        f"Host device\nHostName 127.0.0.1\nPort {port}\nUser {getpass.getuser()}\nIdentityFile {folder}/own\n"
        f"IdentitiesOnly yes\nUserKnownHostsFile {folder}/known\nGlobalKnownHostsFile /dev/null\n"
    )
    server = Server(folder, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def trust(folder: Path, port: int, name: str) -> None:
    """Let the server's key be known as this one."""
    kind, number, *_ = (folder / f"{name}.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {kind} {number}\n")
