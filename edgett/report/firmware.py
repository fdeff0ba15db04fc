"""The size of a linked firmware as a JSON document and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.report.style import DOUBT, Sheet, number, title, verdict, words
from edgett.schema import SCHEMA
from edgett.search.constraints import Holding
from edgett.target.profile import Target

if TYPE_CHECKING:
    from edgett.firmware.elf import ElfFacts, LinkedSection

LARGEST = 20
"""Symbols that are told: of the model where one was named, else of all."""
_BUDGETS = {
    "flash": "flash, whole firmware",
    "ram": "RAM, whole firmware",
    "model_flash": "flash, the model",
    "model_ram": "RAM, the model",
}


def size_document(facts: ElfFacts, holdings: Sequence[Holding], target: Target) -> dict[str, Any]:
    """The document of `firmware size`: sections, the largest symbols, and each budget with limit, value and holds."""
    symbols = facts.symbols if facts.ours is None else facts.ours
    return {
        "schema": SCHEMA,
        "elf": str(facts.path),
        "machine": facts.machine.removeprefix("EM_"),
        "bits": facts.bits,
        "target": {"name": target.name, "title": target.title},
        "model": facts.model,
        "stripped": facts.symbols is None,
        "ok": all(item.holds is not False for item in holdings),
        "sections": [{"name": part.name, "bytes": part.bytes, "memory": _memory(part)} for part in facts.sections],
        "symbols": [
            {"name": one.name, "bytes": one.bytes, "section": one.section.name, "memory": _memory(one.section)}
            for one in (symbols or ())[:LARGEST]
        ],
        "largest": {item.name: _largest(facts, item.name) for item in holdings},
        "constraints": [
            {"name": item.name, "limit": item.limit, "value": item.value, "holds": item.holds} for item in holdings
        ],
    }


def _largest(facts: ElfFacts, name: str) -> list[dict[str, Any]]:
    """The three largest symbols in the memory of a budget, of the model or of all."""
    whose = (facts.ours if name.startswith("model_") else facts.symbols) or ()
    memory = name.removeprefix("model_")
    return [{"name": one.name, "bytes": one.bytes} for one in whose if memory in _memory(one.section)][:3]


def _memory(section: LinkedSection) -> list[str]:
    return ["flash"] * section.flash + ["ram"] * section.ram


def draw_size(document: Mapping[str, Any]) -> RenderableType:
    """Budgets first, then where the bytes are."""
    head = title(f"{document['elf']} on {document['target']['name']}: {document['target']['title']}")
    return Group(head, _budgets(document), *_notes(document), _parts(document, "section"), *_symbols(document))


def _budgets(document: Mapping[str, Any]) -> Sheet:
    table = Sheet(words("constraint"), number("limit"), number("value"), words())
    for item in document["constraints"]:
        value = "" if item["value"] is None else f"{item['value']:,}"
        table.add(_BUDGETS[item["name"]], f"{item['limit']:,}", value, verdict(item["holds"]))
    return table


def _notes(document: Mapping[str, Any]) -> list[Text]:
    if document["stripped"]:
        return [Text("It is stripped: without symbols, the model's part is not known.", style=DOUBT)]
    if document["model"] is None:
        return [Text("--name NAME tells which symbols are the model's.", style=DOUBT)]
    return []


def _parts(document: Mapping[str, Any], what: str) -> Sheet:
    """Sections or symbols."""
    table = Sheet(words(what), number("bytes"), words("memory"))
    for part in document[f"{what}s"]:
        table.add(part["name"], f"{part['bytes']:,}", " + ".join(map(_spelled, part["memory"])))
    return table


def _symbols(document: Mapping[str, Any]) -> list[RenderableType]:
    if not document["symbols"]:
        return []
    whose = "" if document["model"] is None else f" of {document['model']}"
    return [title(f"The largest symbols{whose}"), _parts(document, "symbol")]


def _spelled(memory: str) -> str:
    return {"flash": "flash", "ram": "RAM"}[memory]
