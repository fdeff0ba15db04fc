"""Functions of the user's own, named as package.module:function."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


@contextlib.contextmanager
def importable() -> Iterator[None]:
    """While it lasts modules of the working directory can be imported, first of all."""
    # The console script, unlike `python -m`, does not look there.
    here = os.getcwd()  # noqa: PTH109
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def module(name: str) -> ModuleType:
    """The module of that name. Raises whatever its import raises."""
    with importable():
        return importlib.import_module(name)


def digest(name: str) -> str:
    """The SHA-256 of a module's source; of its name where it has none."""
    place = getattr(module(name), "__file__", None)
    content = Path(place).read_bytes() if place and Path(place).is_file() else name.encode()
    return hashlib.sha256(content).hexdigest()


def call(function: Any, *arguments: Any) -> Any:
    """What the function gives; it may import from the working directory while it runs."""
    with importable():
        return function(*arguments)
