"""A .tflite taken apart, and refused where it is not whole: LiteRT's interpreter believes what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema


def parsed(content: bytes) -> Any:
    """The model in a file, with empty lists where it has none. Raises ValueError, in words, for what is broken."""
    if content[4:8] != b"TFL3":
        raise ValueError("the identifier TFL3 is missing")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        wrong = next(_wrong(model), None)
    except Exception as error:  # whatever reading beyond the end of something leads to
        raise ValueError(f"it is damaged: {' '.join(str(error).split())[:200]}") from error
    if wrong is not None:
        raise ValueError(f"it is damaged: {wrong}")
    return model


_OPERATORS = frozenset(value for name, value in vars(schema.BuiltinOperator).items() if name.isupper())


def _wrong(model: Any) -> Iterator[str]:
    """What points to nothing."""
    for name in ("subgraphs", "operatorCodes", "buffers", "signatureDefs"):
        _fill(model, name)
    for code in model.operatorCodes:
        if code.customCode:
            code.customCode.decode()
        elif (number := max(code.builtinCode, code.deprecatedBuiltinCode)) not in _OPERATORS:
            yield f"there is no operator {number}"
    if not model.subgraphs:
        yield "it has no graph"
    for graph in model.subgraphs:
        for name in ("tensors", "operators", "inputs", "outputs"):
            _fill(graph, name)
        count = len(graph.tensors)
        for tensor in graph.tensors:
            tensor.name = tensor.name or b""
            tensor.name.decode()
            if not 0 <= tensor.buffer < len(model.buffers):
                yield f"tensor {tensor.name.decode()!r} has buffer {tensor.buffer} of {len(model.buffers)}"
        for operator in graph.operators:
            _fill(operator, "inputs")
            _fill(operator, "outputs")
            if not 0 <= operator.opcodeIndex < len(model.operatorCodes):
                yield f"an operator has code {operator.opcodeIndex} of {len(model.operatorCodes)}"
            yield from _beyond(operator.inputs, count, least=-1)
            yield from _beyond(operator.outputs, count)
        yield from _beyond((*graph.inputs, *graph.outputs), count)
    for signature in model.signatureDefs:
        _fill(signature, "inputs")
        _fill(signature, "outputs")
        if not 0 <= signature.subgraphIndex < len(model.subgraphs):
            yield f"a signature has graph {signature.subgraphIndex} of {len(model.subgraphs)}"
            return
        ends = (*signature.inputs, *signature.outputs)
        if any(not end.name for end in ends):
            yield "a signature has an end without a name"
        yield from _beyond([end.tensorIndex for end in ends], len(model.subgraphs[signature.subgraphIndex].tensors))


def _fill(holder: Any, name: str) -> None:
    if getattr(holder, name) is None:
        setattr(holder, name, [])


def _beyond(indices: Sequence[int], count: int, least: int = 0) -> Iterator[str]:
    yield from (f"there is no tensor {index} of {count}" for index in indices if not least <= index < count)
