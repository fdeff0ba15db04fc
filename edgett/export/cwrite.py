"""The texts of NAME.c and NAME.h: the functions that emx-onnx-cgen wrote, and edgett's own, on static memory."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgett.escape import c_comment
from edgett.export.ctext import SIZES, Array, CArray, CText, Function, Unexpected, mentioned
from edgett.export.kernels import every
from edgett.export.kernels.kernel import PREFIX, Kernel, Struct, Words, literal
from edgett.graph.c_plan import scratch_of
from edgett.graph.memory import InPlace
from edgett.graph.op import QLINEAR_AVERAGE_POOL, QLINEAR_CONV, named
from edgett.graph.wire import WirePort, identifiers

_HEADERS = frozenset({"stdint.h", "stddef.h", "stdbool.h", "math.h", "float.h", "limits.h", "string.h"})
_IDLE = frozenset({"stdio.h", "stdlib.h"})
_FORBIDDEN = re.compile(r"\b(?:malloc|calloc|realloc|free|alloca|fopen|fread|printf|EMX_\w+)\b")
_NAME = re.compile(r"[A-Za-z_]\w*")
_BYTE, _WORD = "int8_t", "uint32_t"
_C_TYPES = {"int8": "int8_t", "int32": "int32_t", "uint32": "uint32_t", "float32": "float"}
_ROUNDING = {
    QLINEAR_CONV: ("ref_scalar_f64_nearbyint(scaled)", "nearbyintf(scaled)"),
    QLINEAR_AVERAGE_POOL: ("roundf(mean * scale)", "nearbyintf(mean * scale)"),
}
"""What emx-onnx-cgen rounds otherwise than QuantizeLinear, which does to even, and in float alone."""


@dataclass(frozen=True)
class About:
    """What the header tells of a model; sizes in bytes."""

    name: str
    version: str
    sha256: str
    inputs: tuple[WirePort, ...]
    outputs: tuple[WirePort, ...]
    workspace_bytes: int
    weight_bytes: int


@dataclass(frozen=True)
class Layout:
    """Where tensors lie: the graph of places, the byte at which each begins, the bytes of the workspace of each type.

    `ports` gives the parameters of the model the names that they shall have; `fused` are the nodes whose products are
    computed together with those before them.
    """

    shared: InPlace
    offsets: Mapping[str, int]
    workspaces: Mapping[str, int]
    ports: Mapping[str, str]
    fused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """The text of NAME.c from the first declaration on, and what it takes."""

    text: str
    workspace_bytes: int
    weight_bytes: int


def code(name: str, program: CText, layout: Layout, own: Mapping[str, Kernel]) -> Code:
    """The constants, workspaces and functions that the steps of a layout need, and the function that takes them.

    `own`: what is called in the place of nodes, by their names. Raises Unexpected when something is left that firmware
    must not hold.
    """
    arguments = {function.name: given for function, given in program.calls}
    steps = [(program.functions[step.layer], arguments[step.layer]) for step in layout.shared.graph.steps]
    if missing := own.keys() - {function.label for function, _ in steps}:
        raise Unexpected(f"no step {min(missing)!r}")
    kept = {function.name: (function, given) for function, given in steps if function.label not in own}
    constants = {
        given: program.constants[given] for _, names in kept.values() for given in names if given in program.constants
    }
    helpers = _helpers(program, [_nearer(function.operator, function.body) for function, _ in kept.values()])
    symbols = {old: f"{name}_{old}" for old in (*constants, *helpers, *kept)}
    writer = _Renamer(name, program, layout, symbols, own, stored(name, own))
    includes, kernels = every.text({kernel.name for kernel in own.values()}, name)
    parts = [
        *(writer.constant(constant) for constant in constants.values()),
        *(writer.renamed(helper) + "\n" for helper in helpers.values()),
        kernels,
        *(_array(name, spelled, values) for spelled, values in writer.stored.values()),
        *(writer.function(function) for function, _ in kept.values()),
        "\n".join(writer.declared()) + "\n",
        writer.entry(steps),
    ]
    opening = [*_includes({*program.includes, *includes}), f'#include "{name}.h"\n', *writer.workspaces(), ""]
    text = "\n".join([*opening, *filter(None, parts), ""])
    if found := _FORBIDDEN.search(text):
        raise Unexpected(f"it uses {found[0]}")
    weights = sum(constant.array.bytes for constant in constants.values())
    weights += sum(values.nbytes for _, values in writer.stored.values())
    return Code(text, sum(layout.workspaces.values()), weights)


def stored(name: str, own: Mapping[str, Kernel]) -> dict[bytes, tuple[str, NDArray[Any] | Words]]:
    """Find the constants of kernels by their content, as calls may share them.

    Args:
        name: the model's.
        own: kernels, by the nodes in whose place they are called.

    Returns:
        Each one with its name in C.
    """
    found: dict[bytes, tuple[str, NDArray[Any] | Words]] = {}
    for kernel in own.values():
        for values in kernel.constants:
            if values.nbytes:
                found.setdefault(_content(values), (f"{name}_{kernel.name}_{len(found)}", values))
    return found


def _content(values: NDArray[Any] | Words) -> bytes:
    array = values.words if isinstance(values, Words) else values
    return f"{array.dtype}{array.shape}".encode() + array.tobytes()


@dataclass(frozen=True)
class _Renamer:
    """Writes parts of a program with their symbols renamed."""

    name: str
    program: CText
    layout: Layout
    symbols: Mapping[str, str]
    own: Mapping[str, Kernel]
    stored: Mapping[bytes, tuple[str, NDArray[Any] | Words]]

    def workspaces(self) -> list[str]:
        """A static array for each type; of bytes one of words, whose places kernels read by words."""
        kinds = {kind: _WORD if kind == _BYTE else kind for kind in self.layout.workspaces}
        return [
            f"static {held} {_workspace(self.name, kind)}[{self.layout.workspaces[kind] // SIZES[held]}];"
            for kind, held in kinds.items()
        ]

    def renamed(self, text: str) -> str:
        """The same text with every symbol prefixed, and without emx's macros."""
        plain = {"idx_t": "int32_t", "EMX_NODE_FN": "static", **self.symbols}
        return _NAME.sub(lambda word: plain.get(word[0], word[0]), text).replace("static inline ", "static ")

    def constant(self, constant: CArray) -> str:
        array = constant.array
        return f"static const {_declared(array, self.symbols[array.name])} = {constant.text}\n"

    def function(self, function: Function) -> str:
        parameters = ", ".join(
            f"{'const ' if array.const else ''}{_declared(array, array.name)}" for array in function.parameters
        )
        body = self.renamed(_nearer(function.operator, function.body))
        return f"/* {function.operator} */\nstatic void {self.symbols[function.name]}({parameters}) {body}\n"

    def entry(self, steps: Sequence[tuple[Function, tuple[str, ...]]]) -> str:
        """The function of the model: a call for each step."""
        lines = [
            self.kernel(own, step.reads, given[-1])
            if (own := self.own.get(function.label))
            else self.call(function, given)
            for step, (function, given) in zip(self.layout.shared.graph.steps, steps, strict=True)
        ]
        ports = list(self.layout.ports.items())
        used = {place for step in self.layout.shared.graph.steps for place in (*step.reads, *step.writes)}
        unread = [f"(void){name};" for old, name in ports if old not in used]
        signature = _signature(self.name, [(array, self.layout.ports[array.name]) for array in self.program.ports])
        return "\n    ".join([f"{signature} {{", *unread, *lines]) + "\n}"

    def call(self, function: Function, given: Sequence[str]) -> str:
        arguments = [self.argument(array, name) for array, name in zip(function.parameters, given, strict=True)]
        return f"{self.symbols[function.name]}({', '.join(arguments)});"

    def kernel(self, kernel: Kernel, reads: Sequence[str], target: str) -> str:
        pointers = [self.pointer(name) for name in (*reads, target)]
        constants = [self.stored[_content(values)][0] if values.nbytes else "0" for values in kernel.constants]
        room = self.scratch(target, kernel)
        struct = [f"&{self.structs[kernel.struct]}"] if kernel.struct else []
        arguments = [*pointers, *room, *constants, *kernel.numbers, *struct]
        return f"{self.name}_{kernel.name}({', '.join(arguments)});"

    @cached_property
    def structs(self) -> Mapping[Struct, str]:
        """The structs of kernels, with their names."""
        found = dict.fromkeys(kernel.struct for kernel in self.own.values() if kernel.struct)
        return {struct: f"{self.name}_{struct.type}_{index}" for index, struct in enumerate(found)}

    def declared(self) -> list[str]:
        """The declarations of structs."""
        return [
            f"static const {self.name}_{struct.type} {spelled} = {{{', '.join(struct.numbers)}}};"
            for struct, spelled in self.structs.items()
        ]

    def scratch(self, target: str, kernel: Kernel) -> list[str]:
        """Where the kernel that writes a tensor may put what nobody else reads, and its bytes where they may vary."""
        if not kernel.needs and kernel.scratch is None:
            return []
        name, graph = scratch_of(target), self.layout.shared.graph
        found = name in self.layout.offsets
        place = self.place(name, target) if found else "0"
        return [place] if kernel.scratch is None else [place, str(graph.bytes(name, 4) if found else 0)]

    def argument(self, array: Array, name: str) -> str:
        """A constant by its name, anything else as a pointer to arrays of the parameter's dimensions."""
        if name in self.symbols:
            return self.symbols[name]
        pointer = self.pointer(name)
        if len(array.dims) == 1:
            return pointer
        inner = "".join(f"[{size}]" for size in array.dims[1:])
        return f"({'const ' if array.const else ''}{array.type} (*){inner})({pointer})"

    def pointer(self, name: str) -> str:
        """Where a tensor begins."""
        home = self.layout.shared.homes[name]
        return self.layout.ports.get(home) or self.place(home, home)

    def place(self, name: str, like: str) -> str:
        """A place in the workspace, for numbers as the tensor `like` has them."""
        kind = self.kinds[like]
        begin = f"({_BYTE} *){_workspace(self.name, kind)}" if kind == _BYTE else _workspace(self.name, kind)
        return f"{begin} + {self.layout.offsets[name] // SIZES[kind]}"

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """The type of each tensor."""
        return {array.name: array.type for array in (*self.program.ports, *self.program.temporaries.values())}


