"""How every table on a terminal looks: folded where it is narrow, stacked where that does not do, never cut."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgett.escape import terminal, terminal_line

GOOD, BAD, DOUBT, FAINT = "green", "red", "yellow", "dim"

FOLD = 16
"""Characters of a long name without spaces that stay on one line at least."""
GAP = 2
"""Spaces between two columns: one is the box's, the others are padding."""


class Content(enum.Enum):
    """What a column holds: words fold, numbers stay whole and end together, bars give way where it is narrow."""

    WORDS = "words"
    NUMBER = "number"
    BAR = "bar"


@dataclass(frozen=True)
class StyledColumn:
    """A column and its head; a bar has a fixed `width`."""

    name: str = ""
    kind: Content = Content.WORDS
    width: int = 0

    def told(self, text: str) -> str:
        """A cell's text as it may be shown."""
        return terminal_line(text) if self.kind is Content.WORDS else terminal(text)

    @property
    def justify(self) -> Literal["left", "right"]:
        return "right" if self.kind is Content.NUMBER else "left"


def words(name: str = "") -> StyledColumn:
    """A column of words, left-justified."""
    return StyledColumn(name)


def number(name: str = "") -> StyledColumn:
    """A column of numbers, right-justified."""
    return StyledColumn(name, Content.NUMBER)


def bar(width: int) -> StyledColumn:
    """A column of drawings so wide."""
    return StyledColumn("", Content.BAR, width)


class Sheet:
    """Rows under heads. A string is plain text, never markup nor codes; a line break in a number begins a second line.

    Words are one line, for names may hold anything.
    """

    def __init__(self, *columns: StyledColumn) -> None:
        self.columns = columns
        self.rows: list[tuple[RenderableType, ...]] = []

    def add(self, *cells: RenderableType) -> None:
        """Another row, a cell a column."""
        assert len(cells) == len(self.columns), f"{len(cells)} cells for {len(self.columns)} columns"
        told = zip(self.columns, cells, strict=True)
        self.rows.append(tuple(Text(column.told(cell)) if isinstance(cell, str) else cell for column, cell in told))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        every = range(len(self.columns))
        plain = [index for index in every if self.columns[index].kind is not Content.BAR]
        for shown in (list(every), plain):
            if widths := self._widths(shown, options.max_width):
                yield self._table(shown, widths)
                return
        yield from self._stacked(plain, options.max_width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(FOLD, options.max_width), options.max_width)

    def _widths(self, shown: Sequence[int], room: int) -> list[int]:
        """Of each column, none if they do not all fit: what is left goes to long words, then to heads of numbers."""
        least = [self._least(index) for index in shown]
        most = [max(self._most(index), low) for index, low in zip(shown, least, strict=True)]
        room -= sum(least) + GAP * (len(shown) - 1)
        if room < 0:
            return []
        widths = least
        while room and (wanting := [i for i, width in enumerate(widths) if width < most[i]]):
            widths[min(wanting, key=lambda i: (self.columns[shown[i]].kind is Content.NUMBER, widths[i]))] += 1
            room -= 1
        return widths

    def _least(self, index: int) -> int:
        """The narrowest that a column may be: no head and no word is broken, but for long names."""
        column = self.columns[index]
        if column.kind is Content.BAR:
            return column.width
        if column.kind is Content.NUMBER:
            return _longest([*column.name.split(), *self._lines(index)])
        parts = [part for line in self._lines(index) for part in line.split()]
        return max(_longest(column.name.split()), min(FOLD, _longest(parts)))

    def _most(self, index: int) -> int:
        column = self.columns[index]
        return column.width or _longest([column.name, *self._lines(index)])

    def _lines(self, index: int) -> list[str]:
        return [line for row in self.rows for line in _plain(row[index]).split("\n")]

    def _table(self, shown: Sequence[int], widths: Sequence[int]) -> Table:
        headed = any(self.columns[index].name for index in shown)
        table = Table(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_header=headed
        )
        for index, width in zip(shown, widths, strict=True):
            column = self.columns[index]
            table.add_column(Text(column.name), justify=column.justify, width=width, overflow="fold")
        for row in self.rows:
            table.add_row(*(row[index] for index in shown))
        return table

    def _stacked(self, shown: Sequence[int], room: int) -> Iterator[RenderableType]:
        """Each row under its first cell and those without a head, a line a cell; numbers still end together."""
        heads = [index for index in shown if index == 0 or not self.columns[index].name]
        others = [index for index in shown if index not in heads]
        left = _longest(self.columns[index].name for index in others)
        numbers = [index for index in others if self.columns[index].kind is Content.NUMBER]
        right = _longest(line for index in numbers for line in self._lines(index))
        fits = left + right + 4 <= room
        for row in self.rows:
            if head := [text for index in heads for text in _texts(row[index])]:
                yield Text("  ").join(head)
            for index in others:
                name = self.columns[index].name
                for text in _texts(row[index]):
                    if fits and index in numbers:
                        text.pad_left(right - text.cell_len)
                    label = f"{name.ljust(left) if fits else name}  "
                    yield Padding(Text.assemble(label, text), (0, 0, 0, 2), expand=False)
                    name = ""


def title(text: str) -> Text:
    """What stands above a table."""
    return remark(text, "bold")


def remark(text: str, style: str = "") -> Text:
    """What is said beside a table: one line, whatever names are in it."""
    return Text(terminal_line(text), style=style)


def verdict(holds: bool | None, *, good: str = "holds", bad: str = "broken", open: str = "not checked") -> Text:
    """A verdict by a word and its colour."""
    word, colour = {True: (good, GOOD), False: (bad, BAD), None: (open, DOUBT)}[holds]
    return Text(word, colour)


def _texts(cell: RenderableType) -> list[Text]:
    """The lines of a cell, none of an empty one."""
    return list(cell.split("\n")) if isinstance(cell, Text) and cell.plain else []


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else ""


def _longest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)
