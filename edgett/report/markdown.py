"""A report as Markdown, as GitHub reads it: for a pull request, or to be kept beside the model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgett.report.facts import Cell, Report, Section, Table
from edgett.report.picture import plain

BLOCKS = 8
"""Characters of a full bar."""


def document(report: Report) -> str:
    """The words, tables and commands of a report; pictures are left to their words."""
    return "\n".join([f"# {_text(report.title)}", "", *(line for each in report.sections for line in _section(each))])


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {_text(section.title)}", "")
    for words in section.words:
        yield from (_paragraph(words), "")
    for command in section.code:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
        yield from (f"{fence}sh", plain(command, len(command)), fence, "")
    for table in section.tables:
        yield from (f"### {_text(table.title)}", "", *_table(table), "")


def _table(table: Table) -> Iterator[str]:
    yield _row([_text(column.title) for column in table.columns])
    yield _row(["---:" if column.numeric else "---" for column in table.columns])
    for row in table.rows:
        yield _row([_cell(cell) for cell in row])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    blocks = max(1, round(cell.share * BLOCKS)) if cell.share else 0
    return f"{_text(cell.text)} {'█' * blocks}" if blocks else _text(cell.text)


def _paragraph(text: str) -> str:
    """Words that begin no list."""
    return re.sub(r"^([-+]|\d+(?=[.)] ))", r"\\\1", _text(text))


def _text(text: str) -> str:
    """Plain text that Markdown takes for nothing else."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!@$])", r"\\\1", plain(text, 2000))
