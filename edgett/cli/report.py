"""edgett report"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import options
from edgett.cli.console import Screen


class ReportFormat(enum.Enum):
    """How a report is written."""

    HTML = "html"
    MARKDOWN = "md"
    JSON = "json"


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.")],
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
    from edgett import reporting
    from edgett.report import facts, markdown

    screen = Screen(silent=quiet)
    with screen.stage("writing the report"):
        content = reporting.report(run)
        if format is ReportFormat.HTML:
            from edgett.report import page

            out, text = out or run / reporting.PAGE, page.document(content)
        elif format is ReportFormat.MARKDOWN:
            text = markdown.document(content)
        else:
            text = json.dumps(facts.document(content), indent=2, allow_nan=False)
        if out is not None:
            reporting.write(text, out)
    if out is None:
        print(text)
    else:
        screen.say(f"written: {out}")
