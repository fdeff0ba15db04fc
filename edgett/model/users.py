"""Functions of the user's own, named as package.module:function."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
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
    """The module of that name. Raises whatever its import raises, and ImportError for one inside a run.

    A run may come from anybody and names its modules itself: it may not bring them along.
    """
    with importable():
        if (place := _place(name)) is not None and (run := _run_around(place)) is not None:
            raise ImportError(f"it lies in the run {run}, and no code of a run is executed")
        return importlib.import_module(name)


def _place(name: str) -> Path | None:
    """The file of a module, found without executing anything; None where it has none or is not there."""
    where: list[str] | None = None
    place: str | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), where)
        if spec is None:
            return None
        where, place = list(spec.submodule_search_locations or ()), spec.origin
    return None if place is None else Path(place).resolve()


def _run_around(place: Path) -> Path | None:
    return next((parent for parent in place.parents if (parent / "run.json").exists()), None)


def digest(name: str) -> str:
    """The SHA-256 of a module's source; of its name where it has none."""
    place = getattr(module(name), "__file__", None)
    content = Path(place).read_bytes() if place and Path(place).is_file() else name.encode()
    return hashlib.sha256(content).hexdigest()


def call(function: Any, *arguments: Any) -> Any:
    """What the function gives; it may import from the working directory while it runs."""
    with importable():
        return function(*arguments)
