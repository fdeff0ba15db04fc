"""edgett report"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import options
from edgett.cli.console import Screen
from edgett.errors import UsageError


class ReportFormat(enum.Enum):
    """How a report is written."""

    HTML = "html"
    MARKDOWN = "md"
    JSON = "json"


def report(
    run: options.Run,
    format: Annotated[
        ReportFormat, typer.Option(help="html: a page for a browser. md: for a pull request. json: for a program.")
    ] = ReportFormat.HTML,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write. Default: RUN/report.html; Markdown and JSON go to standard output."),
    ] = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write the report of a finished run: the verdict, how it came to that, and the evidence.

    The page needs no network and nothing beside it; benchmarks kept in the run are in it.

    [bold]Examples[/bold]

    edgett report runs/clock-cortex-a53-1

    edgett report runs/clock-cortex-a53-1 --format md --out report.md
    """
    from edgett.report import facts, markdown, reports
    from edgett.run import record

    if out is not None:
        _refuse_own(run, out)
    screen = Screen(silent=quiet)
    with screen.stage("writing the report"):
        if format is ReportFormat.HTML:
            from edgett.report import page

            text = reports.told(run, page.document)
            out = out or record.inside(run, reports.PAGE)
        elif format is ReportFormat.MARKDOWN:
            text = reports.told(run, markdown.document)
        else:
            text = reports.told(run, lambda report: json.dumps(facts.document(report), indent=2, allow_nan=False))
        if out is not None:
            reports.write(text, out)
    if out is None:
        print(text)
    else:
        screen.say(f"written: {out}")


def _refuse_own(run: Path, out: Path) -> None:
    """Raise UsageError for a file of the run that is no report."""
    if out.is_file() and (place := out.resolve()).is_relative_to(run.resolve()) and place.stem != "report":
        raise UsageError(f"--out {out} is a file of the run itself.", f"Name another, as --out {run / 'report.md'}.")
