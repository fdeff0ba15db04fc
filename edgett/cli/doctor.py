"""edgett doctor"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgett.cli import options
from edgett.cli.console import Screen
from edgett.errors import ToolError


def doctor(json: options.Json = False, debug: options.Debug = False) -> int:
    """Look at this installation and machine: versions, what is missing, what that would enable, how to get it.

    Exit code 6 when something is missing that every command needs.

    [bold]Example[/bold]

    edgett doctor
    """
    try:
        from edgett.device import doctor
    except ModuleNotFoundError as error:
        raise ToolError(f"{error.name} is missing.", "pip install --force-reinstall edgett") from error
    from importlib.metadata import PackageNotFoundError, version

    from edgett.report import health
    from edgett.system.folders import cache

    try:
        own, wanted = version("edgett"), doctor.wanted()
    except PackageNotFoundError as error:
        raise ToolError("edgett is not installed, only its files are there.", "pip install -e .") from error
    kept = cache()
    machine = doctor.this_machine({f"the cache, {kept}": kept, _here(): Path()})
    core, extras = doctor.libraries(wanted.core), doctor.extras(wanted)
    suits = doctor.python_will_do(wanted)
    document = health.health(health.Findings(own, wanted.python, suits, machine, core, extras, doctor.tools()))
    return Screen(json=json).conclude(document, health.draw, _problem(document))


def _here() -> str:
    try:
        return f"this folder, {Path.cwd()}"
    except OSError:
        return "this folder, which is gone: change to another"


def _problem(document: Mapping[str, Any]) -> ToolError | None:
    """What keeps edgett from working, and what to type."""
    if document["ok"]:
        return None
    python, bad = document["python"], [one for one in document["libraries"] if one["state"] != "ok"]
    told = [f"Python is {python['version']}, not {python['needed']}"] if not python["ok"] else []
    told += [f"{one['name']} {_wrong(one)}" for one in bad]
    names = " ".join(f"'{one['name']}{one['needed']}'" for one in bad)
    cure = f"pip install --force-reinstall {names}" if bad else f"Make an environment with Python {python['needed']}."
    return ToolError(f"this installation is not sound: {'; '.join(told)}.", cure)


def _wrong(one: Mapping[str, Any]) -> str:
    return {
        "missing": "is missing",
        "other version": f"is {one['version']}, not {one['needed']}",
        "broken": "is damaged",
    }[one["state"]]
