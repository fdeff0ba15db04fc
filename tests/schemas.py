"""Documents held against the schemas that edgett prints of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from edgett.schema import documents

FILES = {"run.json": "run.json", "check.json": "check", "bench-*.json": "bench", "manifest.json": "firmware pack"}
"""What is written, and which document it is."""


@functools.cache
def validator(name: str) -> Draft202012Validator:
    schema = documents.schema(name)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def fault(name: str, document: Any) -> str:
    """What is wrong with a document of that name; nothing when it is as described."""
    found = best_match(validator(name).iter_errors(document))
    return "" if found is None else f"{name}: {found.json_path}: {found.message[:2000]}"


def hold(name: str, document: Any) -> None:
    """Assert that a document is as described."""
    found = fault(name, document)
    assert not found, found


def prints_json(arguments: Sequence[str]) -> bool:
    """Whether a command line prints a document."""
    report = list(arguments[:1]) == ["report"] and "json" in arguments and "--out" not in arguments
    return ("--json" in arguments or report) and not {"--help", "-h"} & set(arguments)


def name_of(arguments: Sequence[str]) -> str:
    """Which document a command line prints."""
    return next((name for name in (" ".join(arguments[:2]), *arguments[:1]) if name in documents.DOCUMENTS), "error")


def hold_answer(arguments: Sequence[str], document: Any) -> None:
    """Assert that what a command line has printed is as described."""
    hold("error" if set(document) == {"schema", "error"} else name_of(arguments), document)


def files(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """The documents in a folder and below: which they are, where, and when they were written."""
    for pattern, name in FILES.items():
        for place in folder.rglob(pattern):
            if place.is_file():
                yield name, place, place.stat().st_mtime_ns
