"""A model as a folder that a firmware build takes as it is: sources, build files, a self-test, a manifest.

Everything in it is text made from its values alone: the same artefact gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgett.graph.wire import WirePort, identifiers

TEMPLATES = Path(__file__).parent / "templates"
CMAKE = TEMPLATES / "edgett.cmake"
"""Has the function edgett_add_model, which runs edgett at build time."""


@dataclass(frozen=True)
class Sources:
    """A model in C: the texts of its headers, by their names in include/, and of its sources, by theirs in src/.

    `runner` says in words what the self-test is to be given: a function that takes all inputs, then all outputs.
    `plain`: in C, the int8 products and convolutions that the fast kernels cannot compute.
    """

    name: str
    headers: Mapping[str, str]
    code: Mapping[str, str]
    inputs: tuple[WirePort, ...]
    outputs: tuple[WirePort, ...]
    runner: str
    plain: int | None = None


@dataclass(frozen=True)
class Vectors:
    """Samples and what the reference runtime makes of them: an array (n, ...) for each port, as the device stores it.

    `tolerances`: how far each output may be off, in its stored numbers. `drawn`: at random, for want of data.
    """

    given: tuple[NDArray[Any], ...]
    expected: tuple[NDArray[Any], ...]
    tolerances: tuple[float, ...]
    drawn: bool = False

    @property
    def count(self) -> int:
        """How many samples."""
        return len(self.given[0])


def files(sources: Sources, vectors: Vectors) -> dict[str, str]:
    """The texts of the package by their paths in it, the manifest apart."""
    name = sources.name
    code = {f"src/{path}": text for path, text in sources.code.items()}
    selftest = f"test/{name}_selftest.c"
    values = {
        "name": name, "macro": name.upper(), "sources": sorted(code), "selftest": selftest, "runner": sources.runner,
        "inputs": sources.inputs, "outputs": sources.outputs, "vectors": vectors.count,
        "drawn": vectors.drawn,
        "stepped": any(port.scale is not None for port in sources.outputs),
        "macros": identifiers([f"{name}_{port.identifier}_TOLERANCE".upper() for port in sources.outputs]),
        "tolerances": [_literal(value) for value in vectors.tolerances],
        "parameters": ", ".join(_parameters(sources)),
        "arguments": ", ".join(
            [f"input_{index}[vector]" for index in range(len(sources.inputs))]
            + [f"output_{index}" for index in range(len(sources.outputs))]
        ),
        "given": [_rows(array) for array in vectors.given],
        "expected": [_rows(array) for array in vectors.expected],
    }  # fmt: skip
    return {
        **{f"include/{path}": text for path, text in sources.headers.items()},
        **code,
        f"include/{name}_selftest.h": _rendered("selftest.h", values),
        selftest: _rendered("selftest.c", values),
        "CMakeLists.txt": _rendered("CMakeLists.txt", values),
        f"edgett_{name}Config.cmake": _rendered("config.cmake", values),
        f"{name}.mk": _rendered("fragment.mk", values),
        "edgett.cmake": CMAKE.read_text(),
    }


def _parameters(sources: Sources) -> list[str]:
    taken = [f"const {port.c_type} *{port.identifier}" for port in sources.inputs]
    return taken + [f"{port.c_type} *{port.identifier}" for port in sources.outputs]


def _rows(array: NDArray[Any]) -> list[str]:
    """The numbers of each sample, as C reads them back without a loss."""
    return [", ".join(map(_literal, row.ravel().tolist())) for row in array]


def _literal(value: float | int) -> str:
    if isinstance(value, int):
        return str(value)
    text = f"{value:.9g}"
    return f"{text}f" if set(text) & set(".e") else f"{text}.0f"


def _rendered(name: str, values: Mapping[str, Any]) -> str:
    return str(_environment().get_template(f"{name}.j2").render(values))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    return Environment(  # C and CMake, nothing that a browser shows
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
