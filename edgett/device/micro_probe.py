"""A program of its own: `micro_probe.py FILE.tflite FOLDER` runs a file in the interpreter for microcontrollers.

Takes FOLDER/inputs.npz where there is one, and then leaves FOLDER/outputs.npz. The interpreter tells its arena and what
it lacks on the standard error of C++, and a broken file may end it: so it gets a process to itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

ARENA = 1 << 29
"""More RAM than a microcontroller has; pages that nothing touches are not taken from this machine either."""


def main(path: Path, folder: Path) -> None:
    content = path.read_bytes()
    try:
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=ARENA)
    except RuntimeError:
        ask(content)
        raise
    given = folder / "inputs.npz"
    if given.exists():
        ends = len(_parsed(content).subgraphs[0].outputs)
        with np.load(given) as arrays:
            made = run(interpreter, [arrays[name] for name in arrays.files], ends)
        np.savez(folder / "outputs.npz", *made)
    interpreter.print_allocations()


def run(interpreter: runtime.Interpreter, inputs: list[Any], ends: int) -> list[Any]:
    """The outputs for (n, ...) inputs, one sample after the other."""
    rows = []
    for sample in zip(*inputs, strict=True):
        for index, values in enumerate(sample):
            interpreter.set_input(values[np.newaxis], index)
        interpreter.invoke()
        rows.append([interpreter.get_output(index) for index in range(ends)])
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def ask(content: bytes) -> None:
    """Let the interpreter name every operator of the graph that it lacks: by itself it stops at the first."""
    for model in _kinds(_parsed(content)):
        try:
            runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
        except RuntimeError:
            continue


def _kinds(model: Any) -> Iterator[bytes]:
    """A model for each kind of operator: one such, and one that does not exist, so that none is ever prepared."""
    nowhere = schema.OperatorCodeT(
        builtinCode=schema.BuiltinOperator.CUSTOM, deprecatedBuiltinCode=32, customCode="none", version=1
    )
    found = {operator.opcodeIndex: operator for graph in model.subgraphs for operator in graph.operators}
    for operator in found.values():
        code = model.operatorCodes[operator.opcodeIndex]
        operator.opcodeIndex = 0
        end = schema.OperatorT(opcodeIndex=1, inputs=[], outputs=[])
        graph = schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=[operator, end])
        one = schema.ModelT(version=3, operatorCodes=[code, nowhere], subgraphs=[graph], buffers=[schema.BufferT()])
        builder = flatbuffers.Builder(1024)
        builder.Finish(one.Pack(builder), b"TFL3")
        yield bytes(builder.Output())


def _parsed(content: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
