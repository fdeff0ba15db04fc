"""C: C99 from an .onnx artefact, by emx-onnx-cgen, with weights in flash and as little RAM as the graph needs.

Tensors have places in static workspaces, copies are left out, activations write over their input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ToolError, UsageError
from edgett.export import ctext, cwrite, lookup, qoperator
from edgett.export.anonymous import anonymous
from edgett.export.kernels import every
from edgett.export.kernels.fused import Fused
from edgett.export.kernels.kernel import Kernel
from edgett.forms.integers import Rebuilding
from edgett.graph.c_plan import Claim, Fusion, planned, scratch_of
from edgett.graph.graph import Graph, Step
from edgett.graph.memory import packed, plan_bytes
from edgett.graph.wire import WirePort, identifiers, is_identifier, refuse_unknown
from edgett.system.quiet import quiet

TESTED = "1.4.0"
"""The emx-onnx-cgen whose C is known."""


@dataclass(frozen=True)
class CSource:
    """A model in C: the texts of NAME.h and NAME.c, what NAME_run takes and gives, static RAM, and constants.

    `plain`: int8 products and convolutions that the fast kernels cannot compute.
    """

    name: str
    header: str
    code: str
    inputs: tuple[WirePort, ...]
    outputs: tuple[WirePort, ...]
    workspace_bytes: int
    weight_bytes: int
    plain: int = 0


@dataclass(frozen=True)
class _Lowered:
    """A graph as it is compiled, under names of our own: `names` has those that the file gives its inputs and outputs.

    `codes` by input or output that is int8, `tables` by node.
    """

    model: Any
    names: Mapping[str, str]
    codes: Mapping[str, tuple[float, int]]
    tables: Mapping[str, NDArray[np.int8]]


def generate(path: Path, name: str, version: str, held: Mapping[str, Rebuilding] | None = None) -> CSource:
    """The C of an .onnx artefact of edgett, float32 or int8; every symbol begins with `name`.

    `held`: by layer how its int8 weight is rebuilt each time before it runs; the factors are stored instead.

    Raises UsageError when C does not take the name, ToolError when the artefact cannot be compiled, or holds another
    weight than is rebuilt.
    """
    if not is_identifier(name):
        raise UsageError(
            f"{name!r} is no name in C.", "It takes letters, digits and _, a letter first, and none of its keywords."
        )
    content = path.read_bytes()
    lowered = _lowered(path.name, content)
    inputs, outputs = _ports(lowered, name)
    refuse_unknown((*inputs, *outputs))
    text = _compiled(lowered.model, path.name)
    own = _kernels(lowered, path.name, held)
    try:
        program = ctext.parse(text, _MODEL)
        together = every.fusions(lowered.model, own)
        layout = _laid_out(program, (*inputs, *outputs), len(inputs), own, together)
        kernels = _together(own, {name: together[name] for name in layout.fused})
        code = cwrite.code(name, program, layout, kernels)
    except ctext.Unexpected as error:
        raise _unknown(error, lowered.model) from error
    digest = hashlib.sha256(content).hexdigest()
    about = cwrite.About(name, version, digest, inputs, outputs, code.workspace_bytes, code.weight_bytes)
    return CSource(
        name, cwrite.header(about), cwrite.opening(about) + code.text, inputs, outputs, about.workspace_bytes,
        about.weight_bytes, every.plain(lowered.model, own),
    )  # fmt: skip


_MODEL = "model"


def constant_bytes(path: Path, held: Mapping[str, Rebuilding] | None = None) -> int:
    """What the constants of an .onnx artefact of edgett take in C, without writing any. Raises ToolError as above."""
    lowered = _lowered(path.name, path.read_bytes())
    own = _kernels(lowered, path.name, held)
    stored = {tensor.name: tensor for tensor in lowered.model.graph.initializer}
    others = {name for node in lowered.model.graph.node if node.name not in own for name in node.input}
    kept = [_array(stored[name]) for name in others & stored.keys()]
    shared = cwrite.stored("", own)
    plain = sum(array.nbytes for array in kept if array.dtype != np.int64)
    return plain + sum(values.nbytes for _, values in shared.values())


def _kernels(lowered: _Lowered, where: str, held: Mapping[str, Rebuilding] | None) -> dict[str, Kernel]:
    try:
        return every.kernels(lowered.model, lowered.tables, held)
    except ValueError as error:
        raise ToolError(f"{where} cannot be had with factors: {error}.", "Leave out --hold factors.") from error


def _array(tensor: Any) -> NDArray[Any]:
    from onnx import numpy_helper

    return numpy_helper.to_array(tensor)


def _unknown(error: ctext.Unexpected, model: Any) -> ToolError:
    """What to say of C that is not understood: of another emx-onnx-cgen, or of an operator that nobody has met yet."""
    version = metadata.version("emx-onnx-cgen")
    told = f"emx-onnx-cgen {version} writes C of a form that edgett does not know: {error}"
    if version != TESTED:
        return ToolError(f"{told}.", f"Install what edgett was tested with: pip install emx-onnx-cgen=={TESTED}")
    kinds = ", ".join(sorted({node.op_type for node in model.graph.node}))
    return ToolError(f"{told}. The graph has {kinds}.", "Take --format tflm, which has other operators.")


def _lowered(where: str, content: bytes) -> _Lowered:
    """The graph as integers, where it was quantised."""
    import onnx

    try:
        told = onnx.load_model_from_string(content)
        onnx.checker.check_model(told)
        found = anonymous(told)
        model, names = found.model, found.names
        if not qoperator.is_quantised(model):
            return _Lowered(onnx.shape_inference.infer_shapes(model, strict_mode=True), names, {}, {})
        integer = qoperator.integer(model)
        looked = lookup.looked_up(integer.model)
    except Exception as error:  # the libraries' have no base class of their own
        raise ToolError(f"{where} is no ONNX model of edgett: {_told(error)}.", "Export it again.") from error
    return _Lowered(looked.model, names, integer.codes, looked.tables)


def _compiled(model: Any, where: str) -> str:
    """The C of a graph as emx-onnx-cgen writes it: one text, its temporaries on the stack."""
    try:
        compiler = _compiler()
    except ImportError as error:
        raise ToolError(
            "emx-onnx-cgen is not installed: it turns ONNX into C.", "pip install 'edgett[firmware]'"
        ) from error
    try:
        with quiet():
            text: str = compiler.compile(model)
    except Exception as error:  # its own errors, and others where it does not foresee a graph
        _compiler.cache_clear()
        raise ToolError(
            f"emx-onnx-cgen cannot turn {where} into C: {_told(error)}.",
            "A layer that it has no C for must be replaced in the model, or take --format tflm.",
        ) from error
    return text


@cache
def _compiler() -> Any:
    """It takes two seconds to read its templates, and a tenth of that for a model."""
    from emx_onnx_cgen.compiler import Compiler, CompilerOptions

    return Compiler(CompilerOptions(model_name=_MODEL, large_temp_threshold_bytes=0, large_weight_threshold=0))


def _told(error: Exception) -> str:
    """What emx-onnx-cgen says, without the hints at options of its own, which edgett does not have."""
    return " ".join(str(error).split()).partition(" Hint:")[0][:300].rstrip(".")


def _ports(lowered: _Lowered, own: str) -> tuple[tuple[WirePort, ...], tuple[WirePort, ...]]:
    """Inputs and outputs by the file's names; in C none is called as something of the model `own` may be."""
    from onnx import helper

    values = [*lowered.model.graph.input, *lowered.model.graph.output]
    # The header uses the first names itself.
    reserved = ("workspace", "weight")
    names = [lowered.names[value.name] for value in values]
    taken = identifiers([*reserved, *names], own)[len(reserved) :]
    ports = []
    for value, name, identifier in zip(values, names, taken, strict=True):
        kind = value.type.tensor_type
        shape = tuple(dim.dim_value for dim in kind.shape.dim)
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
        ports.append(WirePort(name, identifier, shape, dtype, *lowered.codes.get(value.name, ())))
    count = len(lowered.model.graph.input)
    return tuple(ports[:count]), tuple(ports[count:])


