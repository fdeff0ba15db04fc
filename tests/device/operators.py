"""A .tflite that does nothing but need operators."""

from __future__ import annotations

from collections.abc import Iterable

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

CODES = {name: code for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
"""The number of every operator of TFLite, by its name."""
CODES.pop("CUSTOM")


def needing(names: Iterable[str]) -> bytes:
    """A graph of one operator of each kind, without inputs and outputs: nothing can run it."""
    kinds = [schema.OperatorCodeT(min(CODES[name], 127), builtinCode=CODES[name], version=1) for name in names]
    operators = [_operator(index, name) for index, name in enumerate(names)]
    graph = schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=operators)
    model = schema.ModelT(version=3, operatorCodes=kinds, subgraphs=[graph], buffers=[schema.BufferT()])
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _operator(index: int, name: str) -> schema.OperatorT:
    made = schema.OperatorT(index, inputs=[], outputs=[])
    if name == "VAR_HANDLE":  # the interpreter's own wrapper counts variables by their names
        made.builtinOptionsType = schema.BuiltinOptions.VarHandleOptions
        made.builtinOptions = schema.VarHandleOptionsT(sharedName=b"variable")
    return made
