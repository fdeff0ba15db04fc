"""Another machine behind OpenSSH: one program at a time, from an argument list, and what its failures mean."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgett.errors import ToolError, UsageError

CONNECT = 15
"""Seconds that a connection may take."""
COMMAND = 120
"""Seconds that a command there may take, the transfer of files apart."""

# No part begins with -, or it would be an option of ssh's.
_ADDRESS = re.compile(
    r"ssh://((?P<user>\w[\w.-]*)@)?((?P<name>\w[\w.-]*)|\[(?P<number>[0-9A-Fa-f:.]+(%\w+)?)\])(:(?P<port>\d{1,5}))?/?"
)


class LinkDown(ToolError):
    """The connection failed in a way that may pass."""


class NoProgram(ToolError):
    """There is no such program there."""


@dataclass(frozen=True)
class Link:
    """A machine that `ssh` reaches without a password, whose key is known; `config` is a file for `ssh -F`."""

    user: str | None
    host: str
    port: int | None = None
    config: Path | None = None

    @classmethod
    def to(cls, address: str, config: Path | None = None) -> Link:
        """Of ssh://[user@]host[:port]. Raises UsageError for anything else."""
        found = _ADDRESS.fullmatch(address)
        if found is None or int(found["port"] or 1) not in range(1, 1 << 16):
            raise UsageError(
                f"{address!r} is no address of a device.", "Write ssh://user@host or ssh://user@host:port."
            )
        port = int(found["port"]) if found["port"] else None
        return cls(found["user"], found["name"] or found["number"], port, config)

    @property
    def name(self) -> str:
        """As --device takes it."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")

    def said(self, arguments: Sequence[str], key: str, given: bytes = b"", limit: float = COMMAND) -> dict[str, Any]:
        """What a program there answers: a document with that key, or with an error."""
        return document(self.call(arguments, given, limit), key, self.name)

    def call(self, arguments: Sequence[str], given: bytes = b"", limit: float = COMMAND) -> bytes:
        """Run a program there, `given` its input. OpenSSH hands one line to the shell there: every argument is quoted.

        Raises ToolError: LinkDown, NoProgram, or what else it was.
        """
        command = [*self._way("ssh", *_options(), "--"), shlex.join(arguments)]
        try:
            done = subprocess.run(command, input=given, capture_output=True, timeout=limit)
        except FileNotFoundError as error:
            raise ToolError("ssh is not installed.", "Debian has it in openssh-client.") from error
        except subprocess.TimeoutExpired as error:
            raise LinkDown(f"{self.name} did not answer within {limit:g} s.", "Look at the network.") from error
        if done.returncode:
            raise self.failed(arguments[0], done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def _way(self, program: str, *options: str) -> list[str]:
        """A command that gets there as edgett does."""
        config = ["-F", str(self.config)] if self.config else []
        port = ["-p", str(self.port)] if self.port else []
        return [program, *config, *port, *options, f"{self.user}@{self.host}" if self.user else self.host]

    def failed(self, program: str, code: int, words: str) -> ToolError:
        """What to say of a program there, or of ssh itself, that ended with a code and some last words."""
        last = _end(words)
        if code == 255:
            if "REMOTE HOST IDENTIFICATION HAS CHANGED" in words:
                return self._changed(words)
            ways = {"ssh": shlex.join(self._way("ssh")), "copy": shlex.join(self._way("ssh-copy-id"))}
            for pattern, cure in _REFUSALS:
                if re.search(pattern, words):
                    return ToolError(f"{self.name} cannot be reached: {last}.", cure.format(**ways))
            return LinkDown(f"{self.name} cannot be reached: {last}.", f"Try by hand: {ways['ssh']}")
        if code in (126, 127):
            return NoProgram(f"{self.name} has no {program}: {last}.", "Install it there.")
        for trouble, cure in _DISK.items():
            if trouble in words:
                return ToolError(f"{self.name} cannot write: {last}.", cure)
        return ToolError(f"{program} on {self.name} failed with {code}: {last}.", SHELL)

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


_DISK = {
    "No space left on device": "Its disk is full: free some space there, or name another folder in its TMPDIR.",
    "Read-only file system": "Name a folder in its TMPDIR that can be written to.",
}
SHELL = "Look whether the shell there prints something of its own, and whether its disk is full."
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


def document(content: bytes, key: str, where: str) -> dict[str, Any]:
    """The last line that is a document with that key, or with an error: shells may greet and take leave."""
    lines = content.decode(errors="replace").strip().splitlines()
    for line in reversed(lines):
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(answer, dict) and (isinstance(answer.get(key), str) or "error" in answer):
            return answer
    raise ToolError(
        f"what {where} answers is not what edgett's runner says: {_end(content.decode(errors='replace'))!r}.", SHELL
    )
