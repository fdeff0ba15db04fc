"""Whether a test can have a disk of its own, small enough to be full."""

from __future__ import annotations

import functools
import shutil
import subprocess


@functools.cache
def may_mount() -> bool:
    """Whether file systems can be mounted in a name space of one's own."""
    program = shutil.which("unshare")
    command = [program or "", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return program is not None and subprocess.run(command, capture_output=True).returncode == 0
