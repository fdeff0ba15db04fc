"""The report of a run: made when it ends, and again whenever somebody asks or something is added."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgett.errors import EdgettError, ToolError, UsageError
from edgett.meter import Meter
from edgett.report import front_plots, sections, space_plots
from edgett.report.facts import Report
from edgett.report.picture import Picture
from edgett.report.stored import CODEC, stored
from edgett.run import record, session
from edgett.run.directory import Run
from edgett.schema import SCHEMA
from edgett.search.explore import Exploration
from edgett.system.folders import put
from edgett.workflow import reexport
from edgett.workflow.outcome import Outcome, conclude
from edgett.workflow.survey import Explored

SPACE, PAGE = "space.json", "report.html"


def finish(run: Run, outcome: Outcome, meter: Meter) -> dict[str, Any]:
    """Write the outcome, the cross-check and the report into the run; the outcome's document.

    A report that cannot be written is only told: the run is worth more.
    """
    if outcome.exploration is not None:
        with _failure_told(meter):
            run.write_json(SPACE, {"schema": SCHEMA, "picture": stored(_space(outcome, outcome.exploration, meter))})
    content = conclude(run, outcome)
    complete(run, meter)
    return content


def complete(run: Run, meter: Meter) -> None:
    """Write the page of a finished run that has none."""
    if not (run.path / PAGE).exists():
        refresh(run, meter)


def refresh(run: Run, meter: Meter) -> None:
    """Write the page of a finished run that is open; a failure is only told."""
    from edgett.report import page

    with meter.stage("writing the report"), _failure_told(meter):
        content = told(run.path, page.document)
        with run.writing(PAGE) as part:
            part.write_bytes(_encoded(content))
        meter.say(f"report: {run.path / PAGE}")


@contextmanager
def _failure_told(meter: Meter) -> Iterator[None]:
    try:
        yield
    except EdgettError as error:
        meter.say(f"no report: {error.message}")


def write(text: str, place: Path) -> None:
    """Write a report to a file, whole or not at all. Raises ToolError when it fails."""
    put(_encoded(text), place, "report")


def _encoded(text: str) -> bytes:
    """In UTF-8; names of files may hold bytes that are none."""
    return text.encode(errors="backslashreplace")


def told(path: Path, render: Callable[[Report], str]) -> str:
    """What a renderer makes of a finished run. Raises UsageError when there is none, or a file of it is damaged."""
    return render(report(path))


def report(path: Path) -> Report:
    """What is to be told of a finished run. Raises as `told` does."""
    asked, _, _ = session.told(path)
    space = _picture(path / SPACE)
    benches = [record.benchmark(path, place.name) for place in sorted(path.glob("bench-*.json"))]
    return sections.report(str(path), asked, space, benches)


def _space(outcome: Outcome, explored: Explored, meter: Meter) -> Picture:
    """The design spaces, with the picks in them that replace anything."""
    picks = outcome.picks.named() if outcome.picks else {}
    # The spaces are those of the model with all channels.
    whole = {name: trial.solution for name, trial in picks.items() if not trial.solution.removed}
    chosen = {name: solution.edits for name, solution in whole.items() if solution.edits}
    if not isinstance(explored, Exploration):
        return front_plots.front_picture(explored, chosen, outcome.errors.get(0, {}))
    with meter.stage("counting solutions for the report", space_plots.units(explored)) as advance:
        return space_plots.space_picture(explored, advance, chosen)


def _picture(place: Path) -> Picture | None:
    """The design spaces that the run kept, None where it did not."""
    if not (place.exists() or place.is_symlink()):
        return None
    found: Picture = record.value(place.parent, place.name, "picture", CODEC, record.WITHOUT)
    return found


def keep(paths: Sequence[Path], document: Mapping[str, Any], meter: Meter) -> None:
    """Write the document into the run and its report, where it is of one that can be written to."""
    if len(paths) != 1 or not paths[0].is_dir():
        return
    name = re.sub(r"[^A-Za-z0-9.]+", "-", document["device"]["name"])
    try:
        with reexport.finished(paths[0]) as (run, _, _):
            run.write_json(f"bench-{name}.json", document)
            refresh(run, meter)
    except (UsageError, ToolError) as error:
        meter.say(f"not kept in the run: {error.message}")
