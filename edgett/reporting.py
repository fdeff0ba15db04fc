"""The report of a run: made when it ends, and again whenever somebody asks or something is added."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgett import session
from edgett.errors import EdgettError, UsageError
from edgett.pipeline import Outcome
from edgett.report import document, draw, front_plots, sections, space_plots
from edgett.report.facts import Report
from edgett.report.picture import Picture
from edgett.report.stored import restored, stored
from edgett.run import Run
from edgett.space.explore import Exploration
from edgett.values import Meter

SPACE, PAGE = "space.json", "report.html"


def finish(run: Run, outcome: Outcome, meter: Meter) -> dict[str, Any]:
    """Write the outcome, the cross-check and the report into the run; the outcome's document.

    A report that cannot be written is only told: the run is worth more.
    """
    with _told(meter):
        run.write_json(SPACE, {"schema": document.SCHEMA, "picture": stored(_space(outcome, meter))})
    content = session.finish(run, outcome)
    complete(run, meter)
    return content


def complete(run: Run, meter: Meter) -> None:
    """Write the page of a finished run that has none."""
    if not (run.path / PAGE).exists():
        refresh(run, meter)


def refresh(run: Run, meter: Meter) -> None:
    """Write the page of a finished run that is open; a failure is only told."""
    from edgett.report import page

    with meter.stage("writing the report"), _told(meter):
        content = page.document(report(run.path))
        with run.writing(PAGE) as part:
            part.write_text(content, encoding="utf-8")
        meter.say(f"report: {run.path / PAGE}")


@contextmanager
def _told(meter: Meter) -> Iterator[None]:
    try:
        yield
    except EdgettError as error:
        meter.say(f"no report: {error.message}")


def write(text: str, place: Path) -> None:
    """Write a report to a file, whole or not at all. Raises ToolError when it fails."""
    draw.put(text.encode(), place, "report")


def report(path: Path) -> Report:
    """What is to be told of a finished run. Raises UsageError when there is none, or a file of it is damaged."""
    asked, _, _ = session.told(path)
    benches = [_read(place) for place in sorted(path.glob("bench-*.json"))]
    try:
        return sections.report(str(path), asked, _picture(path / SPACE), benches)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(
            f"the run in {path} cannot be told: {type(error).__name__} {error}.",
            "It is damaged, or of another version of edgett: start anew with 'edgett compress --fresh'.",
        ) from error


def _space(outcome: Outcome, meter: Meter) -> Picture:
    """The design spaces, with the picks in them."""
    explored = outcome.exploration
    chosen = {name: trial.solution.shapes for name, trial in (outcome.picks.named() if outcome.picks else {}).items()}
    if not isinstance(explored, Exploration):
        return front_plots.front_picture(explored, chosen, outcome.errors)
    with meter.stage("counting solutions for the report", space_plots.units(explored)) as advance:
        return space_plots.space_picture(explored, advance, chosen)


def _picture(place: Path) -> Picture | None:
    """The design spaces that the run kept, None where it did not."""
    return restored(_read(place)["picture"]) if place.is_file() else None


def _read(place: Path) -> Any:
    try:
        return json.loads(place.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{place} cannot be read: {error}.", "Take it away: the report does without it.") from error
