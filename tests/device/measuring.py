"""How the tests of measuring reach a device."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from edgett.device.bench import Plan
from edgett.device.link import Link
from edgett.device.ssh import Ssh
from edgett.device.static import Static
from edgett.meter import Silent
from edgett.workflow import bench
from tests.device import sshd
from tests.firmware.tools import needs

QUICK = Plan(runs=20, seconds=0.1, rounds=2, lives=2, limit=120)
LONG = Plan(runs=400_000, seconds=0.0, rounds=20, lives=2, limit=120)
"""About ten seconds of a small model."""
TOOLS = ("sh", "uname", "mktemp", "dd", "chmod", "rm")
"""All that a device without Python needs."""
SERVER = needs("ssh", sshd.SSHD)


def remote(server: sshd.Server) -> Ssh:
    return at("ssh://device", server.config)


def without_python(server: sshd.Server) -> Static:
    found = bench.able(Ssh(Link.to("ssh://device", server.config)))
    assert isinstance(found, Static)
    return found


def at(address: str, config: Path | None = None) -> Ssh:
    return Ssh(Link.to(address, config), PYTHON)


PYTHON = sys.executable
"""That of the tests, where the runtimes are; it need not be on anybody's PATH."""


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


@contextmanager
def link_cut(server: sshd.Server, there: Path) -> Iterator[None]:
    """The link drops once something was measured, for a few seconds."""

    def cut() -> None:
        while not list(there.glob("edgett-*/progress*")):
            time.sleep(0.1)
        server.stop()
        time.sleep(4)
        server.start()

    thread = threading.Thread(target=cut)
    thread.start()
    yield
    thread.join()
