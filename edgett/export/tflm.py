"""A .tflite as sources for LiteRT for Microcontrollers: the file as a C array, its sizes, the operators it needs.

Texts only: whoever asks for them writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgett.errors import ModelError, ToolError
from edgett.escape import c_comment
from edgett.export import tflite
from edgett.graph.op import named
from edgett.graph.wire import WirePort, identifiers

MARGIN = 10
"""Per cent by which the arena is larger than measured: kernels made for a chip may take scratch buffers besides."""
ALIGNMENT = 16
"""Bytes: the interpreter places tensors at multiples of it, and reads the file's numbers where they are."""


@dataclass(frozen=True)
class MicroSource:
    """The texts of NAME.h (C: sizes and ports), NAME_model.c (the file) and NAME_ops.h (C++: its operators).

    `inputs` and `outputs` are in the interpreter's order, `operators` those of the graph, as TFLite calls them.
    """

    header: str
    code: str
    ops: str
    inputs: tuple[WirePort, ...]
    outputs: tuple[WirePort, ...]
    operators: tuple[str, ...]
    arena_bytes: int


def generate(path: Path, name: str, version: str, measured: int) -> MicroSource:
    """The sources of a .tflite under `name`, an identifier; its arena was measured to take `measured` bytes.

    Raises ModelError when the runtime lacks an operator of the graph, ToolError when the file is no TFLite model.
    """
    model = tflite._parsed(path)
    operators = _operators(model, path.name)
    try:
        inputs, outputs = _ports(model)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ToolError(f"{path} has inputs or outputs that cannot be told: {error}.", "Export it again.") from error
    content = path.read_bytes()
    arena = arena_bytes(measured)
    header = _header(name, version, content, _arena(name, measured, arena), _described(name, inputs, outputs))
    return MicroSource(header, _code(name, content), _ops(name, operators), inputs, outputs, operators, arena)


