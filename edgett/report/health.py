"""The findings of `edgett doctor` as a JSON document and as tables."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.report.style import BAD, DOUBT, FAINT, GOOD, Sheet, title, words
from edgett.report.words import size
from edgett.schema import SCHEMA

if TYPE_CHECKING:
    from edgett.device.doctor import Extra, Library, Machine, Tool

_COLOURS = {"ok": GOOD, "missing": FAINT, "other version": DOUBT, "broken": BAD}


@dataclass(frozen=True)
class Findings:
    """What a look at the machine came to; `python` are the versions that will do, `suits` whether this one does."""

    edgett: str
    python: str
    suits: bool
    machine: Machine
    core: Sequence[Library]
    extras: Sequence[Extra]
    tools: Sequence[Tool]


def health(found: Findings) -> dict[str, Any]:
    """The document of `edgett doctor`; `ok` when all that every command needs is there."""
    core = [_library(one) for one in found.core]
    return {
        "schema": SCHEMA,
        "ok": found.suits and all(one["state"] == "ok" for one in core),
        "edgett": found.edgett,
        "python": {"version": platform.python_version(), "needed": found.python, "ok": found.suits},
        "machine": asdict(found.machine),
        "libraries": core,
        "extras": [_extra(one) for one in found.extras],
        "tools": [
            asdict(one) | {"state": one.state.value, "install": f"apt-get install {one.debian}"} for one in found.tools
        ],
    }


def _library(one: Library) -> dict[str, Any]:
    return asdict(one) | {"state": one.state.value}


def _extra(one: Extra) -> dict[str, Any]:
    libraries = [_library(library) for library in one.libraries]
    return {
        "name": one.name,
        "enables": one.enables,
        "install": f"pip install 'edgett[{one.name}]'",
        "ok": all(library["state"] == "ok" for library in libraries),
        "libraries": libraries,
    }


def draw(document: Mapping[str, Any]) -> RenderableType:
    """The machine, then what every command needs, then what some can use."""
    return Group(*_machine(document), Text(), *_core(document), Text(), *_extras(document), Text(), *_tools(document))


def _machine(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    machine, python = document["machine"], document["python"]
    yield title(f"edgett {document['edgett']}, Python {python['version']}")
    if not python["ok"]:
        yield Text(f"Python {python['needed']} is needed.", BAD)
    table = Sheet(words(), words())
    table.add("processor", f"{machine['processor']}, {machine['architecture']}")
    table.add("processors", f"{machine['usable']} usable of {machine['processors']}")
    table.add("memory", f"{size(machine['memory'])}, {size(machine['available'])} of it available")
    table.add("SIMD", ", ".join(machine["simd"]) or "none that matters")
    for folder, free in machine["free"].items():
        table.add("free disk", f"unknown in {folder}" if free is None else f"{size(free)} in {folder}")
    yield table


def _core(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield title("Libraries that edgett needs")
    yield _libraries(document["libraries"])


def _extras(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield title("Optional libraries")
    table = Sheet(words("extra"), words("library"), words("version"), words("needed"), words("enables"), words())
    for extra in document["extras"]:
        for index, one in enumerate(extra["libraries"]):
            enables = "" if index else extra["enables"]
            name = "" if index else extra["name"]
            table.add(name, one["name"], one["version"] or "", one["needed"], enables, _state(one["state"]))
    yield table
    yield from (Text(f"{extra['name']}: {extra['install']}") for extra in document["extras"] if not extra["ok"])


def _tools(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield title("Optional tools")
    table = Sheet(words("tool"), words("version"), words("enables"), words())
    for one in document["tools"]:
        table.add(one["name"], one["version"] or "", one["enables"], _state(one["state"]))
    yield table
    missing = dict.fromkeys(one["debian"] for one in document["tools"] if one["state"] != "ok")
    if missing:
        yield Text(f"On Debian: apt-get install {' '.join(dict.fromkeys(' '.join(missing).split()))}")


def _libraries(libraries: Sequence[Mapping[str, Any]]) -> Sheet:
    table = Sheet(words("library"), words("version"), words("needed"), words())
    for one in libraries:
        table.add(one["name"], one["version"] or "", one["needed"], _state(one["state"]))
    return table


def _state(word: str) -> Text:
    return Text(word, _COLOURS[word])