def _together(own: Mapping[str, Kernel], fused: Mapping[str, Fused]) -> dict[str, Kernel]:
    """The calls of kernels, those of some products computed together with those before them."""
    gone = {label for one in fused.values() for label in one.gone}
    calls = {label: kernel for label, kernel in own.items() if label not in gone}
    return calls | {label: one.kernel for label, one in fused.items()}


def _laid_out(
    program: ctext.CText,
    ports: tuple[WirePort, ...],
    inputs: int,
    own: Mapping[str, Kernel],
    together: Mapping[str, Fused],
) -> cwrite.Layout:
    """Places for the temporaries: none for a copy, one for each type of number where they overlap in no other type."""
    expected = [(port.c_type, port.size) for port in ports]
    if [(array.type, array.size) for array in program.ports] != expected:
        raise ctext.Unexpected(f"it takes {[array.type for array in program.ports]}, not {expected}")
    arrays = {array.name: array for array in (*program.ports, *program.temporaries.values())}
    steps, claims = [], dict[str, Claim]()
    makers = {function.label: arguments[-1] for function, arguments in program.calls}
    for function, arguments in program.calls:
        given = [pair for pair in zip(function.parameters, arguments, strict=True) if pair[1] in arrays]
        reads = tuple(name for parameter, name in given if parameter.const)
        writes = tuple(name for parameter, name in given if not parameter.const)
        kind = "lookup" if function.label.startswith(lookup.PREFIX) else function.operator
        steps.append(Step(function.name, kind, reads, writes))
        if kernel := own.get(function.label):
            idle = tuple(makers[label] for label in kernel.idle)
            claims[writes[0]] = Claim(kernel.needs, kernel.scratch or 0, idle, kernel.over, kernel.late)
    fusions = {makers[label]: _fusion(one, makers) for label, one in together.items() if {*one.gone} <= makers.keys()}
    sizes = {name: array.size for name, array in arrays.items()}
    widths = {name: ctext.SIZES[array.type] for name, array in arrays.items()}
    names = tuple(array.name for array in program.ports)
    shared = planned(Graph(tuple(steps), sizes, names[:inputs], names[inputs:], widths), claims, fusions=fusions)
    offsets: dict[str, int] = {}
    workspaces: dict[str, int] = {}
    kinds = {name: array.type for name, array in arrays.items()}
    kinds |= {scratch_of(name): kind for name, kind in kinds.items() if scratch_of(name) in shared.graph.sizes}
    for kind in sorted({kind for name, kind in kinds.items() if name not in names}):
        others = {name for name, other in kinds.items() if other != kind or name in names}
        placed = packed(shared.graph, without=others)
        offsets |= placed
        if placed:
            workspaces[kind] = plan_bytes(shared.graph, placed)
    spelled = {array.name: port.identifier for array, port in zip(program.ports, ports, strict=True)}
    fused = tuple(label for label in together if makers.get(label) in shared.fused)
    return cwrite.Layout(shared, offsets, workspaces, spelled, fused)


def _fusion(one: Fused, makers: Mapping[str, str]) -> Fusion:
    """For the plan of memory; `makers`: the tensors that nodes make."""
    idle = tuple(makers[label] for label in one.kernel.idle)
    claim = Claim(one.kernel.needs, one.kernel.scratch or 0, idle)
    return Fusion(makers[one.first], tuple(makers[label] for label in one.gone), one.blocks, claim)