def header(about: About) -> str:
    """The text of NAME.h."""
    macro, ports = about.name.upper(), (*about.inputs, *about.outputs)
    lines = [
        f"/* Made by edgett {about.version}. */",
        f"#ifndef {macro}_H", f"#define {macro}_H", "",
        "#include <stdint.h>", "",
        "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
        f'#define {macro}_VERSION "{about.version}"',
        "/* SHA-256 of the .onnx file that this was made of. */",
        f'#define {macro}_SHA256 "{about.sha256}"',
        "/* Bytes: static memory of the code, and constants. */",
        f"#define {macro}_WORKSPACE_BYTES {about.workspace_bytes}",
        f"#define {macro}_WEIGHT_BYTES {about.weight_bytes}", "",
    ]  # fmt: skip
    macros = identifiers(["WORKSPACE", "WEIGHT", *(port.identifier.upper() for port in ports)])[2:]
    for index, (port, spelled) in enumerate(zip(ports, macros, strict=True)):
        what = "Output" if index >= len(about.inputs) else "Input"
        lines += [f"/* {what} {c_comment(port.name)} */", *port.macros(f"{macro}_{spelled}"), ""]
    arrays = [
        (Array(port.identifier, port.c_type, port.shape, index < len(about.inputs)), port.identifier)
        for index, port in enumerate(ports)
    ]
    lines += [
        "/* Runs the model. Not reentrant: its calls share the workspace. Outputs must not overlap inputs. */",
        f"{_signature(about.name, arrays)};", "",
        "#ifdef __cplusplus", "}", "#endif", "", f"#endif /* {macro}_H */", "",
    ]  # fmt: skip
    return "\n".join(lines)