def arena_bytes(measured: int) -> int:
    """The measured arena and the margin, as a multiple of the alignment."""
    return -(-measured * (100 + MARGIN) // (100 * ALIGNMENT)) * ALIGNMENT


def method(operator: str) -> str:
    """What registers an operator at a `tflite::MicroMutableOpResolver`: AddConv2D for CONV_2D."""
    words = [word if word[0].isdigit() else word.capitalize() for word in operator.split("_")]
    return named(operator).tflite.method or "".join(["Add", *words])


def _operators(model: Any, file: str) -> tuple[str, ...]:
    """The kinds of operators of a file, sorted; ModelError names those that the runtime lacks."""
    needed = {tflite.operator_name(model, operator) for graph in model.subgraphs for operator in graph.operators}
    if lacking := sorted(operator for operator in needed if not named(operator).tflite.micro):
        raise ModelError(
            f"LiteRT for Microcontrollers has no {', '.join(lacking)}, which {file} needs.",
            "Replace the layer that needs it, or take --format c.",
        )
    return tuple(sorted(needed))


def _ports(model: Any) -> tuple[tuple[WirePort, ...], tuple[WirePort, ...]]:
    """Inputs and outputs, named as the signature names them."""
    body = model.subgraphs[0]
    signature = (model.signatureDefs or [None])[0]
    told = (signature.inputs, signature.outputs) if signature else ((), ())
    indices = (*body.inputs, *body.outputs)
    names = [*_names(body, body.inputs, told[0]), *_names(body, body.outputs, told[1])]
    ends = tuple(
        _port(body.tensors[index], name, identifier)
        for index, name, identifier in zip(indices, names, identifiers(names), strict=True)
    )
    return ends[: len(body.inputs)], ends[len(body.inputs) :]


def _names(body: Any, indices: Sequence[int], told: Sequence[Any]) -> list[str]:
    """What the signature calls tensors, or else the graph."""
    known = {end.tensorIndex: end.name for end in told}
    return [known.get(index, body.tensors[index].name).decode() for index in indices]


def _port(tensor: Any, name: str, identifier: str) -> WirePort:
    kind = tflite._kinds()[tensor.type].__name__.rstrip("_")
    quantised = tensor.quantization
    if quantised is None or quantised.scale is None or len(quantised.scale) == 0:
        return WirePort(name, identifier, tflite._shape(tensor), kind)
    scale, zero_point = float(quantised.scale[0]), int(quantised.zeroPoint[0])
    return WirePort(name, identifier, tflite._shape(tensor), kind, scale, zero_point)


def _header(name: str, version: str, content: bytes, arena: str, ends: Iterator[str]) -> str:
    macro = name.upper()
    described = "\n".join(ends)
    return f"""\
/* {name}, a model for LiteRT for Microcontrollers. Made by edgett. */
#ifndef {macro}_H
#define {macro}_H

#ifdef __cplusplus
extern "C" {{
#endif

#define {macro}_VERSION {json.dumps(version)}
#define {macro}_SHA256 "{hashlib.sha256(content).hexdigest()}"

/* The .tflite file, for tflite::GetModel. */
#define {macro}_MODEL_BYTES {len(content)}
extern const unsigned char {name}_model[{macro}_MODEL_BYTES];

{arena}
{described}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _arena(name: str, measured: int, arena: int) -> str:
    return f"""\
/* What the interpreter is to be given, aligned to {ALIGNMENT} bytes. It took {measured} bytes on a machine of
   64 bits, where its structures are larger than on a chip of 32, with the reference kernels. {MARGIN} % are added:
   kernels made for a chip may take buffers besides, as CMSIS-NN does with Helium, 4 bytes for each output of a
   FULLY_CONNECTED. interpreter.arena_used_bytes() tells. */
#define {name.upper()}_ARENA_BYTES {arena}
"""


def _described(name: str, inputs: Sequence[WirePort], outputs: Sequence[WirePort]) -> Iterator[str]:
    """The macros of every port; none is called as one of the model's own."""
    ports = [*(("input", *item) for item in enumerate(inputs)), *(("output", *item) for item in enumerate(outputs))]
    spelled = identifiers(["MODEL", "ARENA", *(port.identifier.upper() for _, _, port in ports)])[2:]
    for (call, index, port), ending in zip(ports, spelled, strict=True):
        macro = f"{name.upper()}_{ending}"
        yield f"/* interpreter.{call}({index}), {c_comment(port.name)}: {port.c_type}. */"
        yield f"#define {macro}_INDEX {index}"
        yield from port.macros(macro)
        yield ""


def _code(name: str, content: bytes) -> str:
    macro = name.upper()
    lines = (content[start : start + 16] for start in range(0, len(content), 16))
    rows = "\n".join(f"    {', '.join(map(hex, line))}," for line in lines)
    return f"""\
/* The .tflite file of {name}. Made by edgett. */
#include "{name}.h"

#if defined(__GNUC__) || defined(__ICCARM__)
#define {macro}_ALIGNED __attribute__((aligned({ALIGNMENT})))
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define {macro}_ALIGNED _Alignas({ALIGNMENT})
#else
#error "Say here how this compiler aligns an array to {ALIGNMENT} bytes: the interpreter reads numbers where they are."
#endif

{macro}_ALIGNED const unsigned char {name}_model[{macro}_MODEL_BYTES] = {{
{rows}
}};
"""


def _ops(name: str, operators: Sequence[str]) -> str:
    macro = name.upper()
    calls = " &&\n           ".join(f"resolver.{method(operator)}() == 0" for operator in operators)
    return f"""\
// The operators of {name}, for LiteRT for Microcontrollers. Made by edgett.
#ifndef {macro}_OPS_H
#define {macro}_OPS_H

// How many there are.
#define {macro}_OPERATORS {len(operators)}

// Registers them and no others; false when there is no room left. #include
// "tensorflow/lite/micro/micro_mutable_op_resolver.h", and call it once:
//     tflite::MicroMutableOpResolver<{macro}_OPERATORS> resolver;
//     bool ready = {name}_register(resolver);
template <typename Resolver>
inline bool {name}_register(Resolver& resolver) {{
    return {calls};
}}

#endif
"""
