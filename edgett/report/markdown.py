"""A report as Markdown, as GitHub reads it: for a pull request, or to be kept beside the model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgett.escape import markdown, one_line
from edgett.report.facts import Cell, Report, Section, Table

BLOCKS = 8
"""Characters of a full bar."""


def document(report: Report) -> str:
    """The words, tables and commands of a report; pictures are left to their words."""
    told = (line for each in report.sections for line in _section(each))
    return "\n".join([f"# {markdown(report.title)}", "", *told])


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {markdown(section.title)}", "")
    for words in section.words:
        yield from (_paragraph(words), "")
    for command in section.code:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
        yield from (f"{fence}sh", one_line(command, len(command)), fence, "")
    for table in section.tables:
        yield from (f"### {markdown(table.title)}", "", *_table(table), "")


def _table(table: Table) -> Iterator[str]:
    yield _row([markdown(column.title) for column in table.columns])
    yield _row(["---:" if column.numeric else "---" for column in table.columns])
    for row in table.rows:
        yield _row([_cell(cell) for cell in row])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    blocks = max(1, round(cell.share * BLOCKS)) if cell.share else 0
    return f"{markdown(cell.text)} {'█' * blocks}" if blocks else markdown(cell.text)


def _paragraph(text: str) -> str:
    """Words that begin no list."""
    return re.sub(r"^([-+]|\d+(?=[.)] ))", r"\\\1", markdown(text))
