"""The README in pieces: its fenced blocks, the commands that stand in its text, what its sections name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the README that it begins in."""

    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"line {self.line}, {self.language}"

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines of a shell's block."""
        return tuple(line for line in self.text.splitlines() if line.strip())


BLOCKS = tuple(Block(found[1], found[2], README.count("\n", 0, found.start()) + 1) for found in _FENCE.finditer(README))
PROSE = _FENCE.sub("", README)
SPANS = tuple(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE))
"""What the text says in `backquotes`, on one line each."""
TRY_IT = next(block for block in BLOCKS if "-m venv" in block.text)
"""The first two commands: .ci/run runs them."""


def block_with(language: str, text: str = "") -> Block:
    """The only block of a language that has the text."""
    (found,) = (block for block in BLOCKS if block.language == language and text in block.text)
    return found


def section(title: str) -> str:
    """The text under a heading of the second level."""
    _, _, rest = README.partition(f"\n## {title}\n")
    assert rest, f"there is no section {title}"
    return re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def anchor(title: str) -> str:
    """What GitHub calls a heading in an address."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
