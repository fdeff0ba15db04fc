"""Measures on another machine through OpenSSH: one file goes there, works on when the link drops, and is removed."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgett.device import arrive
from edgett.device.bench import ROOM, RUNNER, Plan, Report, Subject, pack, trouble, unpack
from edgett.errors import ToolError, UsageError
from edgett.folders import scratch
from edgett.values import Meter

CONNECT = 15
"""Seconds that a connection may take."""
COMMAND = 120
"""Seconds that a command there may take, the transfer of files apart."""
TRANSFER = 1800
PATIENCE = 300
"""Seconds that the link may be down while the benchmark goes on there."""
MOMENT = 1.0
"""Seconds between two looks."""
ABANDONED = TRANSFER + PATIENCE
"""Seconds after which nobody comes back for a folder there."""

# No part begins with -, or it would be an option of ssh's.
_ADDRESS = re.compile(
    r"ssh://((?P<user>\w[\w.-]*)@)?((?P<name>\w[\w.-]*)|\[(?P<number>[0-9A-Fa-f:.]+(%\w+)?)\])(:(?P<port>\d{1,5}))?/?"
)
_RESULTS = """
import glob, os, sys, tarfile
sys.stdout.buffer.write(b"edgett-archive\\n")
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
    for path in glob.glob(os.path.join(sys.argv[1], "outputs-*.npz")) + [os.path.join(sys.argv[1], "report.json")]:
        archive.add(path, os.path.basename(path))
