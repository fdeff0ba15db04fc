"""Tables on a terminal: whole at every width, coloured only where colours are wanted."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.bar import Bar
from rich.console import Console, RenderableType
from rich.text import Text

from edgett.report.style import BAD, Sheet, bar, number, title, verdict, words

LONG = "encoder/block_12/attention/output_projection"


def drawn(item: RenderableType, width: int, **how: object) -> str:
    out = io.StringIO()
    Console(file=out, width=width, **how).print(item)  # type: ignore[arg-type]
    return out.getvalue()


def sheet(name: str = LONG) -> Sheet:
    table = Sheet(words("layer"), number("parameters"), number("of the dense"), words(), bar(6))
    table.add(name, "39,980,000", "159,930,000\n-12.5 %", verdict(True), Bar(2, 0, 1, width=6))
    table.add("fc", "7", "8", verdict(None), Bar(2, 0, 2, width=6))
    return table


@pytest.mark.parametrize("width", range(24, 130))
def test_nothing_is_cut_at_any_width(width: int) -> None:
    text = drawn(sheet(), width)

    assert max(map(len, text.splitlines())) <= width
    assert all(figure in text.split() for figure in ("39,980,000", "159,930,000", "-12.5", "7", "8"))
    assert "holds" in text and "…" not in text
    assert LONG in "".join(re.split(r"\s{2,}", line)[0] for line in text.splitlines())


def test_a_narrow_table_drops_its_bars_then_stacks() -> None:
    wide, middle, narrow = (drawn(sheet("dense_1"), width) for width in (80, 45, 30))

    assert "█" in wide
    assert "█" not in middle and "parameters" in middle.splitlines()[1]
    assert narrow.splitlines()[:2] == ["dense_1  holds", "  parameters     39,980,000"]
    assert narrow.splitlines()[3].split() == ["-12.5", "%"]


def test_numbers_end_together_when_stacked() -> None:
    lines = [line for line in drawn(sheet("a"), 30).splitlines() if line.startswith("  ")]

    assert len({len(line) for line in lines}) == 1


def test_a_table_without_heads_has_no_rule() -> None:
    table = Sheet(words(), number())
    table.add("cost", "1")

    assert drawn(table, 40).split() == ["cost", "1"]


def test_markup_and_wide_characters_are_text() -> None:
    table = Sheet(words("名前"), number("n"))
    table.add("[red]層[/]" * 6, "12,345,678")

    for width in (16, 24, 40, 80):
        text = drawn(table, width)
        assert text.count("層") == 6 and "12,345,678" in text


def test_codes_are_shown_and_not_obeyed() -> None:
    table = Sheet(words("name"))
    table.add("\x1b[31mred")

    assert "?[31mred" in drawn(table, 40)
    assert title("\x1b[2Jgone").plain == "?[2Jgone"


@given(
    st.lists(st.tuples(st.text("abc_/ ", max_size=40), st.integers(0, 10**15)), min_size=1, max_size=4),
    st.integers(30, 100),
)
def test_every_number_survives(rows: list[tuple[str, int]], width: int) -> None:
    table = Sheet(words("name"), number("bytes"))
    for name, value in rows:
        table.add(name, f"{value:,}")

    text = drawn(table, width)

    assert max(map(len, text.splitlines())) <= width
    assert all(f"{value:,}" in text for _, value in rows)


@pytest.mark.parametrize(
    ("variables", "terminal", "escapes", "colour"),
    [
        ({"TERM": "xterm-256color"}, True, True, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, True, True, False),
        ({"TERM": "dumb"}, True, False, False),
        ({"TERM": "xterm-256color"}, False, False, False),
        ({"TERM": "xterm-256color", "FORCE_COLOR": "1"}, None, True, True),
    ],
    ids=["terminal", "NO_COLOR", "dumb", "piped", "FORCE_COLOR"],
)
def test_colours(variables: dict[str, str], terminal: bool | None, escapes: bool, colour: bool) -> None:
    out = io.StringIO()
    Console(file=out, width=60, force_terminal=terminal, _environ=variables).print(
        title("Budgets"), sheet(), Text("no", BAD)
    )

    assert ("\x1b" in out.getvalue()) == escapes
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]", out.getvalue())) == colour


def test_verdict_is_told_by_a_word_too() -> None:
    assert [verdict(holds).plain for holds in (True, False, None)] == ["holds", "broken", "not checked"]
    assert verdict(False, bad="differs").plain == "differs"


def test_a_row_needs_a_cell_for_each_column() -> None:
    with pytest.raises(AssertionError, match="1 cells for 2 columns"):
        Sheet(words("a"), number("b")).add("a")
