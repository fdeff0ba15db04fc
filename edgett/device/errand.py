"""A runner on another machine: it works on when the link drops, what it made is fetched, and it is removed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgett.device.bench import Plan
from edgett.device.link import COMMAND, SHELL, Link, LinkDown
from edgett.errors import ToolError
from edgett.meter import Meter

TRANSFER = 1800
"""Seconds that files may take to get there, or back."""
PATIENCE = 300
"""Seconds that the link may be down while the benchmark goes on there."""
MOMENT = 1.0
"""Seconds between two looks."""
ABANDONED = TRANSFER + PATIENCE
"""Seconds after which nobody comes back for a folder there."""
RESULTS = "edgett-results"
"""The line after which a runner writes its files: NAME SIZE, a new line, and so many bytes, each."""

_HEAD = re.compile(rb"(?P<name>report\.json|outputs-\d{1,4}\.(npz|bin)) (?P<size>\d{1,12})")


@dataclass(frozen=True)
class Errand:
    """`runner` and `results` are the programs there, with their arguments: one works, one writes what came of it."""

    link: Link
    runner: Sequence[str]
    results: Sequence[str]

    def run(self, plan: Plan, meter: Meter, back: Path) -> None:
        """Measure, and put the files that the runner made into a folder here; nothing stays there."""
        with self._removed():
            self.link.call([*self.runner, "--detach"])
            with meter.stage(f"measuring on {self.link.host}", plan.turns) as advance:
                self._wait(plan, advance)
            self._unpack(self.link.call(self.results, limit=TRANSFER), back)

    def _wait(self, plan: Plan, advance: Callable[[int], None]) -> None:
        """Until the report is there; the link may drop meanwhile."""
        seen, heard = 0, time.monotonic()
        end = heard + plan.limit + COMMAND
        while time.monotonic() < end:
            try:
                answer = self._said("--status")
                heard = time.monotonic()
            except LinkDown:
                if time.monotonic() - heard > PATIENCE:
                    raise
                time.sleep(5 * MOMENT)
                continue
            if answer.get("state") == "done":
                return
            if not isinstance(done := answer.get("done"), int):
                raise ToolError(
                    f"the benchmark on {self.link.name} ended without a report: {str(answer.get('log', ''))[-200:]!r}.",
                    "Somebody killed it, or the machine was started again; try once more.",
                )
            advance(done - seen)
            seen = done
            time.sleep(MOMENT)
        raise ToolError(f"the benchmark on {self.link.name} did not end within {plan.limit} s.", "Raise --limit.")

    def _unpack(self, content: bytes, back: Path) -> None:
        _, _, rest = content.partition(f"{RESULTS}\n".encode())
        while (line := rest.partition(b"\n"))[1]:
            found = _HEAD.fullmatch(line[0])
            if found is None or len(line[2]) < (size := int(found["size"])):
                break  # a shell that takes its leave
            (back / found["name"].decode()).write_bytes(line[2][:size])
            rest = line[2][size:]
        if not (back / "report.json").exists():
            raise ToolError(f"what {self.link.name} sent back is not what a runner writes.", SHELL)

    @contextmanager
    def _removed(self) -> Iterator[None]:
        """Whatever happens, nothing of ours stays there, as far as it can be reached."""
        try:
            yield
        except BaseException:
            with suppress(ToolError):  # what went wrong first is what matters
                self._said("--stop")
            raise
        with suppress(LinkDown):  # what was measured is here; a later runner removes the folder
            self._said("--stop")

    def _said(self, how: str) -> dict[str, Any]:
        """What the runner answers."""
        return self.link.said([*self.runner, how], "state")
