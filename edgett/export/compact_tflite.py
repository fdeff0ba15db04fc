"""A .tflite without what no runtime reads: as few bytes as its numbers and its graph allow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from edgett.export.owners import ACTIVATION

ALIGNMENT = 16
"""Bytes to which the schema aligns the numbers of a constant, which runtimes read where they are."""


def compacted(model: Any, scopes: Collection[str]) -> bytes:
    """The file of a model (`ModelT`) that its converter made: the same graph, the same numbers, the same signature.

    What goes: descriptions and metadata, the buffers of tensors that are computed, second copies of equal numbers and
    shapes, the scales of zeros and all but one of as many of them, names of constants, and of the names of tensors all
    that does not tell which of the `scopes` made them.
    """
    import flatbuffers

    model.description, model.metadata, model.metadataBuffer = None, None, None
    _share_buffers(model)
    for place, body in enumerate(model.subgraphs):
        body.name = None
        _name(body, model, scopes)
        for tensor in body.tensors:
            scale = tensor.quantization.scale if tensor.quantization is not None else None
            if scale is None or len(scale) == 0:
                tensor.quantization = None
            else:
                tensor.quantization.min = tensor.quantization.max = None
        zeros = [*_zero_biases(body, model)]
        _lend_scales(body, zeros)
        if gone := _joined(body, zeros):
            _without(gone, body, model, place)
    builder = _sharing(flatbuffers.Builder)(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _share_buffers(model: Any) -> None:
    """The first buffer, which is empty, for every tensor without numbers, and one for all that hold the same ones."""
    kept, places = [model.buffers[0]], {b"": 0}
    for body in model.subgraphs:
        for tensor in body.tensors:
            buffer = model.buffers[tensor.buffer]
            content = b"" if buffer.data is None else bytes(buffer.data)
            if content not in places:
                places[content] = len(kept)
                kept.append(buffer)
            tensor.buffer = places[content]
    model.buffers = kept


def _zero_biases(body: Any, model: Any) -> Iterator[Any]:
    """The convolutions whose bias is zeros: they must have one."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    for operator in body.operators:
        if codes[operator.opcodeIndex] not in kinds or len(operator.inputs) < 3 or operator.inputs[2] < 0:
            continue
        numbers = model.buffers[body.tensors[operator.inputs[2]].buffer].data
        if numbers is not None and not np.any(numbers):
            yield operator


def _lend_scales(body: Any, zeros: Sequence[Any]) -> None:
    """A convolution's bias of zeros, which any scale stands for, has those of its weight: they are in the file anyway.

    No kernel takes the scales of such a bias; that of a fully connected layer is compared with its weight's.
    """
    for operator in zeros:
        weight, bias = (body.tensors[index].quantization for index in operator.inputs[1:3])
        if weight is not None and bias is not None and len(weight.scale) == len(bias.scale):
            bias.scale = weight.scale


def _joined(body: Any, zeros: Sequence[Any]) -> set[int]:
    """Have convolutions with as many zeros for a bias read the same tensor; those that nothing reads any more."""
    first: dict[tuple[object, ...], int] = {}
    before = {int(operator.inputs[2]) for operator in zeros}
    for operator in zeros:
        bias = body.tensors[operator.inputs[2]]
        scales = 0 if bias.quantization is None else len(bias.quantization.scale)
        kind = (bias.type, tuple(map(int, bias.shape)), scales)
        source, weight, own, *rest = map(int, operator.inputs)
        operator.inputs = np.array([source, weight, first.setdefault(kind, own), *rest], np.int32)
    read = {int(index) for operator in body.operators for index in operator.inputs}
    return before - read - {*map(int, body.inputs), *map(int, body.outputs)}


def _without(gone: Collection[int], body: Any, model: Any, place: int) -> None:
    """Take tensors out of the graph of that place, which nothing in it reads."""
    kept = [index for index in range(len(body.tensors)) if index not in gone]
    places = {index: new for new, index in enumerate(kept)} | {-1: -1}

    def moved(indices: Any) -> Any:
        return None if indices is None else np.array([places[int(index)] for index in indices], np.int32)

    body.tensors = [body.tensors[index] for index in kept]
    for ends in (body, *body.operators):
        ends.inputs, ends.outputs = moved(ends.inputs), moved(ends.outputs)
    for operator in body.operators:
        operator.intermediates = moved(operator.intermediates)
    for signature in model.signatureDefs or ():
        if signature.subgraphIndex == place:
            for end in (*signature.inputs, *signature.outputs):
                end.tensorIndex = places[end.tensorIndex]


def _name(body: Any, model: Any, scopes: Collection[str]) -> None:
    """Short names for tensors that are computed, where two do not become the same; none for constants."""
    ends = {*body.inputs, *body.outputs}
    inner = [tensor for index, tensor in enumerate(body.tensors) if index not in ends]
    computed = [tensor for tensor in inner if not tensor.buffer]
    short = [_shortened(tensor.name.decode(), scopes) for tensor in computed]
    for tensor, name in zip(computed, short, strict=True):
        if short.count(name) == 1:
            tensor.name = name.encode()
    for tensor in inner:
        if tensor.buffer:
            tensor.name = None


def _shortened(name: str, scopes: Collection[str]) -> str:
    """Of a name that a converter joined of many, the first of each scope, work before activations, and its end alone.

    It depends on nothing but the name: a float32 file and its int8 twin call a tensor the same.
    """
    parts = [part for part in name.split(";") if part.split("/", 1)[0] in scopes]
    found: dict[str, str] = {}
    for part in sorted(parts, key=lambda part: ACTIVATION in part):
        scope, *_, end = part.split("/")
        found.setdefault(scope, scope + (ACTIVATION if ACTIVATION in part else "/") + end)
    order = dict.fromkeys(part.split("/", 1)[0] for part in parts)
    return ";".join(found[scope] for scope in order) or name


def _sharing(base: Any) -> Any:
    """A builder of flatbuffers that writes equal vectors and strings once; numbers of constants are aligned."""

    class Sharing(base):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            self.written: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, array: Any) -> int:  # noqa: N802
            return self._once(array.dtype.str, array.tobytes(), lambda: self._vector(array))

        def CreateString(self, text: bytes, *more: Any) -> int:  # noqa: N802
            return self._once("string", text, lambda: super(Sharing, self).CreateString(text, *more))

        def _vector(self, array: Any) -> int:
            if array.dtype == np.uint8:
                self.Prep(ALIGNMENT, array.size)
            return int(super().CreateNumpyVector(array))

        def _once(self, kind: str, content: bytes, write: Any) -> int:
            if (kind, content) not in self.written:
                self.written[kind, content] = write()
            return self.written[kind, content]

    return Sharing