"""


class _LinkDown(ToolError):
    """The connection failed in a way that may pass."""


@dataclass(frozen=True)
class Ssh:
    """A machine that `ssh` reaches without a password, whose key is known; `config` is a file for `ssh -F`."""

    user: str | None
    host: str
    port: int | None = None
    python: str = "python3"
    config: Path | None = None

    @classmethod
    def at(cls, address: str, python: str = "python3", config: Path | None = None) -> Ssh:
        """Of ssh://[user@]host[:port]. Raises UsageError for anything else."""
        found = _ADDRESS.fullmatch(address)
        if found is None or int(found["port"] or 1) not in range(1, 1 << 16):
            raise UsageError(
                f"{address!r} is no address of a device.", "Write ssh://user@host or ssh://user@host:port."
            )
        port = int(found["port"]) if found["port"] else None
        return cls(found["user"], found["name"] or found["number"], port, python, config)

    @property
    def name(self) -> str:
        """As --device takes it."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")

    def measure(self, subjects: Sequence[Subject], plan: Plan, meter: Meter) -> Report:
        """Measure there. Raises ToolError when it cannot be reached, refuses us, or cannot do it."""
        with scratch() as folder:
            pack(folder, subjects, plan)
            with meter.stage(f"sending to {self.host}"):
                there = self._sent(folder)
            with self._removed(there):
                self._call([f"{there}/{RUNNER.name}", there, "--detach"], b"", COMMAND)
                with meter.stage(f"measuring on {self.host}", plan.turns) as advance:
                    self._wait(there, plan, advance)
                with scratch() as back:
                    self._fetch(there, back)
                    return unpack(back, self.name)

    def _sent(self, folder: Path) -> str:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as file:
            for path in sorted(folder.iterdir()):
                file.add(path, path.name)
        program = ["-c", Path(arrive.__file__).read_text(), str(ABANDONED), str(ROOM)]
        answer = _document(self._call(program, archive.getvalue(), TRANSFER), "folder", self.name)
        if error := answer.get("error"):
            raise trouble(error, self.name)
        return str(answer["folder"])

    def _wait(self, there: str, plan: Plan, advance: Callable[[int], None]) -> None:
        """Until the report is there; the link may drop meanwhile."""
        seen, heard = 0, time.monotonic()
        end = heard + plan.limit + COMMAND
        while time.monotonic() < end:
            try:
                answer = self._said([f"{there}/{RUNNER.name}", there, "--status"])
                heard = time.monotonic()
            except _LinkDown:
                if time.monotonic() - heard > PATIENCE:
                    raise
                time.sleep(5 * MOMENT)
                continue
            if answer["state"] == "done":
                return
            if answer["state"] == "gone":
                raise ToolError(
                    f"the benchmark on {self.name} ended without a report: {answer.get('log', '')[-200:]!r}.",
                    "Somebody killed it, or the machine was started again; try once more.",
                )
            advance(answer["done"] - seen)
            seen = answer["done"]
            time.sleep(MOMENT)
        raise ToolError(f"the benchmark on {self.name} did not end within {plan.limit} s.", "Raise --limit.")

    def _fetch(self, there: str, folder: Path) -> None:
        content = self._call(["-c", _RESULTS, there], b"", TRANSFER)
        _, _, content = content.partition(b"edgett-archive\n")
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(folder, filter="data")
        except tarfile.TarError as error:
            raise ToolError(f"what {self.name} sent back is no archive: {error}.", _SHELL) from error

    @contextmanager
    def _removed(self, there: str) -> Iterator[None]:
        """Whatever happens, nothing of ours stays there, as far as it can be reached."""
        try:
            yield
        except BaseException:
            with suppress(ToolError):  # what went wrong first is what matters
                self._said([f"{there}/{RUNNER.name}", there, "--stop"])
            raise
        self._said([f"{there}/{RUNNER.name}", there, "--stop"])

    def _said(self, arguments: Sequence[str]) -> dict[str, Any]:
        """What the runner answers."""
        return _document(self._call(arguments, b"", COMMAND), "state", self.name)

    def _call(self, arguments: Sequence[str], given: bytes, limit: float) -> bytes:
        """Run Python there. OpenSSH hands one line to the shell there, so every argument is quoted for it."""
        command = [*self._way("ssh", *_options(), "--"), shlex.join([self.python, *arguments])]
        try:
            done = subprocess.run(command, input=given, capture_output=True, timeout=limit)
        except FileNotFoundError as error:
            raise ToolError("ssh is not installed.", "Debian has it in openssh-client.") from error
        except subprocess.TimeoutExpired as error:
            raise _LinkDown(f"{self.name} did not answer within {limit:g} s.", "Look at the network.") from error
        if done.returncode:
            raise self._failed(done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def _way(self, program: str, *options: str) -> list[str]:
        """A command that gets there as edgett does."""
        config = ["-F", str(self.config)] if self.config else []
        port = ["-p", str(self.port)] if self.port else []
        return [program, *config, *port, *options, f"{self.user}@{self.host}" if self.user else self.host]

    def _failed(self, code: int, words: str) -> ToolError:
        last = _end(words)
        if code == 255:
            if "REMOTE HOST IDENTIFICATION HAS CHANGED" in words:
                return self._changed(words)
            ways = {"ssh": shlex.join(self._way("ssh")), "copy": shlex.join(self._way("ssh-copy-id"))}
            for pattern, cure in _REFUSALS:
                if re.search(pattern, words):
                    return ToolError(f"{self.name} cannot be reached: {last}.", cure.format(**ways))
            return _LinkDown(f"{self.name} cannot be reached: {last}.", f"Try by hand: {ways['ssh']}")
        if code in (126, 127):
            return ToolError(
                f"{self.name} has no {self.python}: {last}.",
                "Install Python 3.9 or later there, or name it: --python /path/to/python3.",
            )
        return ToolError(f"{self.python} on {self.name} failed with {code}: {last}.", _SHELL)

    def _changed(self, words: str) -> ToolError:
        """What to say of a key that is not the known one; ssh tells under which name and where it is known."""
        shown, name = re.search(r"SHA256:[\w+/]+", words), re.search(r"Host key for (\S+) has changed", words)
        place = re.search(r"Offending .*key in (.+):\d+", words)
        host = name[1] if name else f"[{self.host}]:{self.port}" if self.port else self.host
        forget = ["ssh-keygen", *(["-f", place[1]] if place else []), "-R", host]
        return ToolError(
            f"the key of {self.name} has changed: it is {shown[0] if shown else 'another'} now,"
            f" not the one in {place[1] if place else 'known_hosts'}.",
            f"Somebody may listen in. If it was installed anew: {shlex.join(forget)}; "
            f"then connect once by hand, compare the fingerprint, and say yes: {shlex.join(self._way('ssh'))}",
        )


def _end(words: str) -> str:
    """The last of many words, whole ones."""
    plain = " ".join(words.split()).rstrip(".")
    return plain if len(plain) <= 300 else "... " + plain[-300:].partition(" ")[2]


_SHELL = "Look whether the shell there prints something of its own, and whether its disk is full."
_REFUSALS = (
    (
        "Host key verification failed|host key is known",
        "Its key is not known yet: connect once by hand, compare the fingerprint, and say yes: {ssh}",
    ),
    (
        "Permission denied|Too many authentication failures",
        "It wants a key: {copy}, or name the key in the ssh configuration. Passwords are not asked for.",
    ),
    ("Could not resolve hostname", "Look at the name of the host."),
    ("Bad configuration option|Can't open user config", "Look at the file that --ssh-config names."),
)


def _options() -> list[str]:
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(CONNECT),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ClearAllForwardings": "yes",
        "LogLevel": "ERROR",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _document(content: bytes, key: str, where: str) -> dict[str, Any]:
    """The last line that is a document with that key, or with an error: shells may greet and take leave."""
    lines = content.decode(errors="replace").strip().splitlines()
    for line in reversed(lines):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and (isinstance(answer.get(key), str) or "error" in answer):
            return answer
    raise ToolError(
        f"what {where} answers is not what edgett's runner says: {_end(content.decode(errors='replace'))!r}.", _SHELL
    )