def opening(about: About) -> str:
    """The first lines of NAME.c."""
    return f"/* {about.name}, made by edgett {about.version}. ONNX compiled to C by emx-onnx-cgen. */\n\n"


def _signature(name: str, parameters: Sequence[tuple[Array, str]]) -> str:
    listed = ", ".join(f"{'const ' if array.const else ''}{array.type} *{spelled}" for array, spelled in parameters)
    return f"void {name}_run({listed})"


def _declared(array: Array, name: str) -> str:
    return f"{array.type} {name}{''.join(f'[{size}]' for size in array.dims)}"


def _workspace(name: str, kind: str) -> str:
    return f"{name}_workspace_{kind.removesuffix('_t').lstrip('_').lower()}"


def _includes(names: Collection[str]) -> list[str]:
    if strange := {*names} - _HEADERS - _IDLE:
        raise Unexpected(f"it includes {', '.join(sorted(strange))}")
    return [f"#include <{name}>" for name in sorted({*names} & _HEADERS)]


def _helpers(program: CText, bodies: Sequence[str]) -> dict[str, str]:
    """The small functions that others use, and those that they use."""
    found: set[str] = set()
    new = set().union(*(mentioned(body, program.helpers) for body in bodies))
    while new:
        found |= new
        new = set().union(*(mentioned(program.helpers[name], program.helpers) for name in new)) - found
    return {name: text for name, text in program.helpers.items() if name in found}


def _array(model: str, name: str, values: NDArray[Any] | Words) -> str:
    """A constant of a kernel, flat."""
    if isinstance(values, Words):
        text = values.text().replace(PREFIX, model)
        return f"static const {_WORD} {name}[{values.words.size}] = {{\n    {text}\n}};\n"
    spelled = {"float32": literal, "uint32": "{:#x}u".format}.get(values.dtype.name, str)
    listed = [spelled(value) for value in values.ravel().tolist()]
    rows = [", ".join(listed[start : start + 16]) for start in range(0, len(listed), 16)]
    kind = _C_TYPES[values.dtype.name]
    return f"static const {kind} {name}[{values.size}] = {{\n    " + ",\n    ".join(rows) + "\n};\n"


def _nearer(operator: str, body: str) -> str:
    """The body of a function of emx-onnx-cgen that rounds as QuantizeLinear does."""
    rounding = _ROUNDING.get(named(operator))
    return body.replace(*rounding) if rounding else body
