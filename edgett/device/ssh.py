"""Measures on another machine through OpenSSH, with its Python: one file goes there."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgett.device import arrive
from edgett.device.bench import ROOM, RUNNER, BenchReport, Plan, Subject, pack, trouble, unpack
from edgett.device.errand import ABANDONED, RESULTS, TRANSFER, Errand
from edgett.device.link import Link, NoProgram
from edgett.errors import ToolError
from edgett.meter import Meter
from edgett.system.folders import scratch

PYTHON = "python3"
"""What it is called nearly everywhere."""
_RESULTS = f"""
import os, sys
folder, write = sys.argv[1], sys.stdout.buffer.write
write(b"{RESULTS}\\n")
for name in sorted(os.listdir(folder)):
    if name == "report.json" or name.startswith("outputs-") and name.endswith(".npz"):
        with open(os.path.join(folder, name), "rb") as file:
            content = file.read()
        write(b"%s %d\\n%s" % (name.encode(), len(content), content))
"""


@dataclass(frozen=True)
class Ssh:
    """A machine behind a link, and its Python."""

    link: Link
    python: str = PYTHON

    @property
    def name(self) -> str:
        """As --device takes it."""
        return self.link.name

    def measure(self, subjects: Sequence[Subject], plan: Plan, meter: Meter) -> BenchReport:
        """Measure there. Raises ToolError when it cannot be reached, refuses us, or cannot do it."""
        with scratch() as folder:
            pack(folder, subjects, plan)
            with meter.stage(f"sending to {self.link.host}"):
                there = self._sent(folder)
        runner = [self.python, f"{there}/{RUNNER.name}", there]
        with scratch() as back:
            Errand(self.link, runner, [self.python, "-c", _RESULTS, there]).run(plan, meter, back)
            return unpack(back, self.name)

    def _sent(self, folder: Path) -> str:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as file:
            for path in sorted(folder.iterdir()):
                file.add(path, path.name)
        program = [self.python, "-c", Path(arrive.__file__).read_text(), str(ABANDONED), str(ROOM)]
        try:
            answer = self.link.said(program, "folder", archive.getvalue(), TRANSFER)
        except NoProgram as missing:
            cure = "Install Python 3.9 or later there, or name it: --python /path/to/python3."
            raise ToolError(missing.message, cure) from missing
        if error := answer.get("error"):
            raise trouble(error, self.name)
        return str(answer["folder"])
