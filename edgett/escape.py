"""Foreign text made harmless for the place where it is to stand, a function a place.

Names out of a model file, words of other programs and paths may hold anything. C gets names of edgett's own alone (see
`export.anonymous` and `wire.identifiers`), and so do CMake and Make; the names that a file has are told in comments and
reports, and only through here. Jinja escapes for HTML itself, as `html` does, and the shell's place has `shlex`.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape

__all__ = ["c_comment", "html", "markdown", "one_line", "terminal", "terminal_line"]

_STRANGE = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode's categories of what draws nothing and does something: controls, directions, private and half characters."""
_JOINERS = "\u200c\u200d"
"""Format characters that words of some languages are spelled with, and that leave the order of the text alone."""
_ENDS = str.maketrans("\n\t", "? ")


def terminal(text: str) -> str:
    """Without what a terminal would obey: controls other than line ends and tabs, and what turns the text around."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in "\n\t" or _harmless(one) else "?" for one in text)


def terminal_line(text: str) -> str:
    """The same in one line: what draws a row for each line would have others begin with it."""
    return terminal(text).translate(_ENDS)


def one_line(text: str, longest: int = 200) -> str:
    """As one line of printable characters, its middle left out where it is too long."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    if len(text) <= longest:
        return text
    return f"{text[: (longest - 1) // 2]}…{text[-(longest // 2) :]}"


def c_comment(text: str, longest: int = 200) -> str:
    """Inside a comment in C: letters, digits and what can end neither it nor its line; a \\ is a / here.

    Of ``*/`` and ``/*``, of a line's end, of a backslash before one and of a trigraph that stands for it nothing is
    left; what is not ASCII is told by its number.
    """
    told = one_line(text, longest).replace("…", "...").encode("ascii", "backslashreplace").decode().replace("\\", "/")
    return re.sub(r"(?<=[*?/])(?=[*?/])", " ", told)  # no two of these stand together


def markdown(text: str, longest: int = 2000) -> str:
    """Plain text that Markdown takes for nothing else."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!@$])", r"\\\1", one_line(text, longest))


def html(text: str) -> str:
    """Plain text between the tags of a page."""
    return escape(text, quote=False)


def _harmless(letter: str) -> bool:
    return letter in _JOINERS or unicodedata.category(letter) not in _STRANGE
