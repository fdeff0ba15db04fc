"""Packages for firmware builds, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgett.report.checks import held_tables
from edgett.report.style import BAD, Sheet, number, remark, title, words
from edgett.report.words import SAMPLES
from edgett.search.constraints import in_words

_SIZES = {
    "weight_bytes": "weights, in flash",
    "workspace_bytes": "workspace, in RAM",
    "ram_bytes": "with its inputs and outputs",
    "predicted_peak_bytes": "predicted: RAM for tensors",
    "model_bytes": "model, in flash",
    "arena_bytes": "arena, in RAM",
    "arena_head_bytes": "of it activations, as the interpreter used them here",
    "arena_tail_bytes": "of it structures, larger here than on a 32-bit chip",
}


def draw_package(manifest: Mapping[str, Any]) -> RenderableType:
    """What a package holds, takes and came from."""
    run, name = manifest["run"], manifest["name"]
    head = f"{name}: solution {run['solution']} for {run['target']['name']}, {run['target']['dtype']}, as "
    head += {"c": "C99", "tflm": "a model for LiteRT for Microcontrollers"}[manifest["format"]]
    table = Sheet(words("what"), number("bytes"))
    for key, text in _SIZES.items():
        if key in manifest["sizes"]:
            table.add(text, f"{manifest['sizes'][key]:,}")
    for way, ports in manifest["ports"].items():
        for port in ports:
            shape = " x ".join(map(str, port["shape"]))
            table.add(f"{way.removesuffix('s')} {port['name']}: {port['type']} {shape}", "")
    broken = [
        Text(f"{item['name']} is {in_words(item['value'])}: over the run's {in_words(item['limit'])}", style=BAD)
        for item in run["budgets"]
        if item["holds"] is False
    ]
    vectors = manifest["self_test"]["vectors"]
    if plain := manifest.get("plain", 0):
        broken.append(Text(f"plain loops compute {plain} of the int8 products and convolutions: in groups, or large"))
    drawn_from = "validation data" if "data" in run["digests"] else SAMPLES["random"]
    lines = [
        *broken,
        Text(f"self-test: {name}_selftest, {vectors} vector{'s' * (vectors > 1)} of {drawn_from}"),
        Text(f"CMake: add_subdirectory, then link edgett::{name}. Make: include {name}.mk."),
    ]
    held = held_tables(manifest["held"]) if "held" in manifest else ()
    return Group(title(head), table, *held, *lines)


def draw_check(document: Mapping[str, Any]) -> RenderableType:
    """Whether a package is what was packed."""
    lines = [remark(f"{key}: {path}") for key in ("changed", "missing", "stale", "foreign") for path in document[key]]
    verdict = f"{document['name']}: {'as it was packed' if document['ok'] else 'not what was packed'}"
    return Group(*lines, remark(f"{verdict} (by edgett {document['packed_by']})"))
