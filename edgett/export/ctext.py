"""The C that emx-onnx-cgen writes, taken apart: constants, a function for each node, and the order they are called in.

It is one text of a fixed form. Whatever does not look like that form is an error, never a guess.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

SIZES = {
    "float": 4, "double": 8, "_Bool": 1, "bool": 1, "int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2,
    "int32_t": 4, "uint32_t": 4, "int64_t": 8, "uint64_t": 8,
}  # fmt: skip
"""Bytes of a number of each type."""

_CONSTANT = re.compile(r"const EMX_UNUSED (\w+) (\w+)((?:\[\d+\])+) = \{")
_DECLARED = re.compile(r"extern const \w+ \w+(?:\[\d+\])+;")
_HELPER = re.compile(r"static inline [\w ]+?\**(\w+)\(")
_NODE = re.compile(r"EMX_NODE_FN void (\w+)\((.*)\) \{")
_ARRAY = re.compile(r"(const )?(\w+) (\w+)((?:\[(?:restrict )?\d+\])+)")
_CALL = re.compile(r"(\w+)\(([\w, ]*)\);")
_TOLD = re.compile(r"^ \* (OpType|Name): (.*)$", re.MULTILINE)


class Unexpected(ValueError):
    """The text is not of the form that is known; the message says where."""


@dataclass(frozen=True)
class Array:
    """A parameter or a constant: an array of `dims` numbers of a type."""

    name: str
    type: str
    dims: tuple[int, ...]
    const: bool = False

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """What they take."""
        return self.size * SIZES[self.type]


@dataclass(frozen=True)
class CArray:
    """Numbers that stay in flash; `text` is their initialiser with its braces."""

    array: Array
    text: str


@dataclass(frozen=True)
class Function:
    """A node: its operator, its name in the graph, and a function whose constant parameters are what it reads."""

    name: str
    operator: str
    label: str
    parameters: tuple[Array, ...]
    body: str


@dataclass
class CText:
    """A whole text. `ports` are the parameters of the model, `calls` the functions in order, with their arguments."""

    includes: list[str] = field(default_factory=list)
    constants: dict[str, CArray] = field(default_factory=dict)
    helpers: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    ports: tuple[Array, ...] = ()
    temporaries: dict[str, Array] = field(default_factory=dict)
    calls: list[tuple[Function, tuple[str, ...]]] = field(default_factory=list)


def parse(text: str, name: str) -> CText:
    """The parts of the C of the model `name`. Raises Unexpected."""
    program, comment = CText(), ""
    for item in _items(text):
        head = item.split("\n", 1)[0]
        if item.startswith("/*"):
            comment = item
        elif item.startswith("#"):
            program.includes += re.findall(r"#include <(.+)>", item)
        elif found := _CONSTANT.match(head):
            array = _array(f"const {found[1]} {found[2]}{found[3]}")
            program.constants[array.name] = CArray(array, item[found.end() - 1 :])
        elif found := _HELPER.match(head):
            program.helpers[found[1]] = item
        elif found := _NODE.match(head):
            program.functions[found[1]] = _function(found, item, comment)
        elif head.startswith(f"void {name}("):
            _enter(program, item)
        elif not (_DECLARED.fullmatch(head) or head.startswith(f"_Bool {name}_load(")):
            raise Unexpected(f"{head[:80]!r}")
    if not program.calls:
        raise Unexpected(f"no function {name}")
    return program


def mentioned(text: str, among: Mapping[str, object]) -> set[str]:
    """The names that occur in a text."""
    return {word for word in re.findall(r"[A-Za-z_]\w*", text) if word in among}


def _items(text: str) -> Iterator[str]:
    """Comments, lines for the preprocessor, declarations and definitions, one after the other."""
    lines: list[str] = []
    depth = 0
    for line in text.splitlines():
        if not lines and not line.strip():
            continue
        lines.append(line)
        if lines[0].startswith("/*"):
            ended = line.rstrip().endswith("*/")
        else:
            depth += line.count("{") - line.count("}")
            ended = depth == 0 and (lines[0].startswith("#") or line.endswith((";", "}")))
        if ended:
            yield "\n".join(lines)
            lines = []
    if lines:
        raise Unexpected(f"no end of {lines[0][:80]!r}")


def _function(found: re.Match[str], item: str, comment: str) -> Function:
    told = dict(_TOLD.findall(comment))
    if told.keys() != {"OpType", "Name"}:
        raise Unexpected(f"nothing tells what {found[1]} does")
    parameters = tuple(map(_array, found[2].split(", ")))
    return Function(found[1], told["OpType"], told["Name"], parameters, item[found.end() - 1 :])


def _enter(program: CText, item: str) -> None:
    """The model's own function: declarations of temporaries, then calls."""
    head, *lines, _ = item.split("\n")
    program.ports = tuple(map(_array, head[head.index("(") + 1 : head.rindex(")")].split(", ")))
    known = {array.name for array in program.ports} | program.constants.keys()
    for line in map(str.strip, lines):
        if found := _CALL.fullmatch(line):
            arguments = tuple(found[2].split(", "))
            function = program.functions.get(found[1])
            if function is None or len(arguments) != len(function.parameters) or not known.issuperset(arguments):
                raise Unexpected(f"the call {line[:80]!r}")
            program.calls.append(_read(function, arguments))
            program.functions[function.name] = program.calls[-1][0]
        else:
            array = _array(line.removesuffix(";"))
            program.temporaries[array.name] = array
            known.add(array.name)


def _read(function: Function, arguments: tuple[str, ...]) -> tuple[Function, tuple[str, ...]]:
    """The call without the parameters that the function does not read: shapes that are known anyway."""
    kept = [index for index, array in enumerate(function.parameters) if mentioned(function.body, {array.name: None})]
    parameters = tuple(function.parameters[index] for index in kept)
    return replace(function, parameters=parameters), tuple(arguments[index] for index in kept)


def _array(text: str) -> Array:
    found = _ARRAY.fullmatch(text)
    if found is None or found[2] not in SIZES:
        raise Unexpected(f"{text[:80]!r} where an array is declared")
    dims = tuple(map(int, re.findall(r"\d+", found[4])))
    return Array(found[3], found[2], dims, found[1] is not None)
